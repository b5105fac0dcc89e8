/* calmoe/calibration.h - finds the cheapest policies that keep a bound, and proves the bound on your own prompts.
 *
 * For each bound delta that you ask for, calibration looks for a policy whose risk is at most delta, with confidence
 * 1 - epsilon over the choice of prompts (docs/SPARSITY.md). The risk is the mean loss of a prompt like the given ones.
 * The prompts are divided at random into two parts. On the first, policies are made, tried and put in an order; on the
 * second, they are tested in that order until one fails. A bound that cannot be proven is reported with the reason. */
#ifndef CALMOE_CALIBRATION_H
#define CALMOE_CALIBRATION_H

#include "calmoe/engine.h"
#include "calmoe/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_calibration calmoe_calibration;

typedef struct calmoe_prompt {
    const int32_t *tokens;   /* (n_tokens)                                                                */
    int            n_tokens; /* at least 1                                                                */
    const int32_t *answer;   /* (n_answer) a reference answer; NULL = none. Either all prompts have one or none has.
                                With references, the loss is how much worse the shortened answer fits the reference
                                than the full model's does, and never below 0. Without, it is the distance from the
                                full model's answer                                                       */
    int            n_answer;
} calmoe_prompt;

enum { CALMOE_MAX_DELTAS = 32 };

/* By what policies are compared. */
enum {
    CALMOE_COSTS_TIME, /* microseconds, measured on this machine: finds what is fastest here                      */
    CALMOE_COSTS_BYTES /* kilobytes of weights that are read: finds the same policies each time, with any number of
                          threads and however busy the machine is (packed sizes differ a little between instruction
                          sets)                                                                                   */
};

typedef struct calmoe_calibrate_options {
    size_t        size;          /* set by calmoe_calibrate_options_init()                                  */
    const char   *loss;          /* "token_disagreement" (default), "total_variation", "rouge_l", "exact_match" */
    const char   *p_value;       /* the test: "wsr", "hoeffding_bentkus", "binomial"; NULL = binomial if all losses
                                    are 0 or 1, else wsr (default). It is chosen before any loss is seen     */
    double        epsilon;       /* 1 - the confidence; above 0, below 1 (default 0.05)                     */
    const double *deltas;        /* (n_deltas) the bounds, ascending, above 0, below 1; NULL = 0.1, 0.5, 1, 2, 5, 10
                                    % (default)                                                             */
    int           n_deltas;
    double        first_share;   /* share of the prompts that make up the first part (default 0.3)          */
    uint64_t      seed;          /* decides how prompts are divided (default 1)                             */
    int           answer_tokens; /* most tokens of an answer (default 64)                                   */
    int           costs;         /* CALMOE_COSTS_* (default CALMOE_COSTS_TIME)                              */
    int           batch;         /* costs are those of steps with so many sessions (default 1)              */
    const char   *measures;      /* confidence measures to try, comma-separated; "" = no early exits; NULL = all that
                                    the engine can run, except static ones (default)                        */
    int           max_exits;     /* most exits of a policy, 1 to 3 (default 2)                              */
    int           width;         /* 1: also try fewer experts (default 1)                                   */
    int           tails;         /* 1: also try running the layers after an exit with few experts (default 1) */
    int           most;          /* most policies in the first search (default 240); some more near each bound follow */
    int           rivals;        /* 1: also test policies of simpler kinds, for comparison:
                                    calmoe_calibration_get_rival() (default 0)                            */
    int           n_splits;      /* at least so many random divisions of the second part are evaluated for
                                    calmoe_calibration_get_splits(); 0 = none (default)                     */
    calmoe_progress_fn progress; /* NULL = none (default); may cancel                                       */
    void         *progress_user;
    int           resident;      /* 1: with width, try also to let experts that the plan keeps in memory take the places
                                    of streamed ones; the engine has such a plan, and what is proven is true under
                                    plans that keep the same experts (default 0)                            */
} calmoe_calibrate_options;

CALMOE_API void calmoe_calibrate_options_init(calmoe_calibrate_options *options);

/* Runs the model, for minutes to hours. options may be NULL. The prompts are borrowed for the call. The engine's other
 * sessions stay as they are. INVALID_ARGUMENT: a wrong option, an empty prompt, a prompt that does not fit into the
 * context together with its answer, or fewer than two prompts. CANCELLED, NO_MEMORY, UNSUPPORTED (a measure that the
 * engine cannot run). It is not a failure if nothing can be proven. */
CALMOE_API calmoe_status calmoe_calibrate(calmoe_engine *engine, const calmoe_prompt *prompts, int n_prompts,
                                          const calmoe_calibrate_options *options, calmoe_calibration **out);
CALMOE_API void calmoe_calibration_close(calmoe_calibration **calibration); /* sets it to NULL; NULL is fine */

/* The proven rungs, perhaps none, as a policy of its own, which may outlive the calibration. */
CALMOE_API calmoe_status calmoe_calibration_get_policy(const calmoe_calibration *calibration, calmoe_policy **out);

typedef struct calmoe_finding { /* the result for one of the deltas */
    size_t      size;          /* set by the caller to sizeof(calmoe_finding)                       */
    double      delta;
    int         is_proven;     /* 0: the result is OFF; `sentence` says why                         */
    double      p;             /* the test's p-value                                                */
    double      mean_loss;     /* mean loss on the second part                                      */
    int         n_prompts;     /* number of prompts in the second part                              */
    int         n_needed;      /* number of prompts that a proof needs even if every loss is 0      */
    int         n_tried;       /* number of policies that were tested                               */
    double      cost;          /* expected cost of a decoding step relative to OFF: 0.6 = 60 % of the time, or of the
                                  bytes                                                                         */
    double      mean_layers;   /* layers that a token runs, mean on the first part                  */
    double      mean_experts;  /* experts that a token takes in a layer that it runs, mean          */
    const char *policy;        /* the policy in words, such as "softmax 6:0.93, width ratio:0.3"; lives as long as
                                  the calibration                                                               */
    const char *sentence;      /* what is proven, or why nothing is                                 */
    int         n_members;     /* number of policies that are proven for delta and cheapest on some kind of machine;
                                  this finding is about the one that is cheapest here               */
    double      mean_reads;    /* with `resident`: experts that a token needs and that the plan leaves on disk, mean */
} calmoe_finding;
CALMOE_API calmoe_status calmoe_calibration_get_finding(const calmoe_calibration *calibration, int delta,
                                                        calmoe_finding *finding);

/* For comparison: the result if only policies of one simple kind had been tried. */
enum {
    CALMOE_RIVAL_DEPTH,  /* only early exits                                                            */
    CALMOE_RIVAL_WIDTH,  /* only fewer experts                                                          */
    CALMOE_RIVAL_STATIC, /* the same for all tokens: an exit after a fixed number of layers, or a fixed number of
                            experts                                                                   */
    CALMOE_N_RIVALS
};
/* INVALID_ARGUMENT if the option rivals was 0. */
CALMOE_API calmoe_status calmoe_calibration_get_rival(const calmoe_calibration *calibration, int kind, int delta,
                                                      calmoe_finding *finding);

typedef struct calmoe_split_finding { /* a check of the method: the second part is divided at
                                        random many times; one half proves, the other half checks */
    size_t size;             /* set by the caller                                                     */
    int    n_splits;
    int    n_proven;         /* divisions in which some policy was proven                             */
    int    n_violated;       /* of these, divisions in which the mean loss on the checking half was above delta */
    double mean_risk;        /* mean of that mean loss over the divisions with a proof                */
    double mean_cost;        /* mean cost relative to OFF over all divisions; OFF itself costs 1      */
} calmoe_split_finding;
/* INVALID_ARGUMENT if the option n_splits was 0. */
CALMOE_API calmoe_status calmoe_calibration_get_splits(const calmoe_calibration *calibration, int delta,
                                                       calmoe_split_finding *finding);

typedef struct calmoe_calibration_info {
    size_t size;            /* set by the caller                                                   */
    int    n_deltas;
    int    n_prompts[2];    /* prompts in the first and second part                                */
    int    n_policies;      /* policies that were tried on the first part                          */
    double mean_answer;     /* mean number of tokens of the full answers                           */
    double step;            /* cost of a token, in microseconds or kilobytes (options.costs): the whole token */
    double layer, expert;   /* a layer without its routed experts; one routed expert               */
    double fill, head;      /* keys and values of a skipped layer; the output head                 */
    double oracle_layers;   /* mean number of layers if each token left at the first layer that gives the full
                               model's token; 0 = not computed                                            */
    char   prompts[17];     /* hash of the prompts and references                                  */
    double read;            /* if the plan leaves experts on disk: one read of such an expert      */
    double reads;           /* with `resident`: such experts that a token of the full model needs  */
} calmoe_calibration_info;
CALMOE_API calmoe_status calmoe_calibration_get_info(const calmoe_calibration *calibration,
                                                     calmoe_calibration_info *info);

#ifdef __cplusplus
}
#endif
#endif
