#!/bin/bash
# Runs the command-line cases: tests/cli/run.sh CALMOE_BINARY BENCH_BINARY [CASE...]
#
# A case is cases/NAME.sh, run by bash in an empty folder of its own with `calmoe` and `calmoe-bench` on the
# PATH, $MODEL the embedded model, and an empty standard input. What it must give stands beside it:
#   NAME.status         the exit status; without this file 0
#   NAME.stdout.exact   standard output, byte for byte
#   NAME.stdout.glob    or, line by line, patterns of bash; a line "..." is any number of lines
#   NAME.stderr.glob    the same for standard error
# A stream without a file must be empty. A case with the line "# needs: model" is skipped where there is no
# embedded model, one with "# needs: chromium" or "# needs: python3" where that is not installed; one with "# thin: left
# out" and a reason in a thin run (tests/support/thin.h); one with "# not under: thread" in a build with that sanitizer.
# Exit status: 0 all good, 1 a case failed, 77 the only case that was asked for is skipped.
set -u
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { echo "usage: run.sh CALMOE_BINARY BENCH_BINARY [CASE...]" >&2; exit 2; }
calmoe=$(realpath "$1") && bench=$(realpath "$2") || exit 2
shift 2

: "${CALMOE_MODELS:=$(realpath "$here/../../models")}"
export CALMOE_MODELS MODEL=$CALMOE_MODELS/calmoe-nano.gguf
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export CALMOE_CACHE= # nothing is kept in anyone's home
export CALMOE_CORES= # cases run side by side, and each shall have the threads that it asks for

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
ln -s "$calmoe" "$work/bin/calmoe"
ln -s "$bench" "$work/bin/calmoe-bench"
export PATH=$work/bin:$PATH

# matches FILE GLOBS: every line in its turn
matches()
{
    local -a lines globs
    local line=0 glob
    mapfile -t lines < "$1"
    mapfile -t globs < "$2"
    local any=no found
    for glob in "${globs[@]}"; do
        if [ "$glob" = ... ]; then any=yes; continue; fi
        found=no
        while [ $line -lt ${#lines[@]} ] && [ $found = no ]; do
            # shellcheck disable=SC2053 # a pattern is meant
            if [[ ${lines[line]} == $glob ]]; then found=yes
            elif [ $any = no ]; then break
            fi
            line=$((line + 1))
        done
        [ $found = yes ] || { echo "    no line for: $glob"; return 1; }
        any=no
    done
    [ $any = yes ] || [ $line -eq ${#lines[@]} ] || { echo "    not expected: ${lines[line]}"; return 1; }
}

# check_stream NAME STREAM: what is in $work/STREAM against the files of the case
check_stream()
{
    local expected=$here/cases/$1.$2
    if [ -f "$expected.exact" ]; then
        cmp "$work/$2" "$expected.exact"
    elif [ -f "$expected.glob" ]; then
        matches "$work/$2" "$expected.glob"
    elif [ -s "$work/$2" ]; then
        echo "    nothing was expected"
        return 1
    fi
}

# run_case NAME: 0, 1 or 77
run_case()
{
    local name=$1 status wanted=0 stream failed=no
    local script=$here/cases/$name.sh
    [ -f "$script" ] || { echo "FAIL $name: no such case"; return 1; }
    if grep -q '^# needs: model' "$script" && [ ! -f "$MODEL" ]; then
        echo "skip $name: there is no '$MODEL'"
        return 77
    fi
    if [ -n "${CALMOE_THIN_TESTS-}" ] && grep -q '^# thin: left out' "$script"; then
        echo "skip $name: this is a thin run"
        return 77
    fi
    local sanitizer sanitizers=${CALMOE_SANITIZED-}
    for sanitizer in ${sanitizers//,/ }; do
        if grep -q "^# not under: .*$sanitizer" "$script"; then
            echo "skip $name: not under the $sanitizer sanitizer"
            return 77
        fi
    done
    local program
    for program in chromium python3; do
        if grep -q "^# needs: $program" "$script" && ! command -v $program > /dev/null; then
            echo "skip $name: there is no $program"
            return 77
        fi
    done
    [ ! -f "$here/cases/$name.status" ] || wanted=$(< "$here/cases/$name.status")
    rm -rf "$work/here"
    mkdir "$work/here"
    (cd "$work/here" && exec bash "$script") < /dev/null > "$work/stdout" 2> "$work/stderr"
    status=$?
    if [ "$status" != "$wanted" ]; then
        echo "FAIL $name: exit status $status, expected $wanted"
        failed=yes
    fi
    for stream in stdout stderr; do
        check_stream "$name" $stream > "$work/why" && continue
        echo "FAIL $name: $stream is not what was expected"
        cat "$work/why"
        failed=yes
    done
    if [ $failed = yes ]; then
        for stream in stdout stderr; do
            head -c 3000 "$work/$stream" | sed "s/^/    $stream| /"
        done
        return 1
    fi
    echo "ok   $name"
}

if [ $# -eq 0 ]; then
    for script in "$here"/cases/*.sh; do
        set -- "$@" "$(basename "$script" .sh)"
    done
fi
n_failed=0
n_skipped=0
for name in "$@"; do
    run_case "$name"
    case $? in
    0)  ;;
    77) n_skipped=$((n_skipped + 1)) ;;
    *)  n_failed=$((n_failed + 1)) ;;
    esac
done
[ $# -eq 1 ] || echo "$# cases, $n_failed failed, $n_skipped skipped"
[ $n_failed -eq 0 ] || exit 1
[ $# -ne 1 ] || [ $n_skipped -eq 0 ] || exit 77
