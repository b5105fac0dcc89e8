/* runtime/forward/kv_cache.h - the keys and values of one sequence.
 *
 * For each layer and kv head a region for keys in blocks of 64 positions, transposed, and one for values
 * (layout: kernels/vector_ops.h). Address space for the whole context is reserved when the session opens; the
 * system gives pages as positions are first written, so nothing is copied when a sequence grows. */
#ifndef RUNTIME_FORWARD_KV_CACHE_H
#define RUNTIME_FORWARD_KV_CACHE_H

#include "base/node_memory.h"
#include "runtime/families/model_spec.h"

struct kv_cache {
    struct node_block memory;
    enum kv_type      type;
    int               head_size, value_size, n_kv_heads;
    int               capacity;    /* positions, a multiple of 64                  */
    size_t            keys_bytes;  /* of one region of keys                        */
    size_t            region_bytes; /* keys and values of one kv head in one layer */
};

calmoe_status cm_kv_cache_open(struct calmoe_context *ctx, const struct model_spec *spec, enum kv_type type,
                               int n_positions, const struct topology *topology, int node,
                               struct kv_cache *out);
void          cm_kv_cache_close(struct kv_cache *cache); /* zeroed is fine */

static inline void *cm_kv_keys(const struct kv_cache *cache, int layer, int kv_head)
{
    const size_t region = (size_t)layer * (size_t)cache->n_kv_heads + (size_t)kv_head;
    return (uint8_t *)cache->memory.bytes + region * cache->region_bytes;
}

static inline void *cm_kv_values(const struct kv_cache *cache, int layer, int kv_head)
{
    return (uint8_t *)cm_kv_keys(cache, layer, kv_head) + cache->keys_bytes;
}

#endif
