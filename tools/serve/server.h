/* tools/serve/server.h - what all endpoints share: the service, the settings of the command line, and replies. */
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
    const char            *name;         /* name of the model for clients                                   */
    const char            *slot_folder;  /* folder where slots are saved; NULL = saving is not allowed       */
    struct text_list       keys;         /* a request must bring one of these keys; if there are none, it needs none */
    struct text_list       origins;      /* web pages that may use the server with credentials; if there are none,
                                            any page may without them                                             */
    struct text_list       hosts;        /* names of the server, besides addresses and localhost                */
    double                 ping_seconds; /* a comment is sent in a silent stream after so many seconds; 0 = never */
    calmoe_sampler_options sampler;      /* used for requests that do not set their own                     */
    time_t                 started;
};

typedef void (*endpoint_fn)(struct server *server, struct http_exchange *exchange, const struct http_request *request);

/* Handles every request: finds its endpoint, unless the request is not allowed in. user is the server. */
void cm_route(void *user, struct http_exchange *exchange, const struct http_request *request);
/* Answers a request whose body is too large. */
void cm_route_refusal(void *user, struct http_exchange *exchange, enum http_refusal refusal);

/* Answers with what was written, and closes the writer. */
void cm_reply(struct http_exchange *exchange, int status, struct json_writer *writer);
void cm_reply_refusal(struct http_exchange *exchange, const struct refusal *refusal);
/* The same in Anthropic's form. */
void cm_reply_typed_refusal(struct http_exchange *exchange, const struct refusal *refusal);

/* "chatcmpl-" and 24 random letters. */
enum { ID_BYTES = 48 };
void cm_make_id(char id[ID_BYTES], const char *begin);

/* The model, which any thread may use for tokens, prompts and the parsing of answers. */
const calmoe_model *cm_server_model(const struct server *server);
/* Whether a model is loaded; if not, the refusal is filled with status 503. */
bool cm_server_is_ready(const struct server *server, struct refusal *refusal);
/* Makes a job with the server's defaults; NULL, and the refusal filled, if there is no memory or no model is loaded. */
struct job *cm_server_job(struct server *server, struct refusal *refusal);
/* The tokens of a text, in an array that the caller frees; false, and the refusal filled. */
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
