/* runtime/families/mixtral.c - Mixtral: the Llama block with 8 experts, 2 for each token. Files arrange
 * the rows of q and k for interleaved rotation, though the original checkpoints do not. */
#include "runtime/families/family.h"

extern const struct family cm_family_mixtral;
const struct family cm_family_mixtral = {
    .name = "mixtral",
    .architecture = "llama",
    .has_experts = true,
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE,
};
