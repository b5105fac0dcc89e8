/* runtime/families/dots1.c - dots.llm1: norms of each head of q and k; sigmoids with biases for choosing, dense layers
 * first, shared experts as one. */
#include <stddef.h>

#include "runtime/families/family.h"

extern const struct family cm_family_dots1;
const struct family cm_family_dots1 = {
    .name = "dots1",
    .architecture = "dots1",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS | NEEDS_CHOICE_BIASES | NEEDS_SHARED | NEEDS_OUTPUT,
    .keys = (const char *const[]){"expert_weights_scale", NULL},
};
