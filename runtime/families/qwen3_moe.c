/* runtime/families/qwen3_moe.c - Qwen3-MoE, and the text model of Qwen3-VL and Qwen3-Omni with experts: q and k
 * normalised for each head, no biases, weights renormalised. */
#include "runtime/families/family.h"

extern const struct family cm_family_qwen3_moe;
const struct family cm_family_qwen3_moe = {
    .name = "qwen3moe",
    .architecture = "qwen3moe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS,
};

extern const struct family cm_family_qwen3_vl_moe;
const struct family cm_family_qwen3_vl_moe = {
    .name = "qwen3vlmoe",
    .architecture = "qwen3vlmoe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS,
};
