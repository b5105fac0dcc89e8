/* tools/serve/refusal.h - why a request is refused: an HTTP status and a sentence, and how they are written as JSON. */
#ifndef TOOLS_SERVE_REFUSAL_H
#define TOOLS_SERVE_REFUSAL_H

#include <stdbool.h>

struct json_writer; /* tools/serve/json_writer.h */

struct refusal {       /* zeroed = none */
    int         status;        /* of HTTP; 0 = there is no refusal           */
    const char *type;          /* NULL = the type that belongs to the status */
    char        param[64];     /* the member of the request that it is about; "" = none */
    char        message[480];
    int         n_prompt_tokens, n_context; /* for a prompt that is too long; 0 = not reported */
    int         retry_after;   /* seconds; 0 = not reported                  */
};

/* Fills the refusal, unless it is filled already. param may be NULL. Returns false, so that readers can return the
 * result. */
bool cm_refuse(struct refusal *refusal, int status, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool cm_refuse_memory(struct refusal *refusal);
/* Refuses a prompt that has more tokens than the context, in the words by which clients recognise that they must
 * shorten it. */
bool cm_refuse_length(struct refusal *refusal, int n_prompt_tokens, int n_context);

/* {"error":{"code":…,"message":…,"type":…}} */
void cm_refusal_write(struct json_writer *writer, const struct refusal *refusal);
/* The form of Anthropic's API: {"type":"error","error":{"type":…,"message":…}} */
void cm_refusal_write_typed(struct json_writer *writer, const struct refusal *refusal);

#endif
