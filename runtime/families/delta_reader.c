/* runtime/families/delta_reader.c - which layers are gated delta nets, and their numbers. A layer's tensors say what it
 * is; where the metadata says it too, they must agree. */
#include <stdio.h>

#include "runtime/families/spec_parts.h"

enum { MAX_TAPS = 16 };

static bool has(const struct keys *keys, int layer, const char *role)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", layer, role);
    return cm_file_tensor(keys->file, name) != NULL;
}

/* ---- which layers ---- */

/* Whether any tensor is there that only such a layer has; one that lacks others is refused by their names. */
static bool has_delta_tensors(const struct keys *keys, int layer)
{
    static const char *const roles[] = {"ssm_a", "ssm_conv1d.weight", "ssm_out.weight"};
    bool any = false;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) any |= has(keys, layer, roles[i]);
    return any;
}

struct kind_rule { /* what the metadata says of the kinds of layers */
    const struct meta_entry *listed;   /* of each layer, whether it is recurrent; NULL = not said      */
    int                      interval; /* layers l with (l + 1) % interval == 0 attend; 0 = not said   */
};

static calmoe_status read_rule(struct keys *keys, int n_layers, struct kind_rule *out)
{
    *out = (struct kind_rule){0};
    CM_TRY(cm_key_int(keys, "full_attention_interval", 1, MAX_LAYERS, &out->interval));
    out->listed = cm_key_entry(keys, "attention.recurrent_layers");
    if (!out->listed) return CALMOE_OK;
    const enum meta_type type = out->listed->element_type;
    if (out->listed->type == META_ARRAY && (type == META_BOOL || cm_meta_is_integer(type)) &&
        out->listed->count >= (uint64_t)n_layers)
        return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE,
                   "'%s': key '%.80s': an array of bools, one for each of %d layers, is wanted", keys->file->name,
                   keys->key, n_layers);
}

static calmoe_status check_kind(const struct keys *keys, const struct kind_rule *rule, int layer, bool is_delta)
{
    static const char *const names[2] = {"attention", "a recurrent layer"};
    const bool is_said = rule->listed || rule->interval > 0;
    const bool says = rule->listed ? cm_meta_element_float(rule->listed, (uint64_t)layer) > 0.0
                                   : is_said && (layer + 1) % rule->interval != 0;
    if (!is_said || says == is_delta) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "layer %d has the tensors of %s; %s.%s says that it has those of %s",
                   layer, names[is_delta], keys->architecture,
                   rule->listed ? "attention.recurrent_layers" : "full_attention_interval", names[!is_delta]);
}

/* ---- their numbers ---- */

static calmoe_status read_numbers(struct keys *keys, struct delta_spec *out)
{
    int values = 0;
    CM_TRY(cm_key_need_int(keys, "ssm.conv_kernel", 1, MAX_TAPS, &out->n_taps));
    CM_TRY(cm_key_need_int(keys, "ssm.state_size", 1, MAX_HEAD_SIZE, &out->key_size));
    CM_TRY(cm_key_need_int(keys, "ssm.group_count", 1, MAX_HEADS, &out->n_key_heads));
    CM_TRY(cm_key_need_int(keys, "ssm.time_step_rank", 1, MAX_HEADS, &out->n_value_heads));
    if (out->n_value_heads % out->n_key_heads != 0)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE,
                       "%s is %d; a multiple of the %d key heads (ssm.group_count) is wanted", keys->key,
                       out->n_value_heads, out->n_key_heads);
    CM_TRY(cm_key_need_int(keys, "ssm.inner_size", 1, MAX_HEADS * MAX_HEAD_SIZE, &values));
    out->value_size = values / out->n_value_heads;
    if (values % out->n_value_heads != 0 || out->value_size > MAX_HEAD_SIZE)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %d; %d value heads of 1 to %d elements are wanted", keys->key,
                       values, out->n_value_heads, MAX_HEAD_SIZE);
    return CALMOE_OK;
}

static void take_numbers(const struct keys *keys, int layer, const struct delta_spec *numbers, struct delta_spec *out)
{
    *out = *numbers;
    if (numbers->order != HEADS_IN_GROUPS) return;
    out->is_by_head = !has(keys, layer, "attn_qkv.weight") && !has(keys, layer, "attn_gate.weight"); /* early files */
    out->has_pairs = !has(keys, layer, "ssm_beta.weight") && !has(keys, layer, "ssm_alpha.weight");
}

calmoe_status cm_read_delta_layers(struct keys *keys, const struct family *family, struct model_spec *spec)
{
    struct delta_spec numbers = {.order = family->delta_nets == DELTA_IN_TURN ? HEADS_IN_TURN : HEADS_IN_GROUPS};
    struct kind_rule  rule;
    int               n_delta = 0;
    if (family->delta_nets == DELTA_NONE) return CALMOE_OK;
    CM_TRY(read_rule(keys, spec->n_layers, &rule));
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const bool is_delta = has_delta_tensors(keys, layer);
        CM_TRY(check_kind(keys, &rule, layer, is_delta));
        if (is_delta && n_delta++ == 0) CM_TRY(read_numbers(keys, &numbers));
        if (!is_delta) continue;
        spec->layers[layer].mixer = MIXER_DELTA_NET;
        take_numbers(keys, layer, &numbers, &spec->layers[layer].delta);
    }
    if (n_delta < spec->n_layers) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "no layer has the tensors of attention; the family %s has some",
                   family->name);
}
