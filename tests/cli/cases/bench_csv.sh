# needs: model
calmoe-bench -p 0 -n 4 -r 1 -b 3 -t 2 --isa ref -o csv
