/* runtime/forward/kv_cache.h - the keys and values of one sequence.
 *
 * Spans of 512 positions lie one after the other; in a span, for each layer and kv head, a region: keys in blocks of 64
 * positions, transposed, then values (layout: kernels/vector_ops.h). Address space for the whole context is
 * reserved when the session opens; the system gives pages as positions are first written, so nothing is copied when
 * a sequence grows. What grows grows at one end, so all spans but the first may have huge pages, with
 * which long contexts stream a third faster; short sequences take small pages, as many as they fill.
 * Where a plan deals the kv heads to several nodes, each node has such a part with its own heads. */
#ifndef RUNTIME_FORWARD_KV_CACHE_H
#define RUNTIME_FORWARD_KV_CACHE_H

#include "base/node_memory.h"
#include "runtime/families/model_spec.h"

struct kv_layer {
    size_t key_bytes;    /* of one region's keys                       */
    size_t region_bytes; /* keys and values of one kv head in one span */
};

struct kv_regions { /* of one layer in one part: kv heads first_head … first_head + n_heads */
    size_t offset;      /* of the first region, in a span             */
    int    first_head, n_heads;
};

struct kv_part { /* what one node keeps */
    struct node_block  memory;
    size_t             span_bytes; /* regions of all layers           */
    struct kv_regions *regions;    /* (n_layers)                      */
};

struct kv_cache {
    enum kv_type     type;
    int              capacity; /* positions, a multiple of 64          */
    int              n_layers;
    struct kv_layer *layers;   /* (n_layers)                           */
    int              n_parts;
    struct kv_part  *parts;    /* (n_parts), in the order of nodes     */
};

/* kv_heads[node]: heads on each node of the topology, of the layers that have most; those of layers with fewer are
 * dealt out in the same proportions (cm_cut_heads()). */
calmoe_status cm_kv_cache_open(struct calmoe_context *ctx, const struct model_spec *spec, enum kv_type type,
                               int n_positions, const struct topology *topology, const int32_t *kv_heads,
                               struct kv_cache *out);
void          cm_kv_cache_close(struct kv_cache *cache); /* zeroed is fine */

/* The part that keeps a layer's kv head. */
static inline const struct kv_part *cm_kv_part(const struct kv_cache *cache, int layer, int kv_head)
{
    const struct kv_part *part = cache->parts;
    while (kv_head >= part->regions[layer].first_head + part->regions[layer].n_heads) part++;
    return part;
}

/* Of span 0; those of span s lie s * cm_kv_span_bytes() further. */
static inline void *cm_kv_keys(const struct kv_cache *cache, int layer, int kv_head)
{
    const struct kv_part    *part = cm_kv_part(cache, layer, kv_head);
    const struct kv_regions *regions = &part->regions[layer];
    return (uint8_t *)part->memory.bytes + regions->offset +
           (size_t)(kv_head - regions->first_head) * cache->layers[layer].region_bytes;
}

static inline void *cm_kv_values(const struct kv_cache *cache, int layer, int kv_head)
{
    return (uint8_t *)cm_kv_keys(cache, layer, kv_head) + cache->layers[layer].key_bytes;
}

static inline size_t cm_kv_span_bytes(const struct kv_cache *cache, int layer, int kv_head)
{
    return cm_kv_part(cache, layer, kv_head)->span_bytes;
}

/* How much further than span 0 the span of position lies. */
static inline size_t cm_kv_span_of(const struct kv_cache *cache, int layer, int kv_head, int position)
{
    return (size_t)(position / CM_ATTEND_SPAN) * cm_kv_span_bytes(cache, layer, kv_head);
}

#endif
