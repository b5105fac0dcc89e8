/* runtime/families/lfm2.c - LFM2 and LFM2.5, dense and with experts: short convolutions, and attention with a norm for
 * each head in some layers. Routers take sigmoids, and biases for choosing; the first layers are dense. The norm behind
 * all layers is named for the embedding in files. */
#include "runtime/families/family.h"

extern const struct family cm_family_lfm2;
const struct family cm_family_lfm2 = {
    .name = "lfm2",
    .architecture = "lfm2",
    .pairing = ROPE_NEOX,
    .norms = NORMS_LAST_OF_EMBEDDING,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS,
    .recurrent = RECURRENT_SHORTCONV,
};

extern const struct family cm_family_lfm2_moe;
const struct family cm_family_lfm2_moe = {
    .name = "lfm2moe",
    .architecture = "lfm2moe",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .norms = NORMS_LAST_OF_EMBEDDING,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_QK_NORMS | NEEDS_CHOICE_BIASES,
    .recurrent = RECURRENT_SHORTCONV,
};
