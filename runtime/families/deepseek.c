/* runtime/families/deepseek.c - DeepSeek-MoE, the first of 16 billion weights, and Ling 1.0: Llama's attention, a
 * softmax over all experts, of which Ling renormalises what is chosen, and shared experts as one; of DeepSeek's model
 * the first layer is dense. Files arrange the rows of q and k for interleaved rotation. */
#include <stddef.h>

#include "runtime/families/family.h"

static const char *const keys[] = {"leading_dense_block_count", NULL};

extern const struct family cm_family_deepseek;
const struct family cm_family_deepseek = {
    .name = "deepseek",
    .architecture = "deepseek",
    .has_experts = true,
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .score = SCORE_SOFTMAX,
    .needs = NEEDS_ROPE_BASE | NEEDS_SHARED | NEEDS_OUTPUT,
    .keys = keys,
};

static const char *const ling_keys[] = {"leading_dense_block_count", "expert_weights_norm", NULL};

extern const struct family cm_family_bailing_moe;
const struct family cm_family_bailing_moe = {
    .name = "bailingmoe",
    .architecture = "bailingmoe",
    .has_experts = true,
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .score = SCORE_SOFTMAX,
    .needs = NEEDS_ROPE_BASE | NEEDS_SHARED | NEEDS_OUTPUT,
    .keys = ling_keys,
};
