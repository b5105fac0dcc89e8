/* calmoe/context.h - where messages go.
 *
 * Everything is opened under a context. Several threads may work under one context; it keeps the sentence of the last
 * failure for each of them separately. */
#ifndef CALMOE_CONTEXT_H
#define CALMOE_CONTEXT_H

#include <stddef.h>

#include "calmoe/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_context calmoe_context;

/* Called for each warning or remark with one sentence, without a newline at its end, on the thread whose call caused
 * the remark. */
typedef void (*calmoe_log_fn)(void *user, const char *sentence);

typedef struct calmoe_context_options {
    size_t        size;     /* set by calmoe_context_options_init()    */
    calmoe_log_fn log;      /* NULL = warnings and remarks are dropped (default) */
    void         *log_user; /* passed to log as `user`                 */
} calmoe_context_options;

CALMOE_API void calmoe_context_options_init(calmoe_context_options *options);

/* options may be NULL. On success *out is the caller's until calmoe_context_close(). */
CALMOE_API calmoe_status calmoe_context_open(const calmoe_context_options *options,
                                             calmoe_context **out);
/* First close everything that was opened under the context. Sets *context to NULL; NULL is fine. */
CALMOE_API void calmoe_context_close(calmoe_context **context);

/* The sentence about this thread's last call that failed; "" when none failed. context may be NULL. Valid until the
 * thread's next call under this context. (When more than 16 threads fail under one context, sentences of the earliest
 * of them may be lost.) */
CALMOE_API const char *calmoe_context_message(const calmoe_context *context);

/* For the handler of a signal that ends the program; it may be called at any time, by any thread. Files are written
 * beside the one that they are to become, as "NAME.part": what calls under way have written of them goes. */
CALMOE_API void calmoe_remove_unfinished(void);

#ifdef __cplusplus
}
#endif
#endif
