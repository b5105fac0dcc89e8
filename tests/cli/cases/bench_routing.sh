# a trace of two tokens for the shape tiny: 2 layers, 2 of 4 experts; each token takes 0 and 1, weights 1 and 0.5
{
    printf 'CALMOETR\1\0\0\0\60\0\0\0000123456789abcdef\2\0\0\0\4\0\0\0\2\0\0\0\0\0\0\0'
    for token in 1 2; do
        printf '\0\0\0\0\0\0\0\0'
        printf '\0\0\1\0\0\74\0\70\0\0\1\0\0\74\0\70'
    done
} > trace
calmoe-bench --synthetic tiny:q8_0 -p 16 -n 4 -b 1,3 -d 0,2 -r 1 -o csv --routing trace trace | cut -d, -f1,10,11
calmoe-bench --synthetic tiny:q8_0 -p 1 -n 0 -r 1 --routing trace nosuch; echo $?
head -c 90 trace > cut
calmoe-bench --synthetic tiny:q8_0 -p 1 -n 0 -r 1 --routing trace cut; echo $?
printf 'family=llama\nlayers=1\nwidth=32\nheads=1\nkv_heads=1\nhead_size=32\nexperts=4\nexperts_used=2\nexpert_width=32\nvocabulary=300\ncontext=64\n' > one.txt
calmoe-bench --synthetic ./one.txt:q8_0 -p 1 -n 0 -r 1 -o csv --routing trace trace > rows; echo $?
