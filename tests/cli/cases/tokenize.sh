# needs: model
calmoe tokenize "Once upon a time"
calmoe tokenize -- "-n"
calmoe tokenize ""
printf 'Once upon a time' | calmoe tokenize -f - > ids
calmoe tokenize "Once upon a time" | cmp - ids
