/* trace.c - see trace.h. Numbers are little-endian. */
#include "runtime/stats/trace.h"

#include <math.h>
#include <string.h>

#include <calmoe/trace.h>

#include "base/byte_reader.h"
#include "kernels/half.h"
#include "router/router.h"

enum { MAX_LAYERS = 1024 };
static const char magic[8] = {'C', 'A', 'L', 'M', 'O', 'E', 'T', 'R'};

size_t cm_trace_record_bytes(const calmoe_trace_info *info)
{
    return 8 + (size_t)info->n_layers * (size_t)info->n_used * 4;
}

/* NULL, or which count is outside its limits. */
static const char *bad_count(const calmoe_trace_info *info)
{
    if (info->n_layers < 1 || info->n_layers > MAX_LAYERS) return "layers";
    if (info->n_experts < 1 || info->n_experts > ROUTER_MAX_EXPERTS) return "experts";
    if (info->n_used < 1 || info->n_used > ROUTER_MAX_USED || info->n_used > info->n_experts) return "experts used";
    return NULL;
}

static bool is_fingerprint(const char text[17])
{
    for (int i = 0; i < 16; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f')) return false;
    return text[16] == '\0';
}

calmoe_status cm_trace_check_info(struct calmoe_context *ctx, const calmoe_trace_info *info)
{
    const char *bad = bad_count(info);
    if (bad)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "a trace of %d layers with %d of %d experts used: the number of %s is outside its limits",
                       info->n_layers, info->n_used, info->n_experts, bad);
    if (!is_fingerprint(info->fingerprint))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the fingerprint is '%.16s'; 16 hex digits are wanted",
                       info->fingerprint);
    return CALMOE_OK;
}

static void put_u32(uint8_t *bytes, uint32_t value)
{
    cm_store_u16(bytes, (uint16_t)value);
    cm_store_u16(bytes + 2, (uint16_t)(value >> 16));
}

void cm_trace_write_header(const calmoe_trace_info *info, uint8_t bytes[TRACE_HEADER_BYTES])
{
    memset(bytes, 0, TRACE_HEADER_BYTES);
    memcpy(bytes, magic, sizeof magic);
    put_u32(bytes + 8, TRACE_VERSION);
    put_u32(bytes + 12, TRACE_HEADER_BYTES);
    memcpy(bytes + 16, info->fingerprint, 16);
    put_u32(bytes + 32, (uint32_t)info->n_layers);
    put_u32(bytes + 36, (uint32_t)info->n_experts);
    put_u32(bytes + 40, (uint32_t)info->n_used);
}

/* A count that does not fit an int is too large anyway. */
static int read_count(struct byte_reader *reader)
{
    const uint32_t count = cm_read_u32(reader);
    return count <= 1u << 20 ? (int)count : 1 << 20;
}

calmoe_status cm_trace_read_header(struct calmoe_context *ctx, const char *name, const uint8_t *bytes,
                                   size_t n_bytes, calmoe_trace_info *out)
{
    struct byte_reader reader = cm_reader(bytes, n_bytes);
    if (n_bytes < TRACE_HEADER_BYTES || memcmp(bytes, magic, sizeof magic) != 0)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s' is no routing trace: it does not begin with its %d bytes of header",
                       name, TRACE_HEADER_BYTES);
    cm_read_bytes(&reader, sizeof magic);
    const uint32_t version = cm_read_u32(&reader), n_header = cm_read_u32(&reader);
    if (version != TRACE_VERSION)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s': version %u of the trace format; %d is supported", name,
                       version, TRACE_VERSION);
    if (n_header != TRACE_HEADER_BYTES)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': a header of %u bytes; %d is wanted", name, n_header,
                       TRACE_HEADER_BYTES);
    *out = (calmoe_trace_info){.size = sizeof *out};
    memcpy(out->fingerprint, cm_read_bytes(&reader, 16), 16);
    out->n_layers = read_count(&reader);
    out->n_experts = read_count(&reader);
    out->n_used = read_count(&reader);
    const char *bad = bad_count(out);
    if (bad)
        return cm_fail(ctx, CALMOE_BAD_FILE,
                       "'%s': %d layers with %d of %d experts used: the number of %s is outside its limits", name,
                       out->n_layers, out->n_used, out->n_experts, bad);
    if (!is_fingerprint(out->fingerprint))
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': the fingerprint is '%.16s'; 16 hex digits are wanted", name,
                       out->fingerprint);
    return CALMOE_OK;
}

/* A dense layer has no expert in any slot. */
static bool is_dense(const calmoe_trace_info *info, const int32_t *experts)
{
    int slot = 0;
    while (slot < info->n_used && experts[slot] == -1) slot++;
    return slot == info->n_used;
}

const char *cm_trace_fault(const calmoe_trace_info *info, const int32_t *experts, const float *weights)
{
    uint64_t seen[ROUTER_MAX_EXPERTS / 64] = {0};
    const bool has_experts = !is_dense(info, experts);
    for (int slot = 0; slot < info->n_used; slot++) {
        const int32_t expert = experts[slot];
        if (!isfinite(weights[slot])) return "a weight that is no finite number";
        if (!has_experts) continue;
        if (expert < 0 || expert >= info->n_experts) return "an expert that the model does not have";
        if (seen[expert / 64] >> expert % 64 & 1) return "the same expert twice";
        seen[expert / 64] |= (uint64_t)1 << expert % 64;
    }
    return NULL;
}

/* A weight beyond float16 becomes its largest number, so that what is written can be read. */
static uint16_t half_of(float weight)
{
    const float largest = 65504.0f;
    return cm_half_of_float(weight > largest ? largest : weight < -largest ? -largest : weight);
}

void cm_trace_write_record(const calmoe_trace_info *info, const calmoe_trace_token *token, uint8_t *bytes)
{
    const size_t n_used = (size_t)info->n_used;
    put_u32(bytes, (uint32_t)token->position);
    put_u32(bytes + 4, (uint32_t)token->token);
    bytes += 8;
    for (size_t layer = 0; layer < (size_t)info->n_layers; layer++, bytes += 4 * n_used)
        for (size_t slot = 0; slot < n_used; slot++) {
            cm_store_u16(bytes + 2 * slot, (uint16_t)token->experts[layer * n_used + slot]);
            cm_store_u16(bytes + 2 * (n_used + slot), half_of(token->weights[layer * n_used + slot]));
        }
}

void cm_trace_read_record(const calmoe_trace_info *info, const uint8_t *bytes, int *position, int32_t *token,
                          int32_t *experts, float *weights)
{
    const size_t n_used = (size_t)info->n_used;
    *position = (int)(cm_load_u32(bytes) & INT32_MAX);
    *token = (int32_t)(cm_load_u32(bytes + 4) & INT32_MAX);
    bytes += 8;
    for (size_t layer = 0; layer < (size_t)info->n_layers; layer++, bytes += 4 * n_used)
        for (size_t slot = 0; slot < n_used; slot++) {
            const uint16_t expert = cm_load_u16(bytes + 2 * slot);
            experts[layer * n_used + slot] = expert == UINT16_MAX ? -1 : expert;
            weights[layer * n_used + slot] = cm_load_half(bytes + 2 * (n_used + slot));
        }
}
