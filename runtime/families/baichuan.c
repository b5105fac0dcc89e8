/* runtime/families/baichuan.c - Baichuan and Baichuan 2, dense: 7B rotates positions, 13B tells them by slopes on
 * scores (ALiBi). Rows of Baichuan 2's output matrix are taken at length 1, whether a file's writer scaled them or
 * not. */
#include "runtime/families/family.h"

/* What files do not say, their sizes do. */
enum { HEADS_OF_13B = 40, VOCABULARY_OF_BAICHUAN2 = 125696 };

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    spec->has_unit_output = spec->n_vocab == VOCABULARY_OF_BAICHUAN2;
    return cm_read_alibi(keys, spec->layers[0].attention.n_heads == HEADS_OF_13B ? 8.0f : 0.0f, 0.0f, spec);
}

extern const struct family cm_family_baichuan;
const struct family cm_family_baichuan = {
    .name = "baichuan",
    .architecture = "baichuan",
    .pairing = ROPE_NORM,
    .turns_heads = true,
    .needs = NEEDS_OUTPUT,
    .adjust = adjust,
};
