try() { "$@"; echo "$?"; }
echo 'This is a text.' > text.gguf
: > empty.gguf
for file in text empty; do
    try calmoe run -m $file.gguf -p x
    try calmoe inspect $file.gguf
done
