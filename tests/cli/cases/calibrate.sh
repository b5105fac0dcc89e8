# needs: model
for i in 1 2 3 4 5 6 7 8 9; do
    printf 'The file system number %d holds %d files, and each of them has a name of its own.\n\n' $i $((7 * i))
    printf 'for (int i = %d; i < n; i++) if (a[i] != NULL) free(a[i]);\n\n' $i
done > text
calmoe calibrate --costs bytes -f text -n 30 -p 8 -a 8 --delta 0.1%,60%,90% --measures state --most 9 --no-tails --splits 3 -o policy.json
echo "$?"
calmoe run --policy policy.json --quality 90% --costs bytes -p 'The file' -n 4 > /dev/null
echo "$?"
for i in $(seq 1 20); do
    echo "{\"prompt\": \"The file $i\", \"answer\": \" system has no name.\"}"
    echo "{\"prompt\": \"int a[$i];\", \"answer\": \" int i = 0;\"}"
done > labels.jsonl
calmoe calibrate --costs bytes labels.jsonl -a 4 --delta 90% --measures state --no-width --no-tails --rivals --json > labels.json
echo "$?"
grep -q '"answer": "proven"' labels.json && echo proven
calmoe calibrate --costs bytes labels.jsonl -a 4 --delta 1% --measures state --no-width --most 3 -o none.json | tail -1
echo "${PIPESTATUS[0]}"
[ -e none.json ] || echo no file
