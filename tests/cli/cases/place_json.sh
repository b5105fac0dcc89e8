# needs: model
calmoe place --topology "numa:4 core:2 pu:1" --policy round_robin --json
