/* runtime/calibrate/calibrate_parts.h - what the files behind calmoe/calibration.h share.
 *
 *   calibrate.c             the call: options, stages, what is told
 *   calibrate_common.c      what several stages ask
 *   calibrate_runs.c        the full model's answers; a policy on many prompts: losses and costs
 *   calibrate_costs.c       what parts of a step cost on this machine, by part_costs.h
 *   calibrate_candidates.c  which policies to try
 *   calibrate_aim.c         policies on purpose near each bound
 *   calibrate_tests.c       first part: order; second part: proof; divisions of it */
#ifndef RUNTIME_CALIBRATE_CALIBRATE_PARTS_H
#define RUNTIME_CALIBRATE_CALIBRATE_PARTS_H

#include <calmoe/calibration.h>

#include "runtime/calibrate/configurations.h"
#include "runtime/calibrate/part_costs.h"
#include "runtime/proof/risk_tests.h"

/* The most that options may ask for: tokens of an answer, policies that are tried. */
enum { MAX_ANSWER = 4096, MAX_POLICIES = 1000, TIMED_TOKENS = 8 /* of a run that is timed */ };

/* ---- the whole ---- */

enum { KIND_ANY, KIND_DEPTH, KIND_WIDTH, KIND_STATIC, N_KINDS }; /* of policies; from 1 on CALMOE_RIVAL_* + 1 */

struct told_finding {
    struct risk_finding finding;
    char                sentence[256];
    char                policy[512];
};

struct aim { /* of a kind and a delta: a path of policies, from careful to bold */
    int        n;     /* 0: there is none */
    const int *order; /* (n) configurations */
};

/* What is cheapest depends on the machine. So for each delta there may be several paths, one for each of these
 * sheets of prices, the calibrating machine's first; they are tested as one family, and what is proven goes into the
 * file. */
enum { N_SHEETS = 3 };

struct proven { /* at a delta, as one of a family */
    int    configuration;
    double p, mean_loss; /* p times the sequences of the family */
};
struct front {
    int           n;
    struct proven of[POLICY_MAX_FRONT]; /* from the one that is cheapest here on */
};

struct full_model { /* what it does with the prompts */
    int32_t *answers;   /* (n_prompts, answer_tokens): what it writes                       */
    int     *n_answers; /* (n_prompts)                                                      */
    int32_t *forced;    /* (n_prompts, answer_tokens): what teacher-forced runs read        */
    int     *n_forced;  /* (n_prompts)                                                      */
    int32_t *winners;   /* (n_prompts, answer_tokens): its likeliest token after each of these */
    double  *loss;      /* (n_prompts): against the reference; 0 where there is none        */
};

struct calmoe_calibration {
    calmoe_context          *ctx;
    calmoe_engine           *engine;
    calmoe_calibrate_options options;
    enum loss_kind           loss;
    enum p_value_kind        p_value;
    int                      n_deltas;
    double                   deltas[CALMOE_MAX_DELTAS];
    double                   stage_begin, stage_end; /* of the whole, for progress */
    char                     prompts_hash[17];

    /* prompts, in dealt order: the first n_first are the first part */
    int                   n_prompts, n_first;
    const calmoe_prompt **prompts;   /* (n_prompts)                                         */
    bool                  has_references;
    int                   longest;   /* tokens of a prompt                                  */
    struct lanes          lanes;
    struct full_model     full;

    /* costs */
    struct parts      prices;        /* of parts                                            */
    struct cost_table costs;         /* of layers by them                                   */
    struct cost_table part_tables[PART_COUNT]; /* each prices one part at 1                 */
    double           *cost_memory;   /* of these                                            */
    int              *cost_layers;
    enum kv_fill      kv_fill;       /* of all policies with exits: the cheaper one          */
    struct parts      sheets[N_SHEETS]; /* of prices; the first are those                   */
    struct parts      off_parts;     /* of a whole token                                    */
    double            off_cost;      /* of that by prices                                   */
    double            off_step;      /* as measured                                         */
    double            oracle_layers;

    /* policies */
    struct configurations configurations;
    double               *cost;      /* (capacity) microseconds a token, on the first part  */
    struct parts         *parts;     /* (capacity) of a token, on the first part            */
    double               *layers;    /* (capacity) mean                                     */
    double               *experts;   /* (capacity) mean of a layer that runs                */
    double               *losses;    /* (capacity, n_prompts); NaN = not run                */

    int                  n_aims[N_KINDS][CALMOE_MAX_DELTAS];
    struct aim           aims[N_KINDS][CALMOE_MAX_DELTAS][N_SHEETS];
    int                 *aim_memory; /* of their orders */
    struct told_finding  found[N_KINDS][CALMOE_MAX_DELTAS];
    struct front         fronts[CALMOE_MAX_DELTAS]; /* of KIND_ANY */
    calmoe_split_finding splits[CALMOE_MAX_DELTAS];
};

/* ---- calibrate_common.c ---- */

/* Progress within the stage. CANCELLED. */
calmoe_status cm_calibrate_progress(struct calmoe_calibration *calibration, double fraction);

static inline double *cm_losses_of(const struct calmoe_calibration *calibration, int configuration)
{
    return calibration->losses + (size_t)configuration * (size_t)calibration->n_prompts;
}

int  cm_calibrate_n_kinds(const struct calmoe_calibration *calibration);
bool cm_calibrate_is_of_kind(const struct policy_rung *rung, int kind);
/* Has it run on the first n_prompts, and what did it lose there? */
bool   cm_calibrate_has_run(const struct calmoe_calibration *calibration, int configuration, int n_prompts);
double cm_calibrate_first_mean(const struct calmoe_calibration *calibration, int configuration, int n_prompts);

/* The stages, in their order; the tests' second half is cm_calibrate_aim, which adds at most so many policies. */
calmoe_status cm_calibrate_answers(struct calmoe_calibration *calibration);
calmoe_status cm_calibrate_costs(struct calmoe_calibration *calibration);
calmoe_status cm_calibrate_candidates(struct calmoe_calibration *calibration);
calmoe_status cm_calibrate_tests(struct calmoe_calibration *calibration);
int           cm_calibrate_most_steps(const struct calmoe_calibration *calibration);
calmoe_status cm_calibrate_aim(struct calmoe_calibration *calibration);

/* What a policy does on prompts. */
struct trial {
    const struct policy_rung *rung;
    double                   *losses;   /* (n_prompts of the whole): of those that are run; may be NULL */
    struct parts              parts;                 /* sums over n_tokens, as the next  */
    double                    cost, layers, experts;
    double                    n_layer_runs;
    double                    n_differ; /* tokens that are not the full model's          */
    uint64_t                  n_tokens;
};
/* Runs all trials on prompts first … first + n; each prompt is read once for all of them. */
calmoe_status cm_calibrate_run(struct calmoe_calibration *calibration, int first, int n, struct trial *trials,
                               int n_trials);
/* Costs of a policy are what it did on the first part. */
void cm_calibrate_note(struct calmoe_calibration *calibration, int configuration, const struct trial *trial);
/* Teacher-forced, the full model asked for its confidence at each of rung's exits (which are off). The callback is the
 * lanes' observer's. Lanes are in user's hands: cm_calibrate_load. */
calmoe_status cm_calibrate_load(struct calmoe_calibration *calibration, int first, int n);
calmoe_status cm_calibrate_force(struct calmoe_calibration *calibration, const struct policy_rung *rung,
                                 lane_rows_fn rows, void *user);

#endif
