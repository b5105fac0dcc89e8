#!/bin/bash
# beside.sh - calmoe and llama.cpp by turns on one file, where compare.py's one process of its own is not enough.
#
#   bench/compare/beside.sh serve MODEL     servers: N clients at once (calmoe-bench --serve), for each N of CLIENTS
#   bench/compare/beside.sh disk MODEL      half of the file as memory: --memory-limit of calmoe; for llama.cpp, which
#                                           maps the file, a control group of that size (root)
#   bench/compare/beside.sh ranks MODEL     two ranks by mpirun, and two of llama.cpp's RPC servers, on this machine
#
# Settings come from the environment:
#   BUILD    build folder (build/release)     LLAMA    folder of llama.cpp's programs
#   THREADS  (all cores)                      ROUNDS   (3)
#   CLIENTS  ("1 4 16")                       SHARE    of the file, in percent ("50")
#   CONTEXT  of each client (512)             PROMPT, TOKENS, REPEATS  lengths, requests of each client
#   PREFIX   a command put before every program that is measured
#   CALMOE_FLAGS   further options of calmoe's programs
# Each line of the output: round, engine, what was measured.
set -eu
[ $# = 2 ] || { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }
what=$1 model=$(realpath "$2")
build=$(realpath "${BUILD-build/release}") llama=$(realpath "${LLAMA:?the folder of llama-bench and llama-server}")
threads=${THREADS-$(nproc)} rounds=${ROUNDS-3} port=${PORT-18080} context=${CONTEXT-512}
read -r -a prefix <<< "${PREFIX-}"
read -r -a flags <<< "${CALMOE_FLAGS-}"
folder=$(mktemp -d)
started=()
group=
finish()
{
    [ ${#started[@]} = 0 ] || kill "${started[@]}" 2> /dev/null || true
    [ ${#started[@]} = 0 ] || wait "${started[@]}" 2> /dev/null || true
    started=()
    [ -z "$group" ] || rmdir "$group" 2> /dev/null || true
    group=
}
trap 'finish; rm -r "$folder"' EXIT

# start COMMAND...: in the background, until finish
start()
{
    "${prefix[@]}" "$@" > "$folder/log" 2>&1 &
    started+=($!)
}

wait_for_port() # PORT
{
    local i
    for i in $(seq 600); do
        (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null && return
        sleep 0.1
    done
    echo "beside.sh: nothing listens on port $1: $(tail -n 1 "$folder/log")" >&2
    return 1
}

wait_for_health() # PORT: the model is loaded
{
    local i
    for i in $(seq 600); do
        curl -fs "http://127.0.0.1:$1/health" > /dev/null 2>&1 && return
        kill -0 "${started[-1]}" 2> /dev/null || break
        sleep 0.1
    done
    echo "beside.sh: no server on port $1: $(tail -n 1 "$folder/log")" >&2
    return 1
}

# rates ROUND NAME: the tests of llama-bench's or calmoe-bench's JSON on stdin, a line each
rates()
{
    python3 -c '
import json, sys
for row in json.load(sys.stdin):
    rate = row["tokens_per_s"]["median"] if "test" in row else sorted(row["samples_ts"])[len(row["samples_ts"]) // 2]
    test = row["test"] if "test" in row else f"pp{row['"'n_prompt'"']}" if row["n_prompt"] else f"tg{row['"'n_gen'"']}"
    print(sys.argv[1], sys.argv[2], test, f"{rate:.2f} tokens/s", sep="\t")' "$1" "$2"
}

serve()
{
    local round name clients
    for round in $(seq "$rounds"); do
        for name in calmoe llama.cpp; do
            for clients in ${CLIENTS-1 4 16}; do
                case $name in
                calmoe) start "$build/bin/calmoe" serve -m "$model" --port "$port" -t "$threads" --parallel "$clients" \
                              -c "$context" "${flags[@]}" ;;
                llama.cpp) start "$llama/llama-server" -m "$model" --port "$port" -t "$threads" -np "$clients" \
                                 -c $((clients * context)) --no-webui ;;
                esac
                wait_for_health "$port"
                "$build/bin/calmoe-bench" --serve "http://127.0.0.1:$port" -b "$clients" -r "${REPEATS-8}" \
                    -p "${PROMPT-128}" -n "${TOKENS-64}" | tail -n 1 | sed "s/^/$round\t$name\t/"
                finish
            done
        done
    done
}

# A control group with a limit of so many bytes, by version 1 or 2.
make_group() # BYTES
{
    group=/sys/fs/cgroup/calmoe-beside.$$
    local limit=memory.max
    if [ -d /sys/fs/cgroup/memory ]; then
        group=/sys/fs/cgroup/memory/calmoe-beside.$$
        limit=memory.limit_in_bytes
    fi
    mkdir "$group" && echo "$1" > "$group/$limit"
}

# The file's pages leave the system's cache, so that who reads them pays for them.
forget() { dd if="$model" iflag=nocache count=0 status=none; }

disk()
{
    local round share bytes
    for share in ${SHARE-50}; do
        bytes=$(($(stat -c %s "$model") * share / 100))
        for round in $(seq "$rounds"); do
            forget
            "${prefix[@]}" "$build/bin/calmoe-bench" -m "$model" -t "$threads" -p 0 -n "${TOKENS-32}" -r 1 \
                --memory-limit "$((bytes >> 20))MiB" --disk-reads direct "${flags[@]}" -o json |
                rates "$round" "calmoe $share%"
            forget
            make_group "$bytes"
            "${prefix[@]}" bash -c 'echo $$ > "$0"/cgroup.procs; exec "$@"' "$group" "$llama/llama-bench" -m "$model" \
                -t "$threads" -p 0 -n "${TOKENS-32}" -r 1 --repack 0 -o json 2> "$folder/log" |
                rates "$round" "llama.cpp $share%"
            finish
        done
    done
}

ranks()
{
    local round i servers=
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    for round in $(seq "$rounds"); do
        "${prefix[@]}" mpirun -n 2 --bind-to none "$build/bin/calmoe-bench" -m "$model" -t $(((threads + 1) / 2)) \
            -p 512 -n "${TOKENS-32}" -r 1 "${flags[@]}" -o json | rates "$round" calmoe
        servers=
        for i in 1 2; do
            start "$llama/ggml-rpc-server" -t $(((threads + 1) / 2)) -p $((port + i))
            wait_for_port $((port + i))
            servers+=${servers:+,}127.0.0.1:$((port + i))
        done
        "${prefix[@]}" "$llama/llama-bench" -m "$model" -t 1 --rpc "$servers" -ngl 99 -p 512 -n "${TOKENS-32}" -r 1 \
            -o json 2> "$folder/log" | rates "$round" llama.cpp
        finish
    done
}

case $what in
serve|disk|ranks) "$what" ;;
*) echo "beside.sh: no part is called $what" >&2; exit 2 ;;
esac
