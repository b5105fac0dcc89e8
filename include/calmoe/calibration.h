/* calmoe/calibration.h - finds the cheapest policy of which a bound can be proven on your own prompts.
 *
 * For each wished bound delta: a policy whose risk is at most delta, with confidence 1 - epsilon over the choice of
 * prompts (docs/SPARSITY.md). The risk is the mean loss of a prompt like those given. Prompts are dealt to two parts:
 * on the first, policies are made, tried and put in an order; on the second they are tested in that order until one
 * fails. What cannot be proven is left out, with the reason. */
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
    const int32_t *answer;   /* (n_answer) reference; NULL = none. All prompts have one or none has. The loss is
                                then what the shortened answer loses against it, gains not credited; else it
                                is the distance to the full model's answer                                */
    int            n_answer;
} calmoe_prompt;

enum { CALMOE_MAX_DELTAS = 32 };

/* What makes one policy cheaper than another. */
enum {
    CALMOE_COSTS_TIME, /* microseconds, measured on this machine: what is quickest here                           */
    CALMOE_COSTS_BYTES /* kilobytes of weights that are read, counted: the same policies each time, with any number of
                          threads and however busy the machine is; packing differs a little by instruction set    */
};

typedef struct calmoe_calibrate_options {
    size_t        size;          /* set by calmoe_calibrate_options_init()                                  */
    const char   *loss;          /* "token_disagreement" (default), "total_variation", "rouge_l", "exact_match" */
    const char   *p_value;       /* "wsr", "hoeffding_bentkus", "binomial"; NULL = binomial where losses are 0 or 1,
                                    else wsr (default). Chosen before any loss is seen                       */
    double        epsilon;       /* above 0, below 1 (default 0.05)                                         */
    const double *deltas;        /* (n_deltas) ascending, above 0, below 1; NULL = 0.1, 0.5, 1, 2, 5, 10 %  */
    int           n_deltas;
    double        first_share;   /* of the prompts that policies are made on (default 0.3)                  */
    uint64_t      seed;          /* of the deal (default 1)                                                 */
    int           answer_tokens; /* answers are cut there (default 64)                                      */
    int           costs;         /* CALMOE_COSTS_*; measured (default)                                      */
    int           batch;         /* costs are those of steps of so many sessions (default 1)                */
    const char   *measures;      /* of confidence, comma-separated; "" = no early exits; NULL = all that the engine
                                    can run, but static ones (default)                                      */
    int           max_exits;     /* of a policy, 1 to 3 (default 2)                                         */
    int           width;         /* 1: try fewer experts, too (default 1)                                   */
    int           tails;         /* 1: try thin tails after an exit, too (default 1)                        */
    int           most;          /* policies of the search at most (default 240); some near each bound come on top */
    int           rivals;        /* 1: test poorer kinds, too: calmoe_calibration_get_rival() (default 0) */
    int           n_splits;      /* at least so many random divisions of the second part are to be evaluated:
                                    calmoe_calibration_get_splits(); 0 = none (default)                     */
    calmoe_progress_fn progress; /* NULL = none (default); may cancel                                       */
    void         *progress_user;
    int           resident;      /* 1: with width, try also to let experts that the plan keeps in memory take the places
                                    of streamed ones; the engine has such a plan, and what is proven is true under
                                    plans that keep the same experts (default 0)                            */
} calmoe_calibrate_options;

CALMOE_API void calmoe_calibrate_options_init(calmoe_calibrate_options *options);

/* Runs the model; minutes to hours. options may be NULL. Prompts are borrowed for the call. The engine's own sessions
 * stay as they are. INVALID_ARGUMENT: an option, an empty prompt, one that does not fit the context with its answer,
 * fewer than two prompts. CANCELLED, NO_MEMORY, UNSUPPORTED (a measure that the engine cannot run). That nothing is
 * proven is no failure. */
CALMOE_API calmoe_status calmoe_calibrate(calmoe_engine *engine, const calmoe_prompt *prompts, int n_prompts,
                                          const calmoe_calibrate_options *options, calmoe_calibration **out);
CALMOE_API void calmoe_calibration_close(calmoe_calibration **calibration); /* sets it to NULL; NULL is fine */

/* The rungs that are proven, maybe none. The policy lives on its own. */
CALMOE_API calmoe_status calmoe_calibration_get_policy(const calmoe_calibration *calibration, calmoe_policy **out);

typedef struct calmoe_finding { /* for one of the deltas */
    size_t      size;          /* set by the caller to sizeof(calmoe_finding)                       */
    double      delta;
    int         is_proven;     /* 0: OFF, and the sentence says why                                 */
    double      p;             /* of the test                                                       */
    double      mean_loss;     /* on the second part                                                */
    int         n_prompts;     /* of the second part                                                */
    int         n_needed;      /* prompts that it takes even if no loss is ever seen                */
    int         n_tried;       /* policies that were tested                                         */
    double      cost;          /* expected, of a decoding step against OFF: 0.6 = in 60 % of the time, or bytes */
    double      mean_layers;   /* of a token, on the first part                                     */
    double      mean_experts;  /* of a token in a layer that it runs                                */
    const char *policy;        /* in words: "softmax 6:0.93, width ratio:0.3"; lives as long as the calibration */
    const char *sentence;      /* what is proven, or why nothing is                                 */
    int         n_members;     /* policies that are proven for delta and cheapest on some machine; this is the one that
                                  is here                                                           */
    double      mean_reads;    /* with resident: experts that a token needs and the plan leaves on disk */
} calmoe_finding;
CALMOE_API calmoe_status calmoe_calibration_get_finding(const calmoe_calibration *calibration, int delta,
                                                        calmoe_finding *finding);

/* The same, had only policies of one kind been tried; for comparison. */
enum {
    CALMOE_RIVAL_DEPTH,  /* early exits alone                                                           */
    CALMOE_RIVAL_WIDTH,  /* fewer experts alone                                                         */
    CALMOE_RIVAL_STATIC, /* the same for all tokens: an exit after so many layers, or so many experts */
    CALMOE_N_RIVALS
};
/* INVALID_ARGUMENT where rivals was 0. */
CALMOE_API calmoe_status calmoe_calibration_get_rival(const calmoe_calibration *calibration, int kind, int delta,
                                                      calmoe_finding *finding);

typedef struct calmoe_split_finding { /* of many random divisions of the second part: half proves, half checks */
    size_t size;             /* set by the caller                                                     */
    int    n_splits;
    int    n_proven;         /* some policy was proven                                                */
    int    n_violated;       /* of these, the mean loss on the half that checks was above delta       */
    double mean_risk;        /* of these, that mean loss                                              */
    double mean_cost;        /* over all divisions, against OFF, which is 1                           */
} calmoe_split_finding;
/* INVALID_ARGUMENT where n_splits was 0. */
CALMOE_API calmoe_status calmoe_calibration_get_splits(const calmoe_calibration *calibration, int delta,
                                                       calmoe_split_finding *finding);

typedef struct calmoe_calibration_info {
    size_t size;            /* set by the caller                                                   */
    int    n_deltas;
    int    n_prompts[2];    /* of the two parts                                                    */
    int    n_policies;      /* that were tried on the first                                        */
    double mean_answer;     /* tokens of the full answers                                          */
    double step;            /* microseconds or kilobytes (options.costs) for a token: a whole one,  */
    double layer, expert;   /* a layer without routed experts, a routed expert,                    */
    double fill, head;      /* keys and values of a layer that is skipped, the vocabulary          */
    double oracle_layers;   /* mean layers if each token left at the first that agrees; 0 = not looked at */
    char   prompts[17];     /* hash of prompts and references                                      */
    double read;            /* where the plan leaves experts on disk: one of these that a token needs      */
    double reads;           /* with resident: how many of these a whole token needs                */
} calmoe_calibration_info;
CALMOE_API calmoe_status calmoe_calibration_get_info(const calmoe_calibration *calibration,
                                                     calmoe_calibration_info *info);

#ifdef __cplusplus
}
#endif
#endif
