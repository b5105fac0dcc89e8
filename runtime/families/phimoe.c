/* runtime/families/phimoe.c - Phi-3.5-MoE: norms centre and have biases, so have attention and the output; two sets of
 * factors for rotary frequencies, of which a longer context takes the other (LongRoPE); its own router. */
#include <math.h>

#include "runtime/families/family.h"

/* The model multiplies sines and cosines by its own number. Files have that of a formula for a context that is 32 times
 * as long as the original one of 4096, sqrt(1 + ln 32 / ln 4096), which is not it. */
static const float own_magnitude = 1.243163121f, magnitude_of_formula = 1.190238071f;

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    (void)keys;
    if (fabsf(spec->ropes[0].magnitude - magnitude_of_formula) < 1e-4f) spec->ropes[0].magnitude = own_magnitude;
    cm_drop_idle_windows(spec);
    return CALMOE_OK;
}

extern const struct family cm_family_phimoe;
const struct family cm_family_phimoe = {
    .name = "phimoe",
    .architecture = "phimoe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SPARSEMIXER,
    .centres_norms = true,
    .window_period = 1 << 20, /* all layers see the window, where there is one */
    .needs = NEEDS_ROPE_BASE | NEEDS_QKV_BIASES | NEEDS_PROJECTION_BIASES | NEEDS_OUTPUT | NEEDS_LOGIT_BIASES,
    .adjust = adjust,
};
