try() { "$@"; echo "$?"; }
try calmoe run
try calmoe run -p x -f y
try calmoe tokenize
try calmoe quantize a b
try calmoe-bench -p 0 -n 0
