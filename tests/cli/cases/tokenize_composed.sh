# needs: model
# An e and its accent apart, and as one character: the same tokens, and so the same text.
calmoe tokenize "$(printf 'caf\145\314\201')" > apart
calmoe tokenize "$(printf 'caf\303\251')" | cmp - apart
calmoe tokenize --decode -f apart
