/* runtime/families/qwen35_moe.c - the mixtures of experts of Qwen3.5 and Qwen3.6: as Qwen3-Next, but in files value
 * heads take turns over the key heads, and the projections of beta and alpha are two tensors. */
#include "runtime/families/family.h"

extern const struct family cm_family_qwen35_moe;
const struct family cm_family_qwen35_moe = {
    .name = "qwen35moe",
    .architecture = "qwen35moe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .norms = NORMS_POST_ATTENTION,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_QK_NORMS | NEEDS_QUERY_GATES | NEEDS_SHARED | NEEDS_SHARED_GATE,
    .recurrent = RECURRENT_DELTA_IN_TURN,
};
