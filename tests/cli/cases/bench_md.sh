# needs: model
calmoe-bench -p 16 -n 4 -r 2
