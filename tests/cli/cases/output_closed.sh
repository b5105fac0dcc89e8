# needs: model
# A reader that goes away, and a standard output that was never open.
{ calmoe run -p "The file" -n 64 --ignore-eos; echo $? > status; } | head -c 1 > one
wc -c < one
cat status
calmoe run -p "The file" -n 4 >&-
echo $?
