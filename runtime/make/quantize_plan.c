/* quantize_plan.c - see quantize_plan.h. */
#include "runtime/make/quantize_plan.h"

#include <string.h>

#include "base/memory.h"
#include "runtime/load/tensor_types.h"

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Vectors, norms, routers and taps of convolutions are no matrices to convert: they keep their type, as in published
 * files. */
static bool is_matrix(const struct file_tensor *tensor)
{
    return !cm_tensor_type_is_integer(tensor->file_id) && tensor->n_dims >= 2 && tensor->shape[1] > 1 &&
           ends_with(tensor->name, ".weight") && !strstr(tensor->name, "_norm") &&
           !strstr(tensor->name, "ffn_gate_inp") && !strstr(tensor->name, "conv1d.weight") &&
           !strstr(tensor->name, "conv.weight");
}

static bool is_quantized(const struct file_tensor *tensor)
{
    return !tensor->is_weight || cm_weight_types[tensor->type].n_elements > 1;
}

static bool divides(enum weight_type type, const struct file_tensor *tensor)
{
    return tensor->shape[0] % (uint64_t)cm_weight_types[type].n_elements == 0;
}

/* The type that a matrix should get, and why. */
static void choose(const struct model_file *file, const struct file_tensor *source, enum weight_type wanted,
                   struct planned_tensor *out)
{
    const bool is_tied = !cm_file_tensor(file, "output.weight");
    const bool is_head = strcmp(source->name, is_tied ? "token_embd.weight" : "output.weight") == 0;
    out->fate = CALMOE_TENSOR_CONVERTED;
    out->type = wanted;
    if (wanted == WEIGHT_Q4_K && is_head) {
        out->fate = CALMOE_TENSOR_FINER;
        out->type = WEIGHT_Q6_K;
    }
    if (divides(out->type, source)) return;
    out->fate = CALMOE_TENSOR_FALLBACK;
    out->type = is_quantized(source) || !divides(WEIGHT_Q8_0, source) ? source->type : WEIGHT_Q8_0;
}

static calmoe_status refuse_quantized(struct calmoe_context *ctx, const struct model_file *file,
                                      const struct file_tensor *first)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < file->n_tensors; i++) n += is_matrix(&file->tensors[i]) && is_quantized(&file->tensors[i]);
    return cm_fail(ctx, CALMOE_UNSUPPORTED,
                   "'%s' is quantized already: %llu of its tensors, such as '%s' (%s); quantized again they would have "
                   "the losses of both times, so this must be asked for (--requantize, or --keep-quantized)",
                   file->name, (unsigned long long)n, first->name, cm_tensor_type_name(first->file_id));
}

static calmoe_status plan_tensor(struct calmoe_context *ctx, const struct model_file *file,
                                 const struct file_tensor *source, int quantized, struct quantize_plan *plan,
                                 struct planned_tensor *out)
{
    *out = (struct planned_tensor){.source = source, .fate = CALMOE_TENSOR_KEPT};
    if (source->n_bytes == 0)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s': tensor '%s' has type %s, which this version cannot copy",
                       file->name, source->name, cm_tensor_type_name(source->file_id));
    if (!is_matrix(source)) return CALMOE_OK;
    if (source->is_weight) choose(file, source, plan->wanted, out);
    if (source->is_weight && out->type == source->type) {
        if (out->fate != CALMOE_TENSOR_FALLBACK || source->type == WEIGHT_Q8_0) out->fate = CALMOE_TENSOR_UNCHANGED;
        return CALMOE_OK;
    }
    if (!is_quantized(source)) {
        out->is_converted = true;
        return CALMOE_OK;
    }
    if (quantized == CALMOE_QUANTIZED_REFUSE) return refuse_quantized(ctx, file, source);
    if (quantized == CALMOE_QUANTIZED_KEEP) {
        out->fate = CALMOE_TENSOR_QUANTIZED;
        return CALMOE_OK;
    }
    if (!source->is_weight)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s': tensor '%s' has type %s, which this version does not read",
                       file->name, source->name, cm_tensor_type_name(source->file_id));
    out->is_converted = true;
    plan->n_requantized++;
    return CALMOE_OK;
}

static uint64_t n_rows_of(const struct file_tensor *tensor)
{
    return tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
}

/* What is written of it: its type and bytes. */
static struct new_tensor written_as(const struct planned_tensor *planned)
{
    const struct file_tensor *source = planned->source;
    if (!planned->is_converted) return (struct new_tensor){source, source->file_id, source->n_bytes};
    return (struct new_tensor){source, cm_weight_types[planned->type].file_id,
                               n_rows_of(source) * cm_row_bytes(planned->type, (size_t)source->shape[0])};
}

/* The wanted type, unless another has more weights. */
static enum weight_type most_frequent(const struct quantize_plan *plan)
{
    double           n_weights[WEIGHT_TYPE_COUNT] = {0};
    enum weight_type most = plan->wanted;
    for (uint64_t i = 0; i < plan->n_tensors; i++) {
        const struct planned_tensor *planned = &plan->tensors[i];
        const struct file_tensor    *source = planned->source;
        if (!source->is_weight || !is_matrix(source)) continue;
        const enum weight_type type = planned->is_converted ? planned->type : source->type;
        n_weights[type] += (double)n_rows_of(source) * (double)source->shape[0];
    }
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++)
        if (n_weights[type] > n_weights[most]) most = (enum weight_type)type;
    return most;
}

calmoe_status cm_quantize_plan_open(struct calmoe_context *ctx, const struct model_file *file, enum weight_type wanted,
                                    int quantized, struct quantize_plan *out)
{
    *out = (struct quantize_plan){.wanted = wanted, .n_tensors = file->n_tensors};
    out->tensors = cm_alloc(ctx, (size_t)file->n_tensors, sizeof *out->tensors, "the tensor table");
    out->written = cm_alloc(ctx, (size_t)file->n_tensors, sizeof *out->written, "the tensor table");
    calmoe_status status = out->tensors && out->written ? CALMOE_OK : CALMOE_NO_MEMORY;
    for (uint64_t i = 0; i < file->n_tensors && status == CALMOE_OK; i++) {
        status = plan_tensor(ctx, file, &file->tensors[i], quantized, out, &out->tensors[i]);
        if (status != CALMOE_OK) break;
        out->written[i] = written_as(&out->tensors[i]);
        out->n_bytes += out->written[i].n_bytes;
    }
    if (status == CALMOE_OK) out->most = most_frequent(out);
    else cm_quantize_plan_close(out);
    return status;
}

void cm_quantize_plan_close(struct quantize_plan *plan)
{
    cm_free(plan->tensors);
    cm_free(plan->written);
    *plan = (struct quantize_plan){0};
}
