#!/bin/bash
# Symbols carry a prefix: libcalmoe.so exports calmoe_* and all that include/ declares; inside, cm_* or calmoe_*.
#
# Arguments: SHARED_LIBRARY ARCHIVE. Symbols that a sanitizer adds are its own business.
. "$(dirname "$0")/common.sh"

foreign='^(__(odr_)?(asan|ubsan|tsan|lsan|sancov)|_?_start___sancov|_?_stop___sancov|asan\.|tsan\.)'

declared() # the functions that the public headers declare
{
    code_of $(c_files include) | sed 's/^[^:]*:[0-9]*://' | tr '\n' ' ' | tr ';{' '\n\n' |
        sed -n 's/.*CALMOE_API[^(]*[^A-Za-z0-9_]\([A-Za-z0-9_]*\) *(.*/\1/p' | sort -u
}

check()
{
    local exported symbol
    [ -f "${1-}" ] && [ -f "${2-}" ] || { echo "${1-}:0: missing: no such library"; return; }
    exported=$(nm -D --defined-only "$1" | awk '{ print $NF }' | grep -Ev "$foreign" | sort -u)
    grep -v '^calmoe_' <<< "$exported" | sed "s|.*|$(basename "$1"):0: &: exported without calmoe_|"
    nm -g --defined-only "$2" | awk 'NF == 3 { print $3 }' | grep -Ev "$foreign|^(calmoe|cm)_" |
        sort -u | sed "s|.*|$(basename "$2"):0: &: a global symbol without cm_|"
    for symbol in $(declared); do
        grep -qx "$symbol" <<< "$exported" || echo "include/calmoe:0: $symbol: declared, but not exported"
    done
}

samples()
{
    local so=$sample_tree/a.so archive=$sample_tree/a.a
    build() # build C: both libraries from one file
    {
        ( cd "$sample_tree" && cat > a.c && ${CC:-cc} -w -fPIC -fvisibility=hidden -c a.c &&
          ${CC:-cc} -shared -o a.so a.o && ar rc a.a a.o ) || exit 1
    }
    build <<< '__attribute__((visibility("default"))) int leaked(void) { return 0; }'
    finds 'a.so:0: leaked: exported without' "$so" "$archive"
    build <<< 'int helper(void) { return 0; }'
    finds 'a.a:0: helper: a global symbol' "$so" "$archive"
    build <<< 'int calmoe_hidden(int a) { return a; }'
    sample include/calmoe/a.h <<< 'CALMOE_API const char *
        calmoe_hidden(int a);'
    finds 'calmoe_hidden: declared, but not exported' "$so" "$archive"
    build <<< '__attribute__((visibility("default"))) int calmoe_a(void) { return 0; }
        int cm_b(void) { return 0; } static int c(void) { return 0; } int (*calmoe_d)(void) = c;'
    sample include/calmoe/a.h <<< 'CALMOE_API int calmoe_a(void); /* CALMOE_API int calmoe_x(void); */'
    accepts "$so" "$archive"
}

rule_main "$@"
