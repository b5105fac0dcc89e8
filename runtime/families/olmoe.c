/* runtime/families/olmoe.c - OLMoE: 64 experts, 8 for each token, weights not renormalised; q and k are
 * normalised over the whole vector, which the size of their norm tensors tells. */
#include "runtime/families/family.h"

extern const struct family cm_family_olmoe;
const struct family cm_family_olmoe = {
    .name = "olmoe",
    .architecture = "olmoe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SOFTMAX,
    .renormalise = false,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS | NEEDS_OUTPUT,
};
