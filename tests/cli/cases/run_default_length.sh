# needs: model
calmoe run -p "The file" --ignore-eos --json > out
grep -oE '"generated_tokens":[0-9]+' out
