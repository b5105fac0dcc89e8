try() { "$@"; echo "$?"; }
try calmoe run -m . -p x
try calmoe inspect .
