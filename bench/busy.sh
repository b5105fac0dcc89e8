#!/bin/bash
# busy.sh [-m MODEL] [-n TOKENS] [-r ROUNDS] [-t THREADS] [-s SITUATION]...: what the engine's own choice of threads
# gives where the machine is not its own. In each situation generation runs with each fixed number of threads and with
# the engine's choice (of at most THREADS), by turns; printed are medians of tokens/s, and the choice's share of the
# best fixed number. Situations, all of them without -s: busy:N (N processes that compute without end), quota:X
# (processors' worth of time; wants root and a control group), second (another calmoe that generates all the time).
# Wants calmoe-bench in the PATH or in build/release/bin.
set -eu
cd "$(dirname "$0")/.."
bench=$(command -v calmoe-bench || echo build/release/bin/calmoe-bench)
export CALMOE_MODELS=${CALMOE_MODELS-$PWD/models}
model= tokens=256 rounds=5 threads=$(nproc) situations=
while getopts m:n:r:t:s: option; do
    case $option in
    m) model=$OPTARG ;; n) tokens=$OPTARG ;; r) rounds=$OPTARG ;; t) threads=$OPTARG ;;
    s) situations="$situations $OPTARG" ;;
    *) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
folder=$(mktemp -d)
others=                # processes beside what is measured
group=                 # the control group with a quota
trap 'end_situation; rm -r "$folder"' EXIT

end_situation()
{
    [ -z "$others" ] || kill $others 2> /dev/null || true
    wait $others 2> /dev/null || true
    [ -z "$group" ] || rmdir "$group" 2> /dev/null || true
    others= group=
}

# make_quota PROCESSORS: a group of that quota, by version 2 or 1 of control groups
make_quota()
{
    local quota
    quota=$(echo "$1" | awk '{ printf "%d", $1 * 100000 }')
    group=/sys/fs/cgroup/calmoe-busy.$$
    [ ! -d /sys/fs/cgroup/cpu ] || group=/sys/fs/cgroup/cpu/calmoe-busy.$$
    mkdir "$group" 2> /dev/null || return 1
    if [ -f "$group/cpu.max" ]; then echo "$quota 100000" > "$group/cpu.max"
    else echo "$quota" > "$group/cpu.cfs_quota_us"
    fi 2> /dev/null
}

# begin_situation NAME: false where this machine does not let us
begin_situation()
{
    case $1 in
    busy:*)
        for _ in $(seq "${1#busy:}"); do
            (while :; do :; done) & others="$others $!"
        done ;;
    quota:*) make_quota "${1#quota:}" ;;
    second)
        (while :; do "$bench" ${model:+-m "$model"} -p 0 -n 256 -r 50 > /dev/null 2>&1; done) & others=$!
        sleep 1 ;;
    *) echo "busy.sh: no situation '$1'; busy:N, quota:X and second are known" >&2; exit 2 ;;
    esac
}

# rate THREADS OPTION...: tokens/s of one run
rate()
{
    local n=$1
    shift
    bash -c '[ -z "$0" ] || echo $$ > "$0"/cgroup.procs; exec "$@"' "$group" \
        "$bench" ${model:+-m "$model"} -p 0 -n "$tokens" -r 3 -t "$n" "$@" -o json 2> /dev/null |
        awk -F '[:,]' '/"tokens_per_s"/ { found = 1 } found && /"median"/ { print $2 + 0; exit }'
}

median() { sort -g | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }

measure() # SITUATION
{
    local n best=0 found chosen
    rm -f "$folder"/*
    for _ in $(seq "$rounds"); do
        for n in $(seq "$threads"); do rate "$n" --fixed-threads >> "$folder/$n"; done
        rate "$threads" >> "$folder/chosen"
    done
    printf '| %s |' "$1"
    for n in $(seq "$threads"); do
        found=$(median < "$folder/$n")
        best=$(echo "$best $found" | awk '{ print ($2 > $1 ? $2 : $1) }')
        printf ' %.4g |' "$found"
    done
    chosen=$(median < "$folder/chosen")
    printf ' %.4g | %.2f |\n' "$chosen" "$(echo "$chosen $best" | awk '{ print $1 / $2 }')"
}

printf '| situation |'
for n in $(seq "$threads"); do printf ' %s fixed |' "$n"; done
printf ' chosen | of the best |\n|---|'
for n in $(seq "$threads"); do printf -- '---:|'; done
printf -- '---:|---:|\n'
for situation in ${situations:-busy:0 busy:1 busy:2 quota:0.5 quota:1 quota:1.5 second}; do
    if begin_situation "$situation"; then measure "$situation"
    else echo "| $situation | not here: no quota can be set |"
    fi
    end_situation
done
