#!/bin/bash
# What a comment or a page names is there: files of ours by their names, functions by theirs, written with "()".
#
# A file may be named by the end of its path. Names with a word in capitals (NAME.c) stand for any. Names of the C
# library's and of other projects' files stand in `foreign`.
. "$(dirname "$0")/common.sh"

foreign='std[a-z]+\.h|cmocka\.h'

# comments FILE...: "FILE:LINE:text" of all that stands in comments of C files; of pages, every line.
comments()
{
    awk 'FNR == 1 { inside = FILENAME ~ /\.md$/ }
    {
        rest = $0
        text = ""
        while (rest != "") {
            if (inside) {
                end = FILENAME ~ /\.md$/ ? 0 : index(rest, "*/")
                text = text " " (end ? substr(rest, 1, end - 1) : rest)
                rest = end ? substr(rest, end + 2) : ""
                if (end) inside = 0
            } else {
                begin = index(rest, "/*")
                rest = begin ? substr(rest, begin + 2) : ""
                if (begin) inside = 1
            }
        }
        if (text != "") print FILENAME ":" FNR ":" text
    }' "$@" /dev/null
}

check()
{
    local folders='include base kernels router experts runtime tools bench examples tests' folder
    local pages=() there=()
    for folder in $folders; do [ -d "$folder" ] && there+=("$folder"); done
    for folder in README.md docs/[A-BD-Z]*.md; do [ -f "$folder" ] && pages+=("$folder"); done # but not docs/CHANGES.md
    comments $(c_files $folders) "${pages[@]+"${pages[@]}"}" |
        awk -v foreign="^($foreign)\$" '
        FILENAME == ARGV[1] { known["/" $0] = 1; path = $0; while (sub(/^[^\/]*\//, "", path)) known["/" path] = 1; next }
        FILENAME == ARGV[2] { is_function[$0] = 1; next }
        {
            line = $0
            match(line, /^[^:]*:[0-9]+:/)
            where = substr(line, 1, RLENGTH)
            rest = substr(line, RLENGTH + 1)
            text = rest
            while (match(text, /[A-Za-z0-9_.\/{}*<-]*[A-Za-z0-9_]\.(c|h|sh|inc)([^A-Za-z0-9_.]|$)/)) {
                name = substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
                sub(/[^A-Za-z0-9_]$/, "", name)
                sub(/^(\.\.?\/)+/, "", name)
                base = name
                sub(/.*\//, "", base)
                if (base ~ foreign || name ~ /[A-Z][A-Z]|[{}*<]|^[-.\/]|build\// || ("/" name) in known) continue
                print where " " name ": is named, and is not there"
            }
            text = rest
            while (match(text, /(cm|calmoe)_[a-z0-9_]+\(\)/)) {
                name = substr(text, RSTART, RLENGTH - 2)
                text = substr(text, RSTART + RLENGTH)
                if (!(name in is_function)) print where " " name ": is named, and is not there"
            }
        }' <(find "${there[@]+"${there[@]}"}" .ci demo.sh test.sh -type f 2> /dev/null | grep -E '\.(c|h|sh|inc)$') \
           <(code_of $(c_files $folders) | grep -oE '\b(cm|calmoe)_[a-z0-9_]+' | sort -u) -
}

samples()
{
    sample base/a.c <<< '/* see b.h */'
    finds 'base/a.c:1: b.h:'
    sample base/a.c < <(echo 'int a; /* two lines,'; echo ' * and base/b.c */ int b;')
    finds 'base/a.c:2: base/b.c:'
    sample base/a.h <<< '/* cm_gone() does it */'
    finds 'base/a.h:1: cm_gone:'
    sample docs/PAGE.md <<< 'It is in `runtime/gone.c`.'
    finds 'docs/PAGE.md:1: runtime/gone.c:'
    sample base/a.h <<< 'int cm_a(void); /* base/a.h, a.h: cm_a(), as stdio.h; add kernels/NAME.c or a vector_*.h */'
    sample docs/PAGE.md <<< '`base/a.h` and cm_a()'
    sample base/b.c <<< '#include "gone.h"'
    accepts
}

rule_main "$@"
