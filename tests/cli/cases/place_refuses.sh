# needs: model
try() { "$@"; echo "$?"; }
try calmoe place --policy fastest
try calmoe place --policy by_usage
try calmoe place --topology "numa:0"
try calmoe place --topology nowhere.xml
try calmoe place --topology "numa:2 core:1 pu:1" --bandwidth 0:40
try calmoe place --topology "numa:2(memory=1MiB) core:1 pu:1"
try calmoe place --memory-limit 0.5
try calmoe place --profile no-such.json
try calmoe place --simulate no-such.trace
printf '{"schema": "calmoe.profile.1", "vers' > cut.json
try calmoe place --profile cut.json
printf '{"schema": "calmoe.plan.1", "version": "0", "model": {"fingerprint": "0123456789abcdef"}, "nodes": 1, "layers": [[0]]}' > other.json
try calmoe place --plan other.json
try calmoe place -o no/such/folder/plan.json
printf 'A day.' > day
calmoe profile -f day -o own.json --trace own.trace > tables
fingerprint=$(grep -o '[0-9a-f]\{16\}' own.json | head -n 1)
sed "s/$fingerprint/0123456789abcdef/" own.json > others.json
sed "s/$fingerprint/0123456789abcdef/" own.trace > others.trace
head -c 100 own.trace > cut.trace
try calmoe place --profile others.json
try calmoe place --simulate others.trace
try calmoe place --simulate cut.trace
try calmoe profile --merge own.json others.json
