# needs: model
try() { "$@"; echo "$?"; }
try calmoe run -p "The file" -c 16 --ignore-eos > out
tail -1 out
try calmoe run -p "One two three four five six seven eight nine ten" -c 4
