/* runtime/families/gpt_oss.c - gpt-oss: every second layer sees a window, attention has sinks, everything has biases,
 * experts clamp what goes into their gate; the weights of experts are the softmax over the chosen logits. */
#include <stddef.h>

#include "runtime/families/family.h"

/* Files cannot say it: YaRN's ramp begins and ends where the formula says, between two pairs. */
static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    (void)keys;
    for (int i = 0; i < spec->n_ropes; i++) spec->ropes[i].has_whole_bounds = false;
    return CALMOE_OK;
}

/* All models of the family were extended by YaRN, so that a file without it has lost it. */
static const char *const keys[] = {"attention.sliding_window", "rope.scaling.type", "rope.scaling.factor",
                                   "rope.scaling.original_context_length", NULL};

extern const struct family cm_family_gpt_oss;
const struct family cm_family_gpt_oss = {
    .name = "gpt-oss",
    .architecture = "gpt-oss",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .alternates_gate_up = true,
    .score = SCORE_SOFTMAX_SELECTED,
    .norms = NORMS_POST_ATTENTION,
    .nonlinearity = NONLINEARITY_CLAMPED_UP,
    .window_period = 2,
    .needs = NEEDS_ROPE_BASE | NEEDS_OUTPUT | NEEDS_QKV_BIASES | NEEDS_OTHER_BIASES | NEEDS_SINKS,
    .keys = keys,
    .adjust = adjust,
};
