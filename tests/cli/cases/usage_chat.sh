try() { "$@"; echo "$?"; }
try calmoe run --chat --json
try calmoe run --chat --logit-hash
try calmoe run --chat --html x
try calmoe run --chat -n 0
try calmoe run --chat --special
try calmoe run --chat --chat-format ChatML
try calmoe run -p x --system y
try calmoe run -p x --chat-format chatml
try calmoe run -p x --stop ''
