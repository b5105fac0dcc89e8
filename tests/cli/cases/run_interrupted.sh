# needs: model
# Ctrl-C ends a run as -n does: with the summary and status 0.
set -m # as in a terminal, so that SIGINT is not ignored
mkfifo text
calmoe run -p "The file" -n 1000000 -c 1000000 --ignore-eos > text &
{ head -c 1 > one; kill -INT %1; cat > rest; } < text
wait %1
echo "$?"
