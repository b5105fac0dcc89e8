/* runtime/adapters/adapter.c - see adapter.h. */
#include "runtime/adapters/adapter.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/sha256.h"
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
                       "'%s': what it adds to '%s' has the rank %d and the scale %g; ranks from 1 to %d and finite scales "
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

/* ---- an adapter ---- */

static size_t n_floats_of_a(const struct adapter_pair *pair)
{
    return (size_t)pair->rank * (size_t)pair->target->shape[pair->is_embedding ? 1 : 0];
}

static size_t n_floats_of_b(const struct adapter_pair *pair)
{
    return (size_t)pair->rank * (size_t)(pair->is_embedding ? (int)pair->target->shape[0] : pair->n_rows);
}

/* Two adapters that differ anywhere have other fingerprints: all numbers are in it. */
static void make_fingerprint(struct adapter *adapter)
{
    struct sha256 sha = cm_sha256();
    char          hex[65];
    for (int i = 0; i < adapter->n_pairs; i++) {
        const struct adapter_pair *pair = &adapter->pairs[i];
        const int32_t head[] = {pair->is_embedding, pair->slice, pair->first_row, pair->n_rows, pair->rank};
        cm_sha256_add(&sha, pair->target->name, strlen(pair->target->name) + 1);
        cm_sha256_add(&sha, head, sizeof head);
        cm_sha256_add(&sha, &pair->scale, sizeof pair->scale);
        cm_sha256_add(&sha, pair->a, n_floats_of_a(pair) * sizeof *pair->a);
        cm_sha256_add(&sha, pair->b, n_floats_of_b(pair) * sizeof *pair->b);
    }
    cm_sha256_hex(&sha, hex);
    memcpy(adapter->fingerprint, hex, 16);
}

/* NaN and infinities would spread over everything that is computed. */
static calmoe_status check_numbers(const struct adapter_reading *reading)
{
    for (int i = 0; i < reading->out->n_pairs; i++) {
        const struct adapter_pair *pair = &reading->out->pairs[i];
        size_t n_bad = 0;
        for (size_t j = 0; j < n_floats_of_a(pair); j++) n_bad += isfinite(pair->a[j]) ? 0 : 1;
        for (size_t j = 0; j < n_floats_of_b(pair); j++) n_bad += isfinite(pair->b[j]) ? 0 : 1;
        if (n_bad > 0)
            return cm_fail(reading->ctx, CALMOE_NOT_FINITE, "'%s': what it adds to '%s' holds %zu NaN or infinities",
                           reading->name, pair->target->name, n_bad);
    }
    return CALMOE_OK;
}

static calmoe_status read_adapter(const struct adapter_reading *reading)
{
    struct stat about;
    if (stat(reading->path, &about) != 0)
        return cm_fail(reading->ctx, CALMOE_IO, "cannot open '%s': %s", reading->path, strerror(errno));
    CM_TRY(S_ISDIR(about.st_mode) ? cm_adapter_read_folder(reading) : cm_adapter_read_file(reading));
    if (reading->out->n_pairs == 0)
        return cm_fail(reading->ctx, CALMOE_BAD_FILE, "'%s' is an adapter that changes nothing", reading->name);
    CM_TRY(check_numbers(reading));
    make_fingerprint(reading->out);
    return CALMOE_OK;
}

calmoe_status cm_adapter_open(struct calmoe_context *ctx, const struct adapter_model *model, const char *path,
                              struct adapter **out)
{
    const char *slash = strrchr(path, '/');
    *out = cm_alloc(ctx, 1, sizeof **out, "an adapter");
    if (!*out) return CALMOE_NO_MEMORY;
    const struct adapter_reading reading = {ctx, model, path, slash && slash[1] ? slash + 1 : path, *out};
    const calmoe_status status = read_adapter(&reading);
    if (status != CALMOE_OK) cm_adapter_close(out);
    return status;
}

void cm_adapter_close(struct adapter **adapter)
{
    if (!*adapter) return;
    for (int i = 0; i < (*adapter)->n_pairs; i++) {
        cm_free((*adapter)->pairs[i].a);
        cm_free((*adapter)->pairs[i].b);
    }
    cm_free((*adapter)->pairs);
    cm_free((*adapter)->name);
    cm_free(*adapter);
    *adapter = NULL;
}
