/* base/memory.h - the one door for heap memory: checked sizes, alignment, a count of what lives,
 * and a switch that lets the n-th request fail (torture tests). */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { CM_ALIGNMENT = 64 }; /* bytes; a cache line, and the widest vector */
enum { CM_LARGE_BYTES = 1 << 20 }; /* blocks from here on are taken only where the system has room: limits.h */

/* count * size zeroed bytes, 64-byte aligned. On overflow or exhaustion: NULL, and ctx says
 * "no memory for <what>: …", and where it is known which limit was met. count or size 0 gives a valid pointer. Free
 * with cm_free(). */
void *cm_alloc(struct calmoe_context *ctx, size_t count, size_t size, const char *what);
void  cm_free(void *memory); /* NULL is fine */

/* `array`, the address of a pointer to elements of `size` bytes of which the first n are in use, gets room for
 * `capacity` of them; those behind the first n are zero. NO_MEMORY: nothing changes. */
calmoe_status cm_grow(struct calmoe_context *ctx, void *array, size_t n, size_t capacity, size_t size,
                      const char *what);

/* A copy of text[0..length), NUL-terminated. */
char *cm_copy_text(struct calmoe_context *ctx, const char *text, size_t length);

/* *out = a * b, false on overflow. */
bool cm_multiply(size_t a, size_t b, size_t *out);
bool cm_add(size_t a, size_t b, size_t *out);

/* For tests. The n-th request from now on (1 = the next) fails, and no other; 0 = none.
 * Every source of memory takes part: cm_alloc, node memory, file maps, thread start. */
void cm_fail_request(long nth);
/* True when this request is the one that must fail; each source calls it once per request. */
bool cm_request_fails(void);
/* Counts a block that came (+1) or went (-1); for the other sources that map memory themselves. */
void cm_count_block(int change);
/* Blocks that live now, node memory and file maps included / requests made since the program
 * began, those that failed included. */
long cm_live_blocks(void);
long cm_requests(void);

#endif
