# needs: model
# After /reset the same turn gets the same answer; before it, the session goes on.
printf 'What is a file?\n/reset\n\nWhat is \\\na file?\n/reset\nWhat is a file?\r\n/quit\nNever read\n' > turns
calmoe run --chat -n 12 --system "Be brief." < turns > answers 2> messages
echo "$?"
printf 'What is a file?\n' | calmoe run --chat -n 12 --system "Be brief." > once 2> /dev/null
head -c "$(wc -c < once)" answers | cmp - once && tail -c "$(wc -c < once)" answers | cmp - once
grep -c 'the conversation begins anew' messages
