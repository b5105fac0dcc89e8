try() { "$@"; echo "$?"; }
try calmoe run --chat -p x
try calmoe run --chat -f x
try calmoe run --chat --json
try calmoe run --chat --logit-hash
try calmoe run --chat -n 0
try calmoe run -p x --system y
