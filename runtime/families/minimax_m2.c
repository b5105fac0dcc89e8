/* runtime/families/minimax_m2.c - MiniMax-M2, M2.1, M2.5 and M2.7: norms over the whole of q and of k, half of each
 * head is rotated; sigmoids with biases for choosing. */
#include "runtime/families/family.h"

extern const struct family cm_family_minimax_m2;
const struct family cm_family_minimax_m2 = {
    .name = "minimax-m2",
    .architecture = "minimax-m2",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_CHOICE_BIASES | NEEDS_QK_NORMS | NEEDS_OUTPUT,
};
