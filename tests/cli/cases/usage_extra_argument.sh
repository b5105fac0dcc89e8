try() { "$@"; echo "$?"; }
try calmoe run -p x extra
try calmoe run -p x -- -extra
try calmoe inspect a b
try calmoe quantize a b c d
try calmoe tokenize a b
try calmoe tokenize -f a b
try calmoe-bench model.gguf
