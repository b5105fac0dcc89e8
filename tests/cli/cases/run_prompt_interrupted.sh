# needs: model
# Ctrl-C while a text is read ends the run, long before the text is over: with the summary and status 0.
set -m # as in a terminal, so that SIGINT is not ignored
yes 'hello world' | head -c 400000 > long.txt
calmoe run -f long.txt -c 400000 -n 5 -t 1 2> messages &
while [ $((0x$(awk '/^SigCgt/ { print $2 }' "/proc/$!/status") & 2)) -eq 0 ]; do sleep 0.05; done # until it catches SIGINT
sleep 0.3
kill -INT %1
wait %1
echo "$?"
read -r _ _ n_read _ < <(grep 'calmoe: prompt' messages)
[ "$n_read" -lt 200000 ] && echo "not read to its end"
grep interrupted messages
