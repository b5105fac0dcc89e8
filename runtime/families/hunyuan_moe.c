/* runtime/families/hunyuan_moe.c - Hunyuan-A13B: heads of q and k are normed behind their rotation; a shared expert. */
#include "runtime/families/family.h"

extern const struct family cm_family_hunyuan_moe;
const struct family cm_family_hunyuan_moe = {
    .name = "hunyuan-moe",
    .architecture = "hunyuan-moe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .norms_follow_rotation = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS | NEEDS_SHARED,
};
