#!/bin/bash
# A name stays where it belongs: a model family in its own file, weight types, instruction sets out of experts/.
#
# Comments may say any word. Case does not matter; a word ends at anything but a letter or digit, so that
# cm_qwen3moe_plan is found too.
. "$(dirname "$0")/common.sh"

families='mixtral|olmoe|qwen2moe|qwen3moe|granitemoe|llama|qwen2|qwen3|qwen3next|qwen35|qwen35moe|granite|gpt_oss|gptoss|lfm2|lfm2moe|nemotron|nemotron_h'
weight_types='q[2-8]_(0|1|k)|iq[1-4]_(nl|xs|s|m|xxs)|mxfp4|bf16'
isa_levels='avx2|avx512[a-z]*|amx|neon'

# stays WHAT WORDS FILE...
stays()
{
    local what=$1 words=$2
    shift 2
    code_of "$@" | grep -iE "^[^:]*:[0-9]+:(.*[^A-Za-z0-9])?($words)([^A-Za-z0-9]|\$)" |
        awk -F: -v what="$what" '{ print $1 ":" $2 ": " what ":" substr($0, length($1 $2) + 3) }'
}

check()
{
    stays family "$families" $(c_files base kernels router experts runtime/proof runtime/policy runtime/load \
        runtime/documents runtime/sample runtime/stats runtime/forward runtime/engine runtime/calibrate runtime/fit \
        runtime/api tools bench | grep -v '^tools/train/')
    stays weight_type "$weight_types" $(c_files router experts runtime/forward runtime/engine)
    stays isa_level "$isa_levels" $(c_files router experts runtime | grep -v '^runtime/api/')
    stays expert 'expert|experts' $(c_files base kernels)
}

samples()
{
    sample runtime/forward/a.c <<< 'if (strcmp(family, "qwen3moe") == 0)'
    finds 'runtime/forward/a.c:1: family:'
    sample router/a.c <<< 'cm_Mixtral_route(x);'
    finds 'router/a.c:1: family:'
    sample experts/a.c <<< 'cm_gemv_q4_k(x);'
    finds 'experts/a.c:1: weight_type:'
    sample experts/b.c <<< 'cm_gemv_avx512vnni(x);'
    finds 'experts/b.c:1: isa_level:'
    sample kernels/a.c <<< 'int n_experts;'
    finds 'kernels/a.c:1: expert:'
    sample runtime/families/olmoe.c <<< 'const char *name = "olmoe";'
    sample runtime/text/pretokenize.c <<< 'row("qwen2")'
    sample runtime/forward/a.c <<< 'int llamas; /* as llama does
        for qwen3 */ // granite'
    accepts
}

rule_main "$@"
