# needs: model
# Numbers of a model otherwise than its file says, and what is said about them.
try() { calmoe run -p "Once upon a time" -n 4 -t 1 "$@" 2>&1 | grep -v -e '^calmoe: prompt ' -e '^calmoe: generation '; echo "${PIPESTATUS[0]}"; }
try --experts 2
try --width fixed:6
try --width fixed:25
try --experts 25
try -c 2048
try -c 2048 --rope-scaling yarn --rope-scale 4
try -c 2048 --rope-scaling yarn --rope-scale 4 --yarn-orig 256
try --rope-scaling yarn
try --rope-scale 2 --rope-base 1000000
try --experts 2 --quality 1%
try --exit softmax:0.9 | sed 1d
try --exit classifier:0.9
calmoe-bench -p 8 -n 0 -r 1 -t 1 --experts 2 -o jsonl 2>&1 | grep -o 'trained with 4'
