export TMPDIR=$PWD
calmoe-bench --synthetic tiny:q4_0 --save kept.gguf -p 4 -n 0 -r 1 -t 1 -o csv > rows
ls
calmoe run -m kept.gguf -p hello -n 3 --json 2> messages | grep -c '"generated_tokens": *3'
