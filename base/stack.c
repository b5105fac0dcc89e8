/* stack.c - see stack.h */
#include <pthread.h>
#include "base/stack.h"

enum { LEAST_STACK = 128 << 10 /* bytes; 64 KiB were too few, 96 were enough */ };

size_t cm_small_stack(void)
{
    pthread_attr_t attributes;
    void          *lowest;
    size_t         n_bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
    if (pthread_attr_getstack(&attributes, &lowest, &n_bytes) != 0) n_bytes = 0;
    (void)pthread_attr_destroy(&attributes);
    return n_bytes < LEAST_STACK ? n_bytes : 0;
}

calmoe_status cm_refuse_stack(struct calmoe_context *ctx, size_t n_bytes)
{
    return cm_fail(ctx, CALMOE_SYSTEM, "a thread has a stack of %zu KiB; at least %d KiB are wanted, look at"
                   " ulimit -s and OMP_STACKSIZE", n_bytes >> 10, LEAST_STACK >> 10);
}
