#!/bin/bash
# vote_accuracy.sh - measures examples/vote where right answers are known: the numbers of errors. Each question has four
# allowed answers. Prints how many of the single chains vote rightly, how many majorities are right, and the same of the
# majorities by how many agree.
#
#     vote_accuracy.sh VOTE [MODEL.gguf]      VOTE: the program. Without a model: the one that comes with the library
#     CHAINS=16                               of each question
set -eu
vote=$(realpath "$1")
model=${2:+$(realpath "$2")}
chains=${CHAINS-16}

# A name and its number in Linux. Four at a time, which have the same allowed answers: their numbers.
for pair in \
    ENOENT:2 ESRCH:3 EINTR:4 E2BIG:7 EBADF:9 EAGAIN:11 EACCES:13 EBUSY:16 EXDEV:18 ENOTDIR:20 EINVAL:22 EMFILE:24 \
    EFBIG:27 EROFS:30 EPIPE:32 ERANGE:34 ENOSYS:38 ELOOP:40 ENOMSG:42 EIDRM:43 ETIME:62 EBADMSG:74 EOVERFLOW:75 \
    EILSEQ:84
do
    names+=("${pair%:*}") numbers+=("${pair#*:}")
done

n=${#names[@]}
for ((i = 0; i < n; i++)); do
    answers=
    for j in 0 1 2 3; do answers+="${answers:+|}${numbers[i - i % 4 + j]}"; done
    # The allowed answers come out in this order, and behind them the one that was elected.
    "$vote" ${model:+-m "$model"} -c -n "$chains" -t 8 -a "$answers" "What is the number of ${names[i]}?" 2> /dev/null |
        awk -v right="${numbers[i]}" '
            $2 ~ /^[0-9]+$/ && $3 == "of" { votes[$1] = $2; all = $4 }
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
