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
} types[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = {"u8", 1, true},          [GGUF_I8] = {"i8", 1, true},
    [GGUF_U16] = {"u16", 2, true},        [GGUF_I16] = {"i16", 2, true},
    [GGUF_U32] = {"u32", 4, true},        [GGUF_I32] = {"i32", 4, true},
    [GGUF_F32] = {"f32", 4, false},       [GGUF_BOOL] = {"bool", 1, false},
    [GGUF_STRING] = {"string", 0, false}, [GGUF_ARRAY] = {"array", 0, false},
    [GGUF_U64] = {"u64", 8, true},        [GGUF_I64] = {"i64", 8, true},
    [GGUF_F64] = {"f64", 8, false},
};

bool cm_gguf_is_integer(enum gguf_type type)
{
    return types[type].is_integer;
}

const char *cm_gguf_type_name(enum gguf_type type)
{
    return types[type].name;
}

uint64_t cm_gguf_type_bytes(enum gguf_type type)
{
    return types[type].n_bytes;
}

int64_t cm_gguf_element_int(const struct gguf_entry *entry, uint64_t i)
{
    const uint64_t     n_bytes = cm_gguf_type_bytes(entry->element_type);
    struct byte_reader reader = cm_reader(entry->bytes + i * n_bytes, (size_t)n_bytes);
    switch (entry->element_type) {
    case GGUF_U8:
    case GGUF_BOOL: return cm_read_u8(&reader);
    case GGUF_I8: return (int8_t)cm_read_u8(&reader);
    case GGUF_U16: return cm_read_u16(&reader);
    case GGUF_I16: return (int16_t)cm_read_u16(&reader);
    case GGUF_U32: return cm_read_u32(&reader);
    case GGUF_I32: return (int32_t)cm_read_u32(&reader);
    case GGUF_U64:
    case GGUF_I64: return (int64_t)cm_read_u64(&reader);
    default: return 0;
    }
}

double cm_gguf_element_float(const struct gguf_entry *entry, uint64_t i)
{
    const uint64_t     n_bytes = cm_gguf_type_bytes(entry->element_type);
    struct byte_reader reader = cm_reader(entry->bytes + i * n_bytes, (size_t)n_bytes);
    switch (entry->element_type) {
    case GGUF_F32: return (double)cm_read_f32(&reader);
    case GGUF_F64: return cm_read_f64(&reader);
    case GGUF_U64: return (double)cm_read_u64(&reader);
    default: return (double)cm_gguf_element_int(entry, i);
    }
}

static calmoe_status wrong_type(struct calmoe_context *ctx, const struct gguf *gguf,
                                const struct gguf_entry *entry, const char *wanted)
{
    if (entry->type == GGUF_ARRAY)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is an array of %s; wanted %s",
                       gguf->name, entry->key, cm_gguf_type_name(entry->element_type), wanted);
    return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' has type %s; wanted %s", gguf->name,
                   entry->key, cm_gguf_type_name(entry->type), wanted);
}

static calmoe_status need(struct calmoe_context *ctx, const struct gguf *gguf, const char *key,
                          const char *wanted)
{
    if (cm_gguf_entry(gguf, key) != NULL) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is missing; wanted %s", gguf->name, key,
                   wanted);
}

calmoe_status cm_gguf_get_int(struct calmoe_context *ctx, const struct gguf *gguf, const char *key,
                              int64_t min, int64_t max, int64_t *out)
{
    const struct gguf_entry *entry = cm_gguf_entry(gguf, key);
    if (entry == NULL) return CALMOE_OK;
    if (!cm_gguf_is_integer(entry->type)) return wrong_type(ctx, gguf, entry, "an integer");
    const int64_t value = cm_gguf_element_int(entry, 0);
    const bool    is_huge = entry->type == GGUF_U64 && value < 0; /* 2^63 or more */
    if (is_huge)
        return cm_fail(ctx, CALMOE_BAD_FILE,
                       "'%s': key '%.80s' is %" PRIu64 "; wanted %" PRId64 " to %" PRId64,
                       gguf->name, entry->key, (uint64_t)value, min, max);
    if (value < min || value > max)
        return cm_fail(ctx, CALMOE_BAD_FILE,
                       "'%s': key '%.80s' is %" PRId64 "; wanted %" PRId64 " to %" PRId64,
                       gguf->name, entry->key, value, min, max);
    *out = value;
    return CALMOE_OK;
}

calmoe_status cm_gguf_need_int(struct calmoe_context *ctx, const struct gguf *gguf, const char *key,
                               int64_t min, int64_t max, int64_t *out)
{
    CM_TRY(need(ctx, gguf, key, "an integer"));
    return cm_gguf_get_int(ctx, gguf, key, min, max, out);
}

calmoe_status cm_gguf_get_float(struct calmoe_context *ctx, const struct gguf *gguf,
                                const char *key, double min, double max, float *out)
{
    const struct gguf_entry *entry = cm_gguf_entry(gguf, key);
    if (entry == NULL) return CALMOE_OK;
    if (entry->type != GGUF_F32 && entry->type != GGUF_F64)
        return wrong_type(ctx, gguf, entry, "a float");
    const double value = cm_gguf_element_float(entry, 0);
    const bool   fits = !isfinite(value) || fabs(value) <= (double)FLT_MAX;
    if (!(value >= min && value <= max) || !fits) /* NaN lies in no range */
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is %g; wanted %g to %g", gguf->name,
                       entry->key, value, min, max);
    *out = (float)value;
    return CALMOE_OK;
}

calmoe_status cm_gguf_get_bool(struct calmoe_context *ctx, const struct gguf *gguf, const char *key,
                               bool *out)
{
    const struct gguf_entry *entry = cm_gguf_entry(gguf, key);
    if (entry == NULL) return CALMOE_OK;
    if (entry->type != GGUF_BOOL) return wrong_type(ctx, gguf, entry, "a bool");
    *out = entry->bytes[0] != 0;
    return CALMOE_OK;
}

calmoe_status cm_gguf_get_string(struct calmoe_context *ctx, const struct gguf *gguf,
                                 const char *key, struct gguf_string *out)
{
    const struct gguf_entry *entry = cm_gguf_entry(gguf, key);
    if (entry == NULL) return CALMOE_OK;
    if (entry->type != GGUF_STRING) return wrong_type(ctx, gguf, entry, "a string");
    *out = entry->strings[0];
    return CALMOE_OK;
}

calmoe_status cm_gguf_need_string(struct calmoe_context *ctx, const struct gguf *gguf,
                                  const char *key, struct gguf_string *out)
{
    CM_TRY(need(ctx, gguf, key, "a string"));
    return cm_gguf_get_string(ctx, gguf, key, out);
}
