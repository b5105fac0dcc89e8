/* bench/policy_bench.h - measures how much time a policy saves and what it changes: the full model (OFF) and the policy
 * answer the same prompts alternately. */
#ifndef BENCH_POLICY_BENCH_H
#define BENCH_POLICY_BENCH_H

#include "bench/bench.h"

/* ---- prompts ---- */

struct prompts {
    int      n, n_tokens; /* of each */
    int32_t *tokens;      /* (n, n_tokens) */
};

/* Makes n prompts of n_tokens. They are cut from the files' texts one after the other, from each file in turn; if there
 * are no files, the model writes them itself, drawn at temperature 1 with a fixed seed. There are fewer than n if the
 * texts are short, but at least one. False with a sentence. */
bool cm_prompts_open(const struct front *front, const struct cli_list *files, int n, int n_tokens,
                     struct prompts *out);
void cm_prompts_close(struct prompts *prompts);

/* ---- results ---- */

struct policy_rates { /* tokens per second, or a ratio of these */
    double median, min, max;
};

struct policy_side { /* OFF or the policy: sums over repetitions, for generated tokens only */
    double n_steps, n_tokens;
    double seconds;                        /* inside steps                               */
    double wait_seconds;                   /* of these, time at barriers, mean over threads */
    double phase_seconds[CALMOE_N_PHASES]; /* mean over threads                          */
    double n_layers, n_experts;            /* used by tokens                             */
    double n_bytes;                        /* packed weights that steps read             */
};

struct policy_row {
    const struct bench_model *model;
    const char               *isa;
    int                       n_threads;
    int                       batch;
    int                       n_prompt, n_tokens; /* of each answer                        */
    int                       n_repeats;
    char                      name[160]; /* the policy as it was requested                 */
    int                       rung;      /* -1 = no rung is safe enough, so the policy's side is OFF too */
    double                    delta;     /* NAN: nothing is proven                         */
    int                       member, n_members; /* the rung's number in its front (calmoe/policy.h) */
    double                    cost;      /* relative to OFF, by the costs that chose the rung; 0 = not known */
    struct policy_rates       off, on, ratio; /* ratio: policy / OFF in each repetition    */
    bool                      is_noisy;  /* the range of the ratios is above BENCH_NOISE times their median */
    struct policy_side        off_side, on_side;
    int                       n_answers; /* number of answers of each side                 */
    double                    agreement; /* share of tokens that are the same when the policy reads OFF's tokens
                                            before them                                                      */
    double                    same_tokens; /* mean number of tokens before the first difference  */
    double                    same_answers; /* share of answers without a difference       */
    uint64_t                  n_rounds, n_drafted, n_accepted; /* with --lossless, including the warm-up */
    uint64_t                  exits[1024]; /* (n_layers) tokens that left after so many layers */
};

struct policy_test {
    const struct policy_request *request;
    const calmoe_policy         *policy;
    double                       quality;
    const struct prompts        *prompts;
    int                          batch, n_tokens, n_repeats;
    const struct adapters       *adapters; /* used by both sides: possible with drafts, not with other policies */
};

/* Runs one warm-up and then the repetitions, each with the next prompts. row->model, isa and n_threads must be set.
 * False with a sentence. */
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
