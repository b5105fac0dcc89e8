/* kv_spans.c - see kv_spans.h. */
#include "runtime/mixers/kv_spans.h"

#include <string.h>

#include "base/limits.h"
#include "base/memory.h"

struct kv_home {
    struct node_block memory;
    size_t span_bytes;
    int    n_claims; /* its store's, while that is open, and spans of other stores that lie here */
    int   *n_users;  /* (n_spans) stores that have the span                                       */
};

static void close_home(struct kv_home *home)
{
    cm_node_block_close(&home->memory);
    cm_free(home->n_users);
    cm_free(home);
}

static void give_back(struct kv_home *home)
{
    if (--home->n_claims == 0) close_home(home);
}

static calmoe_status open_home(const struct kv_store *store, int node, int n_spans, struct kv_home **out)
{
    size_t n_bytes;
    if (!cm_multiply(store->span_bytes, (size_t)n_spans, &n_bytes))
        return cm_fail(store->ctx, CALMOE_NO_MEMORY, "keys and values are larger than any memory");
    struct kv_home *home = *out = cm_alloc(store->ctx, 1, sizeof *home, "keys and values");
    if (!home) return CALMOE_NO_MEMORY;
    *home = (struct kv_home){.span_bytes = store->span_bytes, .n_claims = 1};
    home->n_users = cm_alloc(store->ctx, (size_t)n_spans, sizeof *home->n_users, "keys and values");
    calmoe_status status = CALMOE_NO_MEMORY;
    if (home->n_users) status = cm_node_block_open_sparse(store->ctx, store->topology, node, n_bytes, &home->memory);
    if (status != CALMOE_OK) {
        close_home(home);
        *out = NULL;
    }
    return status;
}

static uint8_t *bytes_of(const struct kv_home *home, int i)
{
    return (uint8_t *)home->memory.bytes + (size_t)i * home->span_bytes;
}

/* The store's span i becomes one of a home, of which it has a claim where it is another one's. */
static void take(struct kv_store *store, int i, struct kv_home *home, int index)
{
    store->spans[i] = (struct kv_span){bytes_of(home, index), home, index};
    home->n_users[index]++;
}

/* The store has span i no more. Pages of a span that nobody has go back to the system, unless all of the home does. */
static void leave(struct kv_store *store, int i)
{
    struct kv_home *home = store->spans[i].home;
    const int       index = store->spans[i].index;
    if (--home->n_users[index] == 0 && home->n_claims > 1)
        cm_node_block_empty(&home->memory, (size_t)index * home->span_bytes, home->span_bytes);
    if (home != store->home) give_back(home);
}

calmoe_status cm_kv_store_open(struct calmoe_context *ctx, const struct topology *topology, int node, int n_spans,
                               struct kv_store *store)
{
    store->ctx = ctx;
    store->topology = topology;
    if (store->span_bytes == 0) return CALMOE_OK;
    CM_TRY(open_home(store, node, n_spans, &store->home));
    store->spans = cm_alloc(ctx, (size_t)n_spans, sizeof *store->spans, "keys and values");
    if (!store->spans) return CALMOE_NO_MEMORY;
    for (store->n_spans = 0; store->n_spans < n_spans; store->n_spans++)
        take(store, store->n_spans, store->home, store->n_spans);
    if (n_spans > 1) cm_node_block_prefer_huge(&store->home->memory, store->span_bytes);
    return CALMOE_OK;
}

void cm_kv_store_close(struct kv_store *store)
{
    for (int i = 0; i < store->n_spans; i++) leave(store, i);
    if (store->home) give_back(store->home);
    cm_free(store->spans);
    *store = (struct kv_store){0};
}

const struct node_block *cm_kv_store_memory(const struct kv_store *store) { return &store->home->memory; }

bool cm_kv_stores_are_alike(const struct kv_store *a, const struct kv_store *b)
{
    return a->span_bytes == b->span_bytes && a->n_spans == b->n_spans &&
           (a->span_bytes == 0 || a->home->memory.node == b->home->memory.node);
}

void cm_kv_store_share(const struct kv_store *from, int n, struct kv_store *to)
{
    for (int i = 0; i < n && i < from->n_spans; i++) {
        leave(to, i);
        take(to, i, from->spans[i].home, from->spans[i].index);
        from->spans[i].home->n_claims++;
    }
}

calmoe_status cm_kv_store_own(struct kv_store *store, int first, int end, int n_kept)
{
    for (int i = first; i < end && i < store->n_spans; i++) {
        const struct kv_span old = store->spans[i];
        struct kv_home *home = store->home; /* the copy lies at home if nobody is there, else in a home of one span */
        int index = i;
        if (old.home->n_users[old.index] == 1) continue;
        CM_TRY(cm_memory_check(store->ctx, store->span_bytes, "keys and values that are not shared any more"));
        if (home->n_users[i] > 0) {
            index = 0;
            CM_TRY(open_home(store, store->home->memory.node, 1, &home));
            cm_node_block_prefer_huge(&home->memory, 0);
        }
        if (i < n_kept) memcpy(bytes_of(home, index), old.bytes, store->span_bytes);
        leave(store, i);
        take(store, i, home, index);
    }
    return CALMOE_OK;
}
