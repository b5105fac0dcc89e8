/* runtime/families/ernie45_moe.c - ERNIE 4.5 with experts: a softmax over all, biases for choosing where a file has
 * them, dense layers first and between, shared experts as one. */
#include <stddef.h>

#include "runtime/families/family.h"

extern const struct family cm_family_ernie45_moe;
const struct family cm_family_ernie45_moe = {
    .name = "ernie4_5-moe",
    .architecture = "ernie4_5-moe",
    .has_experts = true,
    .pairing = ROPE_NORM,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE,
    .keys = (const char *const[]){"interleave_moe_layer_step", NULL},
};
