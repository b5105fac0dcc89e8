/* tools/engine_request.h - the options that say how a model is run, as rows of an option table, and engine options of
 * them: --threads, --plan, --isa, --kv, … */
#ifndef TOOLS_ENGINE_REQUEST_H
#define TOOLS_ENGINE_REQUEST_H

#include <calmoe/engine.h>

struct engine_request { /* 0 or NULL = not given */
    int         threads, fixed_threads, no_tune, kv, whole_experts;
    const char *plan, *isa;
};

/* Rows for a table of struct cli_option; AT(member) is the offset of a member of the struct engine_request. */
#define ENGINE_REQUEST_ROWS(AT)                                                                                       \
    {"threads", 't', CLI_INT, AT(threads), 0, 4096, "N", "threads, 0 = every core that can be had (default)"},        \
    {"fixed-threads", 0, CLI_FLAG, AT(fixed_threads), 0, 0, NULL,                                                     \
     "every step on all of them; else fewer, for as long as that is quicker on a busy machine"},                      \
    {"no-tune", 0, CLI_FLAG, AT(no_tune), 0, 0, NULL,                                                                 \
     "do not measure which settings of kernels are quickest here, or look up what was measured"},                     \
    {"plan", 0, CLI_INPUT, AT(plan), 0, 0, "FILE", "placement plan (default: sliced over the nodes)"},                 \
    {"isa", 0, CLI_TEXT, AT(isa), 0, 0, "LEVEL",                                                                      \
     "instruction set: ref; avx2, avxvnni, avx512vnni, amx; neon, neondot (default: the best here)"},                 \
    {"kv", 0, CLI_CHOICE, AT(kv), 0, 0, "f16|f32", "type of keys and values (default f16)"},                          \
    {"rank-experts", 0, CLI_CHOICE, AT(whole_experts), 0, 0, "cut|whole",                                             \
     "under mpirun, each expert by rows over ranks (default), or whole on one of them"}

static inline calmoe_engine_options cm_engine_request_options(const struct engine_request *request)
{
    calmoe_engine_options options;
    calmoe_engine_options_init(&options);
    options.n_threads     = request->threads;
    options.fixed_threads = request->fixed_threads;
    options.no_tuning     = request->no_tune;
    options.plan          = request->plan;
    options.isa           = request->isa;
    options.kv_float32    = request->kv;
    options.whole_experts = request->whole_experts;
    return options;
}

#endif
