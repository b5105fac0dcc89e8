# An adapter of routed experts does not mind where these are: all in memory, under a limit that is none, on disk.
golden=$(dirname "$MODEL")/../tests/golden
run() { calmoe run -m "$golden/qwen3moe.gguf" --lora "$golden/adapters/qwen3moe" -p ab -n 3 --logit-hash "$@" 2> said; }
run > free
run --memory-limit 64MiB | cmp - free && echo same
run --memory-limit 900KiB | cmp - free && echo same
grep -o "of 28 experts stay in memory" said
