# needs: model
try() { "$@"; echo "$?"; }
size=$(wc -c < "$MODEL")
for bytes in 10 1000 $((size / 4)) $((size * 3 / 4)); do
    head -c $bytes "$MODEL" > short.gguf
    try calmoe run -m short.gguf -p x
    try calmoe inspect short.gguf
done
