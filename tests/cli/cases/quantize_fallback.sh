# Rows of 96 and 48 are no multiple of the 256 columns of a q4_k block, nor those of 48 of 32.
cat > shape.txt << 'S'
family = qwen3moe
layers = 2
width = 96
heads = 4
kv_heads = 2
head_size = 64
experts = 4
experts_used = 2
expert_width = 48
vocabulary = 512
context = 256
head_norms = heads
S
calmoe-bench --synthetic ./shape.txt:f16 --save f16.gguf -p 8 -n 2 -r 1 -t 1 > /dev/null 2>&1
calmoe quantize f16.gguf out.gguf q4_k
calmoe inspect out.gguf --metadata | grep -E '^(weights|  +[a-z0-9_]+ +[0-9]+ tensor|general.file_type)'
