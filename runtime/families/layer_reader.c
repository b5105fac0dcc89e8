/* runtime/families/layer_reader.c - the records of layers. What a layer is, its tensors say; the metadata has the
 * numbers, and where both say the same thing they must agree. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "router/router.h"
#include "runtime/families/spec_parts.h"

struct reader {
    struct keys         *keys;
    const struct family *family;
    struct model_spec   *spec;
    char                 name[FILE_MAX_NAME_BYTES + 32]; /* of the last tensor that was asked for */
};

static const char *full(struct reader *reader, int layer, const char *role)
{
    snprintf(reader->name, sizeof reader->name, "blk.%d.%s", reader->keys->first_block + layer, role);
    return reader->name;
}

static bool has(struct reader *reader, int layer, const char *role)
{
    return cm_file_tensor(reader->keys->file, full(reader, layer, role)) != NULL;
}

static int size_of(struct reader *reader, int layer, const char *role, int dimension)
{
    return cm_size_of_tensor(reader->keys->file, full(reader, layer, role), dimension);
}

/* ---- attention ---- */

static calmoe_status read_heads(struct reader *reader)
{
    struct keys *keys = reader->keys;
    const int n = reader->spec->n_layers;
    int n_heads[MAX_LAYERS] = {0}, n_kv_heads[MAX_LAYERS];
    CM_TRY(cm_key_need(keys, "attention.head_count"));
    CM_TRY(cm_key_layer_ints(keys, "attention.head_count", 1, MAX_HEADS, n, n_heads));
    memcpy(n_kv_heads, n_heads, sizeof n_heads);
    CM_TRY(cm_key_layer_ints(keys, "attention.head_count_kv", 0, MAX_HEADS, n, n_kv_heads));
    for (int layer = 0; layer < n; layer++) {
        if (reader->spec->layers[layer].mixer != MIXER_ATTENTION) continue;
        if (n_kv_heads[layer] < 1 || n_heads[layer] % n_kv_heads[layer] != 0)
            return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %d; it must divide the %d heads of layer %d", keys->key,
                           n_kv_heads[layer], n_heads[layer], layer);
        reader->spec->layers[layer].attention.n_heads = n_heads[layer];
        reader->spec->layers[layer].attention.n_kv_heads = n_kv_heads[layer];
    }
    return CALMOE_OK;
}

static calmoe_status read_head_sizes(struct reader *reader, struct attention_spec *out)
{
    struct keys *keys = reader->keys;
    out->head_size = reader->spec->dim / out->n_heads;
    CM_TRY(cm_key_int(keys, "attention.key_length", 0, MAX_HEAD_SIZE, &out->head_size));
    out->value_size = out->head_size;
    CM_TRY(cm_key_int(keys, "attention.value_length", 0, MAX_HEAD_SIZE, &out->value_size));
    if (out->window > 0) { /* heads of these layers may have sizes of their own */
        CM_TRY(cm_key_int(keys, "attention.key_length_swa", 0, MAX_HEAD_SIZE, &out->head_size));
        CM_TRY(cm_key_int(keys, "attention.value_length_swa", 0, MAX_HEAD_SIZE, &out->value_size));
    }
    if (out->head_size < 1 || out->head_size > MAX_HEAD_SIZE || out->value_size < 1)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "heads of %d and values of %d elements; 1 to %d is wanted",
                       out->head_size, out->value_size, MAX_HEAD_SIZE);
    return CALMOE_OK;
}

/* Where a key is absent, what is taken in its place must fit the tensor that tells the same. */
static calmoe_status check_default(struct reader *reader, int layer, const char *key, const char *role, int n_rows)
{
    struct keys *keys = reader->keys;
    const int found = size_of(reader, layer, role, 1);
    if (found == 0 || found == n_rows || cm_key_exists(keys, key)) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE,
                   "'%s': key '%.80s' is missing; tensor '%s' has %d rows, and without the key %d are wanted",
                   keys->file->name, keys->key, reader->name, found, n_rows);
}

static calmoe_status check_defaults(struct reader *reader, int layer, const struct attention_spec *spec)
{
    static const char *const keys[] = {"attention.head_count_kv", "attention.key_length", "attention.value_length"};
    const int q = spec->n_heads * spec->head_size, k = spec->n_kv_heads * spec->head_size,
              v = spec->n_kv_heads * spec->value_size;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) /* all three in one */
        CM_TRY(check_default(reader, layer, keys[i], "attn_qkv.weight", q + k + v));
    CM_TRY(check_default(reader, layer, "attention.key_length", "attn_q.weight", q));
    CM_TRY(check_default(reader, layer, "attention.head_count_kv", "attn_k.weight", k));
    return check_default(reader, layer, "attention.value_length", "attn_v.weight", v);
}

static enum norm_span span_of(struct reader *reader, int layer, const char *role, int head_size)
{
    if (!has(reader, layer, role)) return NORM_NONE;
    return size_of(reader, layer, role, 0) == head_size ? NORM_EACH_HEAD : NORM_ALL_HEADS;
}

/* Gates with a matrix of their own: one for each head, or for each element that it attends. */
static calmoe_status read_gates(struct reader *reader, int layer, struct attention_spec *out)
{
    const int n_rows = size_of(reader, layer, "attn_gate.weight", 1);
    if (!(reader->family->needs & NEEDS_GATES) || n_rows == 0) return CALMOE_OK; /* which is told with other tensors */
    out->has_soft_gates = reader->family->has_soft_gates;
    out->gate_size = n_rows / out->n_heads;
    if (n_rows % out->n_heads == 0 && (out->gate_size == 1 || out->gate_size == out->value_size)) return CALMOE_OK;
    return cm_fail(reader->keys->ctx, CALMOE_BAD_FILE, "tensor '%s' has %d rows; %d heads of %d elements want %d or %d",
                   reader->name, n_rows, out->n_heads, out->value_size, out->n_heads, out->n_heads * out->value_size);
}

static calmoe_status read_attention(struct reader *reader, int layer)
{
    struct attention_spec *out = &reader->spec->layers[layer].attention;
    CM_TRY(read_head_sizes(reader, out));
    CM_TRY(check_defaults(reader, layer, out));
    out->keys_are_values = reader->family->may_lack_values && out->window == 0 && !has(reader, layer, "attn_v.weight");
    if (out->keys_are_values && out->value_size != out->head_size)
        return cm_fail(reader->keys->ctx, CALMOE_BAD_FILE,
                       "tensor '%s' is missing; keys of %d elements cannot be values of %d", reader->name,
                       out->head_size, out->value_size);
    CM_TRY(cm_key_float(reader->keys, "attention.scale", 0.0, 1e6, &out->scale));
    if (out->scale == 0.0f) out->scale = 1.0f / sqrtf((float)out->head_size);
    CM_TRY(cm_key_float(reader->keys, "attention.clamp_kqv", 0.0, 1e6, &out->clamp));
    out->q_norm = span_of(reader, layer, "attn_q_norm.weight", out->head_size);
    out->k_norm = span_of(reader, layer, "attn_k_norm.weight", out->head_size);
    out->norms_follow_rotation = reader->family->norms_follow_rotation;
    if (out->norms_follow_rotation && (out->q_norm == NORM_ALL_HEADS || out->k_norm == NORM_ALL_HEADS))
        return cm_fail(reader->keys->ctx, CALMOE_BAD_FILE,
                       "tensor '%s' is not %d long; norms of the family %s are of one head", reader->name,
                       out->head_size, reader->family->name);
    out->has_sinks = has(reader, layer, "attn_sinks.weight");
    CM_TRY(read_gates(reader, layer, out));
    out->has_gate = (reader->family->needs & NEEDS_QUERY_GATES) != 0;
    if (out->has_gate && (out->q_norm == NORM_ALL_HEADS || out->value_size != out->head_size))
        return cm_fail(reader->keys->ctx, CALMOE_BAD_FILE,
                       "attention with gates has heads of %d and values of %d elements in layer %d; both must be equal,"
                       " and norms one head long", out->head_size, out->value_size, layer);
    return CALMOE_OK;
}

calmoe_status cm_read_temperature(struct keys *keys, float temperature, int length, struct model_spec *spec)
{
    CM_TRY(cm_key_float(keys, "attention.temperature_scale", 0.0, 1e3, &temperature));
    CM_TRY(cm_key_int(keys, "attention.temperature_length", 1, 1 << 30, &length));
    for (int layer = 0; layer < spec->n_layers; layer++) {
        spec->layers[layer].attention.temperature = temperature;
        spec->layers[layer].attention.temperature_length = length;
    }
    return CALMOE_OK;
}

/* ---- windows ---- */

static calmoe_status read_pattern(struct keys *keys, int n_layers, const struct meta_entry **list, int *period)
{
    static const char name[] = "attention.sliding_window_pattern";
    const struct meta_entry *entry = cm_key_entry(keys, name);
    *list = NULL;
    if (!entry || entry->type != META_ARRAY) return cm_key_int(keys, name, 0, MAX_LAYERS, period);
    *list = entry;
    if ((entry->element_type == META_BOOL || cm_meta_is_integer(entry->element_type)) &&
        entry->count >= (uint64_t)n_layers)
        return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' has %llu elements of type %s; a yes or no for each "
                   "of %d layers is wanted", keys->file->name, keys->key, (unsigned long long)entry->count,
                   cm_meta_type_name(entry->element_type), n_layers);
}

/* Which layers see only a window: those that the file lists, or all but every period-th; all at period 0. */
static calmoe_status read_windows(struct reader *reader)
{
    struct model_spec       *spec = reader->spec;
    const struct meta_entry *list;
    int                      window = reader->family->default_window, period = reader->family->window_period;
    if (period == 0) return CALMOE_OK;
    CM_TRY(cm_key_int(reader->keys, "attention.sliding_window", 0, MAX_CONTEXT, &window));
    CM_TRY(read_pattern(reader->keys, reader->keys->first_block + spec->n_layers, &list, &period));
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const int  block = reader->keys->first_block + layer;
        const int  sees_all = reader->family->first_sees_all ? 0 : period - 1; /* of each period's layers */
        const bool has_window = list ? cm_meta_element_int(list, (uint64_t)block) != 0
                                     : period == 0 || block % period != sees_all;
        spec->layers[layer].attention.window = has_window ? window : 0;
        spec->layers[layer].attention.is_chunked = has_window && window > 0 && reader->family->has_chunks;
    }
    return CALMOE_OK;
}

void cm_drop_idle_windows(struct model_spec *spec)
{
    for (int layer = 0; layer < spec->n_layers; layer++) {
        struct attention_spec *attention = &spec->layers[layer].attention;
        if (attention->window >= spec->context_length) attention->window = 0;
    }
}

/* ---- which layers are dense ---- */

/* Of a family with experts: what the metadata says, where it says anything. */
struct dense_rule {
    const char *key;      /* the last that was found; NULL: the metadata does not say which layers are dense */
    int         n_leading; /* the first ones                                                                */
    int         step;      /* all but every step-th: l with (l + 1) % step != 0                             */
    const struct meta_entry *listed; /* their numbers; NULL = none                                          */
};

static calmoe_status read_dense_rule(struct keys *keys, struct dense_rule *out)
{
    static const char *const steps[] = {"decoder_sparse_step", "interleave_moe_layer_step"};
    *out = (struct dense_rule){.step = 1};
    if (cm_key_exists(keys, "leading_dense_block_count")) out->key = "leading_dense_block_count";
    CM_TRY(cm_key_int(keys, "leading_dense_block_count", 0, MAX_LAYERS, &out->n_leading));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (cm_key_exists(keys, steps[i])) out->key = steps[i];
        CM_TRY(cm_key_int(keys, steps[i], 0, MAX_LAYERS, &out->step));
    }
    if (out->step < 1) out->step = 1;
    out->listed = cm_key_entry(keys, "mlp_only_layers");
    if (!out->listed) return CALMOE_OK;
    out->key = "mlp_only_layers";
    if (out->listed->type == META_ARRAY && cm_meta_is_integer(out->listed->element_type)) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' has type %s; wanted an array of integers",
                   keys->file->name, keys->key, cm_meta_type_name(out->listed->type));
}

static bool says_dense(const struct dense_rule *rule, int layer)
{
    bool is_listed = false;
    for (uint64_t i = 0; rule->listed && i < rule->listed->count; i++)
        is_listed |= cm_meta_element_int(rule->listed, i) == layer;
    return layer < rule->n_leading || (layer + 1) % rule->step != 0 || is_listed;
}

static bool has_dense_tensors(struct reader *reader, int layer)
{
    return !has(reader, layer, "ffn_gate_inp.weight") && !has(reader, layer, "ffn_down_exps.weight") &&
           (has(reader, layer, "ffn_down.weight") || has(reader, layer, "ffn_up.weight"));
}

/* ---- the feed-forward half ---- */

/* The gating functions by their numbers in files. */
static const struct gating_function {
    int              number;
    enum score_kind  score;
    enum group_score group_score; /* of models that limit groups: sigmoids came with sums, softmax with maxima */
} gating_functions[] = {
    {1, SCORE_SOFTMAX, GROUP_MAX},
    {2, SCORE_SIGMOID, GROUP_TOP2_SUM},
    {3, SCORE_SOFTMAX_SELECTED, GROUP_MAX},
    {4, SCORE_SQRT_SOFTPLUS, GROUP_TOP2_SUM},
};
enum { N_GATING_FUNCTIONS = sizeof gating_functions / sizeof gating_functions[0] };

static calmoe_status read_score(struct keys *keys, struct router_spec *router)
{
    int number = 0; /* not said */
    CM_TRY(cm_key_int(keys, "expert_gating_func", 0, 1000, &number));
    for (int i = 0; i < N_GATING_FUNCTIONS; i++)
        if (number == 0 ? gating_functions[i].score == router->score : gating_functions[i].number == number) {
            router->score = gating_functions[i].score;
            router->group_score = gating_functions[i].group_score;
            return CALMOE_OK;
        }
    if (number == 0) return CALMOE_OK; /* the family's own, which no file names */
    return cm_fail(keys->ctx, CALMOE_UNSUPPORTED, "%s is %d; 1 to %d are supported", keys->key, number,
                   gating_functions[N_GATING_FUNCTIONS - 1].number);
}

static calmoe_status read_router(struct keys *keys, const struct family *family, struct router_spec *router)
{
    *router = (struct router_spec){.n_groups = 1, .score = family->score, .renormalise = family->renormalise,
                                   .scale = 1.0f};
    CM_TRY(cm_key_need_int(keys, "expert_count", 1, ROUTER_MAX_EXPERTS, &router->n_experts));
    CM_TRY(cm_key_need_int(keys, "expert_used_count", 1, ROUTER_MAX_EXPERTS, &router->n_used));
    CM_TRY(read_score(keys, router));
    CM_TRY(cm_key_bool(keys, "expert_weights_norm", &router->renormalise));
    CM_TRY(cm_key_float(keys, "expert_weights_scale", 0.0, 1e6, &router->scale));
    if (router->scale == 0.0f) router->scale = 1.0f;
    CM_TRY(cm_key_int(keys, "expert_group_count", 0, ROUTER_MAX_EXPERTS, &router->n_groups));
    if (router->n_groups < 1) router->n_groups = 1;
    router->n_groups_used = router->n_groups;
    if (router->n_groups > 1) CM_TRY(cm_key_need(keys, "expert_group_used_count"));
    CM_TRY(cm_key_int(keys, "expert_group_used_count", 0, ROUTER_MAX_EXPERTS, &router->n_groups_used));
    if (router->n_groups_used > router->n_groups) CM_TRY(cm_key_need(keys, "expert_group_count"));
    if (router->n_groups_used < 1) router->n_groups_used = router->n_groups;
    return cm_router_check(keys->ctx, router);
}

/* Widths are what the tensors say: old files lack the keys, some writers get them wrong. The down matrix tells even
 * where gate and up are fused. */
static void read_routed(struct reader *reader, int layer, const struct router_spec *router)
{
    struct ffn_spec *out = &reader->spec->layers[layer].ffn;
    static const char *const of_2023[] = {"ffn_up.0.weight", "ffn_gate.0.weight"}; /* a tensor for each expert */
    out->router = *router;
    out->router.has_bias = has(reader, layer, "exp_probs_b.bias") || has(reader, layer, "exp_probs_b");
    out->branches[BANK_ROUTED].width = size_of(reader, layer, "ffn_down_exps.weight", 0);
    for (int i = 0; i < 2 && out->branches[BANK_ROUTED].width == 0; i++)
        out->branches[BANK_ROUTED].width = size_of(reader, layer, of_2023[i], 1);
    out->branches[BANK_SHARED].width = size_of(reader, layer, "ffn_down_shexp.weight", 0);
    out->branches[BANK_ROUTED].weighs_input = reader->family->weighs_input;
    if (reader->family->needs & NEEDS_DENSE_PART)
        out->branches[BANK_DENSE].width = size_of(reader, layer, "ffn_down.weight", 0);
    out->has_shared_gate = out->branches[BANK_SHARED].width > 0 && has(reader, layer, "ffn_gate_inp_shexp.weight");
}

static calmoe_status read_dense(struct reader *reader, int layer, int told_width)
{
    struct branch_spec *out = &reader->spec->layers[layer].ffn.branches[BANK_SHARED];
    out->width = size_of(reader, layer, "ffn_down.weight", 0);
    if (out->width == 0 || told_width == 0 || told_width == out->width) return CALMOE_OK;
    return cm_fail(reader->keys->ctx, CALMOE_BAD_FILE,
                   "%s.feed_forward_length is %d; the tensor '%s' has rows of %d",
                   reader->keys->architecture, told_width, reader->name, out->width);
}

static calmoe_status check_rule(const struct reader *reader, const struct dense_rule *rule, int layer, bool is_dense)
{
    static const char *const names[2] = {"routed experts", "a dense layer"};
    if (!rule->key || reader->keys->first_block > 0 || says_dense(rule, layer) == is_dense) return CALMOE_OK;
    return cm_fail(reader->keys->ctx, CALMOE_BAD_FILE, "layer %d has the tensors of %s; %s.%s says that it has %s",
                   layer, names[is_dense], reader->keys->architecture, rule->key, names[!is_dense]);
}

/* Of a layer that is one half: feed_forward_length says which, where it is a list. */
static calmoe_status check_half(const struct reader *reader, const struct meta_entry *told, int layer)
{
    static const char *const names[2] = {"a mixer", "a feed-forward half"};
    const bool is_ffn = reader->spec->layers[layer].mixer == MIXER_NONE;
    if (!told || told->type != META_ARRAY || (cm_meta_element_int(told, (uint64_t)layer) > 0) == is_ffn)
        return CALMOE_OK;
    return cm_fail(reader->keys->ctx, CALMOE_BAD_FILE, "layer %d has the tensors of %s; %s.feed_forward_length says"
                   " that it is %s", layer, names[is_ffn], reader->keys->architecture, names[!is_ffn]);
}

/* One layer's. router: of all layers that have one. */
static calmoe_status read_ffn(struct reader *reader, int layer, const struct router_spec *router,
                              const struct dense_rule *rule, int told_width)
{
    const bool is_dense = !reader->family->has_experts || has_dense_tensors(reader, layer);
    CM_TRY(check_rule(reader, rule, layer, is_dense));
    if (is_dense) return read_dense(reader, layer, told_width);
    read_routed(reader, layer, router);
    return CALMOE_OK;
}

static calmoe_status read_ffns(struct reader *reader)
{
    struct keys *keys = reader->keys;
    struct model_spec *spec = reader->spec;
    struct router_spec router = {0};
    struct dense_rule rule = {0};
    int told_widths[MAX_LAYERS] = {0};
    const bool has_experts = reader->family->has_experts, is_one_half = reader->family->norms == NORMS_OF_ONE_HALF;
    CM_TRY(cm_key_layer_ints(keys, "feed_forward_length", 0, MAX_DIM * 64, spec->n_layers, told_widths));
    const struct meta_entry *told = cm_key_entry(keys, "feed_forward_length");
    if (has_experts) CM_TRY(read_router(keys, reader->family, &router));
    if (has_experts) CM_TRY(read_dense_rule(keys, &rule));
    for (int layer = 0; layer < spec->n_layers; layer++) {
        if (is_one_half) CM_TRY(check_half(reader, told, layer));
        if (is_one_half && spec->layers[layer].mixer != MIXER_NONE) continue;
        CM_TRY(read_ffn(reader, layer, &router, &rule, told_widths[layer]));
    }
    if (has_experts && cm_routed_layers(spec) == 0)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s.expert_count is %d; no layer has a router", keys->architecture,
                       router.n_experts);
    return CALMOE_OK;
}

/* ---- what all layers have or none ---- */

enum { OF_ATTENTION = 1 << 0, OF_ROUTED = 1 << 1, OF_DENSE = 1 << 2, OF_ALL = 1 << 3, /* layers */
       OF_MAY_LACK_VALUES = 1 << 4 };

static const struct optional_role {
    const char *role;
    const char *other; /* which may stand in its place; NULL = nothing */
    unsigned    layers;
    unsigned    needs; /* the family's bit that makes it a must */
} optional_roles[] = {
    {"attn_q_norm.weight", NULL, OF_ATTENTION, NEEDS_QK_NORMS},
    {"attn_v.weight", NULL, OF_MAY_LACK_VALUES, 0},
    {"layer_output_scale.weight", NULL, OF_ALL, 0},
    {"ffn_down.weight", NULL, OF_ROUTED, NEEDS_DENSE_PART},
    {"ffn_down_exps.scale", NULL, OF_ROUTED, NEEDS_DENSE_PART},
    {"attn_k_norm.weight", NULL, OF_ATTENTION, NEEDS_QK_NORMS},
    {"attn_q.bias", "attn_qkv.bias", OF_ATTENTION, NEEDS_QKV_BIASES},
    {"attn_k.bias", "attn_qkv.bias", OF_ATTENTION, NEEDS_QKV_BIASES},
    {"attn_v.bias", "attn_qkv.bias", OF_ATTENTION, NEEDS_QKV_BIASES},
    {"attn_output.bias", NULL, OF_ATTENTION, NEEDS_OTHER_BIASES | NEEDS_PROJECTION_BIASES},
    {"attn_sinks.weight", NULL, OF_ATTENTION, NEEDS_SINKS},
    {"attn_gate.weight", NULL, OF_ATTENTION, NEEDS_GATES},
    {"ffn_gate_inp.bias", NULL, OF_ROUTED, NEEDS_OTHER_BIASES},
    {"exp_probs_b.bias", "exp_probs_b", OF_ROUTED, NEEDS_CHOICE_BIASES},
    {"ffn_gate_exps.bias", "ffn_gate_up_exps.bias", OF_ROUTED, NEEDS_OTHER_BIASES},
    {"ffn_up_exps.bias", "ffn_gate_up_exps.bias", OF_ROUTED, NEEDS_OTHER_BIASES},
    {"ffn_down_exps.bias", NULL, OF_ROUTED, NEEDS_OTHER_BIASES},
    {"ffn_gate.bias", "ffn_gate_up.bias", OF_DENSE, 0},
    {"ffn_up.bias", "ffn_gate_up.bias", OF_DENSE, NEEDS_DENSE_BIASES},
    {"ffn_down.bias", NULL, OF_DENSE, NEEDS_DENSE_BIASES},
    {"ffn_down_shexp.weight", NULL, OF_ROUTED, NEEDS_SHARED},
    {"ffn_gate_shexp.bias", "ffn_gate_up_shexp.bias", OF_ROUTED, 0},
    {"ffn_up_shexp.bias", "ffn_gate_up_shexp.bias", OF_ROUTED, 0},
    {"ffn_down_shexp.bias", NULL, OF_ROUTED, 0},
    {"ffn_gate_inp_shexp.weight", NULL, OF_ROUTED, NEEDS_SHARED_GATE},
};

static bool is_of(const struct family *family, const struct layer_spec *layer, const struct optional_role *role)
{
    unsigned kinds = OF_ALL;
    if (cm_is_routed(&layer->ffn)) kinds |= OF_ROUTED;
    if (cm_is_dense(&layer->ffn)) kinds |= OF_DENSE;
    if (layer->mixer == MIXER_ATTENTION) kinds |= OF_ATTENTION;
    if (family->may_lack_values && layer->attention.window == 0) kinds |= OF_MAY_LACK_VALUES;
    return (role->layers & kinds) != 0;
}

/* What layers of this file call it. */
static const char *name_in_file(struct reader *reader, const struct optional_role *role)
{
    for (int layer = 0; role->other && layer < reader->spec->n_layers; layer++)
        if (has(reader, layer, role->other)) return role->other;
    return role->role;
}

static calmoe_status check_role(struct reader *reader, const struct optional_role *role)
{
    struct calmoe_context *ctx = reader->keys->ctx;
    const char *name = name_in_file(reader, role);
    int first = -1; /* layer of the kind */
    bool first_has = false;
    for (int layer = 0; layer < reader->spec->n_layers; layer++) {
        if (!is_of(reader->family, &reader->spec->layers[layer], role)) continue;
        const bool has_it = (role->other && has(reader, layer, role->other)) || has(reader, layer, role->role);
        full(reader, layer, name);
        if (!has_it && (role->needs & reader->family->needs))
            return cm_fail(ctx, CALMOE_BAD_FILE, "tensor '%s' is missing; the family %s needs it", reader->name,
                           reader->family->name);
        if (first >= 0 && has_it != first_has)
            return cm_fail(ctx, CALMOE_BAD_FILE,
                           "tensor '%s' is missing, that of layer %d is there; all layers must have it, or none",
                           full(reader, has_it ? first : layer, name), has_it ? layer : first);
        if (first >= 0) continue;
        first = layer;
        first_has = has_it;
    }
    return CALMOE_OK;
}

/* A layer that is none: what it predicts is a further token. */
static calmoe_status check_further_blocks(struct reader *reader)
{
    for (int layer = 0; layer < reader->spec->n_layers; layer++)
        if (has(reader, layer, "nextn.eh_proj.weight"))
            return cm_fail(reader->keys->ctx, CALMOE_BAD_FILE,
                           "tensor '%s' is of a block that predicts a further token; %s.nextn_predict_layers leaves the"
                           " block among the layers", reader->name, reader->keys->architecture);
    return CALMOE_OK;
}

calmoe_status cm_read_layers(struct keys *keys, const struct family *family, struct model_spec *spec)
{
    struct reader reader = {.keys = keys, .family = family, .spec = spec};
    float residual_scale = 1.0f;
    CM_TRY(cm_key_float(keys, "residual_scale", -1e6, 1e6, &residual_scale));
    if (keys->first_block == 0) CM_TRY(check_further_blocks(&reader));
    CM_TRY(cm_read_recurrent_layers(keys, family, spec));
    CM_TRY(cm_read_mla_layers(keys, family, spec));
    CM_TRY(read_heads(&reader));
    CM_TRY(read_windows(&reader));
    for (int layer = 0; layer < spec->n_layers; layer++) {
        struct layer_spec *out = &spec->layers[layer];
        out->norms = family->norms;
        out->residual_scale = residual_scale != 0.0f ? residual_scale : 1.0f;
        for (int bank = 0; bank < N_BANKS; bank++) out->ffn.branches[bank].nonlinearity = family->nonlinearity;
        if (out->mixer == MIXER_ATTENTION) CM_TRY(read_attention(&reader, layer));
    }
    CM_TRY(read_ffns(&reader));
    for (size_t i = 0; i < sizeof optional_roles / sizeof *optional_roles; i++)
        CM_TRY(check_role(&reader, &optional_roles[i]));
    return CALMOE_OK;
}
