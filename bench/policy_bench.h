/* bench/policy_bench.h - what a policy gains and what it changes: OFF and the policy answer the same prompts,
 * alternately. */
#ifndef BENCH_POLICY_BENCH_H
#define BENCH_POLICY_BENCH_H

#include "bench/bench.h"

/* ---- prompts ---- */

struct prompts {
    int      n, n_tokens; /* of each */
    int32_t *tokens;      /* (n, n_tokens) */
};

/* n prompts of n_tokens: cut one behind the other from the files' texts, a piece of each file in its turn; where there
 * are no files, texts that the model writes itself, drawn at temperature 1 with a fixed seed. Fewer than n where the
 * texts are short, but at least one. False with a sentence. */
bool cm_prompts_open(const struct front *front, const struct cli_list *files, int n, int n_tokens,
                     struct prompts *out);
void cm_prompts_close(struct prompts *prompts);

/* ---- results ---- */

struct policy_rates { /* tokens per second, or how many times as many */
    double median, min, max;
};

struct policy_side { /* of OFF, or of the policy: sums over the repetitions, of tokens that were generated */
    double n_steps, n_tokens;
    double seconds;                        /* inside steps                               */
    double wait_seconds;                   /* of them at barriers, mean over threads     */
    double phase_seconds[CALMOE_N_PHASES]; /* mean over threads                          */
    double n_layers, n_experts;            /* that tokens used                           */
    double n_bytes;                        /* of packed weights that steps read          */
};

struct policy_row {
    const struct bench_model *model;
    const char               *isa;
    int                       n_threads;
    int                       batch;
    int                       n_prompt, n_tokens; /* of each answer                        */
    int                       n_repeats;
    char                      name[160]; /* of the policy: as it was asked for             */
    int                       rung;      /* -1 = none is safe enough, so it is OFF too     */
    double                    delta;     /* NAN: nothing is proven                         */
    int                       member, n_members; /* which of those proven for delta        */
    double                    cost;      /* of OFF's, that it was chosen by; 0 = not known */
    struct policy_rates       off, on, ratio; /* ratio: of each repetition                 */
    bool                      is_noisy;  /* the ratios' range is above BENCH_NOISE of the median */
    struct policy_side        off_side, on_side;
    int                       n_answers; /* different ones, of each side                   */
    double                    agreement; /* share of tokens that are OFF's where OFF's were read before them */
    double                    same_tokens; /* mean number of tokens up to the first that differs */
    double                    same_answers; /* share that do not differ at all             */
    uint64_t                  n_rounds, n_drafted, n_accepted; /* of --lossless, the warm-up's too    */
    uint64_t                  exits[1024]; /* (n_layers) tokens that left after so many    */
};

struct policy_test {
    const struct policy_request *request;
    const calmoe_policy         *policy;
    double                       quality;
    const struct prompts        *prompts;
    int                          batch, n_tokens, n_repeats;
    const struct adapters       *adapters; /* that both sides use: drafts go with them, other policies do not */
};

/* One warm-up, then the repetitions, each with the next prompts. row->model, isa and n_threads are set. False with a
 * sentence. */
bool cm_policy_measure(const struct front *front, const struct policy_test *test, struct policy_row *row);

/* ---- reports ---- */

/* As struct bench_format; cm_policy_format() knows the same names. */
struct policy_format {
    const char *name;
    bool (*begin)(void);
    bool (*row)(const struct policy_row *row);
    bool (*end)(const struct policy_row *rows, int n_rows);
};
const struct policy_format *cm_policy_format(const char *name);

#endif
