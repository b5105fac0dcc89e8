try() { "$@"; echo "$?"; }
try calmoe run -p x --kv f8
try calmoe-bench -o xml
try calmoe run -p x --json=yes
