/* runtime/families/bailing_moe2.c - Ling 2.0 and Ring 2.0, mini and flash: half of each head is rotated, norms of each
 * head of q and k; sigmoids with biases for choosing in groups, dense layers first, a shared expert. */
#include <stddef.h>

#include "runtime/families/family.h"

static const char *const keys[] = {"expert_weights_scale", "expert_group_count", "expert_group_used_count", NULL};

extern const struct family cm_family_bailing_moe2;
const struct family cm_family_bailing_moe2 = {
    .name = "bailingmoe2",
    .architecture = "bailingmoe2",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_QK_NORMS | NEEDS_CHOICE_BIASES | NEEDS_SHARED,
    .keys = keys,
};
