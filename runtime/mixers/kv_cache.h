/* runtime/mixers/kv_cache.h - the keys and values of one sequence.
 *
 * Spans of 512 positions lie one after the other; in a span, for each layer and kv head, a region: keys in blocks of
 * 64 positions, transposed, then values (layout: kernels/vector_ops.h). Address space for the whole context is
 * reserved when the session opens; the system gives pages as positions are first written, so nothing is copied when
 * a sequence grows; and whole spans are shared with forks (kv_spans.h). What grows grows at one end, so all spans
 * but the first may have huge pages, with which long contexts stream a third faster; short sequences take small
 * pages, as many as they fill. Layers that see a window only have a ring of spans instead: span s lies where span s
 * - n_ring lay, n_ring being enough for a window and the rows of a step. So a window costs what a window needs,
 * however long the sequence is. Of latents, which are keys and values at once, a region has rows of positions, which
 * lie where values would. Where a plan deals the kv heads to several nodes, each node has such parts with its own
 * heads. */
#ifndef RUNTIME_MIXERS_KV_CACHE_H
#define RUNTIME_MIXERS_KV_CACHE_H

#include <stdbool.h>

#include "runtime/families/model_spec.h"
#include "runtime/mixers/kv_spans.h"

struct plan;

struct kv_layer {
    size_t key_bytes;    /* of one region's keys                                       */
    size_t region_bytes; /* keys and values of one kv head in one span; 0: the layer keeps none */
    int    window;       /* positions; 0 = all                                         */
    int    n_ring;       /* spans of the ring; 0: all spans are kept                   */
};

struct kv_regions { /* of one layer in one part: kv heads first_head … first_head + n_heads */
    size_t offset;      /* of the first region, in a span             */
    int    first_head, n_heads;
};

struct kv_part { /* what one node keeps */
    struct kv_store    all, rings; /* spans with regions of layers that keep all, and of those that keep a ring */
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

/* max_rows: of a step. The plan says which heads lie on each node of the topology (cm_own_heads()): of several ranks,
 * those that this one has. Latents, which all heads read, every rank keeps. */
calmoe_status cm_kv_cache_open(struct calmoe_context *ctx, const struct model_spec *spec, enum kv_type type,
                               int n_positions, int max_rows, const struct topology *topology,
                               const struct plan *plan, struct kv_cache *out);
void          cm_kv_cache_close(struct kv_cache *cache); /* zeroed is fine */

/* Where a kv head's keys and values of one span lie. */
struct kv_region {
    void *keys, *values;
};

static inline struct kv_region cm_kv_region(const struct kv_cache *cache, int layer, int kv_head, int span)
{
    const struct kv_layer *of = &cache->layers[layer];
    const struct kv_part  *part = cache->parts;
    while (kv_head >= part->regions[layer].first_head + part->regions[layer].n_heads) part++;
    const struct kv_regions *regions = &part->regions[layer];
    const struct kv_store   *store = of->n_ring > 0 ? &part->rings : &part->all;
    const size_t at = (size_t)(of->n_ring > 0 ? span % of->n_ring : span);
    uint8_t *keys = store->spans[at].bytes + regions->offset +
                    (size_t)(kv_head - regions->first_head) * of->region_bytes;
    return (struct kv_region){keys, keys + of->key_bytes};
}

/* to, never written, has the first n spans of `from` instead of its own, where they lie alike; else nothing. How many:
 * n or 0. */
int           cm_kv_cache_share(const struct kv_cache *from, int n, struct kv_cache *to);
/* Positions first … end - 1 are going to be written, those before n_kept are wanted still: what is shared of their
 * spans becomes the cache's own. NO_MEMORY. */
calmoe_status cm_kv_cache_own(struct kv_cache *cache, int first, int end, int n_kept);

/* Whether rows from `position` on can be read again, n_written positions having been written: whether windows still
 * have what those rows attend before them. */
bool cm_kv_may_rewind(const struct kv_cache *cache, int position, int n_written);

#endif
