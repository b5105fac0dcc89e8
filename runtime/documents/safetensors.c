/* runtime/documents/safetensors.c - see safetensors.h. */
#include "runtime/documents/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/byte_reader.h"
#include "base/memory.h"
#include "base/names.h"
#include "kernels/half.h"
#include "runtime/documents/json.h"

/* ---- types of elements ---- */

static float float_of_e4m3(uint8_t byte) /* 4 bits of exponent, no infinities */
{
    const int exponent = byte >> 3 & 15, fraction = byte & 7;
    float value;
    if ((byte & 0x7f) == 0x7f) return cm_float_of_bits(0x7fc00000u);
    if (exponent == 0) value = ldexpf((float)fraction, -9);
    else value = ldexpf((float)(8 + fraction), exponent - 10);
    return byte & 0x80 ? -value : value;
}

static float from_f64(const uint8_t *at)
{
    double value;
    memcpy(&value, at, sizeof value);
    return (float)value;
}
static float from_f32(const uint8_t *at)
{
    float value;
    memcpy(&value, at, sizeof value);
    return value;
}
static uint16_t word_at(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }
static float from_f16(const uint8_t *at) { return cm_float_of_half(word_at(at)); }
static float from_bf16(const uint8_t *at) { return cm_float_of_bits((uint32_t)word_at(at) << 16); }
static float from_e4m3(const uint8_t *at) { return float_of_e4m3(*at); }
static float from_e5m2(const uint8_t *at) { return cm_float_of_half((uint16_t)(*at << 8)); } /* a half's upper byte */

static const struct dtype {
    const char *name;
    int         n_bytes;
    float (*to_float)(const uint8_t *at); /* NULL: no floating numbers */
} dtypes[] = {
    {"F32", 4, from_f32},      {"F16", 2, from_f16},      {"BF16", 2, from_bf16}, {"F64", 8, from_f64},
    {"F8_E4M3", 1, from_e4m3}, {"F8_E5M2", 1, from_e5m2}, {"I64", 8, NULL},       {"I32", 4, NULL},
    {"I16", 2, NULL},          {"I8", 1, NULL},           {"U64", 8, NULL},       {"U32", 4, NULL},
    {"U16", 2, NULL},          {"U8", 1, NULL},           {"BOOL", 1, NULL},
};

const char *cm_safetensor_type_name(const struct safetensor *tensor) { return dtypes[tensor->dtype].name; }

bool cm_safetensor_floats(const struct safetensor *tensor, uint64_t first, uint64_t n, float *out)
{
    const struct dtype *type = &dtypes[tensor->dtype];
    const uint8_t *at = tensor->bytes + first * (uint64_t)type->n_bytes;
    if (!type->to_float) return false;
    for (uint64_t i = 0; i < n; i++) out[i] = type->to_float(at + i * (uint64_t)type->n_bytes);
    return true;
}

/* ---- the header ---- */

static calmoe_status read_type(struct calmoe_context *ctx, const struct json_value *of, struct safetensor *tensor)
{
    const struct names names = CM_NAMES(dtypes, name);
    struct json_value  value;
    const char        *name;
    char               wanted[NAMES_BYTES];
    CM_TRY(cm_json_member(ctx, of, "dtype", &value));
    CM_TRY(cm_json_text(ctx, &value, &name));
    tensor->dtype = cm_name_find(names, name);
    return tensor->dtype < names.n ? CALMOE_OK : cm_json_wrong(ctx, &value, cm_names_tell(names, wanted));
}

static calmoe_status read_shape(struct calmoe_context *ctx, const struct json_value *of, struct safetensor *tensor)
{
    struct json_value shape;
    size_t            n_dims;
    CM_TRY(cm_json_member(ctx, of, "shape", &shape));
    CM_TRY(cm_json_array(ctx, &shape, 0, SAFETENSORS_MAX_DIMS, &n_dims));
    tensor->n_dims = (int)n_dims;
    tensor->n_elements = 1;
    for (size_t i = 0; i < SAFETENSORS_MAX_DIMS; i++) {
        int64_t n = 1;
        if (i < n_dims) {
            const struct json_value value = cm_json_element(&shape, i);
            CM_TRY(cm_json_int(ctx, &value, 0, INT64_MAX, &n));
        }
        tensor->shape[i] = (uint64_t)n;
        if (n > 0 && tensor->n_elements > INT64_MAX / 8 / (uint64_t)n)
            return cm_json_wrong(ctx, &shape, "fewer elements than any file has");
        tensor->n_elements *= (uint64_t)n;
    }
    return CALMOE_OK;
}

/* data: the tensors' bytes (n_data). */
static calmoe_status read_place(struct calmoe_context *ctx, const struct json_value *of, const uint8_t *data,
                                size_t n_data, struct safetensor *tensor)
{
    struct json_value offsets;
    size_t            n;
    int64_t           begin, end;
    CM_TRY(cm_json_member(ctx, of, "data_offsets", &offsets));
    CM_TRY(cm_json_array(ctx, &offsets, 2, 2, &n));
    const struct json_value first = cm_json_element(&offsets, 0), last = cm_json_element(&offsets, 1);
    CM_TRY(cm_json_int(ctx, &first, 0, (int64_t)n_data, &begin));
    CM_TRY(cm_json_int(ctx, &last, begin, (int64_t)n_data, &end));
    tensor->bytes = data + begin;
    tensor->n_bytes = (uint64_t)(end - begin);
    if (tensor->n_bytes == tensor->n_elements * (uint64_t)dtypes[tensor->dtype].n_bytes) return CALMOE_OK;
    return cm_json_wrong(ctx, &offsets, "as many bytes as type and shape ask for");
}

static calmoe_status read_tensor(struct calmoe_context *ctx, const struct json_value *of, const uint8_t *data,
                                 size_t n_data, struct safetensor *tensor)
{
    static const char *const known[] = {"dtype", "shape", "data_offsets"};
    CM_TRY(cm_json_check_object(ctx, of, known, sizeof known / sizeof *known));
    const size_t n_name = strlen(of->key);
    if (n_name == 0 || n_name > SAFETENSORS_MAX_NAME_BYTES)
        return cm_json_wrong(ctx, of, "a name of 1 to 1024 bytes for it");
    tensor->name = cm_copy_text(ctx, of->key, n_name);
    if (!tensor->name) return CALMOE_NO_MEMORY;
    CM_TRY(read_type(ctx, of, tensor));
    CM_TRY(read_shape(ctx, of, tensor));
    return read_place(ctx, of, data, n_data, tensor);
}

static int compare_places(const void *a, const void *b)
{
    const struct safetensor *left = a, *right = b;
    if (left->bytes != right->bytes) return left->bytes < right->bytes ? -1 : 1;
    return (left->n_bytes > right->n_bytes) - (left->n_bytes < right->n_bytes);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct safetensor *)a)->name, ((const struct safetensor *)b)->name);
}

/* One behind the other, from the first byte to the last. */
static calmoe_status check_places(struct calmoe_context *ctx, const struct safetensors *file, const uint8_t *data,
                                  size_t n_data)
{
    const uint8_t *at = data;
    qsort(file->tensors, (size_t)file->n, sizeof *file->tensors, compare_places);
    for (int i = 0; i < file->n; i++) {
        const struct safetensor *tensor = &file->tensors[i];
        if (tensor->bytes != at)
            return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': tensor '%.200s' begins at byte %zu of the data; wanted %zu, where the "
                           "one before it ends", file->name, tensor->name, (size_t)(tensor->bytes - data),
                           (size_t)(at - data));
        at += tensor->n_bytes;
    }
    if (at == data + n_data) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_BAD_FILE, "'%s' has %zu bytes behind its last tensor", file->name,
                   n_data - (size_t)(at - data));
}

static calmoe_status read_tensors(struct calmoe_context *ctx, const struct json_document *header, const uint8_t *data,
                                  size_t n_data, struct safetensors *file)
{
    const struct json_value root = cm_json_root(header);
    struct json_value       member = {0};
    if (!cm_json_is_object(&root)) return cm_json_wrong(ctx, &root, "an object");
    const size_t n = cm_json_length(&root);
    if (n > SAFETENSORS_MAX_TENSORS)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' has %zu tensors; at most %d are read", file->name, n,
                       SAFETENSORS_MAX_TENSORS);
    file->tensors = cm_alloc(ctx, n, sizeof *file->tensors, "a list of tensors");
    if (!file->tensors) return CALMOE_NO_MEMORY;
    while (cm_json_next(&root, &member))
        if (strcmp(member.key, "__metadata__") != 0)
            CM_TRY(read_tensor(ctx, &member, data, n_data, &file->tensors[file->n++]));
    CM_TRY(check_places(ctx, file, data, n_data));
    qsort(file->tensors, (size_t)file->n, sizeof *file->tensors, compare_names);
    return CALMOE_OK;
}

static calmoe_status read_file(struct calmoe_context *ctx, const uint8_t *bytes, size_t n_bytes,
                               struct safetensors *file)
{
    struct byte_reader   reader = cm_reader(bytes, n_bytes);
    const uint64_t       n_header = cm_read_u64(&reader);
    struct json_document header;
    if (reader.failed || n_header > cm_reader_left(&reader))
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s' is no safetensors file, or cut off: it has %zu bytes, and its header "
                       "should have %llu", file->name, n_bytes, (unsigned long long)n_header);
    if (n_header > JSON_MAX_BYTES)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' has a header of %llu bytes; at most %d are read", file->name,
                       (unsigned long long)n_header, JSON_MAX_BYTES);
    const uint8_t *text = cm_read_bytes(&reader, n_header);
    CM_TRY(cm_json_parse(ctx, file->name, text, (size_t)n_header, &header));
    const calmoe_status status = read_tensors(ctx, &header, text + n_header, cm_reader_left(&reader), file);
    cm_json_close(&header);
    return status;
}

calmoe_status cm_safetensors_parse(struct calmoe_context *ctx, const char *name, const void *bytes, size_t n_bytes,
                                   struct safetensors **out)
{
    *out = cm_alloc(ctx, 1, sizeof **out, "a list of tensors");
    if (!*out) return CALMOE_NO_MEMORY;
    (*out)->name = cm_copy_text(ctx, name, strlen(name));
    const calmoe_status status = (*out)->name ? read_file(ctx, bytes, n_bytes, *out) : CALMOE_NO_MEMORY;
    if (status != CALMOE_OK) cm_safetensors_close(out);
    return status;
}

calmoe_status cm_safetensors_open(struct calmoe_context *ctx, const char *path, struct safetensors **out)
{
    const char     *slash = strrchr(path, '/');
    struct file_map map;
    *out = NULL;
    CM_TRY(cm_file_map_open(ctx, path, &map));
    const calmoe_status status = cm_safetensors_parse(ctx, slash ? slash + 1 : path, map.bytes, map.n_bytes, out);
    if (status == CALMOE_OK) (*out)->map = map;
    else cm_file_map_close(&map);
    return status;
}

void cm_safetensors_close(struct safetensors **file)
{
    if (!*file) return;
    for (int i = 0; i < (*file)->n; i++) cm_free((*file)->tensors[i].name);
    cm_free((*file)->tensors);
    cm_file_map_close(&(*file)->map);
    cm_free((*file)->name);
    cm_free(*file);
    *file = NULL;
}

const struct safetensor *cm_safetensor(const struct safetensors *file, const char *name)
{
    const struct safetensor key = {.name = (char *)(uintptr_t)name};
    return file->n > 0 ? bsearch(&key, file->tensors, (size_t)file->n, sizeof *file->tensors, compare_names) : NULL;
}
