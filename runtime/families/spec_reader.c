/* runtime/families/spec_reader.c - metadata to model_spec: generic keys with the architecture as prefix,
 * every number within stated limits, so that no later product of sizes can overflow. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "router/router.h"
#include "runtime/families/family.h"

enum {
    MAX_LAYERS = 1024,
    MAX_DIM = 1 << 17,
    MAX_HEADS = 1024,
    MAX_HEAD_SIZE = 1024,
    MAX_VOCAB = 1 << 22,
    MAX_CONTEXT = 1 << 24,
    MAX_KEY = 128
};

struct keys { /* reads "<architecture>.<key>" */
    struct calmoe_context *ctx;
    const struct model_file     *file;
    char                   architecture[32];
    char                   key[MAX_KEY];
};

static const char *full(struct keys *keys, const char *name)
{
    snprintf(keys->key, sizeof keys->key, "%s.%s", keys->architecture, name);
    return keys->key;
}

/* An integer that some files give once for each layer: then all must be equal. need: absent is an error,
 * else *out is the default. */
static calmoe_status read_int(struct keys *keys, const char *name, bool need, int max, int *out)
{
    const char *key = full(keys, name);
    const struct meta_entry *entry = cm_meta_entry(keys->file, key);
    int64_t value = *out;
    if (entry && entry->type == META_ARRAY && cm_meta_is_integer(entry->element_type) && entry->count > 0) {
        value = cm_meta_element_int(entry, 0);
        for (uint64_t i = 1; i < entry->count; i++)
            if (cm_meta_element_int(entry, i) != value)
                return cm_fail(keys->ctx, CALMOE_UNSUPPORTED,
                               "%s differs between layers (%lld, then %lld); only equal layers run", key,
                               (long long)value, (long long)cm_meta_element_int(entry, i));
        if (value < 1 || value > max)
            return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %lld; 1 to %d is wanted", key,
                           (long long)value, max);
    } else if (need) {
        CM_TRY(cm_meta_need_int(keys->ctx, keys->file, key, 1, max, &value));
    } else {
        CM_TRY(cm_meta_get_int(keys->ctx, keys->file, key, 0, max, &value));
    }
    *out = (int)value;
    return CALMOE_OK;
}

static calmoe_status read_float(struct keys *keys, const char *name, double min, double max, float *out)
{
    return cm_meta_get_float(keys->ctx, keys->file, full(keys, name), min, max, out);
}

/* First dimension `dim` of a tensor of layer 0, or 0 where it is absent. */
static int size_of(const struct model_file *file, const char *name, int dimension)
{
    const struct file_tensor *tensor = cm_file_tensor(file, name);
    return tensor && tensor->shape[dimension] <= MAX_DIM * 64u ? (int)tensor->shape[dimension] : 0;
}

static calmoe_status read_sizes(struct keys *keys, struct model_spec *spec)
{
    CM_TRY(read_int(keys, "block_count", true, MAX_LAYERS, &spec->n_layers));
    int n_extra = 0; /* blocks at the end that predict further tokens; plain decoding does not run them */
    CM_TRY(read_int(keys, "nextn_predict_layers", false, MAX_LAYERS, &n_extra));
    if (n_extra >= spec->n_layers)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %d of %d blocks; no block is left", keys->key, n_extra,
                       spec->n_layers);
    spec->n_layers -= n_extra;
    CM_TRY(read_int(keys, "embedding_length", true, MAX_DIM, &spec->dim));
    CM_TRY(read_int(keys, "attention.head_count", true, MAX_HEADS, &spec->n_heads));
    spec->n_kv_heads = spec->n_heads;
    CM_TRY(read_int(keys, "attention.head_count_kv", false, MAX_HEADS, &spec->n_kv_heads));
    if (spec->n_kv_heads < 1 || spec->n_heads % spec->n_kv_heads != 0)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %d; it must divide the %d heads", keys->key,
                       spec->n_kv_heads, spec->n_heads);
    spec->head_size = spec->dim / spec->n_heads;
    CM_TRY(read_int(keys, "attention.key_length", false, MAX_HEAD_SIZE, &spec->head_size));
    spec->value_size = spec->head_size;
    CM_TRY(read_int(keys, "attention.value_length", false, MAX_HEAD_SIZE, &spec->value_size));
    if (spec->head_size < 1 || spec->head_size > MAX_HEAD_SIZE || spec->value_size < 1)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "heads of %d and values of %d elements; 1 to %d is wanted",
                       spec->head_size, spec->value_size, MAX_HEAD_SIZE);
    spec->context_length = 2048;
    CM_TRY(read_int(keys, "context_length", false, MAX_CONTEXT, &spec->context_length));
    if (spec->context_length < 1) spec->context_length = 2048;
    spec->n_vocab = size_of(keys->file, "token_embd.weight", 1);
    if (spec->n_vocab < 1 || spec->n_vocab > MAX_VOCAB)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE,
                       "tensor 'token_embd.weight' is missing or has no rows of tokens (1 to %d are wanted)",
                       MAX_VOCAB);
    return CALMOE_OK;
}

static calmoe_status read_scales(struct keys *keys, struct model_spec *spec)
{
    spec->norm_eps = 1e-5f;
    CM_TRY(read_float(keys, "attention.layer_norm_rms_epsilon", 0.0, 1.0, &spec->norm_eps));
    spec->attention_scale = 1.0f / sqrtf((float)spec->head_size);
    CM_TRY(read_float(keys, "attention.scale", 0.0, 1e6, &spec->attention_scale));
    if (spec->attention_scale == 0.0f) spec->attention_scale = 1.0f / sqrtf((float)spec->head_size);
    spec->embedding_scale = spec->residual_scale = spec->logit_divisor = 1.0f;
    CM_TRY(read_float(keys, "embedding_scale", -1e6, 1e6, &spec->embedding_scale));
    CM_TRY(read_float(keys, "residual_scale", -1e6, 1e6, &spec->residual_scale));
    CM_TRY(read_float(keys, "logit_scale", 0.0, 1e6, &spec->logit_divisor));
    /* Writers put 0 where a model has no such factor. */
    if (spec->embedding_scale == 0.0f) spec->embedding_scale = 1.0f;
    if (spec->residual_scale == 0.0f) spec->residual_scale = 1.0f;
    if (spec->logit_divisor == 0.0f) spec->logit_divisor = 1.0f;
    return read_float(keys, "attention.clamp_kqv", 0.0, 1e6, &spec->clamp_qkv);
}

static calmoe_status read_rope_scaling(struct keys *keys, struct model_spec *spec)
{
    struct rope_spec *rope = &spec->rope;
    struct meta_string type = {"none", 4};
    rope->factor = 1.0f;
    rope->magnitude = 1.0f;
    rope->beta_fast = 32.0f;
    rope->beta_slow = 1.0f;
    rope->original_context = spec->context_length;
    CM_TRY(cm_meta_get_string(keys->ctx, keys->file, full(keys, "rope.scaling.type"), &type));
    CM_TRY(read_float(keys, "rope.scale_linear", 0.0, 1e6, &rope->factor)); /* of old files */
    if (rope->factor != 0.0f && rope->factor != 1.0f) rope->scaling = ROPE_SCALING_LINEAR;
    CM_TRY(read_float(keys, "rope.scaling.factor", 0.0, 1e6, &rope->factor));
    CM_TRY(read_float(keys, "rope.scaling.attn_factor", 0.0, 1e3, &rope->magnitude));
    CM_TRY(read_float(keys, "rope.scaling.yarn_beta_fast", 0.0, 1e6, &rope->beta_fast));
    CM_TRY(read_float(keys, "rope.scaling.yarn_beta_slow", 0.0, 1e6, &rope->beta_slow));
    CM_TRY(read_int(keys, "rope.scaling.original_context_length", false, MAX_CONTEXT, &rope->original_context));
    if (type.n_bytes == 6 && memcmp(type.bytes, "linear", 6) == 0) rope->scaling = ROPE_SCALING_LINEAR;
    else if (type.n_bytes == 4 && memcmp(type.bytes, "yarn", 4) == 0) rope->scaling = ROPE_SCALING_YARN;
    else if (!(type.n_bytes == 4 && memcmp(type.bytes, "none", 4) == 0))
        return cm_fail(keys->ctx, CALMOE_UNSUPPORTED,
                       "rope.scaling.type is '%.*s'; none, linear and yarn are supported",
                       (int)(type.n_bytes < 40 ? type.n_bytes : 40), type.bytes);
    if (rope->factor == 0.0f) rope->factor = 1.0f;
    if (rope->magnitude == 0.0f) rope->magnitude = 1.0f;
    if (rope->original_context < 1) rope->original_context = spec->context_length;
    return CALMOE_OK;
}

static calmoe_status read_rope(struct keys *keys, const struct family *family, struct model_spec *spec)
{
    struct rope_spec *rope = &spec->rope;
    rope->is_on = true;
    rope->pairing = family->pairing;
    rope->base = 10000.0f;
    CM_TRY(read_float(keys, "rope.freq_base", 1.0, 1e12, &rope->base));
    rope->n_rot = spec->head_size;
    CM_TRY(read_int(keys, "rope.dimension_count", false, MAX_HEAD_SIZE, &rope->n_rot));
    if (rope->n_rot > spec->head_size || rope->n_rot % 2 != 0)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %d; an even number up to the head size %d is wanted",
                       keys->key, rope->n_rot, spec->head_size);
    return read_rope_scaling(keys, spec);
}

/* The gating function, by its number in files (0: not said). */
static calmoe_status read_score(struct keys *keys, struct router_spec *router)
{
    int function = 0;
    CM_TRY(read_int(keys, "expert_gating_func", false, 1000, &function));
    if (function == 0) return CALMOE_OK;
    if (function > SCORE_KIND_COUNT)
        return cm_fail(keys->ctx, CALMOE_UNSUPPORTED, "%s is %d; 1 to %d are supported", keys->key, function,
                       SCORE_KIND_COUNT);
    router->score = (enum score_kind)(function - 1);
    return CALMOE_OK;
}

static calmoe_status read_experts(struct keys *keys, const struct family *family, struct model_spec *spec)
{
    struct router_spec *router = &spec->router;
    *router = (struct router_spec){.n_experts = 1, .n_used = 1, .score = family->score, .n_groups = 1,
                                   .n_groups_used = 1, .renormalise = family->renormalise, .scale = 1.0f};
    spec->is_dense = !family->has_experts;
    spec->expert_width = size_of(keys->file, "blk.0.ffn_gate.weight", 1);
    if (spec->is_dense) return CALMOE_OK;
    CM_TRY(read_int(keys, "expert_count", true, ROUTER_MAX_EXPERTS, &router->n_experts));
    CM_TRY(read_int(keys, "expert_used_count", true, ROUTER_MAX_EXPERTS, &router->n_used));
    CM_TRY(read_score(keys, router));
    CM_TRY(cm_meta_get_bool(keys->ctx, keys->file, full(keys, "expert_weights_norm"), &router->renormalise));
    CM_TRY(read_float(keys, "expert_weights_scale", 0.0, 1e6, &router->scale));
    if (router->scale == 0.0f) router->scale = 1.0f;
    CM_TRY(read_int(keys, "expert_group_count", false, ROUTER_MAX_EXPERTS, &router->n_groups));
    if (router->n_groups < 1) router->n_groups = 1;
    router->n_groups_used = router->n_groups;
    CM_TRY(read_int(keys, "expert_group_used_count", false, ROUTER_MAX_EXPERTS, &router->n_groups_used));
    if (router->n_groups_used < 1) router->n_groups_used = router->n_groups;
    router->has_bias = cm_file_tensor(keys->file, "blk.0.exp_probs_b.bias") != NULL;
    int n_dense = 0;
    CM_TRY(read_int(keys, "leading_dense_block_count", false, MAX_LAYERS, &n_dense));
    if (n_dense > 0)
        return cm_fail(keys->ctx, CALMOE_UNSUPPORTED, "%s is %d; dense layers among layers of experts do not run yet",
                       keys->key, n_dense);
    /* Trust shapes: old files lack the key, some writers get it wrong. The down matrix gives the width even
     * where gate and up are fused. */
    spec->expert_width = size_of(keys->file, "blk.0.ffn_down_exps.weight", 0);
    spec->shared_width = size_of(keys->file, "blk.0.ffn_down_shexp.weight", 0);
    return cm_router_check(keys->ctx, router);
}

static calmoe_status find_family(struct keys *keys, const struct family **out)
{
    struct meta_string name = {0};
    CM_TRY(cm_meta_need_string(keys->ctx, keys->file, "general.architecture", &name));
    const bool fits = name.n_bytes < sizeof keys->architecture;
    if (fits) {
        memcpy(keys->architecture, name.bytes, name.n_bytes);
        keys->architecture[name.n_bytes] = '\0';
    }
    int64_t n_experts = 0;
    if (fits) CM_TRY(cm_meta_get_int(keys->ctx, keys->file, full(keys, "expert_count"), 0, 1 << 20, &n_experts));
    const struct family *family;
    for (int i = 0; fits && (family = cm_family_at(i)) != NULL; i++)
        if (strcmp(family->architecture, keys->architecture) == 0 && family->has_experts == (n_experts > 0)) {
            *out = family;
            return CALMOE_OK;
        }
    char known[256] = "";
    for (int i = 0; (family = cm_family_at(i)) != NULL; i++) {
        const size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s", i ? ", " : "", family->name);
    }
    return cm_fail(keys->ctx, CALMOE_UNSUPPORTED,
                   "general.architecture is '%.*s' with %lld experts; families that run: %s",
                   (int)(name.n_bytes < 40 ? name.n_bytes : 40), name.bytes, (long long)n_experts, known);
}

calmoe_status cm_read_model_spec(struct calmoe_context *ctx, const struct model_file *file,
                                 struct model_spec *out)
{
    struct keys keys = {.ctx = ctx, .file = file};
    const struct family *family = NULL;
    *out = (struct model_spec){0};
    CM_TRY(find_family(&keys, &family));
    out->family = family->name;
    CM_TRY(read_sizes(&keys, out));
    CM_TRY(read_scales(&keys, out));
    CM_TRY(read_rope(&keys, family, out));
    CM_TRY(read_experts(&keys, family, out));
    return family->adjust ? family->adjust(ctx, file, out) : CALMOE_OK;
}
