/* tools/serve/answering.h - turns a job's tokens into an answer in the form of one of the APIs.
 *
 * Tokens go through a parser, which separates text, thoughts and calls of tools; its pieces are collected. If the
 * client wants a stream, the form also writes each piece as it comes. A form is a record of functions; each API has
 * one. */
#ifndef TOOLS_SERVE_ANSWERING_H
#define TOOLS_SERVE_ANSWERING_H

#include <calmoe/chat.h>

#include "tools/serve/forced_calls.h"
#include "tools/serve/generation_request.h"
#include "tools/serve/server.h"

struct answering;

struct answer_form {
    /* For streams: write the beginning; each piece from the parser, of a kind CALMOE_ANSWER_…; the end; and an error
     * (fail NULL = in OpenAI's form). */
    void (*begin)(struct answering *answering);
    void (*piece)(struct answering *answering, const calmoe_answer_event *event);
    void (*finish)(struct answering *answering);
    /* Reports how many of the prompt's tokens have been read; NULL = this is not reported. */
    void (*progress)(struct answering *answering, int n_read);
    void (*fail)(struct answering *answering, const struct refusal *refusal);
    /* Takes each piece, whether the answer is a stream or not, before piece() does; NULL = the members text, reasoning
     * and calls below are enough. */
    void (*collect)(struct answering *answering, const calmoe_answer_event *event);
    /* Writes the whole answer, if it is not a stream. */
    void (*whole)(struct answering *answering, struct json_writer *writer);
    /* Takes each token, before the pieces that it leads to; NULL = log-probabilities are collected in the form of chat
     * completions. */
    void (*token)(struct answering *answering, const struct job_record *record);
    /* Sends an error instead of an answer; NULL = in OpenAI's form. */
    void (*refuse)(struct http_exchange *exchange, const struct refusal *refusal);
    void (*close)(struct answering *answering); /* frees `more`; NULL = there is none */
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
    calmoe_chat_prompt       *prompt;   /* NULL if the request is not a conversation */
    struct forced_calls       forced;   /* in use if calls must have the forced form          */
    void                     *more;     /* further data of the form             */
    bool                      is_stream, includes_usage;
    bool                      tells_timings;  /* with each piece of a stream, also send timings */
    bool                      tells_progress; /* while the prompt is read, send its progress */
    double                    ping_seconds;   /* a comment is sent in a silent stream after so many seconds; 0 =
                                                 never                                                          */
    struct own_request        own;
    char                      id[ID_BYTES];
    char                      model[128]; /* the name that the request gives the model, or our own; it is only
                                             repeated in the answer                                        */
    int64_t                   created;

    struct bytes        text, reasoning; /* of the answer so far  */
    struct answer_call *calls;
    int                 n_calls;
    int                 n_reasoning; /* number of the answer's tokens that belong to thoughts */

    struct json_writer out;       /* the stream; the first n_sent bytes are sent */
    size_t             n_sent;
    struct json_writer logprobs;  /* elements of the array of log-probabilities that are not written yet */
    struct json_writer details;   /* the same for "calmoe":{"tokens":[…]}           */
    struct bytes       records;
    double             last_sent;
    bool               is_over;   /* the last byte of the stream is in out */
    bool               failed;    /* there was no memory */
};

/* Opens an answering for the exchange, with an id and with a job that has the server's defaults; NULL, and the refusal
 * filled. */
struct answering *cm_answering_open(struct server *server, struct http_exchange *exchange,
                                    const struct answer_form *form, const char *id_begin, struct refusal *refusal);
/* Reads "stream", "stream_options", "model", and the options on what a stream reports. */
bool cm_read_stream(struct answering *answering, const struct sent_value *body, struct refusal *refusal);
/* cm_read_generation() and cm_read_own_request() with the server's numbers. */
bool cm_read_generation_request(struct answering *answering, const struct generation_names *names,
                                const struct sent_value *body, struct refusal *refusal);
/* Closes it with everything that it owns; NULL is fine. */
void cm_answering_close(struct answering *answering);
/* Submits the job, answers the exchange, and closes the answering in the end. */
void cm_answer(struct answering *answering);
/* Waits for the whole answer of a submitted job; false, and the refusal filled, if there is none. */
bool cm_answering_wait(struct answering *answering, struct refusal *refusal);
/* Answers with an error, in the form of this API, and closes the answering. */
void cm_answer_refusal(struct answering *answering, const struct refusal *refusal);
/* For calmoe_answer_parser_options.on_event; user is the answering. */
void cm_answering_take_piece(void *user, const calmoe_answer_event *event);

/* Parts of answers that forms have in common. */
/* For OpenAI's forms: writes an object up to "choices":[, and the end of a stream of such objects. */
void cm_write_head(struct json_writer *writer, const struct answering *answering, const char *object);
void cm_write_stream_end(struct answering *answering, const char *object);
const char *cm_finish_reason(const struct answering *answering); /* "stop", "length", "tool_calls" */
void cm_write_usage(struct json_writer *writer, const struct answering *answering);
void cm_write_timings(struct json_writer *writer, const struct answering *answering);
/* Writes "prompt_progress". */
void cm_write_progress(struct json_writer *writer, const struct answering *answering, int n_read);
/* Writes "calmoe": layers, experts, rung and cached tokens of the whole answer; and the details of tokens that were not
 * written yet. */
void cm_write_own(struct json_writer *writer, struct answering *answering, bool is_end);
/* Writes "logprobs": an object with the log-probabilities of the tokens since the last call; null if none were
 * requested. */
void cm_write_chat_logprobs(struct json_writer *writer, struct answering *answering);
/* Writes {"id","token","bytes","logprob"[,"top_logprobs"]}. */
void cm_write_token_logprob(struct json_writer *writer, const struct answering *answering,
                            const struct job_record *record);

#endif
