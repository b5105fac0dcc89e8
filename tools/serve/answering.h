/* tools/serve/answering.h - from a job's tokens to an answer in the form of one of the APIs.
 *
 * Tokens go through a parser of answers (thoughts, calls of tools), and what comes out of it is collected; where the
 * client wants a stream, the form writes each piece as it comes. A form is a record of functions: one for each API. */
#ifndef TOOLS_SERVE_ANSWERING_H
#define TOOLS_SERVE_ANSWERING_H

#include <calmoe/chat.h>

#include "tools/serve/forced_calls.h"
#include "tools/serve/generation_request.h"
#include "tools/serve/server.h"

struct answering;

struct answer_form {
    /* Of a stream: its beginning; each piece that the parser gave, of a kind CALMOE_ANSWER_…; its end; an error, NULL =
     * as OpenAI tells it. */
    void (*begin)(struct answering *answering);
    void (*piece)(struct answering *answering, const calmoe_answer_event *event);
    void (*finish)(struct answering *answering);
    /* How many of the prompt's tokens are read by now; NULL = that is not told. */
    void (*progress)(struct answering *answering, int n_read);
    void (*fail)(struct answering *answering, const struct refusal *refusal);
    /* Each piece, stream or not, before piece(); NULL = nothing more is collected than what stands below. */
    void (*collect)(struct answering *answering, const calmoe_answer_event *event);
    /* The whole answer, where it is no stream. */
    void (*whole)(struct answering *answering, struct json_writer *writer);
    /* Sees each token, before the pieces that come of it; NULL = logprobs in the form of chats. */
    void (*token)(struct answering *answering, const struct job_record *record);
    /* An error instead of an answer; NULL = in OpenAI's form. */
    void (*refuse)(struct http_exchange *exchange, const struct refusal *refusal);
    void (*close)(struct answering *answering); /* of `more`; NULL = there is none */
};

struct answer_call {
    char         name[128];
    char         id[ID_BYTES];
    struct bytes arguments;
};

struct answering {
    struct server            *server;
    struct http_exchange     *exchange;
    const struct answer_form *form;
    struct job               *job;
    calmoe_answer_parser     *parser;
    calmoe_chat_prompt       *prompt;   /* NULL where there was no conversation */
    struct forced_calls       forced;   /* in use where calls come in the form that is forced */
    void                     *more;     /* the form's own                       */
    bool                      is_stream, includes_usage;
    bool                      tells_timings;  /* with each piece of a stream */
    bool                      tells_progress; /* while the prompt is read    */
    double                    ping_seconds;   /* between comments in a stream that has nothing to say; 0 = none */
    struct own_request        own;
    char                      id[ID_BYTES];
    char                      model[128]; /* as the request calls it, or its name; ignored, and told again */
    int64_t                   created;

    struct bytes        text, reasoning; /* of the answer, so far */
    struct answer_call *calls;
    int                 n_calls;
    int                 n_reasoning; /* tokens of the answer that were thoughts */

    struct json_writer out;       /* of the stream; sent up to n_sent */
    size_t             n_sent;
    struct json_writer logprobs;  /* elements of an array that were not written yet */
    struct json_writer details;   /* the same, of "calmoe":{"tokens":[…]}           */
    struct bytes       records;
    double             last_sent;
    bool               is_over;   /* the stream's last byte is in out */
    bool               failed;    /* no memory */
};

/* For the exchange, with a job of the server's defaults and an id; NULL and the refusal filled. */
struct answering *cm_answering_open(struct server *server, struct http_exchange *exchange,
                                    const struct answer_form *form, const char *id_begin, struct refusal *refusal);
/* "stream", "stream_options", "model", and how a stream tells of itself. */
bool cm_read_stream(struct answering *answering, const struct sent_value *body, struct refusal *refusal);
/* cm_read_generation() and cm_read_own_request() with the server's numbers. */
bool cm_read_generation_request(struct answering *answering, const struct generation_names *names,
                                const struct sent_value *body, struct refusal *refusal);
/* With all that it holds; NULL is fine. */
void cm_answering_close(struct answering *answering);
/* Answers the exchange, and closes it in the end. The job is not submitted yet. */
void cm_answer(struct answering *answering);
/* Waits for a submitted job's whole answer; false and the refusal filled: there is none. */
bool cm_answering_wait(struct answering *answering, struct refusal *refusal);
/* Answers with an error in the form's form, and closes it. */
void cm_answer_refusal(struct answering *answering, const struct refusal *refusal);
/* calmoe_answer_parser_options.on_event; user is the answering. */
void cm_answering_take_piece(void *user, const calmoe_answer_event *event);

/* Parts of answers that forms have in common. */
/* Of OpenAI's: an object as far as "choices":[, and how a stream of such objects ends. */
void cm_write_head(struct json_writer *writer, const struct answering *answering, const char *object);
void cm_write_stream_end(struct answering *answering, const char *object);
const char *cm_finish_reason(const struct answering *answering); /* "stop", "length", "tool_calls" */
void cm_write_usage(struct json_writer *writer, const struct answering *answering);
void cm_write_timings(struct json_writer *writer, const struct answering *answering);
/* "prompt_progress" */
void cm_write_progress(struct json_writer *writer, const struct answering *answering, int n_read);
/* "calmoe": layers, experts, rung, cached tokens of the whole answer; and details of tokens that are not told yet. */
void cm_write_own(struct json_writer *writer, struct answering *answering, bool is_end);
/* "logprobs" of the tokens since the last time, as an object with this list; null where none are wanted. */
void cm_write_chat_logprobs(struct json_writer *writer, struct answering *answering);
/* {"id","token","bytes","logprob"[,"top_logprobs"]} */
void cm_write_token_logprob(struct json_writer *writer, const struct answering *answering,
                            const struct job_record *record);

#endif
