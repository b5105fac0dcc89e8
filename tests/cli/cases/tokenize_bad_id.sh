# needs: model
try() { "$@"; echo "$?"; }
try calmoe tokenize --decode one
try calmoe tokenize --decode -- -1
try calmoe tokenize --decode 99999999
