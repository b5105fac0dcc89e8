/* runtime/policy/policy.h - what may be left out, and what is proven about it: a ladder of rungs, one for each
 * bound. Plain data; calibration makes it, runtime/documents/policy_file.h stores it, the decoder obeys it. OFF is
 * no rung: it is the absence of one. */
#ifndef RUNTIME_POLICY_POLICY_H
#define RUNTIME_POLICY_POLICY_H

#include "base/status.h"
#include "router/width.h"
#include "runtime/policy/parts.h"
#include "runtime/proof/losses.h"
#include "runtime/proof/risk_bounds.h"

enum {
    POLICY_MAX_RUNGS = 256,
    POLICY_MAX_FRONT = 8,      /* rungs of one delta */
    POLICY_MAX_EXITS = 16,
    POLICY_MAX_LAYERS = 4096,
    POLICY_MAX_WIDTH = 64,     /* experts of a token, as router.h says */
    POLICY_MAX_PENDING = 1024,
    POLICY_PENDING = 32,       /* unless something else is said */
    POLICY_MAX_TOKENS = 1 << 24, /* of an answer, in a schedule          */
    POLICY_MAX_PARTS = 1 << 20   /* of a kind, of a token                */
};

/* Keys and values of the layers that a token did not run. */
enum kv_fill {
    KV_PROPAGATE, /* at once: the state at the exit through each layer's norm, W_K and W_V               */
    KV_LAZY,      /* the same, when a later token first reads them; all that wait in one product         */
    KV_CATCH_UP,  /* exact: the rows that wait run the real layers together with the next token that goes there */
    KV_FILL_COUNT
};
extern const char *const cm_kv_fill_names[KV_FILL_COUNT]; /* "propagate", "lazy", "catch_up" */

struct policy_exit {
    int                   layer; /* layers that have run, 1 … n_layers - 1 */
    enum exit_measure     measure;
    struct exit_threshold threshold; /* never OFF: such an exit is left out */
};

enum { TAIL_NONE = -1 }; /* k_tail: the layers after an exit are skipped */

struct policy_rung {
    /* what is proven: P(risk <= delta) >= 1 - epsilon */
    double             delta, epsilon;
    enum loss_kind     loss;
    enum p_value_kind  p_value;
    int                n_prompts;
    double             p;          /* <= epsilon; of a front, times the sequences that it was tested in */
    bool               has_parts;
    struct parts       parts;      /* of a token, where has_parts                    */
    /* depth */
    int                n_exits;
    struct policy_exit exits[POLICY_MAX_EXITS]; /* layers ascending, each once       */
    enum kv_fill       kv_fill;
    int                max_pending; /* rows that may wait before a full pass is forced; 0 for KV_PROPAGATE */
    int                k_tail;     /* TAIL_NONE, or routed experts in each layer after an exit: 0, 1, …    */
    /* width: NULL = all experts everywhere; borrowed from the policy */
    struct width_rule *widths;     /* (n_layers)                                     */
};

/* Does it go by which experts a plan keeps in memory? */
bool cm_rung_goes_by_plan(const struct policy_rung *rung, int n_layers);

/* Do tokens leave by the same rules? */
bool cm_same_exits(const struct policy_rung *a, const struct policy_rung *b);

/* How the layers behind its exits get keys and values, with POLICY_PENDING rows that may wait where any may. */
void cm_rung_set_fill(struct policy_rung *rung, enum kv_fill fill);

struct policy {
    char               fingerprint[17]; /* of the model it was made for: 16 hex digits */
    char               prompts[17];     /* hash of those that it was proven on; "" = not known    */
    char               exits[17];       /* of the learned exits that it was made with; "" = none */
    char               kept[17];        /* of the plan it was proven under, as cm_plan_kept() tells; "" = no rung goes
                                           by it                                        */
    double             off_reads;       /* PART_READ of a token that leaves out nothing, under that plan */
    int                n_layers;        /* of that model                               */
    int                n_rungs;
    /* Deltas ascend. Rungs of the same delta are a front: proven together, so that with confidence 1 - epsilon the risk
     * of none of them is above delta. Which of them is taken is free; each has its parts. */
    struct policy_rung rungs[POLICY_MAX_RUNGS];
    int                chosen[POLICY_MAX_RUNGS]; /* at a front's first rung: which of it is taken, 0 = the first; or
                                                    FRONT_OFF, FRONT_BELOW           */
    struct width_rule *widths;          /* (n_rungs, n_layers): memory of the rungs' */
};

enum {
    FRONT_OFF = -1,  /* nothing of the front is cheaper than the full model */
    FRONT_BELOW = -2 /* nothing of the front is true under the plan at hand: as if it were not there */
};

/* n_layers is set; asks for the memory of widths. Rungs borrow theirs by cm_policy_widths. */
calmoe_status cm_policy_reserve(struct calmoe_context *ctx, struct policy *policy);
/* Row `rung` of widths: (n_layers). */
struct width_rule *cm_policy_widths(const struct policy *policy, int rung);
void               cm_policy_close(struct policy *policy); /* zeroes it; a zeroed one is fine */

/* Everything that a policy file may not say either: ranges, order, exits and rules that make no sense. BAD_FILE:
 * "rung 2: exits: layer 9 after layer 12; …". */
calmoe_status cm_policy_check(struct calmoe_context *ctx, const struct policy *policy);

/* The same of rungs of which nothing is proven, and without the order of their deltas. */
calmoe_status cm_policy_check_unproven(struct calmoe_context *ctx, const struct policy *policy);

/* Does it fit the model at hand? INVALID_ARGUMENT: what differs. n_used: routed experts of a token. */
calmoe_status cm_policy_fits(struct calmoe_context *ctx, const struct policy *policy, const char *fingerprint,
                             int n_layers, int n_used);

/* The first rung of the front that a rung stands in; *n (may be NULL): how many it has. */
int cm_policy_front(const struct policy *policy, int rung, int *n);
/* The first rung of the front with the largest delta that is at most wish; -1 = there is none. */
int cm_policy_front_for(const struct policy *policy, double wish);
/* Under a plan that keeps these experts (cm_plan_kept()). Rungs that go by others are not true, and no choice; where
 * their front has no other, it is as if it were not there. Of the rest of each front the first is taken. */
void          cm_policy_leave_untrue(struct policy *policy, const char *kept);
/* How many rungs these are. */
int           cm_policy_n_untrue(const struct policy *policy, const char *kept);
/* In each front the cheapest at these prices of those that are true under that plan, or OFF, which costs off, where
 * that is less; of equal ones the first. Fronts without parts keep their first. INVALID_ARGUMENT: a part has no price.
 */
calmoe_status cm_policy_choose(struct calmoe_context *ctx, struct policy *policy, const char *kept,
                               const struct parts *prices, double off);

/* What is taken of the front with the largest delta that is at most wish ("--quality 1%": 0.01); NULL = OFF. */
const struct policy_rung *cm_policy_rung(const struct policy *policy, double wish);
/* Of the safest front; NULL = OFF. */
const struct policy_rung *cm_policy_safest(const struct policy *policy);
/* Of the front below, where the audit says so; NULL = OFF. rung is the policy's. */
const struct policy_rung *cm_policy_step_down(const struct policy *policy, const struct policy_rung *rung);
/* Which of the policy's rungs it is; -1 = OFF. */
int cm_policy_index(const struct policy *policy, const struct policy_rung *rung);

#endif
