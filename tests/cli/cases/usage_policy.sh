try() { "$@"; echo "$?"; }
try calmoe run -p x --exit softmax
try calmoe run -p x --exit softmax:0.9@
try calmoe run -p x --exit softmax:0@5
try calmoe run -p x --exit softmax:1.5@5
try calmoe run -p x --exit softmax:0.9@5,
try calmoe run -p x --width ratio:2
try calmoe run -p x --width fixed:1.5
try calmoe run -p x --quality 0
try calmoe run -p x --quality 100%
try calmoe run -p x --exit softmax:0.9@5 --policy p.json
try calmoe run -p x --width fixed:2 --quality 1%
try calmoe run -p x --kv-fill lazy
try calmoe run -p x --lossless --width fixed:2
try calmoe run -p x --exit always:1@4 --kv-fill never
try calmoe run -p x --exit always:1@4 --trace t
