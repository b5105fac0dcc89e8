bench() { calmoe-bench "$@"; echo $?; }
bench -p 1,x
bench -n 1,
bench -b 0
bench --depth=-5
bench -t 5000
bench --isa avx2,,ref
bench -o xml
bench -p 0 -n 0
bench -m a.gguf --synthetic tiny:q4_0
bench --save a.gguf
bench --synthetic tiny:q4_0,tiny:q8_0 --save a.gguf
bench --routing dice
bench --routing trace
bench a.gguf
bench --synthetic tiny:q4_0 --save /nowhere/a.gguf
