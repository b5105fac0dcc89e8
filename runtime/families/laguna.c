/* runtime/families/laguna.c - Laguna, XS and larger: three of four layers see a window, turn by a base of their own and
 * may have more heads; of the others half of each head is rotated, by YaRN. What a head attends, or each element of it,
 * is weighted by softplus of a gate. Norms of each head of q and k; sigmoids with biases for choosing, dense layers
 * first, a shared expert. */
#include <stddef.h>

#include "runtime/families/family.h"

static const char *const keys[] = {"expert_weights_scale", "leading_dense_block_count", NULL};

extern const struct family cm_family_laguna;
const struct family cm_family_laguna = {
    .name = "laguna",
    .architecture = "laguna",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .window_period = 4,
    .first_sees_all = true,
    .window_base = 10000.0f,
    .has_soft_gates = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_QK_NORMS | NEEDS_GATES | NEEDS_CHOICE_BIASES | NEEDS_SHARED,
    .keys = keys,
};
