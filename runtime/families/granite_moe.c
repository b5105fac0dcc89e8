/* runtime/families/granite_moe.c - Granite, dense, and Granite-MoE: four multipliers (generic keys of the metadata);
 * of experts a softmax over the chosen logits (= softmax, choose, renormalise), and an optional shared expert that is
 * added plainly. Files arrange the rows of q and k for interleaved rotation. Granite 4 has models of these two
 * architectures, too: those all of whose layers attend. */
#include <stddef.h>

#include "runtime/families/family.h"

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    /* Of Granite 4: the numbers that its other models' recurrent layers have. */
    static const char *const unused[] = {"ssm.conv_kernel", "ssm.state_size", "ssm.group_count", "ssm.inner_size",
                                         "ssm.time_step_rank"};
    for (size_t i = 0; i < sizeof unused / sizeof *unused; i++) cm_key_entry(keys, unused[i]);
    /* Files use this key as the switch for rotary positions: false = none at all. */
    return cm_key_bool(keys, "rope.scaling.finetuned", &spec->ropes[0].is_on);
}

static const char *const keys[] = {"attention.scale", "embedding_scale", "residual_scale", "logit_scale", NULL};

extern const struct family cm_family_granite;
const struct family cm_family_granite = {
    .name = "granite",
    .architecture = "granite",
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .needs = NEEDS_ROPE_BASE,
    .keys = keys,
    .adjust = adjust,
};

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
