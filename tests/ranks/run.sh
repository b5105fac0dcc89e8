#!/bin/bash
# run.sh ASKED DRIVER CALMOE HAS_MPI - what several processes do together, on this machine.
#   steps N [uneven | whole | threads | split | shared]
#                     N ranks give the logits of one process, for the golden models of every mixer and the embedded model;
#                     and exchange what was predicted
#   leaving N [...]   the same of policies, fitted exits and audits
#   fitted N [...]    the same of exits that are fitted
#   chosen N [...]    as leaving, where the host replaces the router's choices
#   drafts N [...]    the same of lossless sessions
#   adapted N [...]   the same of adapters
#   planned N [...]   as steps, by plans from files
#   disk N [...]      as steps, with experts on disk; packed: from packed files; mapped: these without a limit of memory;
#                     failing: a rank cannot read some of them
#   saved N [...]     the same of sessions in files, whose bytes are the same, too
#   misfits           ranks that do not fit each other, or do not start: all end, with a sentence
#   serve             a server of several answers what one of one process does, and says so when a rank is lost
#   lost              ranks that are killed or stopped: all others end within the timeout, with a sentence
# Skipped (77) where calmoe was built without MPI, or there is no mpirun.
set -u
asked=$1 driver=$2 calmoe=$3 has_mpi=$4
here=$(cd "$(dirname "$0")" && pwd)
golden=$here/../golden

skip() { echo "skipped: $*"; exit 77; }
[ "$has_mpi" = yes ] || skip "built without MPI"
command -v mpirun > /dev/null || skip "no mpirun"
nm -D "$driver" 2> /dev/null | grep -qE ' __tsan_init' && skip "MPI is not built for the thread sanitizer"

# More processes than cores, as root in a container, without a network.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl=self,vader OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_MCA_oob_tcp_if_include=lo OMPI_MCA_pml=ob1 OMPI_MCA_osc=^ucx
export OMP_WAIT_POLICY=passive ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 # MPI keeps memory until the end
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
export TMPDIR=$folder RANKS_FOLDER=$folder

# ---- bits ----

bits()
{
    local models=("$here/../../models/calmoe-nano.gguf") name asked=$1
    local names="qwen3moe olmoe gptoss gemma4moe qwen2moemixed llamabias deepseek2 deepseek3 qwen35moe qwen3next qwen3nextold"
    names="$names lfm2 lfm2moe nemotronh nemotronhmoe granitehybridmoe bloom baichuan13b phimoe"
    shift
    case $asked/${2-} in # more threads than cores are slow
    leaving/threads) models=() names="olmoe" ;;
    leaving/* | chosen/*) models=() names="olmoe deepseek3 qwen3next granitehybridmoe" ;;
    fitted/*) models=() names="olmoe deepseek3" ;;
    saved/*) models=() names="gemma4moe deepseek3 qwen3next qwen3nextold lfm2 nemotronh granitehybrid" ;;
    adapted/*) models=() names="deepseek2old deepseek3 gemma3 gptoss llama mixtral qwen3moe" ;;
    */whole) names="gptoss gemma4moe deepseek3 qwen3next nemotronhmoe qwen2moemixed" ;;
    disk/* | packed/*) names="gptoss deepseek3 nemotronhmoe" ;;
    mapped/*) names="deepseek3" ;;
    failing/*) names="gptoss" ;;
    planned/*) models=() names="olmoe deepseek3 qwen3next" ;;
    drafts/*) models=() names="deepseek3 qwen35moe" ;; # both have a block that predicts a further token
    */threads | */split | */shared) names="olmoe gemma4moe deepseek3 qwen3next nemotronh lfm2" ;;
    esac
    for name in $names; do
        models+=("$golden/$name.gguf")
    done
    "$driver" "$asked" "${models[@]}" > "$folder/one" || { cat "$folder/one"; exit 1; }
    local program=("$driver" "$asked" ${2+"$2"} "${models[@]}") last=()
    [ "${2-}" != uneven ] || last=(env CALMOE_ISA=ref) # and one rank in plain C
    timeout 300 mpirun -n "$(($1 - 1))" "${program[@]}" : -n 1 "${last[@]}" "${program[@]}" > "$folder/many" \
        2> "$folder/errors" || {
        cat "$folder/many" "$folder/errors"
        exit 1
    }
    [ "$(grep -c . "$folder/one")" = "${#models[@]}" ] || { echo "FAIL not all models ran"; exit 1; }
    if [ "${2-}" = split ]; then # two halves, each line twice
        sort -o "$folder/many" "$folder/many"
        cat "$folder/one" "$folder/one" | sort -o "$folder/one"
    fi
    diff "$folder/one" "$folder/many" || { echo "FAIL $1 ranks give other logits than one"; exit 1; }
    echo "ok   $1 ranks, ${#models[@]} models"
}

# ---- failures ----

# ended RANK STATUS [SENTENCE]: an extended regular expression, one line of what it said
ended()
{
    [ "$(cat "$folder/end.$1" 2> /dev/null)" = "$2" ] && { [ $# = 2 ] || grep -qE "$3" "$folder/err.$1"; } && return
    echo "FAIL $what: rank $1 ended with '$(cat "$folder/end.$1" 2> /dev/null)', wanted $2 ${3-}; it said:"
    cat "$folder/err.$1"
    exit 1
}

# begin WHAT: a case of its own, as far as files are concerned
begin()
{
    what=$1
    rm -f "$folder"/{end,err,pid,out}.*
}

# lose SIGNAL RANK: in the middle of a long answer
lose()
{
    begin "rank $2 gets SIG$1"
    export CALMOE_RANKS_TIMEOUT=1
    local endless=("$calmoe" run -t 1 -p "hi" -n 900000 -c 900008 --ignore-eos)
    timeout 200 mpirun -n 3 bash "$here/rank.sh" "${endless[@]}" 2> /dev/null &
    for ((i = 0; i < 1200; i++)); do
        grep -q 'is longer than' "$folder/err.0" 2> /dev/null && break # said when the session was opened
        sleep 0.1
    done
    sleep 0.3
    kill "-$1" "$(< "$folder/pid.$2")"
    for ((i = 0; i < 1200 && $(ls "$folder" | grep -c '^end\.[0-9]') < ($1 == 9 ? 3 : 2); i++)); do sleep 0.1; done
    for rank in 0 1 2; do
        [ $rank = "$2" ] || ended $rank 1 'lost: no answer for [12] s' # twice the limit between steps
    done
    kill -KILL "$(< "$folder/pid.$2")" 2> /dev/null
    wait
    echo "ok   $what"
}

export CALMOE_RANKS_TIMEOUT=20 CALMOE_MODELS=$here/../../models CALMOE_CORES=

misfits()
{
    local run=(bash "$here/rank.sh" "$calmoe" run -t 1 -p "hi" -n 3)

    begin "ranks with other options"
    timeout 200 mpirun -n 2 "${run[@]}" : -n 1 "${run[@]}" --kv f32 2> /dev/null
    for rank in 0 1 2; do
        ended $rank 1 'rank 2 has .* float32 keys and values.*; rank 0 has .* float16 keys and values'
    done
    echo "ok   $what"

    begin "a rank without a model"
    timeout 200 mpirun -n 2 "${run[@]}" : -n 1 "${run[@]}" -m "$folder/none.gguf" 2> /dev/null
    for rank in 0 1; do ended $rank 1 'rank 2 ended: cannot open .*/none.gguf'; done
    ended 2 1 'cannot open .*/none.gguf'
    echo "ok   $what"

    begin "a rank that does not share rank 0's file"
    timeout 200 mpirun -n 2 "${run[@]}" --share-file : -n 1 "${run[@]}" 2> /dev/null
    for rank in 0 1 2; do ended $rank 1 'rank 2 has calmoe .*; rank 0 has a file that rank 0 shares'; done
    echo "ok   $what"

    begin "a file that rank 0 has not, and shares"
    timeout 200 mpirun -n 3 "${run[@]}" --share-file -m "$folder/none.gguf" 2> /dev/null
    ended 0 1 'cannot open .*/none.gguf'
    for rank in 1 2; do ended $rank 1 'rank 0: cannot open .*/none.gguf'; done
    echo "ok   $what"

    begin "ranks with other exits"
    TMPDIR=$folder "$driver" leaving "$CALMOE_MODELS/calmoe-nano.gguf" > /dev/null
    timeout 200 mpirun -n 2 "${run[@]}" : -n 1 "${run[@]}" --exits "$folder/exits.0.gguf" 2> /dev/null
    for rank in 0 1 2; do ended $rank 1 'rank 2 has the fitted exits [0-9a-f]*, .*; rank 0 has no fitted exits, '; done
    echo "ok   $what"

    begin "a pause longer than the timeout"
    export CALMOE_RANKS_TIMEOUT=3 # on a busy machine a rank may get no processor for a second
    (sleep 5; echo hello) | timeout 200 mpirun -n 3 bash "$here/rank.sh" "$calmoe" run -t 1 --chat -n 3 2> /dev/null
    for rank in 0 1 2; do ended $rank 0; done
    echo "ok   $what"
}

# ---- the server ----

# ask TEXT: the body that the server at $port answers, and its status
ask()
{
    local body='{"prompt": "'$1'", "n_predict": 8, "temperature": 0}'
    exec 4<> "/dev/tcp/127.0.0.1/$port"
    printf 'POST /completion HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
        "${#body}" "$body" >&4
    tr -d '\r' <&4 | grep -oE '^HTTP/1.1 [0-9]+|"content":"[^"]*"|"message":"[^"]*"|"layers":[0-9.]*'
    exec 4>&-
}

# served FILE: waits until the server says where it is
served()
{
    for ((i = 0; i < 1200; i++)); do grep -q served "$1" 2> /dev/null && break; sleep 0.1; done
    port=$(grep -o '[0-9]*$' "$1") && return
    echo "FAIL $what: nothing is served; $(cat "$folder"/err.*)"
    exit 1
}

serve()
{
    local server=("$calmoe" serve -t 1 --port 0 --parallel 2 --no-tune --quality 5%) # leaves out some of 10 layers
    begin "a server of one process"
    "${server[@]}" > "$folder/alone" 2> "$folder/err.0" & local alone=$!
    served "$folder/alone"
    for text in "The quick" "The quick brown"; do ask "$text"; done > "$folder/wanted"
    kill $alone
    wait $alone

    begin "a server of three"
    export CALMOE_RANKS_TIMEOUT=2
    timeout 100 mpirun -n 3 bash "$here/rank.sh" "${server[@]}" 2> /dev/null &
    served "$folder/out.0"
    for text in "The quick" "The quick brown"; do ask "$text"; done > "$folder/found"
    diff "$folder/wanted" "$folder/found" || { echo "FAIL $what answers otherwise than one process"; exit 1; }
    grep -q '"content"' "$folder/found" || { echo "FAIL $what answers nothing"; exit 1; }
    grep -q '"layers":[1-9]\(\.\|$\)' "$folder/found" || { echo "FAIL $what leaves nothing out"; exit 1; }
    kill -STOP "$(< "$folder/pid.2")" # for longer than the timeout
    ask "The" > "$folder/lost"
    grep -q '^HTTP/1.1 503' "$folder/lost" && grep -q 'rank 2' "$folder/lost" ||
        { echo "FAIL $what: a lost rank is told so: $(cat "$folder/lost")"; exit 1; }
    for ((i = 0; i < 1200; i++)); do [ -f "$folder/end.0" ] && [ -f "$folder/end.1" ] && break; sleep 0.1; done
    kill -KILL "$(< "$folder/pid.2")"
    wait
    for rank in 0 1; do ended $rank 1 'rank 2 is lost'; done
    echo "ok   $what"

    begin "a server that is told to end"
    timeout 100 mpirun -n 3 bash "$here/rank.sh" "${server[@]}" 2> /dev/null &
    served "$folder/out.0"
    kill "$(< "$folder/pid.0")"
    wait
    ended 0 0
    ended 1 0
    ended 2 0
    echo "ok   $what"
}

shift 4
case $asked in
steps | leaving | fitted | chosen | drafts | saved | adapted | planned | disk | packed | mapped | failing) bits "$asked" "$@" ;;
misfits) misfits ;;
lost) lose 9 0 && lose 19 2 ;;
serve) serve ;;
*) echo "no test '$asked'"; exit 2 ;;
esac
