try() { "$@"; echo "$?"; }
try calmoe run -p x --no-such-option
try calmoe run -p x -z
try calmoe run -p x -n5
try calmoe tokenize --tensors x
try calmoe inspect -v
try calmoe quantize --type a b c
try calmoe-bench --chat
