/* base/status.h - how a failure is told: a code for the caller, a sentence for the person.
 *
 * Assert = our mistake; status = the world's. Data never aborts. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdatomic.h>
#include <stdint.h>

#include <calmoe/context.h>
#include <calmoe/status.h>

enum { CM_MESSAGE_BYTES = 1024, CM_MESSAGE_THREADS = 16 };

/* Sentences are kept for each thread, so that several may work under one context: of the first that failed in
 * `message`, of others behind it. */
struct calmoe_context {
    char          message[CM_MESSAGE_BYTES]; /* the last failure's sentence, NUL-terminated */
    calmoe_log_fn log;
    void         *log_user;
    atomic_int    lock;                        /* over what follows, and while a sentence is written        */
    uint64_t      threads[CM_MESSAGE_THREADS]; /* whose each is: cm_message_thread(); 0 = nobody's          */
    int           n_replaced;                  /* threads whose place another one got                       */
    char          others[CM_MESSAGE_THREADS - 1][CM_MESSAGE_BYTES];
};

/* The number by which sentences are this thread's, never 0; and to speak as another one, for which it works. */
uint64_t    cm_message_thread(void);
void        cm_message_thread_be(uint64_t thread);
/* This thread's last sentence, "" = none. */
const char *cm_message(const struct calmoe_context *ctx);

#if defined(__GNUC__)
#define CM_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define CM_PRINTF(text, first)
#endif

/* Writes the sentence into ctx (NULL is fine: the sentence is lost) and returns status.
 * The sentence says where, what was found, what was wanted; no newline. Bytes of user data that
 * are not printable ASCII or UTF-8 arrive as '?'. */
calmoe_status cm_fail(struct calmoe_context *ctx, calmoe_status status, const char *format, ...)
    CM_PRINTF(3, 4);

/* A warning or remark for the log callback; dropped where there is none. */
void cm_log(struct calmoe_context *ctx, const char *format, ...) CM_PRINTF(2, 3);

#define CM_TRY(call)                                     \
    do {                                                 \
        const calmoe_status cm_try_ = (call);            \
        if (cm_try_ != CALMOE_OK) return cm_try_;        \
    } while (0)

#endif
