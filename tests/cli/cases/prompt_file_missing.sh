# needs: model
try() { "$@"; echo "$?"; }
try calmoe run -f no-such.txt
try calmoe run -f .
try calmoe tokenize -f no-such.txt
