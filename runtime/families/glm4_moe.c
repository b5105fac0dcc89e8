/* runtime/families/glm4_moe.c - GLM-4.5, 4.5-Air, 4.6 and 4.7: half of each head is rotated; biases of q, k and v,
 * norms of q and k in the large models; sigmoids with biases for choosing, dense layers first, a shared expert. */
#include <stddef.h>

#include "runtime/families/family.h"

extern const struct family cm_family_glm4_moe;
const struct family cm_family_glm4_moe = {
    .name = "glm4moe",
    .architecture = "glm4moe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .norms = NORMS_POST_ATTENTION,
    .hands_on_plain = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_CHOICE_BIASES | NEEDS_SHARED,
    .keys = (const char *const[]){"expert_weights_scale", NULL},
};
