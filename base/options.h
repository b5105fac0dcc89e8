/* base/options.h - reads and fills structs of the public API.
 *
 * Every such struct begins with `size_t size`, so that programs and libraries of different versions work together: the
 * struct of an older program is shorter, that of a newer one longer. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stddef.h>

#include "base/status.h"

/* Copies the first min(given's size, known_size) bytes of given over known_with_defaults, and sets the size in it to
 * known_size. given NULL: the defaults stay. INVALID_ARGUMENT, with `what` in the sentence: given's size was not set,
 * or the bytes beyond known_size are not all zero; known_with_defaults is then unchanged. */
calmoe_status cm_options_copy(struct calmoe_context *ctx, const char *what,
                              void *known_with_defaults, size_t known_size, const void *given);

/* The other direction: copies as much of `filled` (n_filled bytes) into the caller's struct as that has room for by its
 * size, which is at least sizeof(size_t). The size in `filled` is ignored; out's size becomes the number of bytes that
 * were copied. */
void cm_options_give(void *out, const void *filled, size_t n_filled);

#endif
