# needs: model
# A whole text is one turn: from -p, from a file without its last line end, from standard input.
turn='What is
a file?'
printf '%s\n' "$turn" > turn.txt
printf '%s\r\n' "$turn" > turn_crlf.txt
calmoe run --chat -p "$turn" -n 6 > by_p 2> messages
calmoe run --chat -f turn.txt -n 6 2> /dev/null | cmp - by_p
calmoe run --chat -f turn_crlf.txt -n 6 2> /dev/null | cmp - by_p
calmoe run --chat -f - -n 6 2> /dev/null < turn.txt | cmp - by_p
printf '%s\n' 'What is\' 'a file?' | calmoe run --chat -n 6 2> /dev/null | cmp - by_p
# And the tokens are those of the template.
count() { grep -o '"prompt_tokens": *[0-9]*' | grep -o '[0-9]*'; }
calmoe run --chat --system Be. -p "$turn" -n 0 --json 2> /dev/null | count > n
calmoe tokenize --special "<|im_start|>system
Be.<|im_end|>
<|im_start|>user
$turn<|im_end|>
<|im_start|>assistant
" | wc -w | cmp - n && echo tokens
grep -c 'answer was cut' messages
printf 'a\0b' > zero
calmoe run --chat -f zero -n 1
echo "$?"
