/* runtime/forward/kv_cache.c - see kv_cache.h. */
#include "runtime/forward/kv_cache.h"

#include "base/memory.h"

static size_t rounded(size_t n_bytes) { return (n_bytes + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT; }

static calmoe_status open_part(struct calmoe_context *ctx, const struct topology *topology, int node, int n_layers,
                               int n_spans, const struct kv_cache *cache, struct kv_part *out)
{
    size_t n_bytes;
    out->span_bytes = cache->region_bytes * (size_t)n_layers * (size_t)out->n_heads;
    if (!cm_multiply(out->span_bytes, (size_t)n_spans, &n_bytes))
        return cm_fail(ctx, CALMOE_NO_MEMORY, "a context of %d tokens is larger than any memory", cache->capacity);
    CM_TRY(cm_node_block_open_sparse(ctx, topology, node, n_bytes, &out->memory));
    if (n_spans > 1) cm_node_block_prefer_huge(&out->memory, out->span_bytes);
    return CALMOE_OK;
}

calmoe_status cm_kv_cache_open(struct calmoe_context *ctx, const struct model_spec *spec, enum kv_type type,
                               int n_positions, const struct topology *topology, const int32_t *kv_heads,
                               struct kv_cache *out)
{
    *out = (struct kv_cache){.type = type, .head_size = spec->head_size, .value_size = spec->value_size};
    out->capacity = (n_positions + CM_KV_BLOCK - 1) / CM_KV_BLOCK * CM_KV_BLOCK;
    /* spec and context are within limits that keep all but the last product far below 2^64. */
    const size_t element = type == KV_F32 ? sizeof(float) : sizeof(uint16_t);
    const int n_in_span = out->capacity < CM_ATTEND_SPAN ? out->capacity : CM_ATTEND_SPAN;
    const int n_spans = (out->capacity + CM_ATTEND_SPAN - 1) / CM_ATTEND_SPAN;
    out->keys_bytes = rounded((size_t)n_in_span * (size_t)spec->head_size * element);
    out->region_bytes = out->keys_bytes + rounded((size_t)n_in_span * (size_t)spec->value_size * element);
    int n_parts = 0, head = 0;
    for (int node = 0; node < topology->n_nodes; node++) n_parts += kv_heads[node] > 0;
    out->parts = cm_alloc(ctx, (size_t)n_parts, sizeof *out->parts, "keys and values");
    if (!out->parts) return CALMOE_NO_MEMORY;
    for (int node = 0; node < topology->n_nodes; head += kv_heads[node++]) {
        if (kv_heads[node] == 0) continue;
        struct kv_part *part = &out->parts[out->n_parts++];
        part->first_head = head;
        part->n_heads = kv_heads[node];
        const calmoe_status status = open_part(ctx, topology, node, spec->n_layers, n_spans, out, part);
        if (status == CALMOE_OK) continue;
        cm_kv_cache_close(out);
        return status;
    }
    return CALMOE_OK;
}

void cm_kv_cache_close(struct kv_cache *cache)
{
    for (int i = 0; i < cache->n_parts; i++) cm_node_block_close(&cache->parts[i].memory);
    cm_free(cache->parts);
    *cache = (struct kv_cache){0};
}
