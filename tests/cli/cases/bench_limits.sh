calmoe-bench --limits -t 1
calmoe-bench --limits -t 1 -o csv > out && grep -cE '^"[^"]*",[0-9]+,[0-9]+,1,read_bytes_per_s,[1-9][0-9.e+]*,[1-9][0-9.e+]*$' out
calmoe-bench --limits -t 1 -o jsonl | grep -cE '^\{"cpu":".*"threads":1,"read_bytes_per_s":\{"best":[1-9][0-9.e+]*,"median":[1-9][0-9.e+]*\},.*\}$'
