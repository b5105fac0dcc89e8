# Devices and links stay what they are, and a place that cannot be written to is told before the work, which is never done.
# needs: model
# not under: thread: its runtime maps files that are beyond the limit set below
echo "some words" > t.txt; echo old > plan.json; ln -s plan.json link.json; mkdir folder; mkfifo pipe
calmoe place -o link.json > /dev/null; echo "$?"; [ -L link.json ] && head -c 20 plan.json; echo
calmoe place -o pipe > /dev/null & head -c 20 < pipe; echo; wait; [ -p pipe ] && echo a pipe
for to in /dev/null /dev/full; do
    calmoe place -o $to > /dev/null; echo "$?"
    calmoe run -p x -n 1 -t 1 --trace $to > /dev/null 2> err; echo "$?"; grep cannot err
    calmoe run -p x -n 1 -t 1 --save-session $to --html $to > /dev/null 2> err; echo "$?"; grep cannot err
    [ -c $to ] && echo a device
done
for options in "run -p x --html" "run -p x --save-session" "profile t.txt -o" "profile t.txt --html" \
    "calibrate t.txt -o" "fit-exits t.txt -o" "context -f t.txt -o"; do
    for to in no/such folder; do calmoe $options $to; [ $? = 1 ] || echo "WRONG: $options $to"; done
done
# Of two processes one writes.
(flock -n 9 && calmoe place -o two.json > /dev/null; echo "$?") 9> two.json.part
ls
# A file beyond ulimit -f is an error like a full disk, with nothing left of it.
(ulimit -f 1; calmoe profile t.txt -o big > /dev/null; echo "$?"; calmoe run -p x -n 1 -t 1 --html big > /dev/null; echo "$?")
ls -d big* 2> /dev/null || echo nothing is left
