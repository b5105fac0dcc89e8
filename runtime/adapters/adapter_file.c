/* runtime/adapters/adapter_file.c - an adapter from one file, of the format that models come in: metadata that call it
 * an adapter, and for a tensor NAME of the model NAME.lora_a (columns, rank) and NAME.lora_b (rank, rows), each with a
 * third dimension where NAME is a stack of matrices; or with a third dimension of 1 there, for all matrices alike. Of
 * the embedding lora_a is (rank, vocabulary) and lora_b (rank, width). */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/adapters/adapter_parts.h"
#include "runtime/load/tensor_types.h"

struct halves { /* both tensors of a pair; either may be missing */
    const struct file_tensor *a, *b;
};

static bool says(const struct meta_string *text, const char *wanted)
{
    return text->n_bytes == strlen(wanted) && memcmp(text->bytes, wanted, (size_t)text->n_bytes) == 0;
}

static int shown(const struct meta_string *text) { return text->n_bytes < 60 ? (int)text->n_bytes : 60; }

static calmoe_status check_key(const struct adapter_reading *reading, const struct model_file *file, const char *key,
                               const char *wanted)
{
    struct meta_string found = {"", 0};
    CM_TRY(cm_meta_get_string(reading->ctx, file, key, &found));
    if (says(&found, wanted)) return CALMOE_OK;
    return cm_fail(reading->ctx, CALMOE_INVALID_ARGUMENT, "'%s' is no adapter that is run here: its key '%s' is '%.*s', wanted "
                   "'%s'", reading->name, key, shown(&found), found.bytes, wanted);
}

/* That it is an adapter, of which kind, for which family of models. */
static calmoe_status check_kind(const struct adapter_reading *reading, const struct model_file *file)
{
    struct meta_string ours = {"", 0}, its = {"", 0};
    CM_TRY(check_key(reading, file, "general.type", "adapter"));
    CM_TRY(check_key(reading, file, "adapter.type", "lora"));
    CM_TRY(cm_meta_need_string(reading->ctx, reading->model->file, "general.architecture", &ours));
    CM_TRY(cm_meta_need_string(reading->ctx, file, "general.architecture", &its));
    if (ours.n_bytes != its.n_bytes || memcmp(ours.bytes, its.bytes, (size_t)ours.n_bytes) != 0)
        return cm_fail(reading->ctx, CALMOE_INVALID_ARGUMENT, "'%s' is an adapter for models of the family '%.*s'; '%s' is "
                       "one of '%.*s'", reading->name, shown(&its), its.bytes, reading->model->path, shown(&ours),
                       ours.bytes);
    if (cm_meta_entry(file, "adapter.alora.invocation_tokens"))
        return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s' is an adapter that works from certain tokens on (aLoRA); only "
                       "those that work from the first one are run", reading->name);
    return CALMOE_OK;
}

/* Whether the tensor's name is BASE.lora_a or .lora_b; base gets BASE. */
static bool split_name(const struct file_tensor *tensor, char base[FILE_MAX_NAME_BYTES], bool *is_a)
{
    const char *dot = strrchr(tensor->name, '.');
    if (!dot || (strcmp(dot, ".lora_a") != 0 && strcmp(dot, ".lora_b") != 0)) return false;
    const size_t n = (size_t)(dot - tensor->name);
    memcpy(base, tensor->name, n);
    base[n] = '\0';
    *is_a = dot[6] == 'a';
    return true;
}

static calmoe_status find_other(const struct adapter_reading *reading, const struct model_file *file, const char *base,
                                bool is_a, struct halves *out)
{
    char name[FILE_MAX_NAME_BYTES + 8];
    snprintf(name, sizeof name, "%s.lora_%c", base, is_a ? 'b' : 'a');
    const struct file_tensor *other = cm_file_tensor(file, name);
    if (!other)
        return cm_fail(reading->ctx, CALMOE_BAD_FILE, "'%s': tensor '%s' is missing", reading->name, name);
    *(is_a ? &out->b : &out->a) = other;
    for (int i = 0; i < 2; i++) {
        const struct file_tensor *half = i ? out->b : out->a;
        if (!half->is_weight)
            return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s': tensor '%s' has type %s; weights of that type are not "
                           "read by this version", reading->name, half->name, cm_tensor_type_name(half->file_id));
    }
    return CALMOE_OK;
}

/* What lies in the file as float32: the matrix of a stack, n elements from the first-th on. */
static void read_floats(const struct file_tensor *tensor, size_t first, size_t n, float *out)
{
    const struct weight_type_row *type = &cm_weight_types[tensor->type];
    const size_t of_block = (size_t)type->n_elements;
    type->dequantize(tensor->bytes + first / of_block * (size_t)type->n_bytes, out, n / of_block);
}

static calmoe_status wrong_shape(const struct adapter_reading *reading, const struct halves *halves,
                                 const struct adapter_target *target)
{
    const uint64_t *a = halves->a->shape, *b = halves->b->shape;
    return cm_fail(reading->ctx, CALMOE_INVALID_ARGUMENT,
                   "'%s': '%s' is %llu x %llu x %llu and its other half %llu x %llu x %llu; they do not fit '%s', %s%d x %d x "
                   "%d, of '%s'", reading->name, halves->a->name, (unsigned long long)a[0], (unsigned long long)a[1],
                   (unsigned long long)a[2], (unsigned long long)b[0], (unsigned long long)b[1],
                   (unsigned long long)b[2], target->tensor->name,
                   target->n_rows < (int)target->tensor->shape[1] ? "of which they are for " : "", target->n_columns,
                   target->n_rows, target->n_stacked, reading->model->path);
}

static calmoe_status add_pair(const struct adapter_reading *reading, const struct halves *halves,
                              const struct adapter_target *target)
{
    const uint64_t *a = halves->a->shape, *b = halves->b->shape;
    const uint64_t rank = target->is_embedding ? a[0] : a[1], n_stacked = a[2];
    const uint64_t inner = target->is_embedding ? a[1] : a[0], outer = b[1];
    const bool fits = rank == b[0] && n_stacked == b[2] && a[3] == 1 && b[3] == 1 && rank <= INT32_MAX &&
                      inner == (uint64_t)(target->is_embedding ? target->n_rows : target->n_columns) &&
                      outer == (uint64_t)(target->is_embedding ? target->n_columns : target->n_rows) &&
                      (n_stacked == 1 || n_stacked == (uint64_t)target->n_stacked);
    if (!fits) return wrong_shape(reading, halves, target);
    const bool   is_for_all = n_stacked == 1 && target->n_stacked > 1;
    const float  scale = reading->out->alpha != 0.0f ? reading->out->alpha / (float)rank : 1.0f;
    const size_t n_a = (size_t)(rank * inner), n_b = (size_t)(rank * outer);
    for (uint64_t i = 0; i < n_stacked; i++) {
        float *to_a, *to_b;
        CM_TRY(cm_adapter_add(reading, target, is_for_all ? -1 : (int)i, (int)rank, scale, &to_a, &to_b));
        read_floats(halves->a, (size_t)i * n_a, n_a, to_a);
        read_floats(halves->b, (size_t)i * n_b, n_b, to_b);
    }
    return CALMOE_OK;
}

static calmoe_status read_tensor(const struct adapter_reading *reading, const struct model_file *file,
                                 const struct file_tensor *tensor)
{
    char                  base[FILE_MAX_NAME_BYTES];
    bool                  is_a;
    struct adapter_target target;
    if (!split_name(tensor, base, &is_a))
        return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s': tensor '%s' is none of a pair (.lora_a, .lora_b); running "
                       "without it would give other results than were trained", reading->name, tensor->name);
    struct halves halves = {is_a ? tensor : NULL, is_a ? NULL : tensor};
    CM_TRY(find_other(reading, file, base, is_a, &halves));
    if (!is_a) return CALMOE_OK; /* the pair is read with its other half */
    if (!cm_adapter_target(reading->model, base, &target))
        return cm_fail(reading->ctx, CALMOE_INVALID_ARGUMENT, "'%s' changes '%s', which '%s' does not have", reading->name,
                       base, reading->model->path);
    return add_pair(reading, &halves, &target);
}

static calmoe_status read_all(const struct adapter_reading *reading, const struct model_file *file)
{
    struct meta_string name = {"", 0};
    CM_TRY(check_kind(reading, file));
    CM_TRY(cm_meta_get_float(reading->ctx, file, "adapter.lora.alpha", -1e9, 1e9, &reading->out->alpha));
    CM_TRY(cm_meta_get_string(reading->ctx, file, "general.name", &name));
    reading->out->kind = "gguf";
    reading->out->name = cm_copy_text(reading->ctx, name.bytes, (size_t)name.n_bytes);
    if (!reading->out->name) return CALMOE_NO_MEMORY;
    for (uint64_t i = 0; i < file->n_tensors; i++) CM_TRY(read_tensor(reading, file, &file->tensors[i]));
    return CALMOE_OK;
}

calmoe_status cm_adapter_read_file(const struct adapter_reading *reading)
{
    struct model_file *file;
    CM_TRY(cm_model_file_open(reading->ctx, reading->path, &file));
    const calmoe_status status = read_all(reading, file);
    cm_model_file_close(&file);
    return status;
}
