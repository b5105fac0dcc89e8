/* calmoe/policy.h - what a session may leave out: the last layers, when a token's prediction is certain early, and
 * experts with little weight.
 *
 * A policy is a ladder of rungs. A rung says how many layers and experts tokens use, and what was proven about that:
 * with confidence 1 - epsilon, the risk is at most delta. A file with a proven policy belongs to one model. A policy
 * that is made in memory is an experiment about which nothing is proven. Policies apply to the tokens of answers;
 * prompts are always read in full. Without a policy, or if no rung is safe enough, a session is OFF: it uses all layers
 * and all experts, and its output is the full model's to the bit. */
#ifndef CALMOE_POLICY_H
#define CALMOE_POLICY_H

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_policy calmoe_policy;
typedef struct calmoe_engine calmoe_engine; /* calmoe/engine.h */

enum { CALMOE_MAX_EXITS = 16 };

/* Reads a policy file (docs/FORMATS.md). IO, BAD_FILE; INVALID_ARGUMENT: it was made for another model, whose
 * fingerprint the sentence names. */
CALMOE_API calmoe_status calmoe_policy_open(calmoe_model *model, const char *path, calmoe_policy **out);
/* Writes a policy file that calmoe_policy_open() can read. INVALID_ARGUMENT for a policy about which nothing is proven;
 * IO. */
CALMOE_API calmoe_status calmoe_policy_save(const calmoe_policy *policy, const char *path);

/* Several rungs with the same delta are called a front. All of them are proven at once, so any of them may be used, for
 * any reason. They leave out different things, so answers differ, and which one is cheapest depends on the machine.
 * Until one of the next two functions is called, the first rung of each front is used. Both want a policy that no
 * session uses yet.
 *
 * calmoe_policy_choose() selects in each front the rung that is cheapest on this engine, or OFF if that is cheaper;
 * calmoe_policy_get_rung() shows the choice. costs says what counts as cheap. NULL or "time": the time of the parts of
 * a token, measured in less than a second, once for each processor and model (kept in the user's cache,
 * docs/FORMATS.md). "bytes": the number of bytes of weights that are read. Anything else: the path of a costs file; the
 * same file makes the same choice on every machine. If no front has more than one rung, nothing is measured. Nothing
 * changes, and the log says so, if the machine is too busy to measure times, or if the engine was opened with a
 * profile, which would count the steps. INVALID_ARGUMENT: the costs are another model's or incomplete; IO, BAD_FILE. */
CALMOE_API calmoe_status calmoe_policy_choose(calmoe_policy *policy, calmoe_engine *engine, const char *costs);
/* Selects a rung by its number (1, 2, … as in the file) in the front with the largest delta that is at most `quality`,
 * whatever the rung costs. INVALID_ARGUMENT: there is no such front, or it has fewer rungs. */
CALMOE_API calmoe_status calmoe_policy_fix(calmoe_policy *policy, double quality, int member);

/* First close the sessions that use it. Sets *policy to NULL; NULL is fine. */
CALMOE_API void calmoe_policy_close(calmoe_policy **policy);

typedef struct calmoe_policy_options {
    size_t      size;         /* set by calmoe_policy_options_init()                                          */
    const char *measure;      /* how confidence is measured: "softmax", "state", "classifier" (of the engine's exits
                                 file), "shortlist", "lead", "always"; NULL = no exits (default)              */
    float       threshold;    /* above 0, at most 1: a token with at least this confidence leaves              */
    const int  *exit_layers;  /* (n_exits) exits stand after so many layers, ascending, each below the model's number
                                 of layers; NULL = after every layer where an exit is possible (default). If these
                                 are more than CALMOE_MAX_EXITS, so many are chosen at even distances, and the log
                                 says so                                                                      */
    int         n_exits;      /* 0 if exit_layers is NULL                                                     */
    const char *schedule;     /* how the threshold changes along an answer: "paper" or "code" (docs/SPARSITY.md);
                                 NULL = it is constant (default)                                                */
    float       tau;          /* parameter of the schedule                                                     */
    int         length;       /* parameter of the schedule: length of the longest answer                       */
    int         k_tail;       /* -1: the layers after an exit are skipped (default); 0, 1, …: they run with so many
                                 routed experts, for the benefit of later tokens                               */
    const char *width;        /* rule for leaving out experts: "fixed", "ratio", "top_p", or "resident", which lets
                                 an expert in memory take the place of one on disk; NULL = all experts run (default) */
    float       width_bound;  /* above 0, at most 1. ratio: share of the largest weight that an expert needs; top_p:
                                 share of the sum of the weights that the chosen experts reach; resident: share of
                                 the replaced expert's weight that the replacement needs                      */
    int         width_k;      /* fixed: number of experts; other rules: at least so many (default 1)           */
    const char *kv_fill;      /* where the keys and values of skipped layers come from. "propagate": from the state
                                 at the exit, at once; "lazy": the same, but only when a later token needs them;
                                 "catch_up": exact, the layers run later, together with the next token that reaches
                                 them. NULL = "propagate" (default)                                                 */
    int         max_pending;  /* lazy, catch_up: most tokens that may wait, 1 to 1024; 0 = 32 (default)        */
} calmoe_policy_options;

CALMOE_API void calmoe_policy_options_init(calmoe_policy_options *options);

/* Makes a policy with one rung, about which nothing is proven. INVALID_ARGUMENT, NO_MEMORY. */
CALMOE_API calmoe_status calmoe_policy_make(calmoe_model *model, const calmoe_policy_options *options,
                                            calmoe_policy **out);

typedef struct calmoe_rung_info {
    size_t      size;      /* set by the caller to sizeof(calmoe_rung_info)                 */
    int         is_proven; /* 0: the members about the proof are 0 and ""                   */
    double      delta;     /* with confidence 1 - epsilon the risk is at most delta         */
    double      epsilon;
    const char *loss;      /* the loss whose mean is the risk: "token_disagreement", …      */
    const char *p_value;   /* the statistical test: "wsr", …                                */
    double      p;         /* the p-value that the test gave                                */
    int         n_prompts; /* number of prompts in the test                                 */
    int         n_exits;
    int         exit_layers[CALMOE_MAX_EXITS];
    int         k_tail;    /* -1 = layers after an exit are skipped */
    int         has_width; /* 1: some layer may run fewer experts */
    int         member;    /* number of the rung in its front of n_members, from 1 on       */
    int         n_members;
    int         is_taken;  /* 1: this rung of its front is used                             */
    double      cost;      /* of a token, relative to OFF, by the costs that chose the rung; 0 = not known */
} calmoe_rung_info;

/* The number of rungs. Rung 0 is the safest; rungs of a front are neighbours. */
CALMOE_API int calmoe_policy_n_rungs(const calmoe_policy *policy);
/* Describes a rung; what the struct points to lives as long as the policy. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_policy_get_rung(const calmoe_policy *policy, int rung, calmoe_rung_info *info);

#ifdef __cplusplus
}
#endif
#endif
