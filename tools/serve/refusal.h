/* tools/serve/refusal.h - why a request is not answered as it wished: status and sentence, and their JSON. */
#ifndef TOOLS_SERVE_REFUSAL_H
#define TOOLS_SERVE_REFUSAL_H

#include <stdbool.h>

struct json_writer; /* tools/serve/json_writer.h */

struct refusal {       /* zeroed = none */
    int         status;        /* of HTTP; 0 = none                          */
    const char *type;          /* NULL = the one that goes with the status   */
    char        param[64];     /* the member that it is about, "" = none     */
    char        message[480];
    int         n_prompt_tokens, n_context; /* of a prompt that is too long; 0 = not told */
    int         retry_after;   /* seconds; 0 = not told                      */
};

/* Fills it, unless it is filled already. param may be NULL. Answers false, so that readers may return it. */
bool cm_refuse(struct refusal *refusal, int status, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool cm_refuse_memory(struct refusal *refusal);
/* The prompt has more tokens than the context: the words by which clients know that they must shorten it. */
bool cm_refuse_length(struct refusal *refusal, int n_prompt_tokens, int n_context);

/* {"error":{"code":…,"message":…,"type":…}} */
void cm_refusal_write(struct json_writer *writer, const struct refusal *refusal);
/* The form of Anthropic's API: {"type":"error","error":{"type":…,"message":…}} */
void cm_refusal_write_typed(struct json_writer *writer, const struct refusal *refusal);

#endif
