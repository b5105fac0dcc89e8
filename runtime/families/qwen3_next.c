/* runtime/families/qwen3_next.c - Qwen3-Next and Qwen3-Coder-Next: gated delta nets, and in every fourth layer
 * attention with gates, whose heads are rotated in part; a shared expert behind a gate. Norms in files are what they
 * multiply by. */
#include "runtime/families/family.h"

extern const struct family cm_family_qwen3_next;
const struct family cm_family_qwen3_next = {
    .name = "qwen3next",
    .architecture = "qwen3next",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .norms = NORMS_POST_ATTENTION,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_QK_NORMS | NEEDS_QUERY_GATES | NEEDS_SHARED | NEEDS_SHARED_GATE,
    .recurrent = RECURRENT_DELTA_IN_GROUPS,
};
