# needs: model
# A profile of a machine of two memory nodes, of one of this machine; and plans for a machine that is described.
printf 'The river was wide.' > river.txt
calmoe profile -f river.txt -o one.json --topology 'node:3 core:2 pu:1' --bandwidth 40 |
    grep '^  node:3\|^ .*\(by_usage\|sliced\).*tokens/s$' | sed 's/  *[0-9][0-9. x]*/ N /g'
sed 's/"nodes": \[\({[^}]*}\)\]/"nodes": [\1, \1]/' one.json > two.json
calmoe profile --merge two.json --html two.html | sed -n '/^Memory nodes/,/^$/p' | cut -c1-37
grep -o '"remote_bytes":0' two.html | wc -l
