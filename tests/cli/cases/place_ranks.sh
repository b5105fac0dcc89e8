# needs: model
# needs: python3
calmoe place --ranks 3 --topology "numa:1 core:4 pu:1" --bandwidth 50 --net-latency 5us --net-bandwidth 25Gb | grep -A 6 'such machines'
calmoe place --ranks 8 --rank-experts whole --topology "numa:1 core:4 pu:1" --bandwidth 50 | grep -A 3 'such machines'
calmoe place --ranks 2 --json --topology "numa:1 core:4 pu:1" --bandwidth 50 | python3 -c '
import json, sys
ranks = json.load(sys.stdin)["predicted_for_ranks"]
print(ranks["ranks"], ranks["latency_s"], ranks["batches"][0]["exchanges"], ranks["batches"][0]["bytes_received"])'
try() { "$@"; echo "$?"; }
try calmoe place --ranks 1
try calmoe place --ranks 2 --net-latency fast
try calmoe place --ranks 2 --net-bandwidth 10
try calmoe place --net-latency 5us
try calmoe place --rank-experts whole
