/* runtime/text/pretokenize.h - cuts text into the pieces inside which byte pairs are merged.
 * pretokenize.c is the only door to PCRE2. */
#ifndef RUNTIME_TEXT_PRETOKENIZE_H
#define RUNTIME_TEXT_PRETOKENIZE_H

#include <stddef.h>

#include "base/status.h"
#include "runtime/text/pretokenizer_list.h"

struct pretokenizer; /* compiled patterns; immutable, shareable by threads */
struct splitter;     /* one thread's scratch for one call of cm_tokenize()  */

calmoe_status cm_pretokenizer_open(struct calmoe_context *ctx, const struct pretokenizer_row *row,
                                   struct pretokenizer **out);
void          cm_pretokenizer_close(struct pretokenizer **pretokenizer);

calmoe_status cm_splitter_open(struct calmoe_context *ctx, const struct pretokenizer *pretokenizer,
                               struct splitter **out);
void          cm_splitter_close(struct splitter **splitter);

/* Gets each piece in order; what it returns other than OK ends the cutting and is passed on. */
typedef calmoe_status (*cm_piece_fn)(void *arg, const char *piece, size_t n_bytes);

/* text[0 .. n_bytes) is valid UTF-8; the pieces together are exactly the text, and none is empty.
 * Time is linear in n_bytes. INVALID_ARGUMENT where PCRE2 gives up, with its words. */
calmoe_status cm_split(struct splitter *splitter, const char *text, size_t n_bytes, cm_piece_fn put,
                       void *arg);

#endif
