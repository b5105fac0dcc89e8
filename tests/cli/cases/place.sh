# needs: model
calmoe place -m "$MODEL" --topology "node:2(memory=64GiB) core:8 pu:1" --bandwidth 0:100,1:50 -o plan.json
calmoe place -m "$MODEL" --plan plan.json --topology "numa:2 core:8 pu:1" | head -2 | tail -1
head -c 26 plan.json
