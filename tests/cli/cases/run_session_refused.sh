# needs: model
calmoe run -p 'The file' -n 0 --save-session s 2> /dev/null
calmoe run --restore-session s -n 3
echo "$?"
calmoe run --restore-session s -p ' system' -n 3 --kv f32
echo "$?"
calmoe run --restore-session s -p ' system' -n 3 -c 1
echo "$?"
calmoe run --restore-session s -p ' system' -n 3 --rope-scaling linear --rope-scale 2
echo "$?"
calmoe run --restore-session nowhere -p ' system' -n 3
echo "$?"
head -c 1000 s > cut
calmoe run --restore-session cut -p ' system' -n 3
echo "$?"
{ head -c 2000 s; printf '%s' x; tail -c +2002 s; } > damaged
calmoe run --restore-session damaged -p ' system' -n 3
echo "$?"
echo 'some other file, which is longer than the head of a session, and so it is read and looked at' > other
calmoe run --restore-session other -p ' system' -n 3
echo "$?"
calmoe run -p 'The file' -n 1 --save-session /nowhere/s > /dev/null 2> messages
echo "$?"
tail -n 1 messages
