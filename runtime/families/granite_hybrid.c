/* runtime/families/granite_hybrid.c - Granite 4 with state spaces (-h), dense and with experts: Mamba-2, and in some
 * layers attention, which is not rotated where the file says so. Granite's four multipliers; softmax over the chosen
 * logits (= softmax, choose, renormalise); a shared expert that is added plainly. */
#include <stddef.h>

#include "runtime/families/family.h"

/* Files use this key as the switch for rotary positions: false = none at all. */
static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    struct rope_spec *rope = &spec->ropes[0];
    CM_TRY(cm_key_bool(keys, "rope.scaling.finetuned", &rope->is_on));
    return rope->is_on ? cm_key_need_float(keys, "rope.freq_base", 1.0, 1e12, &rope->base) : CALMOE_OK;
}

static const char *const keys[] = {"attention.scale", "embedding_scale", "residual_scale", "logit_scale",
                                   "rope.scaling.finetuned", NULL};

extern const struct family cm_family_granite_hybrid;
const struct family cm_family_granite_hybrid = {
    .name = "granitehybrid",
    .architecture = "granitehybrid",
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .keys = keys,
    .recurrent = RECURRENT_MAMBA2,
    .adjust = adjust,
};

extern const struct family cm_family_granite_hybrid_moe;
const struct family cm_family_granite_hybrid_moe = {
    .name = "granitehybridmoe",
    .architecture = "granitehybrid",
    .has_experts = true,
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .score = SCORE_SOFTMAX_SELECTED,
    .renormalise = false,
    .needs = NEEDS_SHARED,
    .keys = keys,
    .recurrent = RECURRENT_MAMBA2,
    .adjust = adjust,
};
