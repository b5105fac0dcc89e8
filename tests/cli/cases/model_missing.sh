try() { "$@"; echo "$?"; }
try calmoe run -m no-such.gguf -p x
try calmoe inspect no-such.gguf
try calmoe tokenize -m no-such.gguf x
try calmoe quantize no-such.gguf out.gguf q8_0
try calmoe-bench -m no-such.gguf
ls
