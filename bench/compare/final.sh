#!/bin/bash
# final.sh - measures every table of docs/PERFORMANCE.md, in pieces of at most a minute and a half.
#
#   bench/compare/final.sh OUT [PART...]      parts: limits bench compare batch depth kernels open bits (default: all)
#
# Settings come from the environment:
#   BUILD    build folder (build/release)              MODELS   GGUF files, separated by blanks
#   IK       ik_llama.cpp's llama-bench, by path       PYTHON   python of the environment that `compare.py --setup` made
#   LLAMA_PYTHON  another python, with llama-cpp-python built for this machine
#   PREFIX   a command put before every measurement    THREADS  (all cores)        ROUNDS  (5)
#   IK_VERSION    what to print for it; the program does not tell
#   MODES    further options of compare.py, as --mode "ik=-rtr 1": no pre-run for that engine
# The machine should do nothing else. Every part writes OUT/PART*.md; compare also OUT/compare-*.json.
set -u
out=${1-}
[ -n "$out" ] || { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
shift
parts=${*:-limits bench compare batch depth kernels open bits}
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD-build/release} threads=${THREADS-$(nproc)} rounds=${ROUNDS-5}
read -r -a prefix <<< "${PREFIX-}"
read -r -a models <<< "${MODELS-}"
bench=$build/bin/calmoe-bench
mkdir -p "$out" || exit 1

measure() # FILE COMMAND...
{
    local file=$1
    shift
    echo "final.sh: $*" >&2
    "${prefix[@]}" "$@" >> "$out/$file" || { echo "final.sh: failed: $*" >&2; failed=1; }
}

name_of() { basename "$1" .gguf; }

limits() { measure limits.md "$bench" --limits -t "1,$threads"; }
bench() # the rows of calmoe itself, each instruction set, with the shares
{
    local model isa
    for model in "${models[@]}"; do
        for isa in avx512vnni avx2; do
            measure bench.md "$bench" -m "$model" -t "$threads" -p 512 -n 128 -r 5 --isa $isa
        done
    done
}
compare()
{
    local model json=()
    for model in "${models[@]}"; do
        python3 "$here/compare.py" -m "$model" -t "$threads" --rounds "$rounds" --isa avx512vnni avx2 --calmoe "$bench" \
            --prefix "${PREFIX-}" ${IK:+--ik "$IK"} ${IK_VERSION:+--version-of "ik=$IK_VERSION"} \
            ${PYTHON:+--python "$PYTHON"} ${LLAMA_PYTHON:+--llama-python "$LLAMA_PYTHON"} \
            -o "$out/compare-$(name_of "$model").json" "${modes[@]}" || failed=1
        json+=("$out/compare-$(name_of "$model").json")
    done > /dev/null
    [ ${#json[@]} = 0 ] || python3 "$here/compare.py" --show "${json[@]}" > "$out/compare.md"
}
batch() { local m; for m in "${models[@]}"; do measure batch.md "$bench" -m "$m" -t "$threads" -p 0 -n 32 -b 1,2,4,8 -r 5; done; }
depth() # prompt and generation behind 0, 4k, 16k and 32k positions: each its own piece, for the last are long
{
    local model=${models[0]-} at
    [ -n "$model" ] || return
    for at in 0 4096 16384 32768; do
        measure depth.md "$bench" -m "$model" -t "$threads" -p 128 -n 16 -d $at -r 1
    done
}
kernels() { measure kernels.md "$build/tests/test_kernelcheck" --bench; }
open() # opening with a warm page cache (the bench's column "open s"), beside reading the file from there
{
    local model TIMEFORMAT=%R seconds
    for model in "${models[@]}"; do
        cat "$model" > /dev/null
        seconds=$( { time cat "$model" > /dev/null; } 2>&1 )
        echo "$(name_of "$model"): $(stat -c %s "$model") bytes read from the page cache in $seconds s" >> "$out/open.md"
        measure open.md "$bench" -m "$model" -t "$threads" -p 0 -n 1 -r 1
    done
}
bits() { local m; for m in "${models[@]}"; do "$here/../same_bits.sh" "$m" "$build" >> "$out/bits.md" || failed=1; done; }

failed=0
modes=()
[ -z "${MODES-}" ] || eval "modes=($MODES)"
for part in $parts; do
    case $part in
    limits|bench|compare|batch|depth|kernels|open|bits) rm -f "$out/$part.md"; $part ;;
    *) echo "final.sh: no part is called $part" >&2; exit 2 ;;
    esac
done
exit $failed
