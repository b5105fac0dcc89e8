# What the environment says and what does not hold is told, not passed over; and stacks that are too small are told of.
# needs: model
# not under: address, thread: sanitizers want larger stacks
out() { "$@" -n 1 2>&1 > /dev/null | grep -v tokens/s; }
CALMOE_ISA=sse9 out calmoe run -p x -t 1
CALMOE_MODELS=/nowhere out calmoe run -p x -t 1
mkdir -p file; : > file/plain
CALMOE_CACHE=$PWD/file/plain/cache out calmoe run -p x -t 1
OMP_STACKSIZE=48k out calmoe run -p x -t 2
(ulimit -s 64; out calmoe run -p x -t 1)
calmoe run -p x --top-p 0 --temp 1 -n 8 > zero 2> /dev/null; calmoe run -p x -n 8 > greedy 2> /dev/null; cmp zero greedy && echo same
for option in --disk-reads=direct --no-lookahead --keep-by=x; do calmoe run -p x "$option" 2>&1; done
true
