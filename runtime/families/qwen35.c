/* runtime/families/qwen35.c - Qwen3.5 and Qwen3.6, dense: the layers of their mixtures without experts. */
#include "runtime/families/family.h"

extern const struct family cm_family_qwen35;
const struct family cm_family_qwen35 = {
    .name = "qwen35",
    .architecture = "qwen35",
    .has_experts = false,
    .pairing = ROPE_NEOX,
    .norms = NORMS_POST_ATTENTION,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_QK_NORMS | NEEDS_QUERY_GATES,
    .recurrent = RECURRENT_DELTA_IN_TURN,
};
