/* pair_merge.c - a binary heap of pairs over a chain of symbols.
 *
 * A join makes at most two new pairs and takes one out, so the heap never holds more than the
 * n - 1 first pairs and one more for each of at most n - 1 joins. Entries whose symbols have changed
 * since are recognised when they come up, not searched for. */
#include "runtime/text/pair_merge.h"

#include <assert.h>

#include "base/memory.h"

calmoe_status cm_pair_work_reserve(struct calmoe_context *ctx, struct pair_work *work, size_t n)
{
    if (n <= (size_t)work->capacity) return CALMOE_OK;
    if (n > INT32_MAX / 2)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "a piece of %zu bytes is too long to tokenize", n);
    size_t capacity = 256;
    while (capacity < n) capacity *= 2;
    cm_pair_work_close(work);
    work->symbols = cm_alloc(ctx, capacity, sizeof *work->symbols, "tokenizer symbols");
    work->heap = work->symbols ? cm_alloc(ctx, 2 * capacity, sizeof *work->heap, "tokenizer pairs") : NULL;
    if (!work->heap) {
        cm_pair_work_close(work);
        return CALMOE_NO_MEMORY;
    }
    work->capacity = (int32_t)capacity;
    return CALMOE_OK;
}

void cm_pair_work_close(struct pair_work *work)
{
    cm_free(work->symbols);
    cm_free(work->heap);
    *work = (struct pair_work){0};
}

static void push(struct pair_work *work, struct pair pair)
{
    assert(work->n_heap < 2 * work->capacity);
    int32_t at = work->n_heap++;
    while (at > 0) {
        const int32_t parent = (at - 1) / 2;
        if (work->heap[parent].key <= pair.key) break;
        work->heap[at] = work->heap[parent];
        at = parent;
    }
    work->heap[at] = pair;
}

static struct pair pop(struct pair_work *work)
{
    const struct pair first = work->heap[0];
    const struct pair last = work->heap[--work->n_heap];
    const int32_t     n = work->n_heap;
    int32_t           at = 0;
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= n) break;
        if (child + 1 < n && work->heap[child + 1].key < work->heap[child].key) child++;
        if (last.key <= work->heap[child].key) break;
        work->heap[at] = work->heap[child];
        at = child;
    }
    work->heap[at] = last;
    return first;
}

static void consider(struct pair_work *work, const struct tokenizer *tokenizer, const char *text,
                     cm_pair_fn may_join, int32_t left, int32_t right)
{
    if (left < 0 || right < 0) return;
    const struct symbol *const a = &work->symbols[left], *const b = &work->symbols[right];
    uint32_t order;
    int32_t  id;
    if (!may_join(tokenizer, text, a, b, &order, &id)) return;
    push(work, (struct pair){ .key = (uint64_t)order << 32 | (uint32_t)left, .right = right,
                              .n_bytes = a->n_bytes + b->n_bytes, .id = id });
}

void cm_merge_pairs(struct pair_work *work, const struct tokenizer *tokenizer, const char *text,
                    cm_pair_fn may_join)
{
    work->n_heap = 0;
    for (int32_t i = 0; i < work->n_symbols; i++) {
        work->symbols[i].previous = i - 1;
        work->symbols[i].next = i + 1 < work->n_symbols ? i + 1 : -1;
    }
    for (int32_t i = 0; i + 1 < work->n_symbols; i++) consider(work, tokenizer, text, may_join, i, i + 1);

    while (work->n_heap) {
        const struct pair    pair = pop(work);
        const int32_t        at = (int32_t)(uint32_t)pair.key;
        struct symbol *const left = &work->symbols[at], *const right = &work->symbols[pair.right];
        /* Symbols only grow or vanish, so the same sum means the same two symbols. */
        if (!left->n_bytes || !right->n_bytes || left->n_bytes + right->n_bytes != pair.n_bytes) continue;
        left->n_bytes = pair.n_bytes;
        left->id = pair.id;
        right->n_bytes = 0;
        left->next = right->next;
        if (left->next >= 0) work->symbols[left->next].previous = at;
        consider(work, tokenizer, text, may_join, left->previous, at);
        consider(work, tokenizer, text, may_join, at, left->next);
    }
}
