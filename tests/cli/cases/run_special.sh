# needs: model
# Control tokens in the text are tokens with --special, text without.
text='<|im_start|>user
hi<|im_end|>
<|im_start|>assistant
'
count() { grep -o '"prompt_tokens": *[0-9]*' | grep -o '[0-9]*$'; }
calmoe run --special -p "$text" -n 0 --json 2> /dev/null | count > n
calmoe tokenize --special "$text" | wc -w | cmp - n && echo tokens
calmoe run -p "$text" -n 0 --json 2> /dev/null | count > n
calmoe tokenize "$text" | wc -w | cmp - n && echo text
calmoe run --special -p "$text" -n 8 2> /dev/null > raw
calmoe run --chat -p hi -n 8 2> /dev/null | cmp - raw && echo "as --chat"
