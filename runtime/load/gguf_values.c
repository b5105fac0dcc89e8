/* gguf_values.c - typed reads of the metadata. */
#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "base/byte_reader.h"
#include "runtime/load/gguf_parts.h"

static const struct {
    const char *name;
    uint8_t     n_bytes; /* of one value; 0 where they differ in size */
    bool        is_integer;
} types[META_TYPE_COUNT] = {
    [META_U8] = {"u8", 1, true},          [META_I8] = {"i8", 1, true},
    [META_U16] = {"u16", 2, true},        [META_I16] = {"i16", 2, true},
    [META_U32] = {"u32", 4, true},        [META_I32] = {"i32", 4, true},
    [META_F32] = {"f32", 4, false},       [META_BOOL] = {"bool", 1, false},
    [META_STRING] = {"string", 0, false}, [META_ARRAY] = {"array", 0, false},
    [META_U64] = {"u64", 8, true},        [META_I64] = {"i64", 8, true},
    [META_F64] = {"f64", 8, false},
};

bool cm_meta_is_integer(enum meta_type type)
{
    return types[type].is_integer;
}

const char *cm_meta_type_name(enum meta_type type)
{
    return types[type].name;
}

uint64_t cm_gguf_type_bytes(enum meta_type type)
{
    return types[type].n_bytes;
}

int64_t cm_meta_element_int(const struct meta_entry *entry, uint64_t i)
{
    const uint64_t     n_bytes = cm_gguf_type_bytes(entry->element_type);
    struct byte_reader reader = cm_reader(entry->bytes + i * n_bytes, (size_t)n_bytes);
    switch (entry->element_type) {
    case META_U8:
    case META_BOOL: return cm_read_u8(&reader);
    case META_I8: return (int8_t)cm_read_u8(&reader);
    case META_U16: return cm_read_u16(&reader);
    case META_I16: return (int16_t)cm_read_u16(&reader);
    case META_U32: return cm_read_u32(&reader);
    case META_I32: return (int32_t)cm_read_u32(&reader);
    case META_U64:
    case META_I64: return (int64_t)cm_read_u64(&reader);
    default: return 0;
    }
}

double cm_meta_element_float(const struct meta_entry *entry, uint64_t i)
{
    const uint64_t     n_bytes = cm_gguf_type_bytes(entry->element_type);
    struct byte_reader reader = cm_reader(entry->bytes + i * n_bytes, (size_t)n_bytes);
    switch (entry->element_type) {
    case META_F32: return (double)cm_read_f32(&reader);
    case META_F64: return cm_read_f64(&reader);
    case META_U64: return (double)cm_read_u64(&reader);
    default: return (double)cm_meta_element_int(entry, i);
    }
}

static calmoe_status wrong_type(struct calmoe_context *ctx, const struct model_file *file,
                                const struct meta_entry *entry, const char *wanted)
{
    if (entry->type == META_ARRAY)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is an array of %s; wanted %s",
                       file->name, entry->key, cm_meta_type_name(entry->element_type), wanted);
    return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' has type %s; wanted %s", file->name,
                   entry->key, cm_meta_type_name(entry->type), wanted);
}

static calmoe_status need(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                          const char *wanted)
{
    if (cm_meta_entry(file, key) != NULL) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is missing; wanted %s", file->name, key,
                   wanted);
}

calmoe_status cm_meta_get_int(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                              int64_t min, int64_t max, int64_t *out)
{
    const struct meta_entry *entry = cm_meta_entry(file, key);
    if (entry == NULL) return CALMOE_OK;
    if (!cm_meta_is_integer(entry->type)) return wrong_type(ctx, file, entry, "an integer");
    const int64_t value = cm_meta_element_int(entry, 0);
    const bool    is_huge = entry->type == META_U64 && value < 0; /* 2^63 or more */
    if (is_huge)
        return cm_fail(ctx, CALMOE_BAD_FILE,
                       "'%s': key '%.80s' is %" PRIu64 "; wanted %" PRId64 " to %" PRId64,
                       file->name, entry->key, (uint64_t)value, min, max);
    if (value < min || value > max)
        return cm_fail(ctx, CALMOE_BAD_FILE,
                       "'%s': key '%.80s' is %" PRId64 "; wanted %" PRId64 " to %" PRId64,
                       file->name, entry->key, value, min, max);
    *out = value;
    return CALMOE_OK;
}

calmoe_status cm_meta_need_int(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                               int64_t min, int64_t max, int64_t *out)
{
    CM_TRY(need(ctx, file, key, "an integer"));
    return cm_meta_get_int(ctx, file, key, min, max, out);
}

calmoe_status cm_meta_get_float(struct calmoe_context *ctx, const struct model_file *file,
                                const char *key, double min, double max, float *out)
{
    const struct meta_entry *entry = cm_meta_entry(file, key);
    if (entry == NULL) return CALMOE_OK;
    if (entry->type != META_F32 && entry->type != META_F64)
        return wrong_type(ctx, file, entry, "a float");
    const double value = cm_meta_element_float(entry, 0);
    const bool   fits = !isfinite(value) || fabs(value) <= (double)FLT_MAX;
    if (!(value >= min && value <= max) || !fits) /* NaN lies in no range */
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is %g; wanted %g to %g", file->name,
                       entry->key, value, min, max);
    *out = (float)value;
    return CALMOE_OK;
}

calmoe_status cm_meta_get_bool(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                               bool *out)
{
    const struct meta_entry *entry = cm_meta_entry(file, key);
    if (entry == NULL) return CALMOE_OK;
    if (entry->type != META_BOOL) return wrong_type(ctx, file, entry, "a bool");
    *out = entry->bytes[0] != 0;
    return CALMOE_OK;
}

calmoe_status cm_meta_get_string(struct calmoe_context *ctx, const struct model_file *file,
                                 const char *key, struct meta_string *out)
{
    const struct meta_entry *entry = cm_meta_entry(file, key);
    if (entry == NULL) return CALMOE_OK;
    if (entry->type != META_STRING) return wrong_type(ctx, file, entry, "a string");
    *out = entry->strings[0];
    return CALMOE_OK;
}

calmoe_status cm_meta_need_string(struct calmoe_context *ctx, const struct model_file *file,
                                  const char *key, struct meta_string *out)
{
    CM_TRY(need(ctx, file, key, "a string"));
    return cm_meta_get_string(ctx, file, key, out);
}
