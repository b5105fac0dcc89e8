/* runtime/families/afmoe.c - AFMoE, Arcee's Trinity: three of four layers see a window and rotate; the fourth sees all
 * positions and does not rotate. Norms before and behind each half and of each head of q and k; what attention gives is
 * gated element by element. Sigmoids with biases for choosing, dense layers first, shared experts as one. */
#include <stddef.h>

#include "runtime/families/family.h"

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    (void)keys;
    cm_rotate_in_windows_only(spec);
    return CALMOE_OK;
}

static const char *const keys[] = {"attention.sliding_window", "expert_weights_scale", "leading_dense_block_count",
                                   NULL};

extern const struct family cm_family_afmoe;
const struct family cm_family_afmoe = {
    .name = "afmoe",
    .architecture = "afmoe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .norms = NORMS_AROUND,
    .window_period = 4,
    .scales_embedding = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS | NEEDS_GATES | NEEDS_CHOICE_BIASES | NEEDS_SHARED,
    .keys = keys,
    .adjust = adjust,
};
