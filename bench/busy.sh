#!/bin/bash
# busy.sh [-m MODEL] [-n TOKENS] [-r REPEATS] [-t THREADS]: what the engine's own choice of threads gives on a busy
# machine. Generation runs beside 0, 1 and 2 processes that compute without end, with each fixed number of threads and
# with the engine's choice (of at most THREADS), by turns; medians of tokens/s, and the choice's share of the best
# fixed number. Wants calmoe-bench in the PATH or in build/release/bin.
set -eu
cd "$(dirname "$0")/.."
bench=$(command -v calmoe-bench || echo build/release/bin/calmoe-bench)
export CALMOE_MODELS=${CALMOE_MODELS-$PWD/models}
model= tokens=256 repeats=5 threads=$(nproc)
while getopts m:n:r:t: option; do
    case $option in
    m) model=$OPTARG ;; n) tokens=$OPTARG ;; r) repeats=$OPTARG ;; t) threads=$OPTARG ;;
    *) sed -n '2,5s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
busy=
trap 'kill $busy 2> /dev/null || true' EXIT

# rate THREADS OPTION...: tokens/s of one run
rate()
{
    local n=$1
    shift
    "$bench" ${model:+-m "$model"} -p 0 -n "$tokens" -r 3 -t "$n" "$@" -o json |
        awk -F '[:,]' '/"tokens_per_s"/ { found = 1 } found && /"median"/ { print $2 + 0; exit }'
}

median() { sort -g | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }

printf '| busy processes |'
for n in $(seq 1 "$threads"); do printf ' %s fixed |' "$n"; done
printf ' chosen | of the best |\n|---:|'
for n in $(seq 1 "$threads"); do printf -- '---:|'; done
printf -- '---:|---:|\n'
folder=$(mktemp -d)
for n_busy in 0 1 2; do
    if [ "$n_busy" -gt 0 ]; then
        (while :; do :; done) & busy="$busy $!"
    fi
    rm -f "$folder"/*
    for round in $(seq 1 "$repeats"); do
        for n in $(seq 1 "$threads"); do rate "$n" --fixed-threads >> "$folder/$n"; done
        rate "$threads" >> "$folder/chosen"
    done
    best=0
    printf '| %d |' "$n_busy"
    for n in $(seq 1 "$threads"); do
        found=$(median < "$folder/$n")
        best=$(echo "$best $found" | awk '{ print ($2 > $1 ? $2 : $1) }')
        printf ' %.0f |' "$found"
    done
    chosen=$(median < "$folder/chosen")
    printf ' %.0f | %.2f |\n' "$chosen" "$(echo "$chosen $best" | awk '{ print $1 / $2 }')"
done
rm -r "$folder"
