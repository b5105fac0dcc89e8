/* runtime/families/smollm3.c - SmolLM3: Llama, of which every fourth layer does not rotate. */
#include "runtime/families/family.h"

enum { PERIOD = 4 }; /* files do not say it */

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    (void)keys;
    const int none = cm_add_no_rope(spec);
    for (int i = PERIOD - 1; i < spec->n_layers; i += PERIOD) spec->layers[i].attention.rope = none;
    return CALMOE_OK;
}

extern const struct family cm_family_smollm3;
const struct family cm_family_smollm3 = {
    .name = "smollm3",
    .architecture = "smollm3",
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .needs = NEEDS_ROPE_BASE,
    .adjust = adjust,
};
