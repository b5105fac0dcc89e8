# needs: model
calmoe-bench -p 8 -n 2 -r 3 -o json > out
tr -d '\n ' < out | sed -E 's/:"[^"]*"/:T/g; s/:-?[0-9.]+(e[-+]?[0-9]+)?/:N/g; s/\},\{/},\n{/g'
echo
