/* runtime/families/nemotron_h.c - Nemotron-H and Nemotron 3 Nano: each layer is one half, Mamba-2, attention without
 * rotation, or a feed-forward half without gate (max(up, 0)^2). Of those with experts routers take sigmoids, and biases
 * for choosing, and a shared expert stands beside. */
#include <stddef.h>

#include "runtime/families/family.h"

/* Files say the eps of their norms once more by the name that is for another kind of norm. */
static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    float eps = spec->norm_eps;
    spec->ropes[0].is_on = false;
    return cm_key_float(keys, "attention.layer_norm_epsilon", eps, eps, &eps);
}

extern const struct family cm_family_nemotron_h;
const struct family cm_family_nemotron_h = {
    .name = "nemotron_h",
    .architecture = "nemotron_h",
    .norms = NORMS_OF_ONE_HALF,
    .nonlinearity = NONLINEARITY_RELU_SQUARED,
    .recurrent = RECURRENT_MAMBA2,
    .adjust = adjust,
};

extern const struct family cm_family_nemotron_h_moe;
const struct family cm_family_nemotron_h_moe = {
    .name = "nemotron_h_moe",
    .architecture = "nemotron_h_moe",
    .has_experts = true,
    .norms = NORMS_OF_ONE_HALF,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .nonlinearity = NONLINEARITY_RELU_SQUARED,
    .needs = NEEDS_SHARED | NEEDS_CHOICE_BIASES,
    .keys = (const char *const[]){"expert_weights_norm", "expert_weights_scale", "expert_group_count", NULL},
    .recurrent = RECURRENT_MAMBA2,
    .adjust = adjust,
};
