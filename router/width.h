/* router/width.h - adaptive width: how many of its routed experts a token really needs. Pure; no memory, no failure.
 *
 * A rule keeps a prefix of the token's slots. With w the weights in slot order and W = max w:
 *   fixed   the first k
 *   ratio   up to the last slot with w >= bound * W           (0 < bound <= 1)
 *   top_p   the shortest prefix with sum w >= bound * total   (0 < bound <= 1)
 *   resident  all n; but before that, experts that the plan keeps in memory have taken the places of streamed ones,
 *             where their weight is >= bound times that one's (cm_route_prefer(); the decoder asks for it)
 * Of sorted weights, as most gates give them, the ratio's prefix is just the slots with w >= bound * W. Where the
 * choice was biased, slots are sorted by another score, and a rule keeps a slot too many rather than one too few. */
#ifndef ROUTER_WIDTH_H
#define ROUTER_WIDTH_H

#include <stdbool.h>

/* Before WIDTH_RESIDENT stand those that do not depend on a plan. */
enum width_kind { WIDTH_OFF, WIDTH_FIXED, WIDTH_RATIO, WIDTH_TOP_P, WIDTH_RESIDENT, WIDTH_KIND_COUNT };

struct width_rule {
    enum width_kind kind;        /* 0 = off                                                   */
    float           bound;       /* of ratio, top_p and resident                              */
    int             k;           /* fixed: how many; else: at least so many. Below 1 means 1. */
    bool            renormalise; /* kept weights are scaled to the sum that all had; for families whose
                                    gate renormalises                                         */
};

struct width_row {
    const char *name; /* "off", "fixed", "ratio", … as options and policy files write it */
    /* Slots to keep of n, before the bounds on k are applied. */
    int (*n_kept)(const struct width_rule *rule, const float *weights, int n);
};

extern const struct width_row cm_width_rules[WIDTH_KIND_COUNT];

/* How many of a token's n slots stay, 1 … n (n >= 1). Weights of kept slots are renormalised where the rule says so and
 * a slot was dropped; otherwise no bit changes. Slots that are not kept must not be run at all, nor their
 * weights (left as they were) used. NaN among the weights: all stay. */
int cm_width(const struct width_rule *rule, float *weights, int n);

#endif
