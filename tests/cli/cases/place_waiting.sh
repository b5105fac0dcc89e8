# needs: model
# Predicted waiting: 81 barriers of 8 groups of 8 cores, 2 * 7 * 40 + 15 * 150 ns each.
calmoe place --topology "numa:2 l3:4 core:8 pu:1" --bandwidth 100 --line-latency 40ns,150ns | grep -A 1 '  batch'
calmoe place --topology "numa:2 l3:4 core:8 pu:1" --line-latency 100ns | grep -A 1 '  batch'
calmoe place --line-latency 40
echo "$?"
calmoe place --line-latency 2s
echo "$?"
