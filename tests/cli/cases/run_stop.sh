# needs: model
# An answer ends before a stop text, wherever in tokens that begins and ends.
calmoe run -p 'The file' -n 24 2> /dev/null > whole
text=$(< whole)
for begin in 1 3 6 11 17; do
    for n in 1 2 5 9; do
        stop=${text:begin:n}
        calmoe run -p 'The file' -n 24 --stop "no such text" --stop "$stop" > got 2> messages
        printf '%s\n' "${text%%"$stop"*}" | cmp - got || echo "stop '$stop'"
        grep -q 'stopped after' messages && echo "cut, not stopped"
    done
done
# What only might have been the beginning of one comes out in the end.
calmoe run -p 'The file' -n 24 --stop "${text: -5}and more" 2> /dev/null | cmp - whole && echo whole
calmoe run -p 'The file' -n 24 --stop "${text:6:5}" --json --html page.html 2> /dev/null > json
grep -o '"text": *"[^"]*"' json | grep -qF "\"${text:0:6}\"" && echo json
printf 'What is a file?\n' | calmoe run --chat -n 12 2> /dev/null > answer
answer=$(< answer)
printf 'What is a file?\nAnd?\n' | calmoe run --chat -n 12 --stop "${answer:4:3}" 2> /dev/null | head -1 > got
printf '%s\n' "${answer:0:4}" | cmp - got && echo chat
