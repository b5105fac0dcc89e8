/* runtime/forward/kv_cache.c - see kv_cache.h. */
#include "runtime/forward/kv_cache.h"

#include "base/memory.h"
#include "experts/placement.h"

static size_t rounded(size_t n_bytes) { return (n_bytes + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT; }

static int in_span(const struct kv_cache *cache)
{
    return cache->capacity < CM_ATTEND_SPAN ? cache->capacity : CM_ATTEND_SPAN;
}

/* Sizes of the layers' regions. spec and context are within limits that keep all products far below 2^64. */
static calmoe_status open_layers(struct calmoe_context *ctx, const struct model_spec *spec, struct kv_cache *cache)
{
    const size_t element = cache->type == KV_F32 ? sizeof(float) : sizeof(uint16_t);
    const size_t n = (size_t)in_span(cache);
    cache->n_layers = spec->n_layers;
    cache->layers = cm_alloc(ctx, (size_t)spec->n_layers, sizeof *cache->layers, "keys and values");
    if (!cache->layers) return CALMOE_NO_MEMORY;
    for (int i = 0; i < spec->n_layers; i++) {
        const struct attention_spec *attention = &spec->layers[i].attention;
        const size_t keys = rounded(n * (size_t)attention->head_size * element);
        cache->layers[i] =
            (struct kv_layer){keys, keys + rounded(n * (size_t)attention->value_size * element)};
    }
    return CALMOE_OK;
}

/* What node keeps of each layer; nothing where it keeps no heads. */
static calmoe_status open_part(struct calmoe_context *ctx, const struct model_spec *spec,
                               const struct topology *topology, const int32_t *kv_heads, int node,
                               struct kv_cache *cache)
{
    struct kv_part *part = &cache->parts[cache->n_parts];
    const int n_spans = (cache->capacity + CM_ATTEND_SPAN - 1) / CM_ATTEND_SPAN;
    size_t n_bytes;
    part->span_bytes = 0;
    if (kv_heads[node] == 0) return CALMOE_OK;
    cache->n_parts++;
    part->regions = cm_alloc(ctx, (size_t)spec->n_layers, sizeof *part->regions, "keys and values");
    if (!part->regions) return CALMOE_NO_MEMORY;
    for (int i = 0; i < spec->n_layers; i++) {
        int32_t heads[CM_MAX_NODES];
        int     first = 0;
        cm_cut_heads(kv_heads, topology->n_nodes, spec->layers[i].attention.n_kv_heads, heads);
        for (int before = 0; before < node; before++) first += heads[before];
        part->regions[i] = (struct kv_regions){part->span_bytes, first, heads[node]};
        part->span_bytes += cache->layers[i].region_bytes * (size_t)heads[node];
    }
    if (!cm_multiply(part->span_bytes, (size_t)n_spans, &n_bytes))
        return cm_fail(ctx, CALMOE_NO_MEMORY, "a context of %d tokens is larger than any memory", cache->capacity);
    CM_TRY(cm_node_block_open_sparse(ctx, topology, node, n_bytes, &part->memory));
    if (n_spans > 1) cm_node_block_prefer_huge(&part->memory, part->span_bytes);
    return CALMOE_OK;
}

static calmoe_status open_parts(struct calmoe_context *ctx, const struct model_spec *spec,
                                const struct topology *topology, const int32_t *kv_heads, struct kv_cache *cache)
{
    CM_TRY(open_layers(ctx, spec, cache));
    cache->parts = cm_alloc(ctx, (size_t)topology->n_nodes, sizeof *cache->parts, "keys and values");
    if (!cache->parts) return CALMOE_NO_MEMORY;
    for (int node = 0; node < topology->n_nodes; node++)
        CM_TRY(open_part(ctx, spec, topology, kv_heads, node, cache));
    return CALMOE_OK;
}

calmoe_status cm_kv_cache_open(struct calmoe_context *ctx, const struct model_spec *spec, enum kv_type type,
                               int n_positions, const struct topology *topology, const int32_t *kv_heads,
                               struct kv_cache *out)
{
    *out = (struct kv_cache){.type = type};
    out->capacity = (n_positions + CM_KV_BLOCK - 1) / CM_KV_BLOCK * CM_KV_BLOCK;
    const calmoe_status status = open_parts(ctx, spec, topology, kv_heads, out);
    if (status != CALMOE_OK) cm_kv_cache_close(out);
    return status;
}

void cm_kv_cache_close(struct kv_cache *cache)
{
    for (int i = 0; i < cache->n_parts; i++) {
        cm_node_block_close(&cache->parts[i].memory);
        cm_free(cache->parts[i].regions);
    }
    cm_free(cache->parts);
    cm_free(cache->layers);
    *cache = (struct kv_cache){0};
}
