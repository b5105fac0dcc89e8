/* router/router.h - logits in, routing out. Pure: plain data, no memory, no failure. */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

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

#endif
