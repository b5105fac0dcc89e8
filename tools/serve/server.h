/* tools/serve/server.h - what all endpoints share: the service, what was asked on the command line, replies. */
#ifndef TOOLS_SERVE_SERVER_H
#define TOOLS_SERVE_SERVER_H

#include <time.h>

#include "tools/serve/http.h"
#include "tools/serve/json_reader.h"
#include "tools/serve/json_writer.h"
#include "tools/serve/service.h"

struct text_list { /* texts are borrowed */
    const char **at;
    int          n;
};

struct server {
    struct service        *service;
    const char            *name;         /* of the model, as clients see it                                 */
    const char            *slot_folder;  /* where slots are saved; NULL = nowhere                            */
    struct text_list       keys;         /* one of which a request must bring; none: nobody needs one       */
    struct text_list       origins;      /* of pages that may use the server with credentials; none: any, without */
    struct text_list       hosts;        /* names by which the server is called, beside addresses and localhost */
    double                 ping_seconds; /* between comments in a stream that has nothing to say; 0 = none  */
    calmoe_sampler_options sampler;      /* of requests that do not say otherwise                           */
    time_t                 started;
};

typedef void (*endpoint_fn)(struct server *server, struct http_exchange *exchange, const struct http_request *request);

/* Handles every request: finds its endpoint, unless it may not come in. user is the server. */
void cm_route(void *user, struct http_exchange *exchange, const struct http_request *request);
/* A body that is too large. */
void cm_route_refusal(void *user, struct http_exchange *exchange, enum http_refusal refusal);

/* Answers with what was written, and closes the writer. */
void cm_reply(struct http_exchange *exchange, int status, struct json_writer *writer);
void cm_reply_refusal(struct http_exchange *exchange, const struct refusal *refusal);
/* The same in Anthropic's form. */
void cm_reply_typed_refusal(struct http_exchange *exchange, const struct refusal *refusal);

/* "chatcmpl-" and 24 random letters. */
enum { ID_BYTES = 48 };
void cm_make_id(char id[ID_BYTES], const char *begin);

/* The model, which any thread may read: for tokens, prompts and the reading of answers. */
const calmoe_model *cm_server_model(const struct server *server);
/* Is a model there to ask? Else 503. */
bool cm_server_is_ready(const struct server *server, struct refusal *refusal);
/* A job with the server's defaults; NULL and the refusal filled: no memory, or no model is loaded. */
struct job *cm_server_job(struct server *server, struct refusal *refusal);
/* Tokens of a text, in an array that the caller frees; false and the refusal filled. */
bool cm_server_tokenize(const struct server *server, const char *text, size_t n_bytes, unsigned flags,
                        int32_t **tokens, int *n_tokens, struct refusal *refusal);

/* ---- endpoints ---- */

void cm_serve_chat(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_completions(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_completion(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_messages(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_count_tokens(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_responses(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_models(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_model(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_health(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_props(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_tokenizer_info(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_adapters(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_metrics(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_state(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_page(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_slots(struct server *server, struct http_exchange *exchange, const struct http_request *request);
/* POST on a slot; cm_serve_slots() hands it over. */
void cm_serve_slot_action(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_tokenize(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_detokenize(struct server *server, struct http_exchange *exchange, const struct http_request *request);
void cm_serve_template(struct server *server, struct http_exchange *exchange, const struct http_request *request);

#endif
