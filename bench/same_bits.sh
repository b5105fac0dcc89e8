#!/bin/bash
# same_bits.sh - the proof that calmoe's logits are the same bits whatever runs them, on one model.
#
#   bench/same_bits.sh [MODEL [BUILD]]      MODEL default: the embedded one; BUILD default: build/release
#
# 1. `calmoe run --logit-hash`, one text prompt, at every instruction set and with 1, 2 and 3 threads.
# 2. `same-bits`: random tokens, every instruction set x threads x tokens in a step x alone or in a batch of four.
# Plain C (ref) is slow, so it runs with 2 threads only. Exit status 0: all hashes of a part are equal.
# On a file of 7 billion parameters with 2 cores allow 10 minutes; CALMOE_FEW=1 leaves out what costs most.
set -u
model=${1-}
build=${2-build/release}
prompt='The gate sends each token to a few experts, and an expert that nobody asks does nothing. \
int main(void) { return 0; } The output of every element is added in the order of its index.'
run=$build/bin/calmoe
proof=$build/bin/same-bits
[ -x "$run" ] && [ -x "$proof" ] || {
    echo "same_bits.sh: $run and $proof are wanted: cmake --build $build --target calmoe same-bits" >&2
    exit 2
}

hash_of() # ISA THREADS: prints "TOKENS HASH", or nothing where the instruction set is not here
{
    "$run" run ${model:+-m "$model"} -p "$prompt" -n 8 --temp 0 --isa "$1" -t "$2" --logit-hash --json 2> "$errors" |
        sed -nE 's/.*"prompt_tokens":([0-9]+),"generated_tokens":([0-9]+).*"logit_hash":"([0-9a-f]{64})".*/\1+\2 \3/p'
}

errors=$(mktemp) || exit 1
trap 'rm -f "$errors"' EXIT
failed=0 first=''
echo "| calmoe run: isa | threads | tokens | SHA-256 of all logits |"
echo "|---|---:|---:|---|"
for isa in ref neon neondot avx2 avxvnni avx512vnni amx; do
    for threads in 1 2 3; do
        [ $isa != ref ] || [ $threads = 2 ] || continue
        line=$(hash_of $isa $threads)
        if [ -z "$line" ]; then
            grep -qE 'this machine has no|is wanted' "$errors" || failed=1
            echo "same_bits.sh: $isa: $(tail -1 "$errors")" >&2
            break
        fi
        echo "| $isa | $threads | ${line% *} | ${line#* } |"
        first=${first:-$line}
        [ "$line" = "$first" ] || failed=1
    done
done
[ -n "$first" ] || failed=1
echo

few=()
[ -z "${CALMOE_FEW-}" ] || few=(--threads 1,2 --chunks 7,0)
"$proof" ${model:+-m "$model"} "${few[@]}" || failed=1
[ $failed = 0 ] && echo "same_bits.sh: all the same" || echo "same_bits.sh: NOT the same" >&2
exit $failed
