# needs: model
# The ids of --json, decoded, are what a plain run prints.
calmoe run -p "int main" -n 24 --ignore-eos > plain
calmoe run -p "int main" -n 24 --ignore-eos --json > out
sed -E 's/.*"tokens":\[([0-9,]*)\].*/\1/; s/,/ /g' out | calmoe tokenize --decode -f - > decoded
echo >> decoded
cmp plain decoded
