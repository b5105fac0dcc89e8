/* calmoe/policy.h - what a session may leave out: layers, where a token is sure early, and experts that weigh little.
 *
 * A policy is a ladder of rungs. Each says how deep and how wide tokens go, and what is proven of it: with confidence
 * 1 - epsilon the risk is at most delta. Files of proven policies are made for one model; one that is made in memory is
 * an experiment, nothing is proven of it. Prompts are always read in full; a policy is for the tokens of answers.
 * Without a policy, or where no rung is safe enough, a session is OFF: all layers, all experts, to the bit. */
#ifndef CALMOE_POLICY_H
#define CALMOE_POLICY_H

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_policy calmoe_policy;
typedef struct calmoe_engine calmoe_engine; /* calmoe/engine.h */

enum { CALMOE_MAX_EXITS = 16 };

/* Reads a policy file (docs/FORMATS.md). IO, BAD_FILE; INVALID_ARGUMENT: made for another model, whose fingerprint the
 * sentence tells. */
CALMOE_API calmoe_status calmoe_policy_open(calmoe_model *model, const char *path, calmoe_policy **out);
/* Writes the policy file that calmoe_policy_open() reads. INVALID_ARGUMENT for a policy of which nothing is proven;
 * IO. */
CALMOE_API calmoe_status calmoe_policy_save(const calmoe_policy *policy, const char *path);

/* Rungs of the same delta are a front: all of them proven, at once, so that any may be taken, for whatever reason.
 * Which one is cheapest depends on the machine; what they leave out, and so the tokens of answers, differs. Until
 * one of the next two calls the first of each front is taken. Both are for a policy that no session has yet.
 *
 * Takes of each front the cheapest on this engine, or OFF where that is cheaper (calmoe_policy_get_rung() tells).
 * costs: NULL or "time": what parts of a token cost here, measured in less than a second, once for a processor and a
 * model (kept in the user's cache, docs/FORMATS.md); "bytes": weights that are read, counted; else the path of a
 * costs file: the same file makes the same choice on every machine. Nothing changes, and nothing is measured, where
 * no rung has a choice. Nothing changes, either, where the machine is too busy to tell times, or where the engine
 * was opened with a profile, which would count the steps; the log says so. INVALID_ARGUMENT: another model's costs, or
 * too few of them; IO, BAD_FILE. */
CALMOE_API calmoe_status calmoe_policy_choose(calmoe_policy *policy, calmoe_engine *engine, const char *costs);
/* Takes the member (1, 2, … as in the file) of the front with the largest delta that is at most quality, whatever it
 * costs. INVALID_ARGUMENT: it has not so many, or there is none. */
CALMOE_API calmoe_status calmoe_policy_fix(calmoe_policy *policy, double quality, int member);

/* Sessions first. Sets *policy to NULL; NULL is fine. */
CALMOE_API void calmoe_policy_close(calmoe_policy **policy);

typedef struct calmoe_policy_options {
    size_t      size;         /* set by calmoe_policy_options_init()                                          */
    const char *measure;      /* "softmax", "state", "classifier" (of the engine's exits file), "shortlist", "lead",
                                 "always";
                                 NULL = no exits (default)                                                    */
    float       threshold;    /* above 0, at most 1: a token that is at least so sure leaves                   */
    const int  *exit_layers;  /* (n_exits) layers that have run, ascending, below the model's; NULL = every layer at
                                 which an exit is possible; of more than CALMOE_MAX_EXITS so many, evenly spread,
                                 which the log tells (default)                                                */
    int         n_exits;      /* 0 where exit_layers is NULL                                                  */
    const char *schedule;     /* of the threshold along an answer: "paper" or "code"; NULL = constant (default) */
    float       tau;          /* of the schedule                                                               */
    int         length;       /* of the schedule: the longest answer                                           */
    int         k_tail;       /* -1: the layers after an exit are skipped (default); 0, 1, …: they run with so
                                 many routed experts, for later tokens' sake                                   */
    const char *width;        /* "fixed", "ratio", "top_p"; "resident": an expert that the plan keeps in memory may
                                 take the place of a streamed one; NULL = all experts (default)               */
    float       width_bound;  /* ratio: of the largest weight; top_p: of the weights' sum; resident: of the weight of
                                 the expert that it replaces; above 0, at most 1                              */
    int         width_k;      /* fixed: how many; else at least so many (default 1)                            */
    const char *kv_fill;      /* keys and values of layers that are skipped: "propagate", of the state at the exit, at
                                 once; "lazy", the same when a later token needs them; "catch_up", exact: the layers
                                 are run together with the next token that goes there; NULL = "propagate" (default) */
    int         max_pending;  /* lazy, catch_up: tokens that may wait, 1 to 1024; 0 = 32 (default)             */
} calmoe_policy_options;

CALMOE_API void calmoe_policy_options_init(calmoe_policy_options *options);

/* A policy of one rung of which nothing is proven. INVALID_ARGUMENT, NO_MEMORY. */
CALMOE_API calmoe_status calmoe_policy_make(calmoe_model *model, const calmoe_policy_options *options,
                                            calmoe_policy **out);

typedef struct calmoe_rung_info {
    size_t      size;      /* set by the caller to sizeof(calmoe_rung_info)                 */
    int         is_proven; /* 0: the figures of the proof are 0 and ""                      */
    double      delta;     /* with confidence 1 - epsilon the risk is at most delta         */
    double      epsilon;
    const char *loss;      /* what the risk is the mean of: "token_disagreement", …         */
    const char *p_value;   /* the test: "wsr", …                                            */
    double      p;         /* that it gave                                                  */
    int         n_prompts; /* that it was given                                             */
    int         n_exits;
    int         exit_layers[CALMOE_MAX_EXITS];
    int         k_tail;    /* -1 = none */
    int         has_width; /* 1: some layer may run fewer experts */
    int         member;    /* of n_members of its front, from 1 on                          */
    int         n_members;
    int         is_taken;  /* of its front                                                  */
    double      cost;      /* of a token against OFF, by the costs that it was chosen by; 0 = not known */
} calmoe_rung_info;

/* Rungs from the safest (0) on; those of a front stand side by side. */
CALMOE_API int calmoe_policy_n_rungs(const calmoe_policy *policy);
/* What it points to lives as long as the policy. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_policy_get_rung(const calmoe_policy *policy, int rung, calmoe_rung_info *info);

#ifdef __cplusplus
}
#endif
#endif
