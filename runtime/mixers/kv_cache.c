/* runtime/mixers/kv_cache.c - see kv_cache.h. */
#include "runtime/mixers/kv_cache.h"

#include <stdint.h>

#include "base/memory.h"
#include "experts/placement.h"

static size_t rounded(size_t n_bytes) { return (n_bytes + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT; }

static int spans_of(int n_positions) { return (n_positions + CM_ATTEND_SPAN - 1) / CM_ATTEND_SPAN; }

/* Spans that a window and a step's rows may touch at once, wherever they begin. */
static int ring_of(const struct kv_cache *cache, int window, int max_rows)
{
    const int64_t n = ((int64_t)window + max_rows) / CM_ATTEND_SPAN + 2;
    return window > 0 && n < spans_of(cache->capacity) ? (int)n : 0;
}

/* Sizes of the layers' regions. spec and context are within limits that keep all products far below 2^64. */
static calmoe_status open_layers(struct calmoe_context *ctx, const struct model_spec *spec, int max_rows,
                                 struct kv_cache *cache)
{
    const size_t element = cache->type == KV_F32 ? sizeof(float) : sizeof(uint16_t);
    const size_t n = (size_t)(cache->capacity < CM_ATTEND_SPAN ? cache->capacity : CM_ATTEND_SPAN);
    cache->n_layers = spec->n_layers;
    cache->layers = cm_alloc(ctx, (size_t)spec->n_layers, sizeof *cache->layers, "keys and values");
    if (!cache->layers) return CALMOE_NO_MEMORY;
    for (int i = 0; i < spec->n_layers; i++) {
        const struct attention_spec *attention = &spec->layers[i].attention;
        if (attention->n_heads == 0) continue;
        const int    n_keys = attention->has_latents ? 0 : attention->head_size; /* latents lie among the values */
        const size_t keys = rounded(n * (size_t)n_keys * element);
        const size_t values = rounded(n * (size_t)(cm_kept_elements(attention) - n_keys) * element);
        cache->layers[i] = (struct kv_layer){keys, keys + values, attention->window,
                                             ring_of(cache, attention->window, max_rows)};
    }
    return CALMOE_OK;
}

/* Heads of a layer on each node; answers the first of them. */
static int heads_on(const struct attention_spec *spec, const struct plan *plan, int32_t *heads)
{
    if (!spec->has_latents) return cm_own_heads(plan, cm_kept_heads(spec), heads);
    cm_cut_heads(plan->n_kv_heads > 0 ? plan->kv_heads : plan->shares, plan->n_nodes, cm_kept_heads(spec), heads);
    return 0;
}

/* What node keeps of each layer; nothing where the plan gives it no heads. */
static calmoe_status open_part(struct calmoe_context *ctx, const struct model_spec *spec,
                               const struct topology *topology, const struct plan *plan, int node,
                               struct kv_cache *cache)
{
    struct kv_part *part = &cache->parts[cache->n_parts];
    int             n_ring = 0;
    if (plan->n_kv_heads > 0 && plan->kv_heads[node] == 0) return CALMOE_OK;
    cache->n_parts++;
    part->regions = cm_alloc(ctx, (size_t)spec->n_layers, sizeof *part->regions, "keys and values");
    if (!part->regions) return CALMOE_NO_MEMORY;
    for (int i = 0; i < spec->n_layers; i++) {
        const struct kv_layer *layer = &cache->layers[i];
        struct kv_store       *store = layer->n_ring > 0 ? &part->rings : &part->all;
        int32_t heads[CM_MAX_NODES];
        if (layer->region_bytes == 0) continue;
        int first = heads_on(&spec->layers[i].attention, plan, heads);
        for (int before = 0; before < node; before++) first += heads[before];
        part->regions[i] = (struct kv_regions){store->span_bytes, first, heads[node]};
        store->span_bytes += layer->region_bytes * (size_t)heads[node];
        if (layer->n_ring > n_ring) n_ring = layer->n_ring;
    }
    if (part->all.span_bytes > PTRDIFF_MAX / (size_t)spans_of(cache->capacity))
        return cm_fail(ctx, CALMOE_NO_MEMORY, "a context of %d tokens is larger than any memory", cache->capacity);
    CM_TRY(cm_kv_store_open(ctx, topology, node, spans_of(cache->capacity), &part->all));
    return cm_kv_store_open(ctx, topology, node, n_ring, &part->rings);
}

static calmoe_status open_parts(struct calmoe_context *ctx, const struct model_spec *spec, int max_rows,
                                const struct topology *topology, const struct plan *plan, struct kv_cache *cache)
{
    CM_TRY(open_layers(ctx, spec, max_rows, cache));
    cache->parts = cm_alloc(ctx, (size_t)topology->n_nodes, sizeof *cache->parts, "keys and values");
    if (!cache->parts) return CALMOE_NO_MEMORY;
    for (int node = 0; node < topology->n_nodes; node++)
        CM_TRY(open_part(ctx, spec, topology, plan, node, cache));
    return CALMOE_OK;
}

calmoe_status cm_kv_cache_open(struct calmoe_context *ctx, const struct model_spec *spec, enum kv_type type,
                               int n_positions, int max_rows, const struct topology *topology,
                               const struct plan *plan, struct kv_cache *out)
{
    *out = (struct kv_cache){.type = type};
    out->capacity = (n_positions + CM_KV_BLOCK - 1) / CM_KV_BLOCK * CM_KV_BLOCK;
    const calmoe_status status = open_parts(ctx, spec, max_rows, topology, plan, out);
    if (status != CALMOE_OK) cm_kv_cache_close(out);
    return status;
}

void cm_kv_cache_close(struct kv_cache *cache)
{
    for (int i = 0; i < cache->n_parts; i++) {
        cm_kv_store_close(&cache->parts[i].all);
        cm_kv_store_close(&cache->parts[i].rings);
        cm_free(cache->parts[i].regions);
    }
    cm_free(cache->parts);
    cm_free(cache->layers);
    *cache = (struct kv_cache){0};
}

bool cm_kv_may_rewind(const struct kv_cache *cache, int position, int n_written)
{
    for (int i = 0; i < cache->n_layers; i++) {
        const struct kv_layer *layer = &cache->layers[i];
        const int first_wanted = position + 1 - layer->window, first_kept = spans_of(n_written) - layer->n_ring;
        if (layer->n_ring > 0 && first_wanted / CM_ATTEND_SPAN < first_kept && first_kept > 0) return false;
    }
    return true;
}

int cm_kv_cache_share(const struct kv_cache *from, int n, struct kv_cache *to)
{
    bool are_alike = from->n_parts == to->n_parts && from->type == to->type;
    for (int i = 0; i < from->n_parts && are_alike; i++)
        are_alike = cm_kv_stores_are_alike(&from->parts[i].all, &to->parts[i].all);
    for (int i = 0; i < from->n_parts && are_alike; i++)
        cm_kv_store_share(&from->parts[i].all, n, &to->parts[i].all);
    return are_alike ? n : 0;
}

calmoe_status cm_kv_cache_own(struct kv_cache *cache, int first, int end, int n_kept)
{
    for (int i = 0; i < cache->n_parts && first < end; i++)
        CM_TRY(cm_kv_store_own(&cache->parts[i].all, first / CM_ATTEND_SPAN, spans_of(end), spans_of(n_kept)));
    return CALMOE_OK;
}
