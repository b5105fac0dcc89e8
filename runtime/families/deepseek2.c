/* runtime/families/deepseek2.c - DeepSeek-V2, V3, R1, Kimi-K2, Moonlight, GLM-4.7-Flash, Mistral Large 3 and Small 4:
 * latent attention, dense layers before those with experts, shared experts. V2's and Mistral's routers take a softmax,
 * those of the others sigmoids and biases. Mistral's queries grow with their position. And Youtu, all of whose layers
 * are dense. */
#include <math.h>

#include "kernels/elementary.h"
#include "runtime/families/family.h"

/* YaRN as this family has it: sines and cosines keep their length, and scores are multiplied by the square of
 * 1 + multiplier ln(factor). The multiplier is a tenth of the models' mscale_all_dim; where that is 0, it is YaRN as of
 * everyone else. */
static calmoe_status adjust_yarn(struct keys *keys, struct model_spec *spec)
{
    static const char *const of_yarn[] = {"rope.scaling.type", "rope.scaling.factor",
                                          "rope.scaling.original_context_length", "rope.scaling.yarn_log_multiplier"};
    enum { N = sizeof of_yarn / sizeof *of_yarn };
    struct rope_spec *rope = &spec->ropes[0];
    float multiplier = 0.0f;
    bool  has_any = false;
    for (int i = 0; i < N; i++) has_any |= cm_key_exists(keys, of_yarn[i]);
    if (has_any) CM_TRY(cm_key_need(keys, of_yarn[0]));
    CM_TRY(cm_key_float(keys, of_yarn[N - 1], 0.0, 10.0, &multiplier));
    if (rope->scaling != ROPE_SCALING_YARN) return CALMOE_OK;
    for (int i = 0; i < N; i++) CM_TRY(cm_key_need(keys, of_yarn[i]));
    if (multiplier == 0.0f || rope->factor <= 1.0f) return CALMOE_OK;
    rope->keeps_length = true;
    const double m = 1.0 + (double)multiplier * cm_ln(rope->factor);
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const struct mla_spec *mla = &spec->layers[layer].mla;
        spec->layers[layer].attention.scale = (float)(m * m / sqrt(mla->plain_size + mla->rope_size));
    }
    return CALMOE_OK;
}

/* What early files leave unsaid of routers. */
static calmoe_status adjust_routers(struct keys *keys, struct model_spec *spec)
{
    static const struct {
        enum score_kind score;
        int             n_experts, n_groups, n_groups_used;
    } grouped[] = {{SCORE_SIGMOID, 256, 8, 4} /* V3, R1 */, {SCORE_SOFTMAX, 160, 8, 3} /* V2 */};
    const bool is_flash = (spec->n_blocks == 47 || spec->n_blocks == 48) && spec->n_vocab == 154880;
    const bool says_score = cm_key_exists(keys, "expert_gating_func");
    const bool says_groups = cm_key_exists(keys, "expert_group_count");
    for (int layer = 0; layer < spec->n_layers; layer++) {
        struct router_spec *router = &spec->layers[layer].ffn.router;
        if (router->n_experts == 0) continue;
        if (!says_score && is_flash) {
            router->score = SCORE_SIGMOID;
            router->group_score = GROUP_TOP2_SUM;
        } else if (router->has_bias) CM_TRY(cm_key_need(keys, "expert_gating_func"));
        if (router->score == SCORE_SIGMOID) CM_TRY(cm_key_need(keys, "expert_weights_norm"));
        for (size_t i = 0; !says_groups && i < sizeof grouped / sizeof *grouped; i++) {
            if (router->score != grouped[i].score || router->n_experts != grouped[i].n_experts) continue;
            router->n_groups = grouped[i].n_groups;
            router->n_groups_used = grouped[i].n_groups_used;
        }
    }
    return CALMOE_OK;
}

static calmoe_status adjust(struct keys *keys, struct model_spec *spec)
{
    CM_TRY(adjust_routers(keys, spec));
    CM_TRY(adjust_yarn(keys, spec));
    return cm_read_temperature(keys, 0.0f, spec->ropes[0].original_context, spec);
}

/* Converters leave the temperature of Mistral Small 4 out; it is that of all models of the family. */
static calmoe_status adjust_mistral(struct keys *keys, struct model_spec *spec)
{
    CM_TRY(adjust(keys, spec));
    for (int layer = 0; layer < spec->n_layers; layer++)
        spec->layers[layer].ffn.router.group_score = GROUP_TOP2_SUM;
    return cm_read_temperature(keys, 0.1f, spec->ropes[0].original_context, spec);
}

static calmoe_status adjust_dense(struct keys *keys, struct model_spec *spec)
{
    cm_key_entry(keys, "leading_dense_block_count"); /* all of them */
    return adjust(keys, spec);
}

static const char *const latent_keys[] = {"attention.kv_lora_rank", NULL};
static const char *const expert_keys[] = {"attention.kv_lora_rank", "expert_weights_scale", NULL};
static const char *const mistral_keys[] = {"attention.kv_lora_rank", "expert_weights_scale", "expert_weights_norm",
                                           NULL};

extern const struct family cm_family_deepseek2;
const struct family cm_family_deepseek2 = {
    .name = "deepseek2",
    .architecture = "deepseek2",
    .has_experts = true,
    .pairing = ROPE_NORM,
    .score = SCORE_SOFTMAX,
    .renormalise = false,
    .hands_on_plain = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_LATENTS,
    .keys = expert_keys,
    .adjust = adjust,
};

extern const struct family cm_family_mistral_4;
const struct family cm_family_mistral_4 = {
    .name = "mistral4",
    .architecture = "mistral4",
    .has_experts = true,
    .pairing = ROPE_NORM,
    .score = SCORE_SOFTMAX,
    .renormalise = true,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_LATENTS,
    .keys = mistral_keys,
    .adjust = adjust_mistral,
};

extern const struct family cm_family_deepseek2_dense;
const struct family cm_family_deepseek2_dense = {
    .name = "deepseek2-dense",
    .architecture = "deepseek2",
    .pairing = ROPE_NORM,
    .needs = NEEDS_ROPE_BASE | NEEDS_ROTATED | NEEDS_LATENTS,
    .keys = latent_keys,
    .adjust = adjust_dense,
};
