#!/bin/bash
# emulated.sh - the library on processors that this machine is not: Debian's qemu-user translates programs for a
# processor of any model, without a system below.
#
#   tests/emulated.sh [BUILD]       BUILD: a build folder with tests, default build/release
#   tests/emulated.sh ARM_BUILD aarch64 ROOT     one for 64-bit Arm (cmake/aarch64-linux-gnu.cmake), whose libraries are
#                                   below ROOT; logits are compared to those of build/release
#
# Each row below is a processor, the level of instructions that must be chosen on it, and test programs. On every one
# `calmoe run` must give the logits that it gives here, bit for bit. The emulator has no AVX-VNNI, AVX-512 or AMX: levels
# above avx2 need machines that have them. Exit status: 0, 1 if something failed, 77 without an emulator.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1-build/release} architecture=${2-x86_64}
export OMP_WAIT_POLICY=passive CALMOE_MODELS=$PWD/models
unset CALMOE_ISA
prompt='The gate sends each token to a few experts, and an expert that nobody asks does nothing.'

# PROCESSOR | LEVEL | PROGRAMS; "-fma" is the processor without it. Plain C needs no more than x86-64.
kernels='cpu linear vector_ops vector_values attend elementary half argmax peak weight_types router kernelcheck'
native=$build foreign=amx
emulator=(qemu-x86_64)
processors="Nehalem            | ref  | $kernels golden logit_hashes
Haswell            | avx2 | $kernels golden logit_hashes
Opteron_G1         | ref  | cpu
SandyBridge        | ref  | cpu
Haswell,-avx       | ref  | cpu
Haswell,-xsave     | ref  | cpu
Haswell,-avx2      | ref  | cpu
Haswell,-fma       | ref  | cpu peak
Haswell,-f16c      | ref  | cpu half
Haswell,-bmi2      | ref  | cpu peak
EPYC               | avx2 | cpu peak
max                |      | cpu vector_ops peak golden kernelcheck"
if [ "$architecture" = aarch64 ]; then
    native=build/release foreign=avx2 # a level that no such processor has
    emulator=(qemu-aarch64 -L /usr/aarch64-linux-gnu -E "LD_LIBRARY_PATH=$3/usr/lib/aarch64-linux-gnu")
    processors="cortex-a57     | neon    | $kernels logit_hashes
cortex-a76         | neondot | $kernels golden logit_hashes"
fi

command -v "${emulator[0]}" > /dev/null || {
    echo "emulated.sh: skipped: there is no ${emulator[0]} (package qemu-user)"
    exit 77
}
[ "$(uname -m)" = x86_64 ] || { echo "emulated.sh: skipped: the build is for $(uname -m)"; exit 77; }
[ -x "$build/bin/calmoe" ] || { echo "emulated.sh: $build/bin/calmoe is wanted" >&2; exit 1; }
logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT

# The emulator itself; what it says about features that it leaves out is of no interest.
emulate() { "${emulator[@]}" -cpu "$@" 2> >(grep -v '^qemu-x86_64: warning: TCG' >&2); }

hash_of() { # COMMAND...: of all logits of a prompt and its answer
    "$@" run -p "$prompt" -n 4 --temp 0 --logit-hash 2> /dev/null < /dev/null | sed -n 's/^logit hash: //p'
}

# tell PROCESSOR WHAT STATUS SECONDS: a line, and for a failure the end of $log
tell() {
    printf '%-16s %-20s %s  %d s\n' "$1" "$2" "$([ "$3" = 0 ] && echo ok || echo "FAILED ($3)")" "$4"
    [ "$3" = 0 ] || { failed=1; tail -20 "$log"; }
}

# The level is told by asking for one that no emulated processor has.
check_level() { # PROCESSOR LEVEL
    local found
    found=$(emulate "$1" "$build/bin/calmoe" run -p x --isa "$foreign" 2>&1 < /dev/null | sed -n 's/.*its best level is //p')
    echo "its level is '$found', not '$2'" > "$log"
    [ -n "$found" ] && [ "$found" = "${2:-$found}" ]
    tell "$1" "level ${found:-none}" $? 0
}

check_hash() { # PROCESSOR
    local found started=$SECONDS
    found=$(hash_of emulate "$1" "$build/bin/calmoe")
    echo "the hash of all logits is '$found', not '$wanted'" > "$log"
    [ "$found" = "$wanted" ]
    tell "$1" 'logits' $? $((SECONDS - started))
}

check_program() { # PROCESSOR NAME
    local started=$SECONDS
    emulate "$1" "$build/tests/test_$2" > "$log" 2>&1 < /dev/null
    tell "$1" "test_$2" $? $((SECONDS - started))
}

check_processor() { # PROCESSOR LEVEL PROGRAM...: a process of its own
    local processor=$1 level=$2 program
    shift 2
    log=$logs/$processor failed=0
    check_level "$processor" "$level"
    check_hash "$processor"
    for program in "$@"; do check_program "$processor" "$program"; done
    exit $failed
}

wanted=$(hash_of "$native/bin/calmoe")
[ -n "$wanted" ] || { echo "emulated.sh: $native/bin/calmoe gives no hash" >&2; exit 1; }
all_fine=0 started=()
while IFS='|' read -r processor level programs; do
    # shellcheck disable=SC2086 # programs are words
    (check_processor "${processor// /}" "${level// /}" $programs) &
    started+=($!)
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
done <<< "$processors"
for job in "${started[@]}"; do wait "$job" || all_fine=1; done
exit $all_fine
