/* runtime/families/hunyuan.c - Hunyuan-A13B, and its dense kin: heads of q and k are normed behind their
 * rotation; a shared expert. And Hy3, which norms them before it: sigmoids with biases for choosing, dense layers
 * first, a shared expert. */
#include <stddef.h>

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

extern const struct family cm_family_hunyuan;
const struct family cm_family_hunyuan = {
    .name = "hunyuan-dense",
    .architecture = "hunyuan-dense",
    .pairing = ROPE_NEOX,
    .norms_follow_rotation = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS,
};

extern const struct family cm_family_hy3;
const struct family cm_family_hy3 = {
    .name = "hy3",
    .architecture = "hy_v3",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS | NEEDS_SHARED | NEEDS_CHOICE_BIASES,
    .keys = (const char *const[]){"expert_weights_scale", NULL},
};
