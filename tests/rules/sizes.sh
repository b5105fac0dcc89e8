#!/bin/bash
# A file has at most 600 lines, a function at most 60: what is longer is two things.
. "$(dirname "$0")/common.sh"

check()
{
    awk -v max_file=600 -v max_function=60 '
    FNR == 1 { end_file(); inside = 0; name = "?" }
    { file = FILENAME; n_lines = FNR }
    !inside && /^[A-Za-z_].*\(/ { # a function begins at column 0, as its braces do
        name = $0
        sub(/ *\(.*/, "", name)
        sub(/.*[ *]/, "", name)
    }
    !inside && (/^{/ || /^[A-Za-z_].*\).*{[ \t]*$/) { inside = FNR; next }
    inside && /^}/ {
        if (FNR - inside - 1 > max_function)
            print FILENAME ":" inside ": " name ": a function of " FNR - inside - 1 " lines, at most " max_function
        inside = 0
    }
    function end_file() {
        if (n_lines > max_file) print file ":" n_lines ": file: " n_lines " lines, at most " max_file
    }
    END { end_file() }' $(c_files include base kernels router experts runtime tools bench examples tests) /dev/null
}

samples()
{
    sample base/long.c < <(yes '/* a line */' | head -601)
    finds 'base/long.c:601: file: 601 lines'
    sample tools/a.c < <(echo 'static int *f(int a)'; echo '{'; yes '    a++;' | head -61; echo '}')
    finds 'tools/a.c:2: f: a function of 61 lines'
    sample tests/a.c < <(echo 'int f(int a) {'; yes '    a++;' | head -61; echo '}')
    finds 'tests/a.c:1: f: a function of 61 lines'
    sample tests/rules/exceptions.txt <<< 'sizes tools/b.c f it is gone'
    finds 'this row excuses nothing'
    sample tools/a.c < <(echo 'int long_one(void)'; echo '{'; yes '    a++;' | head -61; echo '}')
    sample tests/rules/exceptions.txt <<< 'sizes tools/a.c long_one a table in the shape of code'
    sample base/a.c < <(for i in 1 2 3 4 5 6 7 8; do echo "int f$i(void)"; echo '{'
                        yes '    a++;' | head -60; echo '}'; done)
    sample base/b.c < <(yes '/* a line */' | head -600)
    accepts
}

rule_main "$@"
