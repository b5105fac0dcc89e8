try() { "$@"; echo "$?"; }
for text in abc 1x '' ' 1' 1.5 0x10 99999999999999999999; do try calmoe run -p x -n "$text"; done
for text in warm nan inf 1e 0,5 ''; do try calmoe run -p x --temp "$text"; done
for text in -1 1.0 '' 18446744073709551616; do try calmoe run -p x --seed="$text"; done
