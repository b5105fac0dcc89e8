/* runtime/families/llama4.c - Llama 4, text: three of four layers rotate, and see their chunk of 8192 positions; the
 * fourth sees all, does not rotate, and its queries grow with their position. One expert of a token, weighted at its
 * input, and a shared one. Files of models that rotate everywhere say that they have no windows. */
#include <stddef.h>

#include "runtime/families/family.h"

/* Scout norms queries and keys behind their rotation; Maverick, which has 128 experts, does not. Files are silent. */
enum { EXPERTS_OF_MAVERICK = 128 };

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    float temperature = 0.1f;
    int   length = 8192;
    bool  has_chunks = false;
    CM_TRY(cm_key_float(keys, "attention.temperature_scale", 0.0, 1e3, &temperature));
    CM_TRY(cm_key_int(keys, "attention.temperature_length", 1, 1 << 30, &length));
    for (int i = 0; i < spec->n_layers; i++) has_chunks |= spec->layers[i].attention.window > 0;
    const int none = has_chunks ? cm_add_no_rope(spec) : 0;
    for (int i = 0; i < spec->n_layers; i++) {
        struct attention_spec *attention = &spec->layers[i].attention;
        const bool             rotates = attention->window > 0 || !has_chunks;
        attention->has_plain_norms = rotates && cm_first_router(spec)->n_experts != EXPERTS_OF_MAVERICK;
        attention->temperature = rotates ? 0.0f : temperature;
        attention->temperature_length = length;
        attention->temperature_offset = 1;
        if (!rotates) attention->rope = none;
    }
    return CALMOE_OK;
}

extern const struct family cm_family_llama4;
const struct family cm_family_llama4 = {
    .name = "llama4",
    .architecture = "llama4",
    .has_experts = true,
    .pairing = ROPE_NORM,
    .score = SCORE_SIGMOID_SELECTED,
    .window_period = 4,
    .default_window = 8192,
    .has_chunks = true,
    .weighs_input = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_SHARED | NEEDS_OUTPUT,
    .keys = (const char *const[]){"interleave_moe_layer_step", NULL},
    .adjust = adjust,
};
