/* base/options.h - how a struct of the public API is read, and handed out.
 *
 * Every such struct begins with `size_t size`, so programs and libraries of different versions fit:
 * an older program's struct is shorter, a newer one's longer. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stddef.h>

#include "base/status.h"

/* Copies the first min(given's size, known_size) bytes of given over known_with_defaults, whose own
 * size becomes known_size. given NULL: the defaults stay. INVALID_ARGUMENT, with `what` in the
 * sentence, where the size was never set or what lies behind known_size is not all zero;
 * known_with_defaults is unchanged then. */
calmoe_status cm_options_copy(struct calmoe_context *ctx, const char *what,
                              void *known_with_defaults, size_t known_size, const void *given);

/* The other way: what the caller's struct has room for, by its size (sizeof(size_t) at least), of filled, whose own
 * size is not read. out's size becomes what was copied. */
void cm_options_give(void *out, const void *filled, size_t n_filled);

#endif
