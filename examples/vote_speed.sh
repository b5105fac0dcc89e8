#!/bin/bash
# vote_speed.sh - measures examples/vote: tokens/s by the number of chains in one batch, beside as many separate runs. A
# table in Markdown; of each figure the median over the runs, and in brackets the slowest and the fastest.
#
#     vote_speed.sh VOTE [MODEL.gguf]      VOTE: the program. Without a model: the one that comes with the library
#     CHAINS=16 TOKENS=48 RUNS=5           up to so many chains, of so many tokens; so many runs
set -eu
vote=$(realpath "$1")
model=${2:+$(realpath "$2")}
chains=${CHAINS-16} tokens=${TOKENS-48} runs=${RUNS-5}

# A prompt of some length, since all chains share it.
question='A library has three floors. On the first there are 14 shelves with 30 books each, on the second 9 shelves
with 42 books each, and on the third 20 shelves with 17 books each. On Monday 35 books are lent out from the first
floor and 12 come back to the second; on Tuesday a fifth of what stands on the third floor is carried to the first. On
Wednesday two shelves of the second floor break, and all that stood on them goes to the cellar, which was empty before.
Are there more books on the first floor than on the second and in the cellar together?'

for ((i = 0; i < runs; i++)); do
    "$vote" ${model:+-m "$model"} -s -n "$chains" -t "$tokens" "$question" 2>&1 > /dev/null | grep -E '^ *[0-9]+ +[0-9.]+ '
done | awk '
    function figure(i, column,    j, k, n, t, list) { # of the rows of i chains
        n = count[i]
        for (j = 1; j <= n; j++) list[j] = value[i, j, column]
        for (j = 1; j <= n; j++)
            for (k = j + 1; k <= n; k++)
                if (list[k] < list[j]) { t = list[j]; list[j] = list[k]; list[k] = t }
        t = (list[int((n + 1) / 2)] + list[int((n + 2) / 2)]) / 2
        return sprintf(column == 4 ? "%.2f (%.2f to %.2f)" : "%.1f (%.1f to %.1f)", t, list[1], list[n])
    }
    { if (!count[$1]++) order[++n_orders] = $1; for (c = 2; c <= 4; c++) value[$1, count[$1], c] = $c }
    END {
        if (!n_orders) { print "vote_speed.sh: no figures" > "/dev/stderr"; exit 1 }
        print "| chains | tokens/s in one batch | in separate runs | ratio |\n|---:|---:|---:|---:|"
        for (i = 1; i <= n_orders; i++)
            print "| " order[i] " | " figure(order[i], 2) " | " figure(order[i], 3) " | " figure(order[i], 4) " |"
    }'
