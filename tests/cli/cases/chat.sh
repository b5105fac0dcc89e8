# needs: model
printf 'What is a file?\nAnd a folder?' > turns
calmoe run --chat -n 8 < turns > answers
echo "$?"
[ "$(wc -l < answers)" -ge 2 ] && echo two
