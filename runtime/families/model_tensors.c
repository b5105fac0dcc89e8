/* runtime/families/model_tensors.c - see model_tensors.h. */
#include "runtime/families/model_tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

struct finder {
    struct calmoe_context   *ctx;
    const struct model_file       *file;
    const struct model_spec *spec;
    int                      layer;   /* -1: names have no "blk.N." in front     */
    bool                    *is_used; /* (n_tensors)                             */
    char                     name[FILE_MAX_NAME_BYTES + 32];
};

/* The tensor of that role, or NULL; marks it used. */
static const struct file_tensor *find(struct finder *finder, const char *role)
{
    if (finder->layer < 0) snprintf(finder->name, sizeof finder->name, "%s", role);
    else snprintf(finder->name, sizeof finder->name, "blk.%d.%s", finder->layer, role);
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
        return cm_fail(finder->ctx, CALMOE_BAD_FILE, "tensor '%s' has type id %u, which cannot hold weights",
                       tensor->name, tensor->file_id);
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
                                      int first_row, int n_rows)
{
    const size_t row_bytes = cm_row_bytes(tensor->type, (size_t)tensor->shape[0]);
    return (struct weight_source){.type = tensor->type,
                                  .rows = tensor->bytes + (size_t)first_row * row_bytes,
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

/* q, k and v: three tensors, or one with the rows of q, then k, then v. */
static calmoe_status find_qkv(struct finder *finder, struct layer_tensors *layer)
{
    const struct model_spec *spec = finder->spec;
    const int q = spec->n_heads * spec->head_size, k = spec->n_kv_heads * spec->head_size,
              v = spec->n_kv_heads * spec->value_size;
    const struct file_tensor *fused = find(finder, "attn_qkv.weight");
    if (fused) {
        CM_TRY(check_shape(finder, fused, spec->dim, q + k + v, 1));
        layer->q = source_of(finder, fused, 0, q);
        layer->k = source_of(finder, fused, q, k);
        layer->v = source_of(finder, fused, q + k, v);
    } else {
        CM_TRY(need_matrix(finder, "attn_q.weight", q, spec->dim, &layer->q));
        CM_TRY(need_matrix(finder, "attn_k.weight", k, spec->dim, &layer->k));
        CM_TRY(need_matrix(finder, "attn_v.weight", v, spec->dim, &layer->v));
    }
    CM_TRY(may_vector(finder, "attn_q.bias", q, &layer->q_bias));
    CM_TRY(may_vector(finder, "attn_k.bias", k, &layer->k_bias));
    return may_vector(finder, "attn_v.bias", v, &layer->v_bias);
}

/* A norm of q or k: one weight for each element of a head, or of the whole vector. */
static calmoe_status find_head_norm(struct finder *finder, const char *role, int n_heads,
                                    const struct file_tensor **out)
{
    *out = find(finder, role);
    if (!*out) return CALMOE_OK;
    const int head_size = finder->spec->head_size;
    const bool is_whole = (*out)->shape[0] == (uint64_t)(n_heads * head_size);
    return check_shape(finder, *out, is_whole ? n_heads * head_size : head_size, 1, 1);
}

static calmoe_status find_attention(struct finder *finder, struct layer_tensors *layer)
{
    const struct model_spec *spec = finder->spec;
    CM_TRY(need_vector(finder, "attn_norm.weight", spec->dim, &layer->attention_norm));
    CM_TRY(find_qkv(finder, layer));
    CM_TRY(find_head_norm(finder, "attn_q_norm.weight", spec->n_heads, &layer->q_norm));
    CM_TRY(find_head_norm(finder, "attn_k_norm.weight", spec->n_kv_heads, &layer->k_norm));
    CM_TRY(need_matrix(finder, "attn_output.weight", spec->dim, spec->n_heads * spec->value_size, &layer->o));
    return may_vector(finder, "attn_output.bias", spec->dim, &layer->o_bias);
}

/* A stack of n matrices; every expert's slice is contiguous. */
static calmoe_status need_stack(struct finder *finder, const char *role, int n, int n_rows, int n_columns,
                                struct stacked_source *out)
{
    const struct file_tensor *tensor;
    CM_TRY(need(finder, role, &tensor));
    CM_TRY(check_shape(finder, tensor, n_columns, n_rows, n));
    *out = (struct stacked_source){source_of(finder, tensor, 0, n_rows), n_rows};
    return CALMOE_OK;
}

struct bank_roles {
    const char *gate, *up, *down, *fused;
};

static calmoe_status find_bank(struct finder *finder, const struct bank_roles *roles, int bank, int n, int width,
                               struct layer_tensors *layer)
{
    const int dim = finder->spec->dim;
    const struct file_tensor *fused = find(finder, roles->fused);
    if (fused) { /* each expert: rows of gate, then rows of up */
        CM_TRY(check_shape(finder, fused, dim, 2 * width, n));
        layer->gate[bank] = (struct stacked_source){source_of(finder, fused, 0, width), 2 * width};
        layer->up[bank] = (struct stacked_source){source_of(finder, fused, width, width), 2 * width};
    } else {
        CM_TRY(need_stack(finder, roles->gate, n, width, dim, &layer->gate[bank]));
        CM_TRY(need_stack(finder, roles->up, n, width, dim, &layer->up[bank]));
    }
    return need_stack(finder, roles->down, n, dim, width, &layer->down[bank]);
}

static calmoe_status find_ffn(struct finder *finder, struct layer_tensors *layer)
{
    static const struct bank_roles dense = {"ffn_gate.weight", "ffn_up.weight", "ffn_down.weight",
                                            "ffn_gate_up.weight"};
    static const struct bank_roles routed = {"ffn_gate_exps.weight", "ffn_up_exps.weight",
                                             "ffn_down_exps.weight", "ffn_gate_up_exps.weight"};
    static const struct bank_roles shared = {"ffn_gate_shexp.weight", "ffn_up_shexp.weight",
                                             "ffn_down_shexp.weight", "ffn_gate_up_shexp.weight"};
    const struct model_spec *spec = finder->spec;
    const int n_experts = spec->router.n_experts;
    CM_TRY(need_vector(finder, "ffn_norm.weight", spec->dim, &layer->ffn_norm));
    if (spec->is_dense) return find_bank(finder, &dense, BANK_ROUTED, 1, spec->expert_width, layer);
    if (find(finder, "ffn_gate.0.weight"))
        return cm_fail(finder->ctx, CALMOE_UNSUPPORTED,
                       "tensor '%s': a file of 2023 with one tensor for each expert; convert the model again",
                       finder->name);
    CM_TRY(need_matrix(finder, "ffn_gate_inp.weight", n_experts, spec->dim, &layer->router));
    if (spec->router.has_bias) CM_TRY(need_vector(finder, "exp_probs_b.bias", n_experts, &layer->choice_bias));
    CM_TRY(find_bank(finder, &routed, BANK_ROUTED, n_experts, spec->expert_width, layer));
    if (spec->shared_width == 0) return CALMOE_OK;
    CM_TRY(find_bank(finder, &shared, BANK_SHARED, 1, spec->shared_width, layer));
    return may_vector(finder, "ffn_gate_inp_shexp.weight", spec->dim, &layer->shared_gate);
}

static calmoe_status find_globals(struct finder *finder, struct model_tensors *out)
{
    const struct model_spec *spec = finder->spec;
    CM_TRY(need_matrix(finder, "token_embd.weight", spec->n_vocab, spec->dim, &out->embedding));
    CM_TRY(need_vector(finder, "output_norm.weight", spec->dim, &out->output_norm));
    CM_TRY(may_vector(finder, "rope_freqs.weight", spec->rope.n_rot / 2, &out->rope_factors));
    out->is_tied = find(finder, "output.weight") == NULL;
    if (out->is_tied) out->output = out->embedding;
    else CM_TRY(need_matrix(finder, "output.weight", spec->n_vocab, spec->dim, &out->output));
    out->embedding.map = NULL;
    if (out->is_tied) out->output.map = NULL;
    return CALMOE_OK;
}

/* "blk.N." of a block that decoding does not run (N beyond the layers). */
static bool is_of_later_block(const struct model_spec *spec, const char *name)
{
    int block;
    return sscanf(name, "blk.%9d.", &block) == 1 && block >= spec->n_layers;
}

static calmoe_status check_all_used(const struct finder *finder)
{
    for (uint64_t i = 0; i < finder->file->n_tensors; i++) {
        const char *name = finder->file->tensors[i].name;
        if (!finder->is_used[i] && !is_of_later_block(finder->spec, name))
            return cm_fail(finder->ctx, CALMOE_UNSUPPORTED,
                           "tensor '%s' has no place in the family %s; running without it would give wrong results",
                           name, finder->spec->family);
    }
    return CALMOE_OK;
}

/* What one token reads: everything but the experts that are not chosen, and one row of the embedding
 * (all of it where it serves as the output as well). */
static void count_parameters(const struct finder *finder, struct model_tensors *out)
{
    const struct model_spec *spec = finder->spec;
    const uint64_t expert = 3u * (uint64_t)spec->dim * (uint64_t)spec->expert_width;
    const uint64_t idle = (uint64_t)(spec->router.n_experts - spec->router.n_used) * expert;
    for (uint64_t i = 0; i < finder->file->n_tensors; i++) {
        const struct file_tensor *tensor = &finder->file->tensors[i];
        if (finder->is_used[i])
            out->n_parameters += tensor->shape[0] * tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
    }
    out->n_active_parameters = out->n_parameters - idle * (uint64_t)spec->n_layers;
    if (!out->is_tied) out->n_active_parameters -= (uint64_t)spec->n_vocab * (uint64_t)spec->dim - (uint64_t)spec->dim;
}

static calmoe_status find_all(struct finder *finder, struct model_tensors *out)
{
    if (finder->spec->expert_width < 1)
        return cm_fail(finder->ctx, CALMOE_BAD_FILE, "block 0 has no feed-forward tensors that fit the family %s",
                       finder->spec->family);
    finder->layer = -1;
    CM_TRY(find_globals(finder, out));
    for (finder->layer = 0; finder->layer < out->n_layers; finder->layer++) {
        CM_TRY(find_attention(finder, &out->layers[finder->layer]));
        CM_TRY(find_ffn(finder, &out->layers[finder->layer]));
    }
    CM_TRY(check_all_used(finder));
    count_parameters(finder, out);
    return CALMOE_OK;
}

calmoe_status cm_model_tensors_open(struct calmoe_context *ctx, const struct model_file *file,
                                    const struct model_spec *spec, struct model_tensors *out)
{
    struct finder finder = {.ctx = ctx, .file = file, .spec = spec};
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
    cm_free(tensors->layers);
    *tensors = (struct model_tensors){0};
}

static struct weight_source slice(const struct stacked_source *stack, int expert)
{
    struct weight_source source = stack->first;
    const size_t row_bytes = cm_row_bytes(source.type, (size_t)source.n_columns);
    source.rows += (size_t)expert * (size_t)stack->stride * row_bytes;
    return source;
}

struct expert_sources cm_expert_sources(const struct layer_tensors *layer, int bank, int expert)
{
    return (struct expert_sources){slice(&layer->gate[bank], expert), slice(&layer->up[bank], expert),
                                   slice(&layer->down[bank], expert)};
}
