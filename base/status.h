/* base/status.h - how a failure is reported: by a code for the calling program and a sentence for people.
 *
 * An assertion is for mistakes in this library. Everything that a file, an argument or the system can cause is reported
 * by a status: no input may abort the program. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdatomic.h>
#include <stdint.h>

#include <calmoe/context.h>
#include <calmoe/status.h>

enum { CM_MESSAGE_BYTES = 1024, CM_MESSAGE_THREADS = 16 };

/* Sentences are kept separately for each thread, so that several threads may work under one context: `message` is for
 * the first thread that failed, `others` is for further ones. */
struct calmoe_context {
    char          message[CM_MESSAGE_BYTES]; /* the sentence of the last failure, NUL-terminated */
    calmoe_log_fn log;
    void         *log_user;
    atomic_int    lock;                        /* protects the members below, and is held while a sentence is written */
    uint64_t      threads[CM_MESSAGE_THREADS]; /* which thread each sentence belongs to (cm_message_thread()); 0 =
                                                  none                                                      */
    int           n_replaced;                  /* threads that lost their place to another thread           */
    char          others[CM_MESSAGE_THREADS - 1][CM_MESSAGE_BYTES];
};

/* The number that identifies this thread as owner of sentences, never 0; and a way to use another thread's number,
 * while working for that thread. */
uint64_t    cm_message_thread(void);
void        cm_message_thread_be(uint64_t thread);
/* This thread's last sentence; "" = it has none. */
const char *cm_message(const struct calmoe_context *ctx);

#if defined(__GNUC__)
#define CM_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define CM_PRINTF(text, first)
#endif

/* Writes a sentence into ctx (which may be NULL: the sentence is then dropped), and returns status. The sentence says
 * where something happened, what was found and what was wanted, without a newline. Bytes of user data that are not
 * printable ASCII or UTF-8 become '?'. */
calmoe_status cm_fail(struct calmoe_context *ctx, calmoe_status status, const char *format, ...)
    CM_PRINTF(3, 4);

/* Sends a warning or remark to the log callback; it is dropped if there is none. */
void cm_log(struct calmoe_context *ctx, const char *format, ...) CM_PRINTF(2, 3);

/* Returns from the calling function with the status of the call, unless it is OK. */
#define CM_TRY(call)                                     \
    do {                                                 \
        const calmoe_status cm_try_ = (call);            \
        if (cm_try_ != CALMOE_OK) return cm_try_;        \
    } while (0)

#endif
