try() { "$@"; echo "$?"; }
try calmoe run -p
try calmoe run -p x --temp
try calmoe run -p -n 3
try calmoe-bench -m
