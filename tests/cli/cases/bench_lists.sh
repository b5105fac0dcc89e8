# thin: left out, each row is measured like those of other cases
calmoe-bench --synthetic tiny:q8_0,tiny:q4_k -p 8,4 -n 2,0 -b 1,2 -d 0,8 -r 1 -t 1,2 --isa ref -o csv | cut -d, -f1,8,9,10,11,12 | sort | uniq -c | sed 's/^ *//'
