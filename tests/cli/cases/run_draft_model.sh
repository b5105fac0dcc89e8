# needs: model
for how in "--temp 0" "--temp 0.8 --seed 3 --repeat-penalty 1.1"; do
    calmoe run -p "Once upon a time" -n 40 --ignore-eos $how --logit-hash > plain 2> err || exit
    calmoe run -p "Once upon a time" -n 40 --ignore-eos $how --logit-hash --lossless --draft-model "$MODEL" > drafted \
        2> err || exit
    cmp plain drafted && echo the same
done
calmoe run -p "Once upon a time" -n 8 --json --lossless --draft-model "$MODEL" 2> err |
    grep -oE '"(plain_steps|drafts_by|draft model|further block|lookup)"'
calmoe run -p "Once upon a time" -n 8 --draft-model "$MODEL"
echo "status $?"
calmoe run -p "Once upon a time" -n 8 --lossless --draft-model "$(dirname "$MODEL")/../tests/golden/qwen3moe.gguf"
echo "status $?"
