/* calmoe/context.h - where messages go.
 *
 * Everything is opened under a context. Several threads may work under one; each has its own sentence. */
#ifndef CALMOE_CONTEXT_H
#define CALMOE_CONTEXT_H

#include <stddef.h>

#include "calmoe/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_context calmoe_context;

/* Called for each warning or remark, one sentence without newline, by the thread whose call makes it. */
typedef void (*calmoe_log_fn)(void *user, const char *sentence);

typedef struct calmoe_context_options {
    size_t        size;     /* set by calmoe_context_options_init()    */
    calmoe_log_fn log;      /* NULL = remarks are dropped (default)    */
    void         *log_user; /* handed to log                           */
} calmoe_context_options;

CALMOE_API void calmoe_context_options_init(calmoe_context_options *options);

/* options may be NULL. On success *out is the caller's until calmoe_context_close(). */
CALMOE_API calmoe_status calmoe_context_open(const calmoe_context_options *options,
                                             calmoe_context **out);
/* Close what was opened under it first. Sets *context to NULL; NULL is fine. */
CALMOE_API void calmoe_context_close(calmoe_context **context);

/* The sentence of this thread's last call that failed; "" when none did; works for NULL too. Valid until the thread's
 * next call under this context. (Of more than 16 threads that fail, the first ones' sentences may be gone.) */
CALMOE_API const char *calmoe_context_message(const calmoe_context *context);

/* For the handler of a signal that ends the program; it may be called at any time, by any thread. Files are written
 * beside the one that they are to become, as "NAME.part": what calls under way have written of them goes. */
CALMOE_API void calmoe_remove_unfinished(void);

#ifdef __cplusplus
}
#endif
#endif
