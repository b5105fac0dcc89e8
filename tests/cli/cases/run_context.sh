# needs: model
# A text that was read once, by calmoe context: what is asked about it is answered as if it stood in front, whoever asked
# before, and none of its tokens is read again. Of a conversation it is the system text.
calmoe() { command calmoe "$@" 2> messages; }
asked() { awk '/prompt/ { print $3 }' messages; }
printf 'The file system holds files and folders. A folder is a file, too.' > text
calmoe context -f text -o plain -c 400 -t 1 | sed 's/ [0-9]* tokens/ N tokens/'
calmoe context -f text -o turns -c 400 --chat | sed 's/ [0-9]* tokens/ N tokens/'
for end in ' Is it' ' The folder'; do calmoe run -p "$(cat text)$end" -n 8 -c 400; done > whole
for end in ' Is it' ' The folder'; do
    calmoe run --context-file plain -p "$end" -n 8 -t 2
    [ "$(asked)" = "$(command calmoe tokenize "$end" | wc -w)" ] && echo 'its tokens are read' >> counts
done | cmp - whole && echo 'the same answers'
cat counts
printf 'A file\nThe folder\n\nA file\n' | calmoe run --context-file plain --questions - -n 6 > three
[ "$(sed -n 1p three)" = "$(tail -n 1 three)" ] && echo 'the same question, the same answer'
[ "$(asked)" -lt 9 ] && echo 'only questions are read'

for question in 'What is a file?' 'Why?'; do
    calmoe run --chat --system "$(cat text)" -p "$question" -n 8 -c 400
done > whole
printf 'What is a file?\nWhy?\n' | calmoe run --chat --context-file turns --questions - -n 8 | cmp - whole &&
    echo 'the same conversations'
printf 'What is a file?\n/reset\nWhy?\n' | calmoe run --chat --context-file turns -n 8 | cmp - whole && echo 'and one by one'
echo >> text
calmoe run --context-file plain -p x -n 0
grep -c 'has changed' messages
for wrong in '--context-file plain --chat -p x' '--context-file turns -p x' '--context-file plain --kv f32 -p x' \
             '--questions text' '--context-file plain --system x --chat' '--context-file plain --questions text -p x'; do
    calmoe run $wrong
    echo "$? $(grep -v ' work on ' messages | tail -n 1)"
done
calmoe run -p x -n 1 --save-session session > /dev/null
calmoe run --context-file session -p x
grep -c 'is a session, and no context' messages
calmoe context -o x
tail -n 1 messages
