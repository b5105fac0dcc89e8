#!/bin/bash
# test.sh - builds calmoe and runs its tests. On Debian it installs what is missing (as root, or by sudo).
#
#   ./test.sh --quick            the release build only
#   ./test.sh                    the release build, then a thinner suite under ASan and UBSan (leaks too)
#   ./test.sh --full [MINUTES]   also: Clang, TSan, every instruction set with 1 and 2 threads, other
#                                processors by emulation (64-bit Arm, too), and each fuzz target for MINUTES (default 5)
# Exit status 0: everything passed. docs/TESTING.md tells more.
set -u
cd "$(dirname "$0")" || exit 1
. .ci/packages.sh

tier=plain
fuzz_minutes=5
case ${1-} in
'')      ;;
--quick) tier=quick ;;
--full)  tier=full fuzz_minutes=${2-5} ;;
--help|-h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
*)       sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

cores=$(nproc)
all_cores=$(awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status)
summary=        # a line for each suite, told at the end
last=           # ctest's summary line of the suite that ran last
failed=0

# suite NAME BUILD_FOLDER [CTEST_ARG...]: runs a suite and keeps its summary line
suite()
{
    local name=$1 folder=$2 started=$SECONDS log status
    shift 2
    log=build/$name.test.log
    echo "== testing $name"
    ctest --test-dir "$folder" --parallel "$cores" --output-on-failure --no-tests=error "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    # newer versions of ctest leave out the failed ones where there are none
    last=$(grep 'tests passed' "$log" | tail -1 | sed 's/passed out of/passed, 0 tests failed out of/')
    [ "$status" = 0 ] && [ -n "$last" ] || failed=1
    summary+="$(printf '%-28s %4d s   %s%s' "$name" $((SECONDS - started)) "${last:-ctest failed}" \
                "$(skipped "$log")")"$'\n'
}

# on_cores N COMMAND...: on the first N of the cores that we may use; so many threads the engine takes
on_cores()
{
    local n=$1 list
    shift
    list=$(awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status | tr , '\n' |
           while IFS=- read -r a b; do seq "$a" "${b:-$a}"; done | head -n "$n" | paste -sd, -)
    taskset -cp "$list" $$ > /dev/null
    "$@"
    taskset -cp "$all_cores" $$ > /dev/null
}

# levels: the instruction sets that this machine has, in one line
levels()
{
    local isa
    for isa in ref neon neondot avx2 avxvnni avx512vnni amx; do
        if CALMOE_MODELS=models build/release/bin/calmoe run --isa $isa -p x -n 1 > /dev/null 2>&1; then
            printf '%s ' $isa
        fi
    done
}

# emulated NAME ARG...: tests/emulated.sh with these arguments, which is skipped where there is no emulator
emulated()
{
    local name=$1 started=$SECONDS log told=ok status
    shift
    log=build/${name// /-}.log
    echo "== testing on $name"
    tests/emulated.sh "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    [ "$status" != 77 ] || told='skipped, there is no emulator'
    [ "$status" = 0 ] || [ "$status" = 77 ] || { told="FAILED: $log" failed=1; }
    summary+="$(printf '%-28s %4d s   %s' "$name" $((SECONDS - started)) "$told")"$'\n'
}

# arm64: a build for 64-bit Arm, tested by emulation; skipped where compiler or libraries are missing
arm64()
{
    local root=$PWD/build/arm64-root
    need_arm64 "$root"
    if ! command -v aarch64-linux-gnu-gcc > /dev/null || [ ! -f "$root/complete" ]; then
        summary+="$(printf '%-28s   skipped, no compiler or no libraries for it' '64-bit Arm')"$'\n'
        return
    fi
    echo "== building for 64-bit Arm"
    if cmake -S . -B build/arm64 --toolchain cmake/aarch64-linux-gnu.cmake -DCALMOE_ARM64_ROOT="$root" \
        > build/arm64.log 2>&1 && cmake --build build/arm64 --parallel "$cores" >> build/arm64.log 2>&1; then
        emulated '64-bit Arm' build/arm64 aarch64 "$root"
    else
        tail -40 build/arm64.log
        summary+="$(printf '%-28s FAILED: build/arm64.log' '64-bit Arm')"$'\n'
        failed=1
    fi
}

skipped() # LOG: ", 2 skipped"
{
    local n
    n=$(grep -cE '\*\*\*Skipped' "$1")
    [ "$n" = 0 ] || echo ", of these $n skipped"
}

# build PRESET [CMAKE_ARG...]: configures and builds; the tests cannot go on without it
build()
{
    local preset=$1 started=$SECONDS
    shift
    echo "== building $preset"
    mkdir -p build
    configure "$preset" -DCALMOE_TESTS=ON "$@" && cmake --build "build/$preset" --parallel "$cores" || {
        echo "test.sh: the build of $preset failed" >&2
        exit 1
    }
    summary+="$(printf '%-28s %4d s' "build $preset" $((SECONDS - started)))"$'\n'
}

# fuzz: each target for $fuzz_minutes, from its corpus; what is found new goes to build/fuzz/corpus
fuzz()
{
    local target name
    build fuzz -DCALMOE_TESTS=OFF
    for target in build/fuzz/tests/fuzz_*; do
        [ -f "$target" ] && [ -x "$target" ] || continue
        name=${target##*/}
        mkdir -p "build/fuzz/corpus/$name"
        echo "== fuzzing $name for $fuzz_minutes min"
        if "$target" -max_total_time=$((fuzz_minutes * 60)) -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 \
            -artifact_prefix="build/fuzz/$name-" "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name" \
            > "build/fuzz/$name.log" 2>&1; then
            summary+="$(printf '%-28s %4d min ok' "$name" "$fuzz_minutes")"$'\n'
        else
            tail -40 "build/fuzz/$name.log"
            summary+="$(printf '%-28s FOUND something: build/fuzz/%s.log' "$name" "$name")"$'\n'
            failed=1
        fi
    done
}

packages="$calmoe_build_packages"$'\n'"$calmoe_test_packages"
[ $tier != full ] || packages+=$'\n'"$calmoe_full_packages"
need_packages "$packages" || exit 1
need_packages "$calmoe_example_packages" || echo "== going on without; examples/answer will not be tried" >&2
need_packages "$calmoe_python_packages" || echo "== going on without; tests/python will be skipped" >&2
need_packages "$calmoe_mpi_packages" || echo "== going on without; tests/ranks will be skipped" >&2
need_packages "$calmoe_uring_packages" || echo "== going on without; nothing is read by io_uring" >&2
need_packages "$calmoe_machine_packages" || echo "== going on without; tests/numa will be skipped" >&2
need_kernel build/kernel
[ $tier != full ] || need_packages "$calmoe_emulator_packages" ||
    echo "== going on without; tests/emulated.sh will be skipped" >&2
[ $tier != full ] || need_packages "$calmoe_arm_packages" ||
    echo "== going on without; the build for 64-bit Arm will be skipped" >&2

if [ $tier = full ]; then
    build clang
    suite clang build/clang
    build tsan
    suite tsan build/tsan -E '^rule_'
    fuzz
fi
build release
if [ $tier = full ]; then
    for isa in $(levels); do
        for threads in 1 2; do
            CALMOE_ISA=$isa on_cores $threads suite "$isa, $threads threads" build/release -E '^rule_'
        done
    done
    emulated 'emulated processors' build/release
    arm64
fi
suite release build/release
if [ $tier != quick ]; then
    build asan-ubsan
    [ $tier = full ] || export CALMOE_THIN_TESTS=1 # tests/support/thin.h
    suite asan-ubsan build/asan-ubsan -E '^rule_'
fi

echo
echo "== in $((SECONDS / 60)) min $((SECONDS % 60)) s"
printf '%s' "$summary"
[ $failed = 0 ] || { echo "test.sh: something failed, see above" >&2; exit 1; }
echo "$last"
