try() { "$@"; echo "$?"; }
# Options of a later version are not silently accepted by this one.
for option in --draft --catch-up; do try calmoe run -p x $option y; done
