/* base/memory.h - all heap memory is allocated here: sizes are checked, blocks are aligned, live blocks are counted,
 * and tests can let the n-th request fail. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { CM_ALIGNMENT = 64 }; /* bytes: a cache line, and also the widest vector */
enum { CM_LARGE_BYTES = 1 << 20 }; /* from this size on, blocks are checked against limits.h */

/* Allocates count * size zeroed bytes, aligned to 64 bytes, to be freed with cm_free(). If the size overflows or memory
 * is exhausted, the result is NULL, and ctx says "no memory for <what>: …" and, if known, which limit was reached. A
 * size of 0 gives a valid pointer. */
void *cm_alloc(struct calmoe_context *ctx, size_t count, size_t size, const char *what);
void  cm_free(void *memory); /* NULL is fine */

/* Enlarges an array: `array` is the address of a pointer to elements of `size` bytes, of which the first n are in use.
 * Afterwards there is room for `capacity` elements, and those after the first n are zero. NO_MEMORY: nothing
 * changes. */
calmoe_status cm_grow(struct calmoe_context *ctx, void *array, size_t n, size_t capacity, size_t size,
                      const char *what);

/* A copy of text[0..length), NUL-terminated. */
char *cm_copy_text(struct calmoe_context *ctx, const char *text, size_t length);

/* *out = a * b, false on overflow. */
bool cm_multiply(size_t a, size_t b, size_t *out);
bool cm_add(size_t a, size_t b, size_t *out);

/* For tests: the n-th request from now on (1 = the next) fails, and no other; 0 = none. All sources of memory take
 * part: cm_alloc(), node memory, file maps, starting threads. */
void cm_fail_request(long nth);
/* True if the present request must fail. Each source of memory calls this once per request. */
bool cm_request_fails(void);
/* Counts a block that was mapped (+1) or unmapped (-1), for sources that map memory themselves. */
void cm_count_block(int change);
/* The number of live blocks, including node memory and file maps; and the number of requests since the program began,
 * including failed ones. */
long cm_live_blocks(void);
long cm_requests(void);

#endif
