# needs: model
# Instruction set and steps of the prompt do not change a bit.
text="A text of a few more tokens, so that steps of three rows are several."
calmoe run -p "$text" -n 12 --logit-hash > best
calmoe run -p "$text" -n 12 --logit-hash --isa ref > ref
calmoe run -p "$text" -n 12 --logit-hash --batch 3 > steps
cmp best ref && cmp best steps
