/* runtime/families/model_tensors.c - see model_tensors.h. */
#include "runtime/families/model_tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "experts/placed_matrix.h"
#include "runtime/load/tensor_types.h"

struct finder {
    struct calmoe_context   *ctx;
    const struct model_file *file;
    const struct model_spec *spec;
    int                      layer;   /* -1: names have no "blk.N." in front     */
    int                      first_block; /* which block layer 0 is              */
    bool                    *is_used; /* (n_tensors)                             */
    char                     name[FILE_MAX_NAME_BYTES + 32];
};

/* The tensor of that role, or NULL; marks it used. */
static const struct file_tensor *find(struct finder *finder, const char *role)
{
    if (finder->layer < 0) snprintf(finder->name, sizeof finder->name, "%s", role);
    else snprintf(finder->name, sizeof finder->name, "blk.%d.%s", finder->first_block + finder->layer, role);
    const struct file_tensor *tensor = cm_file_tensor(finder->file, finder->name);
    if (tensor) finder->is_used[tensor - finder->file->tensors] = true;
    return tensor;
}

static calmoe_status check_shape(struct finder *finder, const struct file_tensor *tensor, int n_columns,
                                 int n_rows, int n_stacked)
{
    const uint64_t *shape = tensor->shape;
    if (shape[0] != (uint64_t)n_columns || shape[1] != (uint64_t)n_rows || shape[2] != (uint64_t)n_stacked ||
        shape[3] != 1)
        return cm_fail(finder->ctx, CALMOE_BAD_FILE,
                       "tensor '%s' is %" PRIu64 " x %" PRIu64 " x %" PRIu64 " x %" PRIu64
                       "; the metadata wants %d x %d x %d x 1",
                       tensor->name, shape[0], shape[1], shape[2], shape[3], n_columns, n_rows, n_stacked);
    if (!tensor->is_weight)
        return cm_fail(finder->ctx, CALMOE_UNSUPPORTED,
                       "tensor '%s' has type %s; weights of that type are not read by this version", tensor->name,
                       cm_tensor_type_name(tensor->file_id));
    return CALMOE_OK;
}

static calmoe_status need(struct finder *finder, const char *role, const struct file_tensor **out)
{
    *out = find(finder, role);
    if (*out) return CALMOE_OK;
    return cm_fail(finder->ctx, CALMOE_BAD_FILE, "tensor '%s' is missing", finder->name);
}

/* A vector that the model may lack. */
static calmoe_status may_vector(struct finder *finder, const char *role, int n,
                                const struct file_tensor **out)
{
    *out = find(finder, role);
    return *out ? check_shape(finder, *out, n, 1, 1) : CALMOE_OK;
}

static calmoe_status need_vector(struct finder *finder, const char *role, int n,
                                 const struct file_tensor **out)
{
    CM_TRY(need(finder, role, out));
    return check_shape(finder, *out, n, 1, 1);
}

static struct weight_source source_of(const struct finder *finder, const struct file_tensor *tensor,
                                      size_t first_row, int n_rows)
{
    const size_t row_bytes = cm_row_bytes(tensor->type, (size_t)tensor->shape[0]);
    return (struct weight_source){.type = tensor->type,
                                  .rows = tensor->bytes + first_row * row_bytes,
                                  .n_rows = n_rows,
                                  .n_columns = (int)tensor->shape[0],
                                  .map = &finder->file->maps[tensor->shard]};
}

static calmoe_status need_matrix(struct finder *finder, const char *role, int n_rows, int n_columns,
                                 struct weight_source *out)
{
    const struct file_tensor *tensor;
    CM_TRY(need(finder, role, &tensor));
    CM_TRY(check_shape(finder, tensor, n_columns, n_rows, 1));
    *out = source_of(finder, tensor, 0, n_rows);
    return CALMOE_OK;
}

static const struct layer_spec *layer_of(const struct finder *finder) { return &finder->spec->layers[finder->layer]; }

const struct norm_roles cm_norm_roles[NORM_NAMES_COUNT] = {
    [NORMS_BEFORE] = {.attention = "attn_norm.weight", .ffn = "ffn_norm.weight", .output = "output_norm.weight"},
    [NORMS_POST_ATTENTION] = {.attention = "attn_norm.weight", .ffn = "post_attention_norm.weight",
                              .output = "output_norm.weight"},
    [NORMS_AROUND] = {.attention = "attn_norm.weight", .ffn = "ffn_norm.weight", .output = "output_norm.weight",
                      .after_attention = "post_attention_norm.weight", .after_ffn = "post_ffw_norm.weight"},
    [NORMS_LAST_OF_EMBEDDING] = {.attention = "attn_norm.weight", .ffn = "ffn_norm.weight",
                                 .output = "token_embd_norm.weight"},
    [NORMS_ALSO_OF_EMBEDDING] = {.attention = "attn_norm.weight", .ffn = "ffn_norm.weight",
                                 .output = "output_norm.weight", .embedding = "token_embd_norm.weight"},
    [NORMS_OF_ONE_HALF] = {.attention = "attn_norm.weight", .ffn = "attn_norm.weight", .output = "output_norm.weight"},
};

static calmoe_status find_norm(struct finder *finder, const char *role, const struct file_tensor **out)
{
    return role ? need_vector(finder, role, finder->spec->dim, out) : CALMOE_OK;
}

/* And its bias, where norms centre: "… .bias" for "… .weight". */
static calmoe_status find_norm_with_bias(struct finder *finder, const char *role, const struct file_tensor **out,
                                         const struct file_tensor **bias)
{
    char name[FILE_MAX_NAME_BYTES];
    CM_TRY(find_norm(finder, role, out));
    if (!role || !finder->spec->centres_norms) return CALMOE_OK;
    snprintf(name, sizeof name, "%.*s.bias", (int)(strlen(role) - strlen(".weight")), role);
    return need_vector(finder, name, finder->spec->dim, bias);
}

/* q, k and v: three tensors, or one with the rows of q, then k, then v. */
static calmoe_status find_qkv(struct finder *finder, const struct attention_spec *spec, struct layer_tensors *layer)
{
    const int dim = finder->spec->dim;
    const int q = spec->n_heads * cm_query_size(spec), k = spec->n_kv_heads * spec->head_size,
              v = spec->n_kv_heads * spec->value_size;
    const struct file_tensor *fused = find(finder, "attn_qkv.weight");
    if (fused) {
        CM_TRY(check_shape(finder, fused, dim, q + k + v, 1));
        layer->q = source_of(finder, fused, 0, q);
        layer->k = source_of(finder, fused, (size_t)q, k);
        layer->v = source_of(finder, fused, (size_t)(q + k), v);
    } else {
        if (!find(finder, "attn_k.weight") && !find(finder, "attn_q.weight")) /* or it is the one of both */
            return cm_fail(finder->ctx, CALMOE_BAD_FILE, "tensor '%s' is missing, and so is 'blk.%d.attn_qkv.weight'",
                           finder->name, finder->first_block + finder->layer);
        CM_TRY(need_matrix(finder, "attn_q.weight", q, dim, &layer->q));
        CM_TRY(need_matrix(finder, "attn_k.weight", k, dim, &layer->k));
        if (!spec->keys_are_values) CM_TRY(need_matrix(finder, "attn_v.weight", v, dim, &layer->v));
    }
    CM_TRY(may_vector(finder, "attn_qkv.bias", q + k + v, &layer->qkv_bias));
    if (layer->qkv_bias) return CALMOE_OK;
    CM_TRY(may_vector(finder, "attn_q.bias", q, &layer->q_bias));
    CM_TRY(may_vector(finder, "attn_k.bias", k, &layer->k_bias));
    return may_vector(finder, "attn_v.bias", v, &layer->v_bias);
}

/* A norm of q or k: one weight for each element of a head, or of the whole vector. */
static calmoe_status find_head_norm(struct finder *finder, const char *role, enum norm_span span, int n_heads,
                                    int head_size, const struct file_tensor **out)
{
    return may_vector(finder, role, span == NORM_ALL_HEADS ? n_heads * head_size : head_size, out);
}

static calmoe_status find_attention(struct finder *finder, const struct layer_spec *of, struct layer_tensors *layer)
{
    const struct attention_spec *spec = &of->attention;
    const int dim = finder->spec->dim;
    CM_TRY(find_qkv(finder, spec, layer));
    CM_TRY(find_head_norm(finder, "attn_q_norm.weight", spec->q_norm, spec->n_heads, spec->head_size, &layer->q_norm));
    CM_TRY(find_head_norm(finder, "attn_k_norm.weight", spec->k_norm, spec->n_kv_heads, spec->head_size,
                          &layer->k_norm));
    CM_TRY(need_matrix(finder, "attn_output.weight", dim, spec->n_heads * spec->value_size, &layer->o));
    if (spec->gate_size > 0)
        CM_TRY(need_matrix(finder, "attn_gate.weight", spec->n_heads * spec->gate_size, dim, &layer->gate));
    if (spec->has_sinks) CM_TRY(need_vector(finder, "attn_sinks.weight", spec->n_heads, &layer->sinks));
    return may_vector(finder, "attn_output.bias", dim, &layer->o_bias);
}

static calmoe_status need_shaped(struct finder *finder, const char *role, int n_columns, int n_rows,
                                 const struct file_tensor **out)
{
    CM_TRY(need(finder, role, out));
    return check_shape(finder, *out, n_columns, n_rows, 1);
}

static calmoe_status find_delta(struct finder *finder, const struct layer_spec *spec, struct layer_tensors *layer)
{
    const struct recurrent_shape shape = cm_recurrent_shape(spec);
    struct recurrent_tensors *out = &layer->recurrent;
    struct weight_source *products = out->products;
    const int dim = finder->spec->dim, n_heads = shape.n_heads, *rows = shape.rows;
    const char *const input = spec->delta.is_by_head ? "ssm_in.weight" : "attn_qkv.weight";
    const char *const beta = spec->delta.has_pairs ? "ssm_ba.weight" : "ssm_beta.weight";
    CM_TRY(need_matrix(finder, input, rows[PRODUCT_INPUT], dim, &products[PRODUCT_INPUT]));
    if (rows[PRODUCT_GATE])
        CM_TRY(need_matrix(finder, "attn_gate.weight", rows[PRODUCT_GATE], dim, &products[PRODUCT_GATE]));
    CM_TRY(need_matrix(finder, beta, rows[PRODUCT_BETA], dim, &products[PRODUCT_BETA]));
    if (rows[PRODUCT_ALPHA])
        CM_TRY(need_matrix(finder, "ssm_alpha.weight", rows[PRODUCT_ALPHA], dim, &products[PRODUCT_ALPHA]));
    CM_TRY(need_shaped(finder, "ssm_conv1d.weight", shape.n_taps, shape.n_channels, &out->taps));
    CM_TRY(need_vector(finder, "ssm_dt.bias", n_heads, &out->time_bias));
    CM_TRY(need_vector(finder, "ssm_a", n_heads, &out->decay));
    CM_TRY(need_vector(finder, "ssm_norm.weight", shape.value_size, &out->norm));
    return need_matrix(finder, "ssm_out.weight", dim, shape.n_values, &out->out);
}

/* One matrix has the rows of z, x, B, C and dt. */
static calmoe_status find_mamba2(struct finder *finder, const struct layer_spec *spec, struct layer_tensors *layer)
{
    const struct recurrent_shape shape = cm_recurrent_shape(spec);
    struct recurrent_tensors *out = &layer->recurrent;
    const int dim = finder->spec->dim, n_heads = shape.n_heads, n_groups = spec->mamba2.n_groups;
    const int n_gate = shape.rows[PRODUCT_GATE], n_input = shape.rows[PRODUCT_INPUT];
    struct weight_source in;
    CM_TRY(need_matrix(finder, "ssm_in.weight", n_gate + n_input, dim, &in));
    out->products[PRODUCT_GATE] = cm_source_rows(&in, 0, n_gate);
    out->products[PRODUCT_INPUT] = cm_source_rows(&in, n_gate, n_input);
    CM_TRY(need_shaped(finder, "ssm_conv1d.weight", shape.n_taps, shape.n_channels, &out->taps));
    CM_TRY(need_vector(finder, "ssm_conv1d.bias", shape.n_channels, &out->taps_bias));
    CM_TRY(need_vector(finder, "ssm_dt.bias", n_heads, &out->time_bias));
    CM_TRY(need_shaped(finder, "ssm_a", 1, n_heads, &out->decay));
    CM_TRY(need_shaped(finder, "ssm_d", 1, n_heads, &out->skip));
    CM_TRY(need_shaped(finder, "ssm_norm.weight", shape.n_values / n_groups, n_groups, &out->norm));
    return need_matrix(finder, "ssm_out.weight", dim, shape.n_values, &out->out);
}

/* One matrix has the rows of b, c and x. */
static calmoe_status find_shortconv(struct finder *finder, const struct layer_spec *spec, struct layer_tensors *layer)
{
    static const enum recurrent_product order[] = {PRODUCT_FACTOR, PRODUCT_GATE, PRODUCT_INPUT};
    const int n = spec->shortconv.n_channels;
    struct recurrent_tensors *out = &layer->recurrent;
    struct weight_source in;
    CM_TRY(need_matrix(finder, "shortconv.in_proj.weight", 3 * n, n, &in));
    for (int i = 0; i < 3; i++) out->products[order[i]] = cm_source_rows(&in, i * n, n);
    CM_TRY(need_shaped(finder, "shortconv.conv.weight", spec->shortconv.n_taps, n, &out->taps));
    return need_matrix(finder, "shortconv.out_proj.weight", n, n, &out->out);
}

/* A matrix for each head, as one tensor. */
static calmoe_status need_heads(struct finder *finder, const char *role, int n_rows, int n_columns, int n_heads,
                                struct weight_source *out)
{
    const struct file_tensor *tensor;
    CM_TRY(need(finder, role, &tensor));
    CM_TRY(check_shape(finder, tensor, n_columns, n_rows, n_heads));
    *out = source_of(finder, tensor, 0, n_rows * n_heads);
    return CALMOE_OK;
}

static calmoe_status find_mla(struct finder *finder, const struct layer_spec *spec, struct layer_tensors *layer)
{
    const struct mla_spec *mla = &spec->mla;
    struct mla_tensors *out = &layer->mla;
    const int dim = finder->spec->dim, n_heads = spec->attention.n_heads, latent = spec->attention.value_size;
    const int q = n_heads * (mla->plain_size + mla->rope_size);
    if (mla->q_rank > 0) {
        CM_TRY(need_matrix(finder, "attn_q_a.weight", mla->q_rank, dim, &out->q_a));
        CM_TRY(need_vector(finder, "attn_q_a_norm.weight", mla->q_rank, &out->q_norm));
        CM_TRY(need_matrix(finder, "attn_q_b.weight", q, mla->q_rank, &layer->q));
    } else CM_TRY(need_matrix(finder, "attn_q.weight", q, dim, &layer->q));
    CM_TRY(need_matrix(finder, "attn_kv_a_mqa.weight", latent + mla->rope_size, dim, &out->latent));
    CM_TRY(need_vector(finder, "attn_kv_a_norm.weight", latent, &out->latent_norm));
    if (mla->is_joint)
        CM_TRY(need_matrix(finder, "attn_kv_b.weight", n_heads * (mla->plain_size + mla->value_size), latent,
                           &out->joint));
    else {
        CM_TRY(need_heads(finder, "attn_k_b.weight", latent, mla->plain_size, n_heads, &out->k));
        CM_TRY(need_heads(finder, "attn_v_b.weight", mla->value_size, latent, n_heads, &out->v));
    }
    return need_matrix(finder, "attn_output.weight", dim, n_heads * mla->value_size, &layer->o);
}

static calmoe_status find_mixer(struct finder *finder, struct layer_tensors *layer)
{
    static calmoe_status (*const finds[MIXER_KIND_COUNT])(struct finder *finder, const struct layer_spec *spec,
                                                          struct layer_tensors *layer) = {
        [MIXER_ATTENTION] = find_attention, [MIXER_DELTA_NET] = find_delta,       [MIXER_MLA] = find_mla,
        [MIXER_MAMBA2] = find_mamba2,       [MIXER_SHORTCONV] = find_shortconv,
    };
    const struct layer_spec *spec = layer_of(finder);
    const struct norm_roles *norms = &cm_norm_roles[spec->norms];
    if (!finds[spec->mixer]) return CALMOE_OK;
    CM_TRY(find_norm_with_bias(finder, norms->attention, &layer->attention_norm, &layer->attention_norm_bias));
    CM_TRY(find_norm(finder, norms->after_attention, &layer->after_attention_norm));
    return finds[spec->mixer](finder, spec, layer);
}

/* The tensors of a branch, each with a matrix or a vector for each of its experts; gate and up may be one. */
struct bank_roles {
    const char *gate, *up, *down, *fused;
    const char *gate_bias, *up_bias, *down_bias, *fused_bias;
};

/* Gate and up in one: of a name of its own, or of up's, which then has twice as many rows as the width tells. */
static const struct file_tensor *find_fused(struct finder *finder, const struct bank_roles *roles, int width)
{
    const struct file_tensor *fused = find(finder, roles->fused);
    if (fused || find(finder, roles->gate)) return fused;
    fused = find(finder, roles->up);
    return fused && fused->shape[1] == 2 * (uint64_t)width ? fused : NULL;
}

static calmoe_status find_matrices(struct finder *finder, const struct bank_roles *roles,
                                   const struct branch_spec *spec, int n, struct expert_sources *out)
{
    const int dim = finder->spec->dim, width = spec->width;
    const bool has_gate = cm_nonlinearities[spec->nonlinearity].has_gate;
    const struct file_tensor *fused = has_gate ? find_fused(finder, roles, width) : NULL, *gate = fused, *up = fused;
    const struct file_tensor *down;
    if (fused) { /* each expert: rows of gate, then rows of up */
        CM_TRY(check_shape(finder, fused, dim, 2 * width, n));
    } else if (!has_gate) {
        CM_TRY(need(finder, roles->up, &up));
        CM_TRY(check_shape(finder, up, dim, width, n));
    } else {
        if (!find(finder, roles->gate) && !find(finder, roles->up)) { /* or it is the one of both that is missing */
            find(finder, roles->gate);
            return cm_fail(finder->ctx, CALMOE_BAD_FILE,
                           "tensor '%s' is missing, and so are 'blk.%d.%s' and 'blk.%d.%s'", finder->name,
                           finder->first_block + finder->layer, roles->up, finder->first_block + finder->layer,
                           roles->fused);
        }
        CM_TRY(need(finder, roles->gate, &gate));
        CM_TRY(check_shape(finder, gate, dim, width, n));
        CM_TRY(need(finder, roles->up, &up));
        CM_TRY(check_shape(finder, up, dim, width, n));
    }
    CM_TRY(need(finder, roles->down, &down));
    CM_TRY(check_shape(finder, down, width, dim, n));
    const size_t behind = fused ? (size_t)width : 0;       /* rows of gate before an expert's rows of up */
    const size_t stride = (size_t)width + behind;          /* rows from one expert to the next           */
    for (size_t e = 0; e < (size_t)n; e++) {
        out[e] = (struct expert_sources){.up = source_of(finder, up, e * stride + behind, width),
                                         .down = source_of(finder, down, e * (size_t)dim, dim)};
        if (has_gate) out[e].gate = source_of(finder, gate, e * stride, width);
    }
    return CALMOE_OK;
}

/* Files of 2023 have a tensor for each expert: "ffn_up.3.weight". Each may have a type of its own. */
static calmoe_status need_single(struct finder *finder, const char *role, int expert, int n_rows, int n_columns,
                                 struct weight_source *out)
{
    char name[FILE_MAX_NAME_BYTES];
    snprintf(name, sizeof name, "%s.%d.weight", role, expert);
    return need_matrix(finder, name, n_rows, n_columns, out);
}

static calmoe_status find_singles(struct finder *finder, int width, int n, struct expert_sources *out)
{
    const int dim = finder->spec->dim;
    for (int e = 0; e < n; e++) {
        CM_TRY(need_single(finder, "ffn_gate", e, width, dim, &out[e].gate));
        CM_TRY(need_single(finder, "ffn_up", e, width, dim, &out[e].up));
        CM_TRY(need_single(finder, "ffn_down", e, dim, width, &out[e].down));
    }
    return CALMOE_OK;
}

static calmoe_status may_biases(struct finder *finder, const char *role, int n_elements, int n, struct bias_source *out)
{
    out->tensor = find(finder, role);
    return out->tensor ? check_shape(finder, out->tensor, n_elements, n, 1) : CALMOE_OK;
}

static calmoe_status find_biases(struct finder *finder, const struct bank_roles *roles, int width, int n,
                                 struct bank_tensors *out)
{
    CM_TRY(may_biases(finder, roles->down_bias, finder->spec->dim, n, &out->down_bias));
    CM_TRY(may_biases(finder, roles->fused_bias, 2 * width, n, &out->gate_bias));
    if (out->gate_bias.tensor) { /* each expert: elements of gate, then of up */
        out->up_bias = (struct bias_source){out->gate_bias.tensor, width};
        return CALMOE_OK;
    }
    CM_TRY(may_biases(finder, roles->gate_bias, width, n, &out->gate_bias));
    return may_biases(finder, roles->up_bias, width, n, &out->up_bias);
}

static calmoe_status find_bank(struct finder *finder, const struct bank_roles *roles, int bank, int n,
                               struct layer_tensors *layer)
{
    const struct branch_spec *spec = &layer_of(finder)->ffn.branches[bank];
    struct bank_tensors *out = &layer->banks[bank];
    out->experts = cm_alloc(finder->ctx, (size_t)n, sizeof *out->experts, "the tensor table");
    if (!out->experts) return CALMOE_NO_MEMORY;
    const bool are_single = bank == BANK_ROUTED && !find(finder, roles->down);
    CM_TRY(are_single ? find_singles(finder, spec->width, n, out->experts)
                      : find_matrices(finder, roles, spec, n, out->experts));
    return find_biases(finder, roles, spec->width, n, out);
}

#define BANK_ROLES(end)                                                                                               \
    {                                                                                                                 \
        .gate = "ffn_gate" end ".weight", .up = "ffn_up" end ".weight", .down = "ffn_down" end ".weight",             \
        .fused = "ffn_gate_up" end ".weight", .gate_bias = "ffn_gate" end ".bias", .up_bias = "ffn_up" end ".bias",   \
        .down_bias = "ffn_down" end ".bias", .fused_bias = "ffn_gate_up" end ".bias",                                 \
    }
static const struct bank_roles routed_roles = BANK_ROLES("_exps"), shared_roles = BANK_ROLES("_shexp"),
                               dense_roles = BANK_ROLES("");

static calmoe_status find_routed(struct finder *finder, const struct ffn_spec *ffn, struct layer_tensors *layer)
{
    const int n_experts = ffn->router.n_experts, dim = finder->spec->dim;
    CM_TRY(need_matrix(finder, "ffn_gate_inp.weight", n_experts, dim, &layer->router));
    CM_TRY(may_vector(finder, "ffn_gate_inp.bias", n_experts, &layer->router_bias));
    if (ffn->router.has_bias) CM_TRY(may_vector(finder, "exp_probs_b", n_experts, &layer->choice_bias)); /* of Hy3 */
    if (ffn->router.has_bias && !layer->choice_bias)
        CM_TRY(need_vector(finder, "exp_probs_b.bias", n_experts, &layer->choice_bias));
    CM_TRY(find_bank(finder, &routed_roles, BANK_ROUTED, n_experts, layer));
    CM_TRY(may_vector(finder, "ffn_down_exps.scale", n_experts, &layer->expert_scale));
    return ffn->has_shared_gate ? need_vector(finder, "ffn_gate_inp_shexp.weight", dim, &layer->shared_gate)
                                : CALMOE_OK;
}

/* A dense part beside routed experts, and the norms that keep them apart. */
static calmoe_status find_dense_part(struct finder *finder, struct layer_tensors *layer)
{
    const int dim = finder->spec->dim;
    CM_TRY(need_vector(finder, "ffn_gate_inp.scale", dim, &layer->router_norm));
    CM_TRY(need_vector(finder, "pre_ffw_norm_2.weight", dim, &layer->routed_norm));
    CM_TRY(need_vector(finder, "post_ffw_norm_2.weight", dim, &layer->after_routed_norm));
    CM_TRY(need_vector(finder, "post_ffw_norm_1.weight", dim, &layer->after_dense_norm));
    return find_bank(finder, &dense_roles, BANK_DENSE, 1, layer);
}

static calmoe_status find_ffn(struct finder *finder, struct layer_tensors *layer)
{
    const struct ffn_spec *ffn = &layer_of(finder)->ffn;
    const struct norm_roles *norms = &cm_norm_roles[layer_of(finder)->norms];
    const bool is_dense = cm_is_dense(ffn);
    if (!cm_has_ffn(ffn)) return CALMOE_OK;
    CM_TRY(find_norm_with_bias(finder, norms->ffn, &layer->ffn_norm, &layer->ffn_norm_bias));
    CM_TRY(find_norm(finder, norms->after_ffn, &layer->after_ffn_norm));
    CM_TRY(may_vector(finder, "layer_output_scale.weight", 1, &layer->output_scale));
    if (ffn->branches[BANK_DENSE].width > 0) CM_TRY(find_dense_part(finder, layer));
    if (cm_is_routed(ffn)) CM_TRY(find_routed(finder, ffn, layer));
    if (ffn->branches[BANK_SHARED].width == 0) return CALMOE_OK;
    return find_bank(finder, is_dense ? &dense_roles : &shared_roles, BANK_SHARED, 1, layer);
}

/* What rotary frequencies are divided by: one tensor, or the one of two that fits the context. */
static calmoe_status find_factors(struct finder *finder, struct model_tensors *out)
{
    static const char *const all[] = {ROPE_FACTORS, ROPE_LONG_FACTORS, ROPE_SHORT_FACTORS};
    const struct rope_spec *rope = &finder->spec->ropes[0];
    bool has_any = false;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct file_tensor *tensor;
        CM_TRY(may_vector(finder, all[i], rope->n_rot / 2, &tensor));
        has_any |= tensor != NULL;
        if (strcmp(all[i], rope->factors) == 0) out->rope_factors = tensor;
    }
    return has_any && !out->rope_factors ? need(finder, rope->factors, &out->rope_factors) : CALMOE_OK;
}

static calmoe_status find_globals(struct finder *finder, struct model_tensors *out)
{
    const struct model_spec *spec = finder->spec;
    const struct norm_roles *norms = &cm_norm_roles[spec->layers[0].norms];
    CM_TRY(need_matrix(finder, "token_embd.weight", spec->n_vocab, spec->dim, &out->embedding));
    CM_TRY(find_norm_with_bias(finder, norms->output, &out->output_norm, &out->output_norm_bias));
    CM_TRY(find_norm_with_bias(finder, norms->embedding, &out->first_norm, &out->first_norm_bias));
    CM_TRY(find_factors(finder, out));
    CM_TRY(may_vector(finder, "output.bias", spec->n_vocab, &out->output_bias));
    out->is_tied = find(finder, "output.weight") == NULL;
    if (out->is_tied) out->output = out->embedding;
    else CM_TRY(need_matrix(finder, "output.weight", spec->n_vocab, spec->dim, &out->output));
    return CALMOE_OK;
}

/* Of a further block what it has of its own: what stands before its layer, and, in some files, embedding, last norm and
 * output; else they are the model's. */
static calmoe_status find_further(struct finder *finder, struct model_tensors *out)
{
    static const char *const norms[] = {"nextn.shared_head_norm.weight", "layer_output_norm.weight"};
    const struct model_spec *spec = finder->spec;
    const int dim = spec->dim;
    bool has_embedding, has_output;
    finder->layer = 0;
    CM_TRY(need_matrix(finder, "nextn.eh_proj.weight", dim, 2 * dim, &out->further.joint));
    CM_TRY(need_vector(finder, "nextn.enorm.weight", dim, &out->further.embedding_norm));
    CM_TRY(need_vector(finder, "nextn.hnorm.weight", dim, &out->further.state_norm));
    for (size_t i = 0; i < sizeof norms / sizeof *norms && !out->output_norm; i++)
        CM_TRY(may_vector(finder, norms[i], dim, &out->output_norm));
    has_embedding = find(finder, "nextn.embed_tokens.weight") != NULL;
    if (has_embedding) CM_TRY(need_matrix(finder, "nextn.embed_tokens.weight", spec->n_vocab, dim, &out->embedding));
    has_output = find(finder, "nextn.shared_head_head.weight") != NULL;
    if (has_output) CM_TRY(need_matrix(finder, "nextn.shared_head_head.weight", spec->n_vocab, dim, &out->output));
    finder->layer = -1;
    if (!has_embedding) CM_TRY(need_matrix(finder, "token_embd.weight", spec->n_vocab, dim, &out->embedding));
    out->is_tied = !find(finder, "output.weight");
    if (!has_output)
        CM_TRY(need_matrix(finder, out->is_tied ? "token_embd.weight" : "output.weight", spec->n_vocab, dim,
                           &out->output));
    if (!out->output_norm)
        CM_TRY(need_vector(finder, cm_norm_roles[spec->layers[0].norms].output, dim, &out->output_norm));
    return may_vector(finder, "rope_freqs.weight", spec->ropes[0].n_rot / 2, &out->rope_factors);
}

/* The number in "blk.N."; -1 = of no block. */
static int block_of(const char *name)
{
    int block = -1;
    return sscanf(name, "blk.%9d.", &block) == 1 ? block : -1;
}

/* Tensors that stand beside a model in some files and are no part of what runs: encoders of images and sound, and
 * scales of inputs that other programs quantize by. */
static bool is_of_other_parts(const char *name)
{
    static const char *const beginnings[] = {"mm.", "v.", "a.", "output_extra."};
    static const char ending[] = ".input_scale";
    const size_t n = strlen(name), n_ending = sizeof ending - 1;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0) return true;
    return n > n_ending && strcmp(name + n - n_ending, ending) == 0;
}

static calmoe_status check_all_used(const struct finder *finder)
{
    const struct model_spec *spec = finder->spec;
    for (uint64_t i = 0; i < finder->file->n_tensors; i++) {
        const char *name = finder->file->tensors[i].name;
        const int block = block_of(name);
        if (finder->is_used[i] || is_of_other_parts(name)) continue;
        if (spec->first_block > 0 && block != spec->first_block) continue; /* the model's */
        if (spec->first_block == 0 && block >= spec->n_layers && block < spec->n_blocks) continue; /* a further one's */
        if (block >= spec->n_blocks)
            return cm_fail(finder->ctx, CALMOE_BAD_FILE, "tensor '%s' is of block %d; the metadata tells of %d blocks",
                           name, block, spec->n_blocks);
        return cm_fail(finder->ctx, CALMOE_UNSUPPORTED,
                       "tensor '%s' has no place in the family %s; running without it would give wrong results",
                       name, spec->family);
    }
    return CALMOE_OK;
}

/* Of a layer that has none of the tensors by which its width could be told. */
static calmoe_status check_widths(const struct finder *finder)
{
    int width = 0;
    for (int i = 0; i < finder->spec->n_layers; i++) {
        const struct layer_spec *layer = &finder->spec->layers[i];
        const bool is_routed = cm_is_routed(&layer->ffn);
        const int own = layer->ffn.branches[is_routed ? BANK_ROUTED : BANK_SHARED].width;
        if (layer->norms == NORMS_OF_ONE_HALF && layer->mixer != MIXER_NONE) continue;
        if (own < 1)
            return cm_fail(finder->ctx, CALMOE_BAD_FILE,
                           "tensor 'blk.%d.%s' is missing or has no rows that fit the family %s",
                           finder->first_block + i, is_routed ? routed_roles.down : dense_roles.down,
                           finder->spec->family);
        if (!is_routed) continue;
        if (width > 0 && own != width)
            return cm_fail(finder->ctx, CALMOE_UNSUPPORTED,
                           "routed experts are %d wide in block %d, and %d before; only equal ones run", own, i, width);
        width = own;
    }
    return CALMOE_OK;
}

static calmoe_status find_all(struct finder *finder, struct model_tensors *out)
{
    CM_TRY(check_widths(finder));
    finder->layer = -1;
    CM_TRY(finder->spec->first_block > 0 ? find_further(finder, out) : find_globals(finder, out));
    out->embedding.map = NULL; /* its rows are read from the file */
    if (out->output.rows == out->embedding.rows) out->output.map = NULL;
    for (finder->layer = 0; finder->layer < out->n_layers; finder->layer++) {
        CM_TRY(find_mixer(finder, &out->layers[finder->layer]));
        CM_TRY(find_ffn(finder, &out->layers[finder->layer]));
    }
    CM_TRY(check_all_used(finder));
    cm_count_parameters(finder->file, finder->spec, finder->is_used, out);
    return CALMOE_OK;
}

calmoe_status cm_model_tensors_open(struct calmoe_context *ctx, const struct model_file *file,
                                    const struct model_spec *spec, struct model_tensors *out)
{
    struct finder finder = {.ctx = ctx, .file = file, .spec = spec, .first_block = spec->first_block};
    *out = (struct model_tensors){.n_layers = spec->n_layers};
    out->layers = cm_alloc(ctx, (size_t)spec->n_layers, sizeof *out->layers, "the tensor table");
    finder.is_used = cm_alloc(ctx, (size_t)file->n_tensors, sizeof *finder.is_used, "the tensor table");
    const calmoe_status status =
        out->layers && finder.is_used ? find_all(&finder, out) : CALMOE_NO_MEMORY;
    cm_free(finder.is_used);
    if (status != CALMOE_OK) cm_model_tensors_close(out);
    return status;
}

void cm_model_tensors_close(struct model_tensors *tensors)
{
    for (int layer = 0; tensors->layers && layer < tensors->n_layers; layer++)
        for (int bank = 0; bank < N_BANKS; bank++) cm_free(tensors->layers[layer].banks[bank].experts);
    cm_free(tensors->layers);
    *tensors = (struct model_tensors){0};
}
