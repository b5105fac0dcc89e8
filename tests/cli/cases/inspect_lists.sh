# needs: model
calmoe inspect --tensors --metadata > out
calmoe inspect "$MODEL" | cmp - <(head -n "$(calmoe inspect | wc -l)" out)
grep -E '^(token_embd.weight|general.architecture)' out
