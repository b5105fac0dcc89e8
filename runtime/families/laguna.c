/* runtime/families/laguna.c - Laguna, XS and larger: three of four layers see a window, turn by a base of their own and
 * may have more heads; of the others half of each head is rotated, by YaRN. What a head attends, or each element of it,
 * is weighted by softplus of a gate. Norms of each head of q and k; sigmoids with biases for choosing, dense layers
 * first, a shared expert. */
#include <stddef.h>

#include "runtime/families/family.h"

/* What belongs together: a window, and how such layers turn; the numbers of YaRN. */
static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    static const char *const of_windows[] = {"attention.sliding_window", "rope.dimension_count_swa",
                                             "rope.freq_base_swa"};
    static const char *const of_yarn[] = {"rope.scaling.type", "rope.scaling.factor",
                                          "rope.scaling.original_context_length"};
    bool has_windows = false, has_yarn = cm_key_exists(keys, "rope.scaling.yarn_attn_factor");
    for (int i = 0; i < spec->n_layers; i++) has_windows |= spec->layers[i].attention.window > 0;
    for (size_t i = 1; i < 3; i++) {
        has_windows |= cm_key_exists(keys, of_windows[i]);
        has_yarn |= cm_key_exists(keys, of_yarn[i]);
    }
    for (size_t i = 0; i < 3 && has_windows; i++) CM_TRY(cm_key_need(keys, of_windows[i]));
    for (size_t i = 0; i < 3 && has_yarn; i++) CM_TRY(cm_key_need(keys, of_yarn[i]));
    return CALMOE_OK;
}

static const char *const keys[] = {"expert_weights_scale", "leading_dense_block_count", NULL};

extern const struct family cm_family_laguna;
const struct family cm_family_laguna = {
    .name = "laguna",
    .architecture = "laguna",
    .has_experts = true,
    .pairing = ROPE_NEOX,
    .score = SCORE_SIGMOID,
    .renormalise = true,
    .window_period = 4,
    .first_sees_all = true,
    .window_base = 10000.0f,
    .has_soft_gates = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_QK_NORMS | NEEDS_GATES | NEEDS_CHOICE_BIASES | NEEDS_SHARED,
    .keys = keys,
    .adjust = adjust,
};
