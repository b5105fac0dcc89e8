#!/bin/bash
# A header stands alone: it compiles by itself, and twice, without a warning.
#
# Arguments: FOLDERS COMPILER FLAG... Folders, separated by commas; public headers are compiled in C11 and C++17,
# those of the layers in C11. An empty COMPILER is "there is none here": skipped. What is compiled anew for each
# instruction set needs its includer: the files of such a folder, kernels/*_body.h and kernels/tile16.h.
. "$(dirname "$0")/common.sh"

check()
{
    local folders=${1//,/ } compiler=$2 header
    shift 2
    for header in $(c_files $folders | grep '\.h$' | grep -Ev '_body\.h$|/tile16\.h$|/(avx2|avxvnni|avx512vnni|amx|neon[a-z]*)/'); do
        printf '#include "%s"\n#include "%s"\n' "${header#include/}" "${header#include/}" |
            $compiler -Iinclude -I. -fsyntax-only "$@" - 2>&1 | grep -E '(error|warning):' | head -3 |
            sed -E 's/^[^:]*(<stdin>|-):/'"${header//\//\\/}"':/; s/^([^:]*:[0-9]+):[0-9]+:/\1: alone:/'
    done
}

samples()
{
    local folder=${1%%,*} path
    path=$folder/a.h
    [ "$folder" = include ] && path=include/calmoe/a.h
    sample $path <<< 'int f(size_t n);'
    finds "$path:1: alone:" "$@"
    sample $path <<< 'enum { A };'
    finds "$path:1: alone:" "$@"
    sample $path <<< '#ifndef A_H
#define A_H
#include <stddef.h>
int f(size_t n);
#endif'
    accepts "$@"
}

if [ -z "${3-}" ]; then
    echo "skipped: no compiler for this language"
    exit 77
fi
rule_main "$@"
