/* runtime/families/granite_moe.c - Granite-MoE: four multipliers (generic keys of the metadata), tied
 * embeddings, softmax over the chosen logits (= softmax, choose, renormalise), an optional shared expert
 * that is added plainly. Files arrange the rows of q and k for interleaved rotation. */
#include "runtime/families/family.h"

/* Files use this key as the switch for rotary positions: false = none at all. */
static calmoe_status adjust(struct calmoe_context *ctx, const struct model_file *file, struct model_spec *spec)
{
    return cm_meta_get_bool(ctx, file, "granitemoe.rope.scaling.finetuned", &spec->rope.is_on);
}

extern const struct family cm_family_granite_moe;
const struct family cm_family_granite_moe = {
    .name = "granitemoe",
    .architecture = "granitemoe",
    .has_experts = true,
    .pairing = ROPE_NORM,
    .score = SCORE_SOFTMAX_SELECTED,
    .renormalise = false,
    .adjust = adjust,
};
