/* runtime/families/qwen2_moe.c - Qwen1.5-MoE and Qwen2-MoE: biases on q, k, v; weights not renormalised; a shared
 * expert behind a sigmoid gate of one row (present as tensors, so nothing to say here). */
#include "runtime/families/family.h"

extern const struct family cm_family_qwen2_moe;
const struct family cm_family_qwen2_moe = {
    .name = "qwen2moe",
    .architecture = "qwen2moe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SOFTMAX,
    .renormalise = false,
    .needs = NEEDS_ROPE_BASE | NEEDS_QKV_BIASES | NEEDS_SHARED | NEEDS_SHARED_GATE,
};
