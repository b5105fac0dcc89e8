/* runtime/families/qwen2.c - Qwen2, dense: biases on q, k, v. */
#include "runtime/families/family.h"

extern const struct family cm_family_qwen2;
const struct family cm_family_qwen2 = {
    .name = "qwen2",
    .architecture = "qwen2",
    .has_experts = false,
    .pairing = ROPE_NEOX,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QKV_BIASES,
};
