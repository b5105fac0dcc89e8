# needs: model
printf 'Once upon\na time\n' > text
calmoe run -f - -n 12 < text > a 2>> messages
calmoe run -f text -n 12 > b 2>> messages
calmoe run -p "$(cat text)
" -n 12 > c 2>> messages
cmp a b && cmp a c && wc -l < messages
