/* runtime/families/gemma_4.c - Gemma 4, text, dense and with experts: Gemma 3's norms and windows; layers that see all
 * positions have larger heads, of which factors in the file leave most pairs unturned, and may take their keys for
 * values; values are normed, scores are not scaled, logits are capped. Beside routed experts stands a dense part. */
#include <stddef.h>

#include "runtime/families/family.h"

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    const bool has_scale = cm_key_exists(keys, "attention.scale");
    for (int i = 0; i < spec->n_layers; i++) {
        spec->layers[i].attention.has_v_norm = true;
        if (!has_scale) spec->layers[i].attention.scale = 1.0f;
    }
    return CALMOE_OK;
}

static const char *const keys[] = {"attention.sliding_window", "attention.sliding_window_pattern",
                                   "attention.key_length_swa", "attention.value_length_swa",
                                   "final_logit_softcapping", NULL};

extern const struct family cm_family_gemma_4;
const struct family cm_family_gemma_4 = {
    .name = "gemma4",
    .architecture = "gemma4",
    .pairing = ROPE_NEOX,
    .norms = NORMS_AROUND,
    .nonlinearity = NONLINEARITY_GELU_UP,
    .window_period = 6,
    .window_base = 10000.0f,
    .may_lack_values = true,
    .scales_embedding = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROPE_FACTORS | NEEDS_QK_NORMS,
    .keys = keys,
    .adjust = adjust,
};

extern const struct family cm_family_gemma_4_moe;
const struct family cm_family_gemma_4_moe = {
    .name = "gemma4moe",
    .architecture = "gemma4",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .norms = NORMS_AROUND,
    .nonlinearity = NONLINEARITY_GELU_UP,
    .window_period = 6,
    .window_base = 10000.0f,
    .may_lack_values = true,
    .scales_embedding = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROPE_FACTORS | NEEDS_QK_NORMS | NEEDS_DENSE_PART,
    .keys = keys,
    .adjust = adjust,
};
