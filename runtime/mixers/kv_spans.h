/* runtime/mixers/kv_spans.h - spans of keys and values, which sequences may share until one of them writes.
 *
 * A store has addresses for all spans of its context, its home. A sequence that is forked has spans of another one's
 * home in the place of its own, and the home stays as long as anyone has a span of it. Who writes into a span that
 * others have too takes a copy first: at its own home, where it has one there that nobody else has, else elsewhere. */
#ifndef RUNTIME_MIXERS_KV_SPANS_H
#define RUNTIME_MIXERS_KV_SPANS_H

#include "base/node_memory.h"

struct kv_home;

struct kv_span {
    uint8_t        *bytes; /* (span_bytes)            */
    struct kv_home *home;  /* where they lie,         */
    int             index; /* and which of its spans  */
};

struct kv_store {
    struct calmoe_context *ctx;
    const struct topology *topology;
    size_t          span_bytes; /* 0: nothing is kept */
    int             n_spans;
    struct kv_home *home;       /* its own            */
    struct kv_span *spans;      /* (n_spans)          */
};

/* store->span_bytes is set. topology must outlive the store and all that share its spans. NO_MEMORY. */
calmoe_status cm_kv_store_open(struct calmoe_context *ctx, const struct topology *topology, int node, int n_spans,
                               struct kv_store *store);
void          cm_kv_store_close(struct kv_store *store); /* zeroed is fine */
/* Its own home's memory. */
const struct node_block *cm_kv_store_memory(const struct kv_store *store);

/* Do spans of one lie as those of the other do, so that they may be shared? */
bool cm_kv_stores_are_alike(const struct kv_store *a, const struct kv_store *b);
/* The first n spans of `to`, which were never written, become those of `from`. */
void cm_kv_store_share(const struct kv_store *from, int n, struct kv_store *to);
/* Spans first … end - 1 become the store's alone; those before n_kept with what is in them. NO_MEMORY: those that did
 * not are shared still. */
calmoe_status cm_kv_store_own(struct kv_store *store, int first, int end, int n_kept);

#endif
