try() { "$@"; echo "$?"; }
# Options of a later version are not silently accepted by this one.
for option in --policy --quality --exit --lossless --show-exits; do try calmoe run -p x $option y; done
