/* random_plan.h - placement plans that no policy would make: every kind of place, slices of any sizes, nodes that have
 * nothing. The same seed gives the same plan. */
#ifndef TESTS_SUPPORT_RANDOM_PLAN_H
#define TESTS_SUPPORT_RANDOM_PLAN_H

#include "experts/placement.h"

/* shape: all but places, slices, shares and heads. */
calmoe_status random_plan(struct calmoe_context *ctx, const struct plan *shape, uint64_t seed, struct plan *out);

#endif
