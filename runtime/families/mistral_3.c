/* runtime/families/mistral_3.c - Ministral 3, Mistral Small 3, Devstral and their kin, dense: Llama with YaRN, of which
 * sines and cosines keep their length, and with queries that grow with their position. */
#include <stddef.h>

#include "kernels/elementary.h"
#include "runtime/families/family.h"

/* YaRN's usual factor on sines and cosines is 1 + 0.1 ln(factor); here it is divided by
 * 1 + 0.1 multiplier ln(factor). */
static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    static const char *const of_yarn[] = {"rope.scaling.type", "rope.scaling.factor",
                                          "rope.scaling.original_context_length", "rope.scaling.yarn_beta_fast",
                                          "rope.scaling.yarn_beta_slow", "rope.scaling.yarn_log_multiplier"};
    enum { N = sizeof of_yarn / sizeof *of_yarn };
    struct rope_spec *rope = &spec->ropes[0];
    float multiplier = 0.0f;
    bool  has_any = false;
    for (int i = 0; i < N; i++) has_any |= cm_key_exists(keys, of_yarn[i]);
    for (int i = 0; has_any && i < N; i++) CM_TRY(cm_key_need(keys, of_yarn[i]));
    CM_TRY(cm_key_float(keys, "rope.scaling.yarn_log_multiplier", 0.0, 10.0, &multiplier));
    if (rope->scaling == ROPE_SCALING_YARN && rope->factor > 1.0f)
        rope->magnitude /= (float)(1.0 + 0.1 * (double)multiplier * cm_ln(rope->factor));
    return cm_read_temperature(keys, 0.0f, rope->original_context, spec);
}

extern const struct family cm_family_mistral_3;
const struct family cm_family_mistral_3 = {
    .name = "mistral3",
    .architecture = "mistral3",
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .needs = NEEDS_ROPE_BASE,
    .adjust = adjust,
};
