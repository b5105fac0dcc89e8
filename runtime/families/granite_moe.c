/* runtime/families/granite_moe.c - Granite-MoE: four multipliers (generic keys of the metadata), tied
 * embeddings, softmax over the chosen logits (= softmax, choose, renormalise), an optional shared expert
 * that is added plainly. Files arrange the rows of q and k for interleaved rotation. */
#include <stddef.h>

#include "runtime/families/family.h"

/* Files use this key as the switch for rotary positions: false = none at all. */
static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    return cm_key_bool(keys, "rope.scaling.finetuned", &spec->ropes[0].is_on);
}

static const char *const keys[] = {"attention.scale", "embedding_scale", "residual_scale", "logit_scale", NULL};

extern const struct family cm_family_granite_moe;
const struct family cm_family_granite_moe = {
    .name = "granitemoe",
    .architecture = "granitemoe",
    .has_experts = true,
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .score = SCORE_SOFTMAX_SELECTED,
    .renormalise = false,
    .needs = NEEDS_ROPE_BASE,
    .keys = keys,
    .adjust = adjust,
};
