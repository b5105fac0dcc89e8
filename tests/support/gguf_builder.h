/* tests/support/gguf_builder.h - makes GGUF files by code: good ones, tiny models, and broken ones.
 *
 *     struct gguf_builder *builder = builder_open();
 *     builder_add_string(builder, "general.architecture", "olmoe");
 *     builder_add_u32(builder, "olmoe.block_count", 2);
 *     builder_add_tensor_f32(builder, "output_norm.weight", 1, (uint64_t[]){ 64 }, values);
 *     builder_write(builder, path);           or: bytes = builder_bytes(builder, &n_bytes);
 *     builder_close(&builder);
 *
 * What the file says can be bent before it is built: the builder's open fields, those of
 * builder_tensor(), and builder_add_raw_entry(). Memory is the C library's, so that blocks counted by
 * base/memory.h are the library's only; where it runs out the test aborts. */
#ifndef TESTS_SUPPORT_GGUF_BUILDER_H
#define TESTS_SUPPORT_GGUF_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/weight_type.h"
#include "runtime/load/model_file.h"

enum { BUILDER_MAX_DIMS = 8 }; /* more than the format has, to try it */

struct builder_bytes { /* grows; zeroed = empty */
    uint8_t *bytes;
    size_t   n_bytes;
    size_t   capacity;
};

struct builder_tensor {
    char    *name;
    size_t   n_name_bytes;
    uint32_t n_dims;
    uint64_t shape[BUILDER_MAX_DIMS];
    uint32_t file_id;
    uint64_t offset;  /* set when it is added; may be bent afterwards */
    uint8_t *bytes;   /* (n_bytes) */
    size_t   n_bytes;
};

struct gguf_builder {
    char                   magic[4];     /* "GGUF"                                           */
    uint32_t               version;      /* 3                                                */
    uint64_t               alignment;    /* 32; builder_set_alignment() also writes the key  */
    int64_t                n_entries_told; /* -1 = as many as there are                      */
    int64_t                n_tensors_told; /* -1 = as many as there are                      */
    size_t                 n_entries;
    struct builder_bytes   entries;      /* as they will stand in the file                   */
    size_t                 n_tensors;
    size_t                 tensor_capacity;
    struct builder_tensor *tensors;      /* (n_tensors)                                      */
    uint64_t               n_data_bytes; /* of the data section: the next tensor's offset    */
    struct builder_bytes   file;         /* the last result of builder_bytes()               */
};

struct gguf_builder *builder_open(void);
void                 builder_close(struct gguf_builder **builder); /* NULL is fine */

/* ---- metadata ---- */

void builder_add_u8(struct gguf_builder *builder, const char *key, uint8_t value);
void builder_add_i8(struct gguf_builder *builder, const char *key, int8_t value);
void builder_add_u16(struct gguf_builder *builder, const char *key, uint16_t value);
void builder_add_i16(struct gguf_builder *builder, const char *key, int16_t value);
void builder_add_u32(struct gguf_builder *builder, const char *key, uint32_t value);
void builder_add_i32(struct gguf_builder *builder, const char *key, int32_t value);
void builder_add_u64(struct gguf_builder *builder, const char *key, uint64_t value);
void builder_add_i64(struct gguf_builder *builder, const char *key, int64_t value);
void builder_add_f32(struct gguf_builder *builder, const char *key, float value);
void builder_add_f64(struct gguf_builder *builder, const char *key, double value);
void builder_add_bool(struct gguf_builder *builder, const char *key, bool value);
void builder_add_string(struct gguf_builder *builder, const char *key, const char *value);

/* An array of numbers or bools: values is a C array of the type's size. */
void builder_add_array(struct gguf_builder *builder, const char *key, enum meta_type element_type,
                       const void *values, size_t n_values);
void builder_add_strings(struct gguf_builder *builder, const char *key, const char *const *values,
                         size_t n_values);
void builder_add_i32s(struct gguf_builder *builder, const char *key, const int32_t *values, size_t n);
void builder_add_f32s(struct gguf_builder *builder, const char *key, const float *values, size_t n);

/* Any key bytes, any type id, any value bytes (for an array: element type, count, elements). */
void builder_add_raw_entry(struct gguf_builder *builder, const void *key, size_t n_key_bytes,
                           uint32_t type, const void *value, size_t n_value_bytes);
/* general.alignment, and where the following tensors and the data section go. */
void builder_set_alignment(struct gguf_builder *builder, uint32_t alignment);

/* ---- tensors; shape[0] is contiguous ---- */

void builder_add_tensor_f32(struct gguf_builder *builder, const char *name, uint32_t n_dims,
                            const uint64_t *shape, const float *values);
/* Normal values of the standard deviation `scale`, the same for the same seed. */
void builder_add_tensor_random(struct gguf_builder *builder, const char *name, uint32_t n_dims,
                               const uint64_t *shape, uint64_t seed, float scale);
/* The values in any weight type that can be written (cm_weight_types[type].quantize). */
void builder_add_tensor_quantized(struct gguf_builder *builder, const char *name,
                                  enum weight_type type, uint32_t n_dims, const uint64_t *shape,
                                  const float *values);
/* Any type id, any bytes; bytes NULL = n_bytes zeros. */
void builder_add_tensor(struct gguf_builder *builder, const char *name, uint32_t file_id,
                        uint32_t n_dims, const uint64_t *shape, const void *bytes, size_t n_bytes);
/* The i-th tensor added, to be bent; negative counts from the last (-1). */
struct builder_tensor *builder_tensor(struct gguf_builder *builder, int i);
void builder_clear_tensors(struct gguf_builder *builder);
void builder_rename_tensor(struct gguf_builder *builder, int i, const void *name, size_t n_bytes);

/* ---- the file ---- */

/* The builder's until the next call or builder_close(). */
const uint8_t *builder_bytes(struct gguf_builder *builder, size_t *n_bytes);
void           builder_write(struct gguf_builder *builder, const char *path);

/* Appends a little-endian number of n_bytes bytes / bytes as they are; for raw values. */
void builder_put(struct builder_bytes *to, uint64_t value, size_t n_bytes);
void builder_put_bytes(struct builder_bytes *to, const void *bytes, size_t n_bytes);
void builder_put_string(struct builder_bytes *to, const void *bytes, size_t n_bytes);
void builder_bytes_close(struct builder_bytes *bytes);

#endif
