/* runtime/adapters/adapter_pairs.c - what an adapter may change of a model, and the list of what it does change. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "experts/low_rank.h"
#include "runtime/adapters/adapter_parts.h"

/* ---- targets ---- */

static bool is_whole(const struct file_tensor *tensor, struct adapter_target *out)
{
    if (!tensor || tensor->shape[3] != 1 || tensor->shape[0] > INT32_MAX || tensor->shape[1] > INT32_MAX ||
        tensor->shape[2] > INT32_MAX)
        return false;
    *out = (struct adapter_target){.tensor = tensor, .n_rows = (int)tensor->shape[1],
                                   .n_columns = (int)tensor->shape[0], .n_stacked = (int)tensor->shape[2]};
    return true;
}

/* Tensors that some files have as rows of a joint one: which, and which rows. */
static bool rows_of_joint(const struct adapter_model *model, int layer, const char *role, struct adapter_target *out)
{
    static const char *const ends[] = {"", "_exps", "_shexp"};
    const struct layer_spec *spec = &model->spec->layers[layer];
    const struct attention_spec *attention = &spec->attention;
    char joint[FILE_MAX_NAME_BYTES], name[32];
    if (strncmp(role, "attn_", 5) == 0 && strchr("qkv", role[5]) && strcmp(role + 6, ".weight") == 0) {
        const int q = attention->n_heads * cm_query_size(attention), k = attention->n_kv_heads * attention->head_size;
        const int v = attention->n_kv_heads * attention->value_size;
        snprintf(joint, sizeof joint, "blk.%d.attn_qkv.weight", layer);
        if (spec->mixer != MIXER_ATTENTION || !is_whole(cm_file_tensor(model->file, joint), out)) return false;
        out->first_row = role[5] == 'q' ? 0 : role[5] == 'k' ? q : q + k;
        out->n_rows = role[5] == 'q' ? q : role[5] == 'k' ? k : v;
        return true;
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        for (int is_up = 0; is_up < 2; is_up++) {
            snprintf(name, sizeof name, "ffn_%s%s.weight", is_up ? "up" : "gate", ends[i]);
            if (strcmp(role, name) != 0) continue;
            snprintf(joint, sizeof joint, "blk.%d.ffn_gate_up%s.weight", layer, ends[i]);
            const struct file_tensor *tensor = cm_file_tensor(model->file, joint);
            if (!tensor && !is_up) { /* or up's has gate's rows, too */
                snprintf(joint, sizeof joint, "blk.%d.ffn_up%s.weight", layer, ends[i]);
                tensor = cm_file_tensor(model->file, joint);
            }
            if (!is_whole(tensor, out) || out->n_rows % 2 != 0) return false;
            out->n_rows /= 2;
            out->first_row = is_up ? out->n_rows : 0;
            return true;
        }
    return false;
}

void cm_adapter_leave_gate_out(const struct adapter_model *model, const char *name, struct adapter_target *target)
{
    char        gate[FILE_MAX_NAME_BYTES + 8];
    int         layer = -1, n = 0;
    const char *end;
    if (sscanf(name, "blk.%9d.ffn_up%n", &layer, &n) != 1 || n == 0 || layer >= model->spec->n_layers) return;
    end = name + n;
    snprintf(gate, sizeof gate, "blk.%d.ffn_gate%s", layer, end);
    const struct ffn_spec *ffn = &model->spec->layers[layer].ffn;
    const int bank = strncmp(end, "_exps", 5) == 0 ? BANK_ROUTED
                     : strncmp(end, "_shexp", 6) == 0 || cm_is_dense(ffn) ? BANK_SHARED : BANK_DENSE;
    if (cm_file_tensor(model->file, gate) || target->n_rows != 2 * ffn->branches[bank].width) return;
    target->n_rows /= 2;
    target->first_row = target->n_rows;
}

bool cm_adapter_target(const struct adapter_model *model, const char *name, struct adapter_target *out)
{
    int layer = -1, n = 0;
    if (is_whole(cm_file_tensor(model->file, name), out)) {
        out->is_embedding = strcmp(name, "token_embd.weight") == 0;
        return true;
    }
    if (strcmp(name, "output.weight") == 0) return is_whole(cm_file_tensor(model->file, "token_embd.weight"), out);
    if (sscanf(name, "blk.%9d.%n", &layer, &n) != 1 || n == 0 || layer < 0 || layer >= model->spec->n_layers)
        return false;
    return rows_of_joint(model, layer, name + n, out);
}

/* ---- pairs ---- */

static calmoe_status grow(struct calmoe_context *ctx, struct adapter *adapter)
{
    if (adapter->n_pairs < adapter->capacity) return CALMOE_OK;
    const int capacity = adapter->capacity > 0 ? 2 * adapter->capacity : 64;
    struct adapter_pair *pairs = cm_alloc(ctx, (size_t)capacity, sizeof *pairs, "an adapter");
    if (!pairs) return CALMOE_NO_MEMORY;
    if (adapter->n_pairs > 0) memcpy(pairs, adapter->pairs, (size_t)adapter->n_pairs * sizeof *pairs);
    cm_free(adapter->pairs);
    adapter->pairs = pairs;
    adapter->capacity = capacity;
    return CALMOE_OK;
}

calmoe_status cm_adapter_add(const struct adapter_reading *reading, const struct adapter_target *target, int slice,
                             int rank, float scale, float **a, float **b)
{
    struct adapter *adapter = reading->out;
    const char     *name = target->tensor->name;
    if (rank < 1 || rank > LOW_RANK_MOST || !isfinite(scale))
        return cm_fail(reading->ctx, CALMOE_UNSUPPORTED,
                       "'%s': what it adds to '%s' has the rank %d and the scale %g; ranks from 1 to %d and finite "
                       "scales "
                       "are run", reading->name, name, rank, (double)scale, LOW_RANK_MOST);
    if (adapter->n_pairs == ADAPTER_MAX_PAIRS)
        return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s' changes more than %d matrices", reading->name,
                       ADAPTER_MAX_PAIRS);
    CM_TRY(grow(reading->ctx, adapter));
    struct adapter_pair *pair = &adapter->pairs[adapter->n_pairs];
    *pair = (struct adapter_pair){.target = target->tensor, .is_embedding = target->is_embedding, .slice = slice,
                                  .first_row = target->first_row, .n_rows = target->n_rows, .rank = rank,
                                  .scale = scale};
    const size_t n_a = (size_t)(target->is_embedding ? target->n_rows : target->n_columns) * (size_t)rank;
    const size_t n_b = (size_t)(target->is_embedding ? target->n_columns : target->n_rows) * (size_t)rank;
    if (n_a > INT32_MAX || n_b > INT32_MAX)
        return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s': what it adds to '%s' has %zu and %zu numbers; up to %d "
                       "are run", reading->name, name, n_a, n_b, INT32_MAX);
    pair->a = cm_alloc(reading->ctx, n_a, sizeof *pair->a, "an adapter");
    pair->b = cm_alloc(reading->ctx, n_b, sizeof *pair->b, "an adapter");
    adapter->n_pairs++; /* it is closed with the adapter from now on */
    if (!pair->a || !pair->b) return CALMOE_NO_MEMORY;
    adapter->n_parameters += n_a + n_b;
    if (rank > adapter->rank) adapter->rank = rank;
    *a = pair->a;
    *b = pair->b;
    return CALMOE_OK;
}
