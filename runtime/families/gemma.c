/* runtime/families/gemma.c - Gemma and Gemma 2. Embeddings are scaled, gates are GELU's. Gemma 2 has norms before and
 * behind each half, every other layer sees a window, scores and logits are capped. What files hold as norms is already
 * the 1 + w by which the models multiply. */
#include <math.h>

#include "runtime/families/family.h"

extern const struct family cm_family_gemma;
const struct family cm_family_gemma = {
    .name = "gemma",
    .architecture = "gemma",
    .pairing = ROPE_NEOX,
    .nonlinearity = NONLINEARITY_GELU_UP,
    .scales_embedding = true,
};

/* Files do not say how scores are scaled. It is by the head's size, but for the model of 27 billion weights, the only
 * one of 46 layers, by dim / n_heads. */
static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    const bool is_27b = spec->n_layers == 46 && !cm_key_exists(keys, "attention.scale");
    float      cap = 0.0f;
    CM_TRY(cm_key_float(keys, "attn_logit_softcapping", 0.0, 1e6, &cap));
    for (int i = 0; i < spec->n_layers; i++) {
        struct attention_spec *attention = &spec->layers[i].attention;
        attention->soft_cap = cap;
        if (is_27b) attention->scale = 1.0f / sqrtf((float)spec->dim / (float)attention->n_heads);
    }
    return CALMOE_OK;
}

static const char *const keys[] = {"attention.sliding_window", "attn_logit_softcapping", "final_logit_softcapping",
                                   NULL};

extern const struct family cm_family_gemma_2;
const struct family cm_family_gemma_2 = {
    .name = "gemma2",
    .architecture = "gemma2",
    .pairing = ROPE_NEOX,
    .norms = NORMS_AROUND,
    .nonlinearity = NONLINEARITY_GELU_UP,
    .window_period = 2,
    .scales_embedding = true,
    .keys = keys,
    .adjust = adjust,
};
