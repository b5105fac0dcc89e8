#!/bin/bash
# Some calls have a better one beside them; heap memory has one door; loops see all levels; lines are clean and at most 120 wide.
. "$(dirname "$0")/common.sh"

# call WHAT WORDS REASON FILE...: those words before a parenthesis, in code
call()
{
    local what=$1 words=$2 reason=$3
    shift 3
    code_of -v strings=0 "$@" | grep -E "^[^:]*:[0-9]+:(.*[^A-Za-z0-9_])?($words) *\(" |
        awk -F: -v what="$what" -v reason="$reason" '{ print $1 ":" $2 ": " what ": " reason }'
}

# line WHAT PATTERN REASON FILE...: whole lines, comments too
line()
{
    local what=$1 pattern=$2 reason=$3
    shift 3
    grep -nE "$pattern" "$@" /dev/null | awk -F: -v what="$what" -v reason="$reason" '
        { print $1 ":" $2 ": " what ": " reason }'
}

check()
{
    local library all
    library=$(c_files include base kernels router experts runtime)
    all="$library $(c_files tools bench examples tests)"
    call text     'sprintf|vsprintf|strcpy|strcat|gets|strtok|stpcpy' 'unbounded; snprintf or memcpy' $all
    call stack    'alloca|__builtin_alloca' 'the stack is not for sizes from outside' $all
    call number   'atoi|atol|atoll|atof' 'tells no error; strtol, strtod and look at the end' $all
    call random   'rand|srand|random|drand48|rand_r' 'differs from machine to machine; base/random.h' $all
    call heap     'malloc|calloc|realloc|reallocarray|free|strdup|strndup|aligned_alloc|posix_memalign|v?asprintf|getline' \
                  'heap memory has one door, base/memory.c' $(grep -v '^base/memory\.c$' <<< "$library")
    call output   'printf|puts|putchar|perror|exit|abort|system|popen|setlocale|signal' \
                  'a library is silent, and leaves the process alone' $library
    line if_0     '^[ \t]*#[ \t]*if[ \t]+0\b' 'dead code' $all
    line levels   'ISA_COUNT *&& *cm_isa_is_supported' 'levels may have a hole between; go on behind a missing one' $all
    line tab      $'\t' 'a tab' $all
    line blank    $'[ \t\r]$' 'a blank at the end of the line' $all
    line width    '^.{121}' 'longer than 120' $all
}

samples()
{
    sample tools/a.c <<< '    sprintf(a, "b");'
    finds 'tools/a.c:1: text:'
    sample base/a.c <<< 'int a = alloca (n);'
    finds 'stack:'
    sample tools/a.c <<< 'n = atoi(argv[1]);'
    finds 'number:'
    sample tests/unit/a.c <<< 'n = rand() % 3;'
    finds 'random:'
    sample runtime/load/a.c <<< 'free(a);'
    finds 'heap:'
    sample kernels/a.c <<< 'printf("here\n");'
    finds 'output:'
    sample base/a.c <<< '#if 0'
    finds 'if_0:'
    sample tests/a.c <<< 'for (int isa = 0; isa < ISA_COUNT && cm_isa_is_supported(isa); isa++)'
    finds 'levels:'
    sample base/a.c <<< $'\tint a;'
    finds 'tab:'
    sample base/a.c <<< 'int a; '
    finds 'blank:'
    sample base/a.c < <(printf '%0121d\n' 0)
    finds 'width:'
    sample base/memory.c <<< 'free(memory); cm_free(a); /* free(b) */ f("free(c)");'
    sample base/a.c <<< 'cm_free(a); snprintf(b, n, "printf(x)"); options->free_all(); // malloc(3)'
    sample tools/a.c < <(echo 'free(malloc(3));'; printf '…%.0s' {1..120}; echo)
    accepts
}

rule_main "$@"
