/* runtime/proof/risk_bounds.h - p-values for "the risk is above delta", from losses of independent prompts.
 *
 * The null hypothesis is H: E[L] > delta; a small p-value is evidence that the risk is at most delta. Each row is
 * valid at every n: where H is true, P(p <= u) <= u for every u. Which row is used must be chosen before the
 * losses are seen; the smaller one of two is no p-value. WSR looks at losses in their order, so the order
 * must not depend on them either.
 *
 * All arithmetic is from kernels/elementary.h: the same losses give the same p-value on every machine. */
#ifndef RUNTIME_PROOF_RISK_BOUNDS_H
#define RUNTIME_PROOF_RISK_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum p_value_kind {
    P_WSR,               /* betting: Waudby-Smith & Ramdas 2021; the default   */
    P_HOEFFDING_BENTKUS, /* Bates et al. 2021                                  */
    P_BINOMIAL,          /* exact, for losses that are 0 or 1                  */
    P_VALUE_KIND_COUNT
};

struct loss_sample { /* n > 0 losses in [0, 1] */
    const double *losses;       /* (n); NULL: planned, 0 and 1 spread evenly */
    size_t        n;
    double        planned_risk; /* their mean                                */
};

struct p_value_row {
    const char *name;      /* "wsr", … as options and policy files write it    */
    bool        is_binary; /* asks for losses that are 0 or 1                  */
    /* ln p; 0 < delta, epsilon < 1. Only WSR's bets read epsilon. */
    double (*ln_p)(const struct loss_sample *sample, double delta, double epsilon);
};

extern const struct p_value_row cm_p_values[P_VALUE_KIND_COUNT];

/* The row of that name; P_VALUE_KIND_COUNT if there is none. */

/* ln p, never above 0. Whatever is no evidence gives 0 (p = 1): no losses, a NaN, a loss out of [0, 1] or, for the
 * exact binomial, between 0 and 1, a delta or epsilon out of (0, 1). */
double cm_ln_p_value(enum p_value_kind kind, const double *losses, size_t n, double delta, double epsilon);

/* Says which loss is wrong, where cm_ln_p_value would only never reject. INVALID_ARGUMENT:
 * "WHERE: loss 17: found nan, wanted 0 to 1". */
calmoe_status cm_check_losses(struct calmoe_context *ctx, const char *where, enum p_value_kind kind,
                              const double *losses, size_t n);

/* How many prompts it takes at least until p <= epsilon, if the observed risk is expected_risk. At 0 that is
 * exact: with fewer prompts nothing can be proven. Above 0 it is for planning: losses of 0 and 1, the widest
 * with this mean, spread evenly; in chance's order about every second try succeeds at this n.
 * 0: no number up to 2^24 would do. */
size_t cm_samples_needed(enum p_value_kind kind, double delta, double epsilon, double expected_risk);

#endif
