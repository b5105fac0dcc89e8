/* tools/serve/conversation.h - what the APIs for conversations have in common: making a prompt from messages, tools,
 * and the formats of answers. */
#ifndef TOOLS_SERVE_CONVERSATION_H
#define TOOLS_SERVE_CONVERSATION_H

#include "tools/serve/answering.h"

/* Reads the whole request into the answering, by means of cm_open_conversation(). */
typedef bool (*read_request_fn)(struct answering *answering, const struct http_request *request,
                                const struct sent_value *body, struct refusal *refusal);

/* Parses the body, lets read() take what it wants to be answered, and answers in this form. */
void cm_serve_conversation(struct server *server, struct http_exchange *exchange, const struct http_request *request,
                           const struct answer_form *form, const char *id_begin, read_request_fn read);

/* Rewrites a request of another API in the form of chat completions; false, and the refusal filled. */
typedef bool (*convert_request_fn)(struct json_writer *writer, const struct sent_value *body, struct refusal *refusal);
/* Reads the whole of such a request. */
bool cm_open_converted(struct answering *answering, const struct generation_names *names,
                       const struct sent_value *body, convert_request_fn convert, struct refusal *refusal);
/* conversation (n_bytes) is JSON in the form of chat completions, and body its object. Makes the prompt, and the parser
 * of its answer. */
bool cm_open_conversation(struct answering *answering, const char *conversation, size_t n_bytes,
                          const struct sent_value *body, struct refusal *refusal);
#endif
