/* gguf_tensors.c - the tensor descriptions of one GGUF file, and where the tensors lie.
 *
 * Tensors may stand in any order and with gaps between them; what counts is that each begins at a
 * multiple of the alignment, lies inside the file and shares no byte with another. */
#include <string.h>

#include "base/memory.h"
#include "runtime/load/file_kind.h"
#include "runtime/load/gguf_parts.h"
#include "runtime/load/tensor_types.h"

enum { DEFAULT_ALIGNMENT = 32, MIN_ALIGNMENT = 8 };

static calmoe_status read_shape(struct gguf_parse *parse, struct file_tensor *tensor, uint64_t i)
{
    const uint32_t n_dims = cm_read_u32(&parse->reader);
    if (parse->reader.failed) return cm_gguf_ends_inside(parse, "tensor", i);
    if (n_dims < 1 || n_dims > FILE_MAX_DIMS)
        return cm_fail(parse->ctx, CALMOE_BAD_FILE,
                       "'%s': tensor %llu '%s' has %lu dimensions; wanted 1 to %d",
                       parse->file->name, (unsigned long long)i, tensor->name,
                       (unsigned long)n_dims, FILE_MAX_DIMS);
    tensor->n_dims = (int)n_dims;
    for (uint32_t d = 0; d < FILE_MAX_DIMS; d++)
        tensor->shape[d] = d < n_dims ? cm_read_u64(&parse->reader) : 1;
    if (parse->reader.failed) return cm_gguf_ends_inside(parse, "tensor", i);
    for (uint32_t d = 0; d < n_dims; d++)
        if (tensor->shape[d] == 0)
            return cm_fail(
                parse->ctx, CALMOE_BAD_FILE,
                "'%s': tensor %llu '%s' has 0 elements in dimension %lu; wanted at least 1",
                parse->file->name, (unsigned long long)i, tensor->name, (unsigned long)d);
    return CALMOE_OK;
}

/* *product *= factor; false beyond the largest file position. */
static bool multiply(uint64_t *product, uint64_t factor)
{
    if (*product > INT64_MAX / factor) return false;
    *product *= factor;
    return true;
}

/* Sets type and n_bytes from the type's id and the shape. A tensor of a type that has a name, but of which it is not
 * known how it lies in files, counts as 0 bytes long. */
static calmoe_status measure(struct gguf_parse *parse, struct file_tensor *tensor, uint64_t i)
{
    struct tensor_type type;
    tensor->is_weight = cm_weight_type_of_file(tensor->file_id, &tensor->type);
    if (!cm_tensor_type_of(tensor->file_id, &type))
        return cm_fail(parse->ctx, CALMOE_BAD_FILE, "'%s': tensor %llu '%s' has type id %lu, which means nothing",
                       parse->file->name, (unsigned long long)i, tensor->name, (unsigned long)tensor->file_id);
    if (tensor->shape[0] % type.n_elements != 0)
        return cm_fail(
            parse->ctx, CALMOE_BAD_FILE,
            "'%s': tensor %llu '%s' has rows of %llu elements; %s wants a multiple of %llu",
            parse->file->name, (unsigned long long)i, tensor->name,
            (unsigned long long)tensor->shape[0], type.name, (unsigned long long)type.n_elements);
    uint64_t n_elements = 1, n_bytes = type.n_bytes;
    bool     fits = multiply(&n_bytes, tensor->shape[0] / type.n_elements) &&
                multiply(&n_elements, tensor->shape[0]);
    for (int d = 1; d < FILE_MAX_DIMS && fits; d++)
        fits = multiply(&n_bytes, tensor->shape[d]) && multiply(&n_elements, tensor->shape[d]);
    if (!fits)
        return cm_fail(
            parse->ctx, CALMOE_BAD_FILE,
            "'%s': tensor %llu '%s' of shape %llu x %llu x %llu x %llu is larger than any file",
            parse->file->name, (unsigned long long)i, tensor->name,
            (unsigned long long)tensor->shape[0], (unsigned long long)tensor->shape[1],
            (unsigned long long)tensor->shape[2], (unsigned long long)tensor->shape[3]);
    tensor->n_bytes = n_bytes;
    return CALMOE_OK;
}

static calmoe_status read_tensor(struct gguf_parse *parse, uint64_t i, uint64_t *offset)
{
    struct file_tensor *tensor = &parse->file->tensors[i];
    const char         *name;
    size_t              n_bytes;
    CM_TRY(cm_gguf_read_name(parse, "tensor", i, FILE_MAX_NAME_BYTES - 1, &name, &n_bytes));
    memcpy(tensor->name, name, n_bytes); /* the list was zeroed: a NUL follows */
    CM_TRY(read_shape(parse, tensor, i));
    tensor->file_id = cm_read_u32(&parse->reader);
    *offset = cm_read_u64(&parse->reader);
    if (parse->reader.failed) return cm_gguf_ends_inside(parse, "tensor", i);
    return measure(parse, tensor, i);
}

static calmoe_status read_alignment(struct gguf_parse *parse, uint64_t *out)
{
    int64_t alignment = DEFAULT_ALIGNMENT;
    CM_TRY(cm_meta_get_int(parse->ctx, parse->file, "general.alignment", MIN_ALIGNMENT,
                           FILE_MAX_ALIGNMENT, &alignment));
    if ((alignment & (alignment - 1)) != 0)
        return cm_fail(parse->ctx, CALMOE_BAD_FILE,
                       "'%s': key 'general.alignment' is %lld; wanted a power of two",
                       parse->file->name, (long long)alignment);
    *out = (uint64_t)alignment;
    return CALMOE_OK;
}

/* Points each tensor at its bytes. */
static calmoe_status place_tensors(struct gguf_parse *parse, const uint64_t *offsets,
                                   uint64_t alignment)
{
    struct model_file   *file = parse->file;
    const uint64_t n_file_bytes = file->n_file_bytes;
    const uint64_t head = cm_reader_position(&parse->reader);
    const uint64_t data = head + (alignment - head % alignment) % alignment;
    if (file->n_tensors > 0 && data > n_file_bytes)
        return cm_fail(parse->ctx, CALMOE_BAD_FILE,
                       "'%s' ends at byte %llu, but its tensor data should begin at byte %llu%s", file->name,
                       (unsigned long long)n_file_bytes, (unsigned long long)data, cm_hint_of_name(file->name));
    for (uint64_t i = 0; i < file->n_tensors; i++) {
        struct file_tensor *tensor = &file->tensors[i];
        if (offsets[i] % alignment != 0)
            return cm_fail(parse->ctx, CALMOE_BAD_FILE,
                           "'%s': tensor %llu '%s' has offset %llu; wanted a multiple of %llu",
                           file->name, (unsigned long long)i, tensor->name,
                           (unsigned long long)offsets[i], (unsigned long long)alignment);
        const uint64_t room = n_file_bytes - data;
        if (offsets[i] > room || tensor->n_bytes > room - offsets[i])
            return cm_fail(
                parse->ctx, CALMOE_BAD_FILE,
                "'%s': tensor %llu '%s' has %llu bytes at offset %llu, but the data section has %llu%s",
                file->name, (unsigned long long)i, tensor->name,
                (unsigned long long)tensor->n_bytes, (unsigned long long)offsets[i],
                (unsigned long long)room, cm_hint_of_name(file->name));
        tensor->bytes = parse->reader.begin + data + offsets[i];
    }
    return CALMOE_OK;
}

static int compare_places(const struct model_file *file, uint64_t a, uint64_t b)
{
    const uint8_t *first = file->tensors[a].bytes, *second = file->tensors[b].bytes;
    if (first != second) return first < second ? -1 : 1;
    return (a > b) - (a < b);
}

static calmoe_status check_overlap(struct gguf_parse *parse)
{
    const struct model_file *file = parse->file;
    uint64_t          *order = cm_alloc(parse->ctx, (size_t)file->n_tensors, sizeof *order,
                                        "the order of tensors");
    if (order == NULL) return CALMOE_NO_MEMORY;
    cm_gguf_sort(file, order, file->n_tensors, compare_places);
    calmoe_status status = CALMOE_OK;
    for (uint64_t i = 1; i < file->n_tensors && status == CALMOE_OK; i++) {
        const struct file_tensor *first = &file->tensors[order[i - 1]],
                                 *second = &file->tensors[order[i]];
        if ((uint64_t)(second->bytes - first->bytes) < first->n_bytes)
            status = cm_fail(parse->ctx, CALMOE_BAD_FILE,
                             "'%s': tensors %llu '%s' and %llu '%s' overlap", file->name,
                             (unsigned long long)order[i - 1], first->name,
                             (unsigned long long)order[i], second->name);
    }
    cm_free(order);
    return status;
}

static calmoe_status read_and_place(struct gguf_parse *parse, uint64_t *offsets)
{
    uint64_t alignment = 0;
    CM_TRY(read_alignment(parse, &alignment));
    for (uint64_t i = 0; i < parse->file->n_tensors; i++)
        CM_TRY(read_tensor(parse, i, &offsets[i]));
    CM_TRY(cm_gguf_index_tensors(parse->ctx, parse->file));
    CM_TRY(place_tensors(parse, offsets, alignment));
    return check_overlap(parse);
}

calmoe_status cm_gguf_read_tensors(struct gguf_parse *parse)
{
    uint64_t *offsets = cm_alloc(parse->ctx, (size_t)parse->file->n_tensors, sizeof *offsets,
                                 "the offsets of tensors");
    if (offsets == NULL) return CALMOE_NO_MEMORY;
    const calmoe_status status = read_and_place(parse, offsets);
    cm_free(offsets);
    return status;
}
