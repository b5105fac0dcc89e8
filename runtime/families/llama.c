/* runtime/families/llama.c - Llama and its many dense relatives. Files arrange the rows of q and k for
 * interleaved rotation; llama3 scaling comes as the tensor rope_freqs.weight. */
#include "runtime/families/family.h"

extern const struct family cm_family_llama;
const struct family cm_family_llama = {
    .name = "llama",
    .architecture = "llama",
    .has_experts = false,
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
};
