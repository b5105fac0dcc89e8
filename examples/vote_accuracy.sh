#!/bin/bash
# vote_accuracy.sh - measures examples/vote where right answers are known: which command does what. Each question has four
# allowed answers. Prints how many of the single chains vote rightly, how many majorities are right, and the same of the
# majorities by how many agree.
#
#     vote_accuracy.sh VOTE [MODEL.gguf]      VOTE: the program. Without a model: the one that comes with the library
#     CHAINS=16                               of each question
set -eu
vote=$(realpath "$1")
model=${2:+$(realpath "$2")}
chains=${CHAINS-16}

# What is to be done, in other words than manual pages say it, and the command. Four at a time have the same allowed
# answers: their commands.
while IFS=: read -r task command; do
    tasks+=("$task") commands+=("$command")
done << 'END'
show what is in a folder:ls
copy a file to another place:cp
give a file another name:mv
delete a file:rm
make a new folder:mkdir
show the first lines of a file:head
show the last lines of a file:tail
count words and lines:wc
put lines in order:sort
leave out lines that are repeated:uniq
show running programs:ps
end a program by its number:kill
compare two files:diff
search a text for a pattern:grep
change who owns a file:chown
change who may read a file:chmod
show the free space of disks:df
show how much space a folder takes:du
show the date and the time:date
wait for some seconds:sleep
write a text to the screen:echo
show in which folder one is:pwd
show the name of the user:whoami
make a second name for a file:ln
END

n=${#tasks[@]}
for ((i = 0; i < n; i++)); do
    answers=
    for j in 0 1 2 3; do answers+="${answers:+|}${commands[i - i % 4 + j]}"; done
    # The allowed answers come out in this order, and behind them the one that was elected.
    "$vote" ${model:+-m "$model"} -c -n "$chains" -t 8 -a "$answers" "Which command: ${tasks[i]}?" 2> /dev/null |
        awk -v right="${commands[i]}" '
            $3 == "of" { votes[$1] = $2; all = $4 }
            /^answer: / { print votes[right], all, $NF, $2 == right "," }'
done | awk '
    { singles += $1; chains += $2; right += $4; n++; sure = $3 > 0.75; by[sure] += $4; of[sure]++ }
    END {
        if (!n) { print "vote_accuracy.sh: no answers" > "/dev/stderr"; exit 1 }
        printf "%d questions\n", n
        printf "single chains right: %d of %d (%.0f %%)\n", singles, chains, 100 * singles / chains
        printf "majorities right: %d of %d (%.0f %%)\n", right, n, 100 * right / n
        printf "of majorities above 0.75: %d of %d, of the others: %d of %d\n", by[1], of[1], by[0], of[0]
    }'
