/* tools/engine_request.h - the options that say how a model is run (--threads, --plan, --isa, --kv, …): their rows in
 * an option table, and how they become calmoe_engine_options. */
#ifndef TOOLS_ENGINE_REQUEST_H
#define TOOLS_ENGINE_REQUEST_H

#include <calmoe/engine.h>

struct engine_request { /* as given; 0 or NULL = not given; pin begins as CALMOE_PIN_AUTO */
    int         threads, fixed_threads, no_tune, kv, pin, whole_experts;
    const char *plan, *isa;
};

/* The row of --pin, also for calmoe-bench, whose threads are a list. */
#define PIN_ROW(offset)                                                                                               \
    {"pin", 0, CLI_CHOICE, offset, 0, 0, "no|yes|auto",                                                               \
     "bind each thread to its core; auto = unless others are bound there (default)"}

/* Rows for a table of struct cli_option. AT(member) is the offset of that member of the struct engine_request in the
 * settings. */
#define ENGINE_REQUEST_ROWS(AT)                                                                                       \
    {"threads", 't', CLI_INT, AT(threads), 0, 4096, "N", "threads, 0 = every core that can be had (default)"},        \
    {"fixed-threads", 0, CLI_FLAG, AT(fixed_threads), 0, 0, NULL,                                                     \
     "every step on all of them; else fewer, for as long as that is quicker on a busy machine"},                      \
    {"no-tune", 0, CLI_FLAG, AT(no_tune), 0, 0, NULL,                                                                 \
     "do not measure which settings of kernels are quickest here, or look up what was measured"},                     \
    {"plan", 0, CLI_INPUT, AT(plan), 0, 0, "FILE", "placement plan (default: sliced over the nodes)"},                 \
    {"isa", 0, CLI_TEXT, AT(isa), 0, 0, "LEVEL",                                                                      \
     "instruction set: ref; avx2, avxvnni, avx512vnni, amx; neon, neondot (default: the best here)"},                 \
    {"kv", 0, CLI_CHOICE, AT(kv), 0, 0, "f16|f32", "type of keys and values (default f16)"},                           \
    {"rank-experts", 0, CLI_CHOICE, AT(whole_experts), 0, 0, "cut|whole",                                              \
     "under mpirun: each expert cut by rows over ranks (default), or whole on one of them"},                           \
    PIN_ROW(AT(pin))

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
    options.pin_threads   = request->pin;
    options.whole_experts = request->whole_experts;
    return options;
}

#endif
