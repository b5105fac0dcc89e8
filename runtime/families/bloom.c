/* runtime/families/bloom.c - BLOOM and BLOOMZ, dense: positions are told by slopes on scores (ALiBi), norms centre and
 * have biases, the embedding has one, too; feed-forward halves have no gate. q, k and v are one tensor. */
#include <stddef.h>

#include "runtime/families/family.h"

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    float max_bias = 8.0f; /* files of most converters do not say it */
    CM_TRY(cm_key_float(keys, "attention.max_alibi_bias", 1e-3, 1e3, &max_bias));
    for (int i = 0; i < spec->n_layers; i++) spec->layers[i].attention.max_bias = max_bias;
    spec->ropes[0].is_on = false;
    return CALMOE_OK;
}

extern const struct family cm_family_bloom;
const struct family cm_family_bloom = {
    .name = "bloom",
    .architecture = "bloom",
    .norms = NORMS_ALSO_OF_EMBEDDING,
    .centres_norms = true,
    .nonlinearity = NONLINEARITY_GELU,
    .needs = NEEDS_QKV_BIASES | NEEDS_PROJECTION_BIASES | NEEDS_DENSE_BIASES,
    .keys = (const char *const[]){"attention.layer_norm_epsilon", NULL},
    .adjust = adjust,
};
