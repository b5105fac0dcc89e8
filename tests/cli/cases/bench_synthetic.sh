export TMPDIR=$PWD
types='f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4'
calmoe-bench --synthetic "$(echo $types | sed -E 's/[^ ]+/tiny:&/g; s/ /,/g')" -p 4 -n 2 -r 1 -t 1 -o csv |
    sed 1d | cut -d, -f1,3,11
ls # nothing is left
calmoe-bench --synthetic tiny:q4_0 --save kept.gguf -p 4 -n 0 -r 1 -t 1 -o csv > rows
ls
calmoe run -m kept.gguf -p hello -n 3 --json 2> messages | grep -c '"generated_tokens": *3'
