/* calmoe/stops.h - texts that end an answer.
 *
 * They are looked for in the text, not in tokens: a stop text may begin in the middle of one token and end in the
 * middle of another. So what may be the beginning of one is held back until it is known. Put in what
 * calmoe_text_stream_put() gives; what comes out may be shown. */
#ifndef CALMOE_STOPS_H
#define CALMOE_STOPS_H

#include <stddef.h>

#include "calmoe/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_stops calmoe_stops;

/* texts (n), of n_bytes[i] each; n_bytes NULL: they are NUL-terminated. They are copied. n 0 is fine: nothing is held
 * back. INVALID_ARGUMENT (an empty text), NO_MEMORY. */
CALMOE_API calmoe_status calmoe_stops_open(calmoe_context *context, const char *const *texts, const size_t *n_bytes,
                                           int n, calmoe_stops **out);
CALMOE_API void calmoe_stops_close(calmoe_stops **stops); /* sets it to NULL; NULL is fine */

/* Adds text (n_bytes) to an answer. *shown (*n_shown bytes, perhaps 0) is what is certain now to stand before any stop
 * text; borrowed until the next call. OK: go on. END: a stop text came, *which says which (the one that begins first,
 * of those the first of the list); *shown goes up to it, and nothing more will come. which may be NULL.
 * After END, and after calmoe_stops_end(), the next put begins another answer. NO_MEMORY. */
CALMOE_API calmoe_status calmoe_stops_put(calmoe_stops *stops, const char *text, size_t n_bytes, const char **shown,
                                          size_t *n_shown, int *which);
/* The answer is over: *shown is what was held back. */
CALMOE_API void calmoe_stops_end(calmoe_stops *stops, const char **shown, size_t *n_shown);

#ifdef __cplusplus
}
#endif
#endif
