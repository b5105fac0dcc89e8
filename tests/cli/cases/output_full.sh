# needs: model
[ -c /dev/full ] || exit 77
calmoe run -p "The file" -n 4 > /dev/full; echo "$?"
calmoe run -p "The file" -n 4 --json > /dev/full; echo "$?"
calmoe inspect > /dev/full; echo "$?"
calmoe tokenize x > /dev/full; echo "$?"
calmoe --help > /dev/full; echo "$?"
