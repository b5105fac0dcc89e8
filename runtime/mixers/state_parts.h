/* runtime/mixers/state_parts.h - keys and values of a sequence, span by span: for sequence_state.c, state_bytes.c. */
#ifndef RUNTIME_MIXERS_STATE_PARTS_H
#define RUNTIME_MIXERS_STATE_PARTS_H

#include "runtime/mixers/sequence_state.h"

static inline int cm_spans_of(int n_positions) { return (n_positions + CM_ATTEND_SPAN - 1) / CM_ATTEND_SPAN; }

/* Positions of a span that are among the first n_positions. */
static inline int cm_positions_in(int span, int n_positions)
{
    const int left = n_positions - span * CM_ATTEND_SPAN;
    return left < CM_ATTEND_SPAN ? left : CM_ATTEND_SPAN;
}

/* Blocks of a region. */
static inline size_t cm_blocks_of(const struct kv_cache *kv)
{
    return (size_t)(kv->capacity < CM_ATTEND_SPAN ? kv->capacity : CM_ATTEND_SPAN) / CM_KV_BLOCK;
}

/* What the blocks take that hold any of the first n positions of a region. */
struct region_bytes {
    size_t keys, values;
};
static inline struct region_bytes cm_region_bytes(const struct kv_cache *kv, int layer, int n)
{
    const struct kv_layer *of = &kv->layers[layer];
    const size_t n_blocks = ((size_t)n + CM_KV_BLOCK - 1) / CM_KV_BLOCK, all = cm_blocks_of(kv);
    return (struct region_bytes){of->key_bytes / all * n_blocks, (of->region_bytes - of->key_bytes) / all * n_blocks};
}

/* Heads of a layer that this rank keeps, on all nodes. */
struct kept_heads {
    int first, n;
};
static inline struct kept_heads cm_kept_here(const struct kv_cache *kv, int layer)
{
    struct kept_heads heads = {0, 0};
    for (int i = 0; i < kv->n_parts && kv->layers[layer].region_bytes > 0; i++) {
        if (i == 0) heads.first = kv->parts[i].regions[layer].first_head;
        heads.n += kv->parts[i].regions[layer].n_heads;
    }
    return heads;
}

/* Where a sequence may stand at least, besides at 0, so that no layer misses what lies before the span that it has
 * first: what first() says of each layer, with n of the cache's positions. */
static inline int cm_least_position(const struct sequence_state *state,
                                    int (*first)(const struct kv_layer *layer, int n), int n)
{
    const struct kv_cache *kv = &state->kv;
    int                    least = 0;
    for (int layer = 0; layer < kv->n_layers; layer++) {
        const int begin = first(&kv->layers[layer], n) * CM_ATTEND_SPAN;
        if (begin > 0 && begin + kv->layers[layer].window - 1 > least) least = begin + kv->layers[layer].window - 1;
    }
    return least > state->n_prefix ? least - state->n_prefix : 0;
}

#endif
