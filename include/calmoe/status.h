/* calmoe/status.h - what a call can return.
 *
 * A code says what the caller can do about a failure. The context has a sentence about it, which says where it
 * happened, what was found and what was wanted: calmoe_context_message(). */
#ifndef CALMOE_STATUS_H
#define CALMOE_STATUS_H

#include "calmoe/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* name, text: what it means for the caller */
#define CALMOE_STATUS_LIST(X)                                                         \
    X(OK, "success")                                                                  \
    X(END, "nothing more to come")                                                    \
    X(INVALID_ARGUMENT, "the call's arguments are wrong; mend the program or option") \
    X(NO_MEMORY, "memory could not be had")                                           \
    X(IO, "the system could not read or write a file")                                \
    X(BAD_FILE, "the file is malformed")                                              \
    X(UNSUPPORTED, "well-formed, but of a kind that this version does not run")       \
    X(FULL, "no room is left in the context window, batch or engine")                 \
    X(CANCELLED, "a callback, or calmoe_session_interrupt(), asked to stop")          \
    X(SYSTEM, "the operating system refused threads or memory binding")               \
    X(NOT_FINITE, "the model computed NaN or infinite logits; look for such weights")

typedef enum calmoe_status {
#define CALMOE_STATUS_ENUM(name, text) CALMOE_##name,
    CALMOE_STATUS_LIST(CALMOE_STATUS_ENUM)
#undef CALMOE_STATUS_ENUM
} calmoe_status;

/* The name ("BAD_FILE") and the meaning of a code. Static storage; never NULL. */
CALMOE_API const char *calmoe_status_name(calmoe_status status);
CALMOE_API const char *calmoe_status_text(calmoe_status status);

#ifdef __cplusplus
}
#endif
#endif
