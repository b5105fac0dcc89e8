/* gguf_builder.c - makes GGUF files by code. */
#include "tests/support/gguf_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

/* ---- bytes ---- */

static void *must(void *memory)
{
    if (memory == NULL) {
        fputs("gguf_builder: no memory\n", stderr);
        abort();
    }
    return memory;
}

void builder_put_bytes(struct builder_bytes *to, const void *bytes, size_t n_bytes)
{
    if (n_bytes == 0) return;
    if (n_bytes > to->capacity - to->n_bytes) {
        to->capacity = 2 * to->capacity + n_bytes;
        to->bytes = must(realloc(to->bytes, to->capacity));
    }
    memcpy(to->bytes + to->n_bytes, bytes, n_bytes);
    to->n_bytes += n_bytes;
}

void builder_put(struct builder_bytes *to, uint64_t value, size_t n_bytes)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n_bytes; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    builder_put_bytes(to, bytes, n_bytes);
}

void builder_put_string(struct builder_bytes *to, const void *bytes, size_t n_bytes)
{
    builder_put(to, n_bytes, 8);
    builder_put_bytes(to, bytes, n_bytes);
}

void builder_bytes_close(struct builder_bytes *bytes)
{
    free(bytes->bytes);
    *bytes = (struct builder_bytes){0};
}

static void put_f32(struct builder_bytes *to, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    builder_put(to, bits, 4);
}

static void put_f64(struct builder_bytes *to, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    builder_put(to, bits, 8);
}

static uint64_t padded(uint64_t n_bytes, uint64_t alignment)
{
    return (n_bytes + alignment - 1) / alignment * alignment;
}

static void pad_to(struct builder_bytes *to, uint64_t n_bytes)
{
    while (to->n_bytes < n_bytes) builder_put(to, 0, 1);
}

/* ---- the builder ---- */

struct gguf_builder *builder_open(void)
{
    struct gguf_builder *builder = must(calloc(1, sizeof *builder));
    memcpy(builder->magic, "GGUF", 4);
    builder->version = 3;
    builder->alignment = 32;
    builder->n_entries_told = -1;
    builder->n_tensors_told = -1;
    return builder;
}

void builder_close(struct gguf_builder **closing)
{
    if (closing == NULL || *closing == NULL) return;
    struct gguf_builder *builder = *closing;
    builder_clear_tensors(builder);
    builder_bytes_close(&builder->entries);
    builder_bytes_close(&builder->file);
    free(builder);
    *closing = NULL;
}

/* ---- metadata ---- */

void builder_add_raw_entry(struct gguf_builder *builder, const void *key, size_t n_key_bytes,
                           uint32_t type, const void *value, size_t n_value_bytes)
{
    builder_put_string(&builder->entries, key, n_key_bytes);
    builder_put(&builder->entries, type, 4);
    builder_put_bytes(&builder->entries, value, n_value_bytes);
    builder->n_entries++;
}

static void add_number(struct gguf_builder *builder, const char *key, enum meta_type type,
                       uint64_t value, size_t n_bytes)
{
    builder_add_raw_entry(builder, key, strlen(key), (uint32_t)type, NULL, 0);
    builder_put(&builder->entries, value, n_bytes);
}

void builder_add_u8(struct gguf_builder *builder, const char *key, uint8_t value)
{
    add_number(builder, key, META_U8, value, 1);
}

void builder_add_i8(struct gguf_builder *builder, const char *key, int8_t value)
{
    add_number(builder, key, META_I8, (uint64_t)value, 1);
}

void builder_add_u16(struct gguf_builder *builder, const char *key, uint16_t value)
{
    add_number(builder, key, META_U16, value, 2);
}

void builder_add_i16(struct gguf_builder *builder, const char *key, int16_t value)
{
    add_number(builder, key, META_I16, (uint64_t)value, 2);
}

void builder_add_u32(struct gguf_builder *builder, const char *key, uint32_t value)
{
    add_number(builder, key, META_U32, value, 4);
}

void builder_add_i32(struct gguf_builder *builder, const char *key, int32_t value)
{
    add_number(builder, key, META_I32, (uint64_t)value, 4);
}

void builder_add_u64(struct gguf_builder *builder, const char *key, uint64_t value)
{
    add_number(builder, key, META_U64, value, 8);
}

void builder_add_i64(struct gguf_builder *builder, const char *key, int64_t value)
{
    add_number(builder, key, META_I64, (uint64_t)value, 8);
}

void builder_add_f32(struct gguf_builder *builder, const char *key, float value)
{
    builder_add_raw_entry(builder, key, strlen(key), META_F32, NULL, 0);
    put_f32(&builder->entries, value);
}

void builder_add_f64(struct gguf_builder *builder, const char *key, double value)
{
    builder_add_raw_entry(builder, key, strlen(key), META_F64, NULL, 0);
    put_f64(&builder->entries, value);
}

void builder_add_bool(struct gguf_builder *builder, const char *key, bool value)
{
    add_number(builder, key, META_BOOL, value, 1);
}

void builder_add_string(struct gguf_builder *builder, const char *key, const char *value)
{
    builder_add_raw_entry(builder, key, strlen(key), META_STRING, NULL, 0);
    builder_put_string(&builder->entries, value, strlen(value));
}

static void begin_array(struct gguf_builder *builder, const char *key, enum meta_type element_type,
                        size_t n_values)
{
    builder_add_raw_entry(builder, key, strlen(key), META_ARRAY, NULL, 0);
    builder_put(&builder->entries, (uint64_t)element_type, 4);
    builder_put(&builder->entries, n_values, 8);
}

void builder_add_array(struct gguf_builder *builder, const char *key, enum meta_type element_type,
                       const void *values, size_t n_values)
{
    static const size_t n_bytes[META_TYPE_COUNT] = {
        [META_U8] = 1,  [META_I8] = 1,  [META_U16] = 2,  [META_I16] = 2,
        [META_U32] = 4, [META_I32] = 4, [META_F32] = 4,  [META_U64] = 8,
        [META_I64] = 8, [META_F64] = 8, [META_BOOL] = 1,
    };
    begin_array(builder, key, element_type, n_values);
    for (size_t i = 0; i < n_values; i++) {
        const uint8_t *value = (const uint8_t *)values + i * n_bytes[element_type];
        uint8_t        u8;
        uint16_t       u16;
        uint32_t       u32;
        uint64_t       u64;
        switch (n_bytes[element_type]) { /* through a number: the machine may be big-endian */
        case 1: memcpy(&u8, value, 1), builder_put(&builder->entries, u8, 1); break;
        case 2: memcpy(&u16, value, 2), builder_put(&builder->entries, u16, 2); break;
        case 4: memcpy(&u32, value, 4), builder_put(&builder->entries, u32, 4); break;
        case 8: memcpy(&u64, value, 8), builder_put(&builder->entries, u64, 8); break;
        default: abort(); /* strings: builder_add_strings() */
        }
    }
}

void builder_add_strings(struct gguf_builder *builder, const char *key, const char *const *values,
                         size_t n_values)
{
    begin_array(builder, key, META_STRING, n_values);
    for (size_t i = 0; i < n_values; i++)
        builder_put_string(&builder->entries, values[i], strlen(values[i]));
}

void builder_add_i32s(struct gguf_builder *builder, const char *key, const int32_t *values,
                      size_t n)
{
    builder_add_array(builder, key, META_I32, values, n);
}

void builder_add_f32s(struct gguf_builder *builder, const char *key, const float *values, size_t n)
{
    builder_add_array(builder, key, META_F32, values, n);
}

void builder_set_alignment(struct gguf_builder *builder, uint32_t alignment)
{
    builder_add_u32(builder, "general.alignment", alignment);
    builder->alignment = alignment;
}

/* ---- tensors ---- */

static uint64_t n_elements_of(uint32_t n_dims, const uint64_t *shape)
{
    uint64_t n_elements = 1;
    for (uint32_t d = 0; d < n_dims; d++) n_elements *= shape[d];
    return n_elements;
}

void builder_add_tensor(struct gguf_builder *builder, const char *name, uint32_t file_id,
                        uint32_t n_dims, const uint64_t *shape, const void *bytes, size_t n_bytes)
{
    if (n_dims > BUILDER_MAX_DIMS) abort();
    if (builder->n_tensors == builder->tensor_capacity) {
        builder->tensor_capacity = 2 * builder->tensor_capacity + 16;
        builder->tensors =
            must(realloc(builder->tensors, builder->tensor_capacity * sizeof *builder->tensors));
    }
    struct builder_tensor *tensor = &builder->tensors[builder->n_tensors++];
    *tensor = (struct builder_tensor){.name = must(strdup(name)),
                                      .n_name_bytes = strlen(name),
                                      .n_dims = n_dims,
                                      .file_id = file_id,
                                      .bytes = must(calloc(n_bytes + 1, 1)),
                                      .n_bytes = n_bytes};
    for (uint32_t d = 0; d < n_dims; d++) tensor->shape[d] = shape[d];
    if (bytes != NULL && n_bytes > 0) memcpy(tensor->bytes, bytes, n_bytes);
    tensor->offset = padded(builder->n_data_bytes, builder->alignment);
    builder->n_data_bytes = tensor->offset + n_bytes;
}

void builder_add_tensor_f32(struct gguf_builder *builder, const char *name, uint32_t n_dims,
                            const uint64_t *shape, const float *values)
{
    struct builder_bytes bytes = {0};
    const uint64_t       n_elements = n_elements_of(n_dims, shape);
    for (uint64_t i = 0; i < n_elements; i++) put_f32(&bytes, values[i]);
    builder_add_tensor(builder, name, 0, n_dims, shape, bytes.bytes, bytes.n_bytes);
    builder_bytes_close(&bytes);
}

void builder_add_tensor_random(struct gguf_builder *builder, const char *name, uint32_t n_dims,
                               const uint64_t *shape, uint64_t seed, float scale)
{
    const uint64_t n_elements = n_elements_of(n_dims, shape);
    float         *values = must(malloc((size_t)n_elements * sizeof *values + 1));
    struct random  random = cm_random(seed);
    for (uint64_t i = 0; i < n_elements; i++) values[i] = scale * cm_random_normal(&random);
    builder_add_tensor_f32(builder, name, n_dims, shape, values);
    free(values);
}

void builder_add_tensor_quantized(struct gguf_builder *builder, const char *name,
                                  enum weight_type type, uint32_t n_dims, const uint64_t *shape,
                                  const float *values)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    if (row->quantize == NULL || shape[0] % (uint64_t)row->n_elements != 0) {
        fprintf(stderr, "gguf_builder: '%s' cannot be written as %s\n", name, row->name);
        abort();
    }
    const size_t n_blocks = (size_t)(n_elements_of(n_dims, shape) / (uint64_t)row->n_elements);
    const size_t n_bytes = n_blocks * (size_t)row->n_bytes;
    void        *blocks = must(malloc(n_bytes + 1));
    row->quantize(values, blocks, n_blocks);
    builder_add_tensor(builder, name, row->file_id, n_dims, shape, blocks, n_bytes);
    free(blocks);
}

struct builder_tensor *builder_tensor(struct gguf_builder *builder, int i)
{
    const size_t position = i < 0 ? builder->n_tensors - (size_t)-i : (size_t)i;
    if (position >= builder->n_tensors) abort();
    return &builder->tensors[position];
}

void builder_clear_tensors(struct gguf_builder *builder)
{
    for (size_t i = 0; i < builder->n_tensors; i++) {
        free(builder->tensors[i].name);
        free(builder->tensors[i].bytes);
    }
    free(builder->tensors);
    builder->tensors = NULL;
    builder->n_tensors = 0;
    builder->tensor_capacity = 0;
    builder->n_data_bytes = 0;
}

void builder_rename_tensor(struct gguf_builder *builder, int i, const void *name, size_t n_bytes)
{
    struct builder_tensor *tensor = builder_tensor(builder, i);
    free(tensor->name);
    tensor->name = must(malloc(n_bytes + 1));
    if (n_bytes > 0) memcpy(tensor->name, name, n_bytes);
    tensor->n_name_bytes = n_bytes;
}

/* ---- the file ---- */

/* Tensors stand where they were added, whatever their descriptions were bent to say. */
static void put_data(struct gguf_builder *builder, struct builder_bytes *file)
{
    if (builder->n_tensors == 0) return;
    const uint64_t data = padded(file->n_bytes, builder->alignment);
    uint64_t       offset = 0;
    for (size_t i = 0; i < builder->n_tensors; i++) {
        pad_to(file, data + offset);
        builder_put_bytes(file, builder->tensors[i].bytes, builder->tensors[i].n_bytes);
        offset = padded(offset + builder->tensors[i].n_bytes, builder->alignment);
    }
    pad_to(file, data + offset);
}

const uint8_t *builder_bytes(struct gguf_builder *builder, size_t *n_bytes)
{
    struct builder_bytes *file = &builder->file;
    file->n_bytes = 0;
    builder_put_bytes(file, builder->magic, sizeof builder->magic);
    builder_put(file, builder->version, 4);
    builder_put(
        file, builder->n_tensors_told < 0 ? builder->n_tensors : (uint64_t)builder->n_tensors_told,
        8);
    builder_put(
        file, builder->n_entries_told < 0 ? builder->n_entries : (uint64_t)builder->n_entries_told,
        8);
    builder_put_bytes(file, builder->entries.bytes, builder->entries.n_bytes);
    for (size_t i = 0; i < builder->n_tensors; i++) {
        const struct builder_tensor *tensor = &builder->tensors[i];
        builder_put_string(file, tensor->name, tensor->n_name_bytes);
        builder_put(file, tensor->n_dims, 4);
        for (uint32_t d = 0; d < tensor->n_dims && d < BUILDER_MAX_DIMS; d++)
            builder_put(file, tensor->shape[d], 8);
        builder_put(file, tensor->file_id, 4);
        builder_put(file, tensor->offset, 8);
    }
    put_data(builder, file);
    *n_bytes = file->n_bytes;
    return file->bytes;
}

void builder_write(struct gguf_builder *builder, const char *path)
{
    size_t         n_bytes;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    FILE          *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, n_bytes, file) != n_bytes || fclose(file) != 0) {
        fprintf(stderr, "gguf_builder: cannot write '%s'\n", path);
        abort();
    }
}
