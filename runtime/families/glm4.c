/* runtime/families/glm4.c - GLM-4-0414, dense: norms before and behind each half, half of each head is rotated; gate
 * and up of the feed-forward are one tensor, which files call up. */
#include "runtime/families/family.h"

extern const struct family cm_family_glm4;
const struct family cm_family_glm4 = {
    .name = "glm4",
    .architecture = "glm4",
    .pairing = ROPE_NORM,
    .norms = NORMS_AROUND,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_OUTPUT,
};
