# needs: model
try() { "$@"; echo "$?"; }
try calmoe run -p x --isa no-such-level
try calmoe run -p x --plan no-such.json
