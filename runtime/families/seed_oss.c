/* runtime/families/seed_oss.c - Seed-OSS, dense: biases of q, k and v. */
#include "runtime/families/family.h"

extern const struct family cm_family_seed_oss;
const struct family cm_family_seed_oss = {
    .name = "seed_oss",
    .architecture = "seed_oss",
    .pairing = ROPE_NEOX,
    .norms = NORMS_POST_ATTENTION,
    .needs = NEEDS_ROPE_BASE | NEEDS_QKV_BIASES,
};
