/* runtime/make/merge.c - see merge.h. */
#include "runtime/make/merge.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "runtime/adapters/adapter_reader.h"
#include "runtime/families/family.h"
#include "runtime/load/tensor_types.h"

struct merge {
    struct model_spec          spec;
    struct adapter            *adapter; /* pairs by their targets */
    float                      scale;
};

static int compare_pairs(const void *a, const void *b)
{
    const struct adapter_pair *left = a, *right = b;
    if (left->target != right->target) return left->target < right->target ? -1 : 1;
    return left->slice != right->slice ? (left->slice > right->slice) - (left->slice < right->slice)
                                       : left->first_row - right->first_row;
}

/* The first pair of the tensor; the adapter's end where there is none. */
static const struct adapter_pair *first_of(const struct merge *merge, const struct file_tensor *tensor)
{
    const struct adapter_pair *pairs = merge->adapter->pairs;
    int low = 0, high = merge->adapter->n_pairs;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (pairs[middle].target < tensor) low = middle + 1;
        else high = middle;
    }
    return pairs + low;
}

static const struct adapter_pair *end_of(const struct merge *merge)
{
    return merge->adapter->pairs + merge->adapter->n_pairs;
}

static calmoe_status check_tied(struct calmoe_context *ctx, const struct merge *merge, const struct model_file *file)
{
    const struct file_tensor *embedding = cm_file_tensor(file, "token_embd.weight");
    if (cm_file_tensor(file, "output.weight")) return CALMOE_OK;
    const struct adapter_pair *first = first_of(merge, embedding);
    if (first == end_of(merge) || first->target != embedding) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' has one matrix for embedding and output, and the adapter changes one "
                                            "of "
                   "the two; it can be used beside the model only", file->name);
}

static calmoe_status open_parts(struct calmoe_context *ctx, const struct model_file *file, const char *path,
                                struct merge *merge)
{
    CM_TRY(cm_read_model_spec(ctx, file, &merge->spec));
    const struct adapter_model model = {file, &merge->spec, file->name};
    CM_TRY(cm_adapter_open(ctx, &model, path, &merge->adapter));
    if (merge->adapter->prefix.n_positions > 0)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' is a prefix of keys and values, which no weights can hold; it "
                       "can be used beside the model only", path);
    qsort(merge->adapter->pairs, (size_t)merge->adapter->n_pairs, sizeof *merge->adapter->pairs, compare_pairs);
    return check_tied(ctx, merge, file);
}

calmoe_status cm_merge_open(struct calmoe_context *ctx, const struct model_file *file, const char *path, float scale,
                            struct merge **out)
{
    *out = NULL;
    if (!isfinite(scale))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the adapter has the scale %g; a finite number is wanted",
                       (double)scale);
    struct merge *merge = cm_alloc(ctx, 1, sizeof *merge, "an adapter");
    if (!merge) return CALMOE_NO_MEMORY;
    merge->scale = scale;
    const calmoe_status status = open_parts(ctx, file, path, merge);
    if (status != CALMOE_OK) cm_merge_close(&merge);
    *out = merge;
    return status;
}

void cm_merge_close(struct merge **merge)
{
    if (!*merge) return;
    cm_adapter_close(&(*merge)->adapter);
    cm_model_spec_close(&(*merge)->spec);
    cm_free(*merge);
    *merge = NULL;
}

calmoe_status cm_merge_plan(struct calmoe_context *ctx, const struct merge *merge, int quantized,
                            struct quantize_plan *plan)
{
    for (uint64_t i = 0; i < plan->n_tensors; i++) {
        struct planned_tensor *planned = &plan->tensors[i];
        const struct file_tensor *source = planned->source;
        const struct adapter_pair *first = first_of(merge, source);
        if (first == end_of(merge) || first->target != source || planned->is_converted) continue;
        const bool is_float = source->is_weight && cm_weight_types[source->type].n_elements == 1;
        if (!source->is_weight || !cm_weight_types[source->type].quantize ||
            (!is_float && quantized != CALMOE_QUANTIZED_CONVERT))
            return cm_fail(ctx, CALMOE_UNSUPPORTED, "tensor '%s' stays %s, and the adapter changes it: quantized anew "
                                                    "it would "
                           "have the losses of both times; merge into the model before it was quantized", source->name,
                           cm_tensor_type_name(source->file_id));
        planned->is_converted = true;
        planned->type = source->type;
    }
    return CALMOE_OK;
}

/* x += factor y */
static void add(float *x, const float *y, size_t stride, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] += factor * y[i * stride];
}

void cm_merge_row(const struct merge *merge, const struct file_tensor *tensor, uint64_t row, float *x)
{
    if (!merge) return;
    const size_t columns = (size_t)tensor->shape[0];
    const int    slice = (int)(row / tensor->shape[1]), at = (int)(row % tensor->shape[1]);
    for (const struct adapter_pair *pair = first_of(merge, tensor); pair < end_of(merge) && pair->target == tensor;
         pair++) {
        const size_t rank = (size_t)pair->rank;
        const float  scale = pair->scale * merge->scale;
        if ((pair->slice >= 0 && pair->slice != slice) || at < pair->first_row || at >= pair->first_row + pair->n_rows)
            continue;
        for (size_t i = 0; i < rank && pair->is_embedding; i++)
            add(x, pair->b + i, rank, scale * pair->a[(size_t)at * rank + i], columns);
        for (size_t i = 0; i < rank && !pair->is_embedding; i++)
            add(x, pair->a + i * columns, 1, scale * pair->b[(size_t)(at - pair->first_row) * rank + i], columns);
    }
}
