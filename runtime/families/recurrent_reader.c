/* runtime/families/recurrent_reader.c - which layers are recurrent, and their numbers; and which have no mixer. A
 * layer's tensors say what it is; where the metadata says it too, they must agree. */
#include <stdio.h>

#include "runtime/families/spec_parts.h"

enum { MAX_TAPS = 16 };

static bool has(const struct keys *keys, int layer, const char *role)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", keys->first_block + layer, role);
    return cm_file_tensor(keys->file, name) != NULL;
}

/* Whether any of the tensors is there; a layer that lacks others is refused by their names. roles: the last NULL. */
static bool has_any(const struct keys *keys, int layer, const char *const *roles)
{
    bool any = false;
    for (; *roles; roles++) any |= has(keys, layer, *roles);
    return any;
}

/* ---- which layers ---- */

/* Tensors that only such a layer has, and only a layer that attends. */
static const char *const state_roles[] = {"ssm_a", "ssm_conv1d.weight", "ssm_out.weight", NULL};
static const char *const shortconv_roles[] = {"shortconv.conv.weight", "shortconv.in_proj.weight",
                                              "shortconv.out_proj.weight", NULL};
static const char *const attention_roles[] = {"attn_q.weight", "attn_k.weight", "attn_qkv.weight",
                                              "attn_output.weight", NULL};

struct kind_rule { /* what the metadata says of the kinds of layers */
    const char              *key;      /* that says it; NULL = none                                    */
    const struct meta_entry *listed;   /* of each layer, whether it is recurrent                       */
    const struct meta_entry *kv_heads; /* of each layer; those that attend have some                   */
    int                      interval; /* layers l with (l + 1) % interval == 0 attend                 */
};

static calmoe_status check_listed(struct keys *keys, const struct meta_entry *listed, int n_layers)
{
    const enum meta_type type = listed->element_type;
    if (listed->type == META_ARRAY && (type == META_BOOL || cm_meta_is_integer(type)) &&
        listed->count >= (uint64_t)n_layers)
        return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE,
                   "'%s': key '%.80s': an array of bools, one for each of %d layers, is wanted", keys->file->name,
                   keys->key, n_layers);
}

/* The number of kv heads tells of the kinds where it is a list, in files that have no other way to say it. */
static const struct meta_entry *kv_heads_by_layer(struct keys *keys, int n_layers)
{
    const struct meta_entry *entry = cm_key_entry(keys, "attention.head_count_kv");
    const bool is_list = entry && entry->type == META_ARRAY && cm_meta_is_integer(entry->element_type) &&
                         entry->count >= (uint64_t)n_layers;
    return is_list ? entry : NULL;
}

static calmoe_status read_rule(struct keys *keys, enum recurrent_layers kind, int n_layers, struct kind_rule *out)
{
    *out = (struct kind_rule){0};
    CM_TRY(cm_key_int(keys, "full_attention_interval", 1, MAX_LAYERS, &out->interval));
    if (out->interval > 0) out->key = "full_attention_interval";
    if (kind == RECURRENT_MAMBA2 || kind == RECURRENT_SHORTCONV)
        out->kv_heads = kv_heads_by_layer(keys, n_layers);
    if (out->kv_heads) out->key = "attention.head_count_kv";
    out->listed = cm_key_entry(keys, "attention.recurrent_layers");
    if (!out->listed) return CALMOE_OK;
    out->key = "attention.recurrent_layers";
    return check_listed(keys, out->listed, n_layers);
}

static bool says_attention(const struct kind_rule *rule, int layer)
{
    if (rule->listed) return cm_meta_element_int(rule->listed, (uint64_t)layer) == 0;
    if (rule->kv_heads) return cm_meta_element_int(rule->kv_heads, (uint64_t)layer) != 0;
    return (layer + 1) % rule->interval == 0;
}

static calmoe_status check_kind(const struct keys *keys, const struct kind_rule *rule, int layer,
                                enum mixer_kind mixer)
{
    const bool attends = mixer == MIXER_ATTENTION;
    const char *const found = attends ? "attention" : mixer == MIXER_NONE ? "no mixer" : "a recurrent layer";
    if (!rule->key || keys->first_block > 0 || says_attention(rule, layer) == attends) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "layer %d has the tensors of %s; %s.%s says that it has those of %s",
                   layer, found, keys->architecture, rule->key, attends ? "a recurrent layer" : "attention");
}

/* ---- their numbers ---- */

/* The numbers of heads with states, which files say by the same keys whatever the mixer is. */
struct state_numbers {
    int n_taps, key_size, n_groups, n_heads, value_size;
};

static calmoe_status read_state_numbers(struct keys *keys, struct state_numbers *out)
{
    int values = 0;
    CM_TRY(cm_key_need_int(keys, "ssm.conv_kernel", 1, MAX_TAPS, &out->n_taps));
    CM_TRY(cm_key_need_int(keys, "ssm.state_size", 1, MAX_HEAD_SIZE, &out->key_size));
    CM_TRY(cm_key_need_int(keys, "ssm.group_count", 1, MAX_HEADS, &out->n_groups));
    CM_TRY(cm_key_need_int(keys, "ssm.time_step_rank", 1, MAX_HEADS, &out->n_heads));
    if (out->n_heads % out->n_groups != 0)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE,
                       "%s is %d; a multiple of the %d key heads (ssm.group_count) is wanted", keys->key,
                       out->n_heads, out->n_groups);
    CM_TRY(cm_key_need_int(keys, "ssm.inner_size", 1, MAX_HEADS * MAX_HEAD_SIZE, &values));
    out->value_size = values / out->n_heads;
    if (values % out->n_heads != 0 || out->value_size > MAX_HEAD_SIZE)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %d; %d value heads of 1 to %d elements are wanted", keys->key,
                       values, out->n_heads, MAX_HEAD_SIZE);
    return CALMOE_OK;
}

static calmoe_status read_delta(struct keys *keys, int layer, enum head_order order, struct layer_spec *out)
{
    struct state_numbers numbers = {0};
    CM_TRY(read_state_numbers(keys, &numbers));
    out->mixer = MIXER_DELTA_NET;
    out->delta = (struct delta_spec){.n_key_heads = numbers.n_groups, .n_value_heads = numbers.n_heads,
                                     .key_size = numbers.key_size, .value_size = numbers.value_size,
                                     .n_taps = numbers.n_taps, .order = order};
    if (order != HEADS_IN_GROUPS) return CALMOE_OK;
    static const char *const apart[] = {"attn_qkv.weight", "attn_gate.weight", NULL}; /* else files are early ones */
    static const char *const singles[] = {"ssm_beta.weight", "ssm_alpha.weight", NULL};
    out->delta.is_by_head = !has_any(keys, layer, apart);
    out->delta.has_pairs = !has_any(keys, layer, singles);
    return CALMOE_OK;
}

static calmoe_status read_mamba2(struct keys *keys, struct layer_spec *out)
{
    struct state_numbers numbers = {0};
    CM_TRY(read_state_numbers(keys, &numbers));
    out->mixer = MIXER_MAMBA2;
    out->mamba2 = (struct mamba2_spec){.n_heads = numbers.n_heads, .n_groups = numbers.n_groups,
                                       .state_size = numbers.key_size, .head_size = numbers.value_size,
                                       .n_taps = numbers.n_taps};
    return CALMOE_OK;
}

static calmoe_status read_shortconv(struct keys *keys, int dim, struct layer_spec *out)
{
    out->mixer = MIXER_SHORTCONV;
    out->shortconv.n_channels = dim;
    return cm_key_need_int(keys, "shortconv.l_cache", 1, MAX_TAPS, &out->shortconv.n_taps);
}

static calmoe_status read_layer(struct keys *keys, enum recurrent_layers kind, int dim, int layer,
                                struct layer_spec *out)
{
    if (kind == RECURRENT_MAMBA2) return read_mamba2(keys, out);
    if (kind == RECURRENT_SHORTCONV) return read_shortconv(keys, dim, out);
    return read_delta(keys, layer, kind == RECURRENT_DELTA_IN_TURN ? HEADS_IN_TURN : HEADS_IN_GROUPS, out);
}

calmoe_status cm_read_recurrent_layers(struct keys *keys, const struct family *family, struct model_spec *spec)
{
    const char *const *roles = family->recurrent == RECURRENT_SHORTCONV ? shortconv_roles : state_roles;
    struct kind_rule   rule;
    int                n_attend = 0;
    if (family->recurrent == RECURRENT_NONE) return CALMOE_OK;
    CM_TRY(read_rule(keys, family->recurrent, spec->n_layers, &rule));
    for (int layer = 0; layer < spec->n_layers; layer++) {
        struct layer_spec *out = &spec->layers[layer];
        const bool is_recurrent = has_any(keys, layer, roles);
        const bool may_be_none = family->norms == NORMS_OF_ONE_HALF;
        const bool attends = !is_recurrent && (!may_be_none || has_any(keys, layer, attention_roles));
        out->mixer = attends ? MIXER_ATTENTION : MIXER_NONE;
        if (is_recurrent) CM_TRY(read_layer(keys, family->recurrent, spec->dim, layer, out));
        CM_TRY(check_kind(keys, &rule, layer, out->mixer));
        n_attend += attends;
    }
    if (n_attend > 0) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "no layer has the tensors of attention; the family %s has some",
                   family->name);
}
