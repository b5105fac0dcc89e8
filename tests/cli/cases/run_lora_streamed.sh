# An adapter of routed experts wants them in memory; a limit under which all stay will do.
golden=$(dirname "$MODEL")/../tests/golden
calmoe run -m "$golden/qwen3moe.gguf" --lora "$golden/adapters/qwen3moe" -p ab -n 3 --logit-hash > free 2> /dev/null
calmoe run -m "$golden/qwen3moe.gguf" --lora "$golden/adapters/qwen3moe" -p ab -n 3 --logit-hash --memory-limit 64MiB \
    2> /dev/null | cmp - free && echo same
calmoe run -m "$golden/qwen3moe.gguf" --lora "$golden/adapters/qwen3moe" -p ab -n 3 --memory-limit 900KiB
echo "$?"
