/* router/router.h - logits in, routing out. Pure: plain data, no memory, no failure. */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include <stdbool.h>

#include "base/status.h"
#include "kernels/vector_ops.h"
#include "router/router_spec.h"

enum { ROUTER_MAX_EXPERTS = 1024, ROUTER_MAX_USED = 64 };

/* Checks what a file claims: counts within the limits above, groups that divide the experts, enough
 * experts in the groups that are kept. UNSUPPORTED or BAD_FILE with a sentence. */
calmoe_status cm_router_check(struct calmoe_context *ctx, const struct router_spec *spec);

/* Routes one token. logits (n_experts) are overwritten.
 * experts, weights: (n_used), by descending selection score; ties go to the lower index. NaN never
 * wins against a number; the chosen experts are always distinct. Where a logit or a bias is NaN all weights are, so
 * that it is not lost where that expert is not chosen. */
void cm_route(const struct router_spec *spec, const struct vector_ops *ops, float *logits,
              const struct router_vectors *vectors, int32_t *experts, float *weights);

/* After cm_route(), with the scores that it left in its logits: preferred experts take the places of others that were
 * chosen. From the last chosen one to the first, the best preferred one that is left takes the place of one that is not
 * preferred, where its weight is at least bound (0 < bound <= 1) times that one's; experts and weights are then as if
 * the router had chosen these. is_preferred: (n_experts). Answers how many were replaced. Nothing changes where weights
 * are NaN, or where a weight is one among all scores (the sparse mixer), so that no two experts can be compared. */
int cm_route_prefer(const struct router_spec *spec, const struct vector_ops *ops, const float *scores,
                    const struct router_vectors *vectors, const bool *is_preferred, float bound, int32_t *experts,
                    float *weights);

#endif
