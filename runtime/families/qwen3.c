/* runtime/families/qwen3.c - Qwen3, dense, and the text model of Qwen3-VL: q and k normalised for each head. */
#include "runtime/families/family.h"

extern const struct family cm_family_qwen3;
const struct family cm_family_qwen3 = {
    .name = "qwen3",
    .architecture = "qwen3",
    .has_experts = false,
    .pairing = ROPE_NEOX,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS,
};

extern const struct family cm_family_qwen3_vl;
const struct family cm_family_qwen3_vl = {
    .name = "qwen3vl",
    .architecture = "qwen3vl",
    .pairing = ROPE_NEOX,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS,
};
