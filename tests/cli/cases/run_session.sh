# needs: model
# A run that is cut in two by a file, with other threads and another context, is the run in one piece; so is a
# conversation, and a text that was read once is gone on from by others.
calmoe run -p 'The file system' -n 12 --ignore-eos > whole 2> /dev/null
calmoe run -p 'The file system' -n 5 --ignore-eos -t 1 --save-session a > first 2> /dev/null
calmoe run --restore-session a -n 7 --ignore-eos -t 2 -c 100 > second 2> messages
[ "$(cat first)$(cat second)" = "$(cat whole)" ] && echo "the same text"
grep -c 'prompt  *1 tokens' messages

calmoe run -p 'The file' -n 0 --save-session b 2> /dev/null
for end in ' system holds a' ' system is'; do
    calmoe run -p "The file$end" -n 6 > whole 2> /dev/null
    calmoe run --restore-session b -p "$end" -n 6 2> messages | cmp - whole && echo "the same end"
    [ "$(awk '/prompt/ { print $3 }' messages)" = "$(calmoe tokenize "$end" | wc -w)" ] && echo "none is read twice"
done

calmoe run --chat -n 8 > whole < <(printf 'What is a file?\nAnd a folder?\n') 2> /dev/null
calmoe run --chat -n 8 --save-session c > first < <(printf 'What is a file?\n') 2> /dev/null
calmoe run --chat -n 8 --restore-session c --save-session c > second < <(printf 'And a folder?\n') 2> /dev/null
cat first second | cmp - whole && echo "the same conversation"

policy='--exit always:1@4 --kv-fill catch_up --lossless'
for p in "${policy% --lossless}" "$policy"; do
    calmoe run -p 'The file system' -n 12 --ignore-eos $p > whole 2> /dev/null
    calmoe run -p 'The file system' -n 5 --ignore-eos $p --save-session d > first 2> /dev/null
    calmoe run --restore-session d -n 7 --ignore-eos $p > second 2> /dev/null
    [ "$(cat first)$(cat second)" = "$(cat whole)" ] && echo "the same under a policy"
done
ls
