/* runtime/families/chatglm.c - ChatGLM2, ChatGLM3 and GLM-4-9B, dense: half of each head is rotated, biases of q, k and
 * v; gate and up of the feed-forward are one tensor, which files call up. */
#include "runtime/families/family.h"

extern const struct family cm_family_chatglm;
const struct family cm_family_chatglm = {
    .name = "chatglm",
    .architecture = "chatglm",
    .pairing = ROPE_NORM,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_QKV_BIASES | NEEDS_OUTPUT,
};
