# Adapters of every session: a LoRA and a prefix, in plain tests and with drafts; and what they do not go with.
goldens=$(dirname "$CALMOE_MODELS")/tests/golden
bench() { calmoe-bench -m "$goldens/llama.gguf" -t 1 -r 1 --no-tune "$@"; }
bench -p 8 -n 4 -d 0,5 -b 2 -o jsonl --lora "$goldens/adapters/llama:0.5" --lora "$goldens/adapters/llama_prefix" > out || cat out
grep -oE '"test":"[a-z0-9@+]+","adapters":[0-9]+' out
bench -p 8 -n 12 -o jsonl --lossless --lora "$goldens/adapters/llama" > out || cat out
grep -oE '"agreement":[0-9.]+' out
bench --lora "$goldens/adapters/mixtral"
echo $?
bench --lora "$goldens/adapters/llama" --exit softmax:0.5
echo $?
calmoe-bench --serve http://localhost:1 --lora "$goldens/adapters/llama"
echo $?
