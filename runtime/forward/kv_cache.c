/* runtime/forward/kv_cache.c - see kv_cache.h. */
#include "runtime/forward/kv_cache.h"

#include "base/memory.h"

static size_t rounded(size_t n_bytes) { return (n_bytes + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT; }

calmoe_status cm_kv_cache_open(struct calmoe_context *ctx, const struct model_spec *spec, enum kv_type type,
                               int n_positions, const struct topology *topology, int node,
                               struct kv_cache *out)
{
    *out = (struct kv_cache){.type = type, .head_size = spec->head_size, .value_size = spec->value_size,
                             .n_kv_heads = spec->n_kv_heads};
    out->capacity = (n_positions + CM_KV_BLOCK - 1) / CM_KV_BLOCK * CM_KV_BLOCK;
    /* spec and context are within limits that keep all but the last product far below 2^64. */
    const size_t element = type == KV_F32 ? sizeof(float) : sizeof(uint16_t);
    const int n_in_span = out->capacity < CM_ATTEND_SPAN ? out->capacity : CM_ATTEND_SPAN;
    const int n_spans = (out->capacity + CM_ATTEND_SPAN - 1) / CM_ATTEND_SPAN;
    out->keys_bytes = rounded((size_t)n_in_span * (size_t)spec->head_size * element);
    out->region_bytes = out->keys_bytes + rounded((size_t)n_in_span * (size_t)spec->value_size * element);
    out->span_bytes = out->region_bytes * (size_t)spec->n_layers * (size_t)spec->n_kv_heads;
    size_t n_bytes;
    if (!cm_multiply(out->span_bytes, (size_t)n_spans, &n_bytes))
        return cm_fail(ctx, CALMOE_NO_MEMORY, "a context of %d tokens is larger than any memory", n_positions);
    CM_TRY(cm_node_block_open_sparse(ctx, topology, node, n_bytes, &out->memory));
    if (n_spans > 1) cm_node_block_prefer_huge(&out->memory, out->span_bytes);
    return CALMOE_OK;
}

void cm_kv_cache_close(struct kv_cache *cache)
{
    cm_node_block_close(&cache->memory);
    *cache = (struct kv_cache){0};
}
