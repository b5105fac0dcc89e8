/* bench/bench.h - what calmoe-bench measures and how it is reported. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <calmoe/calmoe.h>
#include <stdbool.h>

#include "tools/front.h"

enum { BENCH_MAX_REPEATS = 1000, BENCH_MAX_BATCH = 4096 };

/* One result. Members that a version does not measure yet are NAN; reports leave them empty or null. */
struct bench_row {
    calmoe_model_info info;
    const char       *type;        /* weight type with the most bytes in the file       */
    const char       *isa;
    int               n_threads;
    int               batch;       /* sessions that step together                       */
    int               n_repeats;
    char              test[32];    /* "pp512", "tg128"                                  */
    double            median, min, max; /* tokens per second                            */
    double            active_bytes_per_token; /* of the file, computed from its tensors */
    double            bandwidth_share, peak_share, wait_share, imbalance;
};

struct bench_plan {
    int n_prompt, n_tokens, batch, n_repeats;
};

/* The tests are a table; a test whose length in the plan is 0 is left out. */
int  cm_bench_n_tests(void);
bool cm_bench_has_test(const struct bench_plan *plan, int test);
/* One warm-up, then the repetitions. False with a sentence on stderr. */
bool cm_bench_measure(const struct front *front, const struct bench_plan *plan, int test,
                      struct bench_row *row);

/* A form of output. begin and end may be NULL; each answers false when stdout cannot be written. */
struct bench_format {
    const char *name;
    bool (*begin)(void);
    bool (*row)(const struct bench_row *row);
    bool (*end)(void);
};
const struct bench_format *cm_bench_format(const char *name); /* NULL: there is none */
const char                *cm_bench_format_names(void);       /* "md, csv, …"        */

#endif
