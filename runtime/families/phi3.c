/* runtime/families/phi3.c - Phi-3, Phi-3.5 and Phi-4, dense: q, k and v are one tensor, gate and up another. Models of
 * long contexts have two sets of factors for rotary frequencies, as Phi-3.5-MoE has; of some a part of each head is
 * rotated, and all layers see a window. */
#include "runtime/families/family.h"

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    (void)keys;
    cm_drop_idle_windows(spec);
    return CALMOE_OK;
}

extern const struct family cm_family_phi3;
const struct family cm_family_phi3 = {
    .name = "phi3",
    .architecture = "phi3",
    .pairing = ROPE_NEOX,
    .window_period = 1 << 20, /* all layers see the window, where there is one */
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED,
    .adjust = adjust,
};
