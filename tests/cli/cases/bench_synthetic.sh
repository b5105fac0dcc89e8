# thin: left out, kernels of every type are kernelcheck's
export TMPDIR=$PWD
types='f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4 iq1_s iq2_xxs iq3_s'
calmoe-bench --synthetic "$(echo $types | sed -E 's/[^ ]+/tiny:&/g; s/ /,/g')" -p 4 -n 2 -r 1 -t 1 -o csv |
    sed 1d | cut -d, -f1,3,11
ls # nothing is left
