# needs: model
calmoe-bench -p 8 -n 2 -r 1 -o jsonl > out
grep -oE '"test":"[a-z]+[0-9]+"' out
grep -cE '^\{.*\}$' out
