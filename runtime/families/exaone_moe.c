/* runtime/families/exaone_moe.c - K-EXAONE: three of four layers see a window and rotate; the fourth sees all positions
 * and does not rotate. Norms of each head of q and k; sigmoids with biases for choosing, dense layers first, a shared
 * expert. */
#include <stddef.h>

#include "runtime/families/family.h"

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    (void)keys;
    cm_rotate_in_windows_only(spec);
    return CALMOE_OK;
}

static const char *const keys[] = {"attention.sliding_window", "attention.sliding_window_pattern",
                                   "expert_weights_scale", NULL};

extern const struct family cm_family_exaone_moe;
const struct family cm_family_exaone_moe = {
    .name = "exaone-moe",
    .architecture = "exaone-moe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .window_period = 4,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS | NEEDS_SHARED,
    .keys = keys,
    .adjust = adjust,
};
