/* runtime/families/gemma_3.c - Gemma 3, text: norms before and behind each half, five of six layers see a window and
 * turn by a base of their own. What files hold as norms is already the 1 + w by which the model multiplies. */
#include <math.h>

#include "runtime/families/family.h"

/* Files do not say how scores are scaled. It is by the head's size, but for the model of 27 billion weights, the only
 * one of 62 layers, by dim / n_heads. */
static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    if (cm_key_exists(keys, "attention.scale") || spec->n_layers != 62) return CALMOE_OK;
    for (int i = 0; i < spec->n_layers; i++) {
        struct attention_spec *attention = &spec->layers[i].attention;
        attention->scale = 1.0f / sqrtf((float)spec->dim / (float)attention->n_heads);
    }
    return CALMOE_OK;
}

static const char *const keys[] = {"attention.sliding_window", NULL};

extern const struct family cm_family_gemma_3;
const struct family cm_family_gemma_3 = {
    .name = "gemma3",
    .architecture = "gemma3",
    .pairing = ROPE_NEOX,
    .norms = NORMS_AROUND,
    .nonlinearity = NONLINEARITY_GELU_UP,
    .window_period = 6,
    .window_base = 10000.0f,
    .scales_embedding = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS,
    .keys = keys,
    .adjust = adjust,
};
