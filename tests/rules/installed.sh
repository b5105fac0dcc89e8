#!/bin/bash
# What is installed is whole: strangers build the examples against it, both ways, shared and static, and run them.
#
# Arguments: BUILD_TREE CMAKE C_COMPILER. Nothing installed may refer to the build tree; to the source tree only
# the libraries may, which also look for models there.
. "$(dirname "$0")/common.sh"

# say WHAT SENTENCE: a finding
say() { echo "${3-installed}:0: $1: $2"; }

# whole PREFIX BUILD ROOT: everything is there, and stands on its own feet
whole()
{
    local prefix=$1 build=$2 root=$3 name file
    for name in bin/calmoe bin/calmoe-bench share/calmoe/calmoe-nano.gguf \
                share/calmoe/calmoe-nano.policy.json include/calmoe/calmoe.h \
                share/man/man1/calmoe.1.gz share/man/man1/calmoe-run.1.gz share/bash-completion/completions/calmoe \
                'lib*/libcalmoe.so' 'lib*/libcalmoe.a' 'lib*/pkgconfig/calmoe.pc' \
                'lib*/cmake/calmoe/calmoe-config.cmake' 'lib*/cmake/calmoe/calmoe-config-version.cmake'; do
        [ -n "$(find "$prefix" -path "$prefix/$name")" ] ||
            say missing "$name" "$name"
    done
    for file in $(grep -rlF -e "$build" "$prefix"); do
        say build_tree 'refers to the build tree' "${file#"$prefix/"}"
    done
    for file in $(grep -rlF -e "$root" "$prefix" --exclude='libcalmoe.*'); do
        say source_tree 'refers to the source tree' "${file#"$prefix/"}"
    done
}

# The examples; answer is one of them where there is SQLite.
examples='generate batch routing recite vote augment'
! pkg-config --exists sqlite3 || examples="$examples answer"

# run_example NAME FOLDER: as somebody would who tries it
run_example()
{
    case $1 in
    recite) "$2/recite" -n 40 'What does ls do?' ;;
    vote)   "$2/vote" -n 2 -t 8 -a 'yes|no|maybe' 'Is a file a folder?' ;;
    augment) echo 'The list is empty. A file is read.' > "$2/document"
            "$2/augment" -n 2 -v 0 -g -99 "$2/document" ;;
    answer) mkdir -p "$out/docs"
            printf 'ls lists the files of a folder.\nIts option -a shows hidden files too.\n' > "$out/docs/ls.txt"
            "$2/answer" index "$2/index" "$out/docs" &&
                "$2/answer" ask "$2/index" 'Which option of ls shows hidden files?' &&
                { ! "$2/answer" ask "$2/no-index" 'Is there an index?' 2> /dev/null; } &&
                [ ! -e "$2/no-index" ] ;; # a question makes no empty index
    *)      "$2/$1" ;;
    esac
}

# plausible HOW FOLDER: runs the examples of FOLDER
plausible()
{
    local how=$1 folder=$2 name
    for name in $examples; do
        run_example $name "$folder" > "$folder/$name.out" 2> "$folder/$name.err" ||
            { say "$name" "$how: failed: $(head -c 300 "$folder/$name.err")"; continue; }
        iconv -f utf-8 -t utf-8 "$folder/$name.out" > "$folder/$name.utf8" 2> "$folder/$name.err" ||
            say "$name" "$how: what it prints is not UTF-8"
    done
    grep -q '^This function returns..........' "$folder/generate.out" || say generate "$how: no text"
    [ "$(grep -c '^--- session' "$folder/batch.out")" = 4 ] || say batch "$how: not four sessions"
    [ "$(wc -c < "$folder/batch.out")" -gt 200 ] || say batch "$how: hardly any text"
    awk '/^layer/ { # the weights of a row go down and are shares
            last = 1.001; n = 0
            for (i = NF; $i ~ /^[0-9]+:[0-9.]+$/; i--) n++
            for (i = NF - n + 1; i <= NF; i++) {
                split($i, slot, ":")
                if (slot[2] > last || slot[2] < 0) exit 1
                last = slot[2]
            }
            n_rows += n > 0
         }
         END { exit n_rows < 20 }' "$folder/routing.out" || say routing "$how: no plausible routing"
    [ "$(grep -c '^---' "$folder/recite.out")" = 3 ] || say recite "$how: not three answers"
    grep -q '^answer: .*, agreement \(0.50\|1.00\)$' "$folder/vote.out" || say vote "$how: nothing was elected"
    [ "$(grep -c '^{"text": ".*", "strategy": ".*", "source": ".*", "logprob": .*, "gain": .*, "votes": [0-3]}$' \
        "$folder/augment.out")" -ge 4 ] || say augment "$how: hardly any lines"
    case $examples in
    *answer*) grep -q '^  \[1\] .*/docs/ls.txt, lines [12] to [12]$' "$folder/answer.out" || say answer "$how: no source" ;;
    esac
    [ "$folder" = "$out/reference" ] || for name in $examples; do
        [ ! -d "$out/reference" ] || cmp -s "$out/reference/$name.out" "$folder/$name.out" ||
            say "$name" "$how: says something else than the others"
    done
}

# by_hand HOW FLAGS...: compiler and pkg-config
by_hand()
{
    local how=$1 folder=$2 name flags
    shift 2
    mkdir "$folder"
    for name in $examples; do
        flags=
        [ $name != answer ] || flags=$(pkg-config --cflags --libs sqlite3)
        # shellcheck disable=SC2086
        $cc -std=c11 -o "$folder/$name" "$root/examples/$name.c" "$@" $flags > "$folder/log" 2>&1 ||
            { say "$name" "$how: does not build: $(head -c 300 "$folder/log" | tr '\n' ' ')"; return; }
    done
    plausible "$how" "$folder"
}

by_cmake()
{
    local how=$1 folder=$2
    shift 2
    generator=             # CMake's own choice is make, which a machine with ninja may lack
    command -v make > /dev/null || generator='-G Ninja'
    # shellcheck disable=SC2086
    "$cmake" $generator -S "$root/examples" -B "$folder" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" "$@" \
        > "$folder.log" 2>&1 && "$cmake" --build "$folder" >> "$folder.log" 2>&1 ||
        { say cmake "$how: does not build: $(grep -v '^--' "$folder.log" | head -c 300 | tr '\n' ' ')"; return; }
    plausible "$how" "$folder"
}

check()
{
    local build=$1 cmake=$2 cc=$3 root out prefix pc
    root=$(pwd)
    out=$sample_tree.installed
    prefix=$out/prefix
    mkdir "$out"
    trap 'rm -rf "$sample_tree" "$sample_tree.installed"' EXIT
    "$cmake" --install "$build" --prefix "$prefix" > "$out/log" 2>&1 ||
        { say install "failed: $(tail -3 "$out/log" | tr '\n' ' ')"; return; }
    whole "$prefix" "$build" "$root"

    pc=$(find "$prefix" -name calmoe.pc)
    export PKG_CONFIG_PATH=${pc%/*} CALMOE_MODELS=$prefix/share/calmoe
    export LD_LIBRARY_PATH=$(dirname "${pc%/*}")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    by_hand 'pkg-config, shared' "$out/reference" $(pkg-config --cflags --libs calmoe)
    by_hand 'pkg-config, static' "$out/static" \
        $(pkg-config --static --cflags --libs calmoe | sed 's/-lcalmoe/-l:libcalmoe.a/')
    by_cmake 'find_package, shared' "$out/cmake-shared"
    by_cmake 'find_package, static' "$out/cmake-static" -DWITH_STATIC=ON
    for folder in "$out/static" "$out/cmake-static"; do
        ! readelf -d "$folder/generate" | grep -q libcalmoe || say static "${folder##*/} needs libcalmoe.so"
    done

    unset LD_LIBRARY_PATH # the programs find their library themselves
    [ -n "$("$prefix/bin/calmoe" run -p 'The file' -n 8 2> "$out/log")" ] ||
        say bin/calmoe "says nothing: $(head -c 300 "$out/log")"
    "$prefix/bin/calmoe-bench" --help > "$out/log" 2>&1 || say bin/calmoe-bench 'does not run'
}

samples()
{
    # The real check is of one big thing; what is fed here are broken installations and programs.
    check_of_samples() { whole "$sample_tree" /a/build /a/source; }
    local found out
    sample lib/pkgconfig/calmoe.pc <<< 'prefix=/a/build'
    sample include/calmoe/calmoe.h <<< '/* /a/source/include */'
    found=$(check_of_samples)
    for text in 'missing: bin/calmoe' 'missing: lib\*/libcalmoe.so' 'calmoe.pc:0: build_tree' 'calmoe.h:0: source_tree'
    do
        grep -q "$text" <<< "$found" || { echo "installed: self-check: '$text' was not found: $found"; exit 1; }
    done
    for name in $examples; do
        printf '#!/bin/sh\necho "layer 0 token 0 x 3:0.5 4:0.9"\n' | sample reference/$name
        chmod +x "$sample_tree/reference/$name"
    done
    out=$sample_tree
    found=$(plausible sample "$sample_tree/reference")
    for text in 'generate: sample: no text' 'batch: sample: not four' 'routing: sample: no plausible' \
                'recite: sample: not three' 'vote: sample: nothing' 'augment: sample: hardly'; do
        grep -q "$text" <<< "$found" || { echo "installed: self-check: '$text' was not found: $found"; exit 1; }
    done
    rm -rf "${sample_tree:?}"/*
}

if [ ! -f "$1/models/calmoe-nano.gguf" ]; then
    echo "skipped: there is no embedded model to run"
    exit 77
fi
rule_main "$@"
