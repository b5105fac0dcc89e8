/* memory.c - heap memory: checked, aligned, zeroed, counted. */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

static atomic_long n_live;
static atomic_long n_requests;
static atomic_long n_until_failure; /* the request that lowers it from 1 to 0 fails; 0 = none will fail */

void cm_fail_request(long nth)
{
    atomic_store(&n_until_failure, nth > 0 ? nth : 0);
}

bool cm_request_fails(void)
{
    atomic_fetch_add_explicit(&n_requests, 1, memory_order_relaxed);
    long left = atomic_load_explicit(&n_until_failure, memory_order_relaxed);
    while (left > 0)
        if (atomic_compare_exchange_weak(&n_until_failure, &left, left - 1)) return left == 1;
    return false;
}

void cm_count_block(int change)
{
    atomic_fetch_add_explicit(&n_live, change, memory_order_relaxed);
}

long cm_live_blocks(void)
{
    return atomic_load_explicit(&n_live, memory_order_relaxed);
}

long cm_requests(void)
{
    return atomic_load_explicit(&n_requests, memory_order_relaxed);
}

bool cm_multiply(size_t a, size_t b, size_t *out)
{
    if (b && a > SIZE_MAX / b) return false;
    *out = a * b;
    return true;
}

bool cm_add(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b) return false;
    *out = a + b;
    return true;
}

void *cm_alloc(struct calmoe_context *ctx, size_t count, size_t size, const char *what)
{
    const bool fails = cm_request_fails();
    size_t     n_bytes;
    if (!cm_multiply(count, size, &n_bytes) || n_bytes > PTRDIFF_MAX) {
        cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for %s: %zu times %zu bytes", what, count, size);
        return NULL;
    }
    if (!fails && n_bytes >= CM_LARGE_BYTES && cm_memory_check(ctx, n_bytes, what) != CALMOE_OK) return NULL;
    void *memory = NULL;
    if (fails || posix_memalign(&memory, CM_ALIGNMENT, n_bytes ? n_bytes : 1) != 0) {
        char reason[200];
        cm_mapping_reason(cm_limits_root(), n_bytes, reason, sizeof reason);
        cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for %s: %zu bytes%s", what, n_bytes, reason);
        return NULL;
    }
    memset(memory, 0, n_bytes);
    cm_count_block(+1);
    return memory;
}

void cm_free(void *memory)
{
    if (!memory) return;
    cm_count_block(-1);
    free(memory);
}

calmoe_status cm_grow(struct calmoe_context *ctx, void *array, size_t n, size_t capacity, size_t size,
                      const char *what)
{
    void *old, *larger = cm_alloc(ctx, capacity, size, what);
    if (!larger) return CALMOE_NO_MEMORY;
    memcpy(&old, array, sizeof old); /* copied, since the type of the pointer is not known */
    if (n > 0) memcpy(larger, old, n * size);
    cm_free(old);
    memcpy(array, &larger, sizeof larger);
    return CALMOE_OK;
}

char *cm_copy_text(struct calmoe_context *ctx, const char *text, size_t length)
{
    size_t n_bytes;
    if (!cm_add(length, 1, &n_bytes)) {
        cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for a text: %zu bytes and one more", length);
        return NULL;
    }
    char *copy = cm_alloc(ctx, n_bytes, 1, "a text");
    if (copy && length) memcpy(copy, text, length);
    return copy;
}
