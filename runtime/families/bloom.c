/* runtime/families/bloom.c - BLOOM and BLOOMZ, dense: positions are told by slopes on scores (ALiBi), norms centre and
 * have biases, the embedding has one, too; feed-forward halves have no gate. q, k and v are one tensor. */
#include <stddef.h>

#include "runtime/families/family.h"

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    return cm_read_alibi(keys, 8.0f, 1e-3f, spec); /* files of most converters do not say it */
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
