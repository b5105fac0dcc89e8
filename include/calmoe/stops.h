/* calmoe/stops.h - texts that end an answer.
 *
 * A stop text is looked for in the text and not among the tokens, since it may begin in the middle of one token and end
 * in the middle of another. So text that may be the beginning of a stop text is held back until that is decided. Put in
 * the text that calmoe_text_stream_put() gives; the text that comes out may be shown. */
#ifndef CALMOE_STOPS_H
#define CALMOE_STOPS_H

#include <stddef.h>

#include "calmoe/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_stops calmoe_stops;

/* texts (n) of n_bytes[i] bytes each; n_bytes NULL: they are NUL-terminated. They are copied. With n 0 nothing is ever
 * held back. INVALID_ARGUMENT (an empty text), NO_MEMORY. */
CALMOE_API calmoe_status calmoe_stops_open(calmoe_context *context, const char *const *texts, const size_t *n_bytes,
                                           int n, calmoe_stops **out);
CALMOE_API void calmoe_stops_close(calmoe_stops **stops); /* sets it to NULL; NULL is fine */

/* Adds text (n_bytes) to an answer. *shown (*n_shown bytes, perhaps 0) is the text that now certainly stands before any
 * stop text; borrowed until the next call. OK: the answer goes on. END: a stop text occurred; *which is its index (of
 * several, the one that begins first; of these, the first in the list) and may be NULL. *shown then ends right before
 * it, and nothing more will come. After END, and after calmoe_stops_end(), the next put begins another answer.
 * NO_MEMORY. */
CALMOE_API calmoe_status calmoe_stops_put(calmoe_stops *stops, const char *text, size_t n_bytes, const char **shown,
                                          size_t *n_shown, int *which);
/* The answer is over: *shown is the text that was still held back. */
CALMOE_API void calmoe_stops_end(calmoe_stops *stops, const char **shown, size_t *n_shown);

#ifdef __cplusplus
}
#endif
#endif
