/* tools/serve/chat_api.c - OpenAI's chat completions. */
#include <string.h>

#include "tools/serve/conversation.h"

/* ---- streams ---- */

static const char chunk[] = "chat.completion.chunk";

/* Writes a chunk up to the delta's members. */
static void begin_delta(struct answering *answering)
{
    cm_write_raw(&answering->out, "data: ");
    cm_write_head(&answering->out, answering, chunk);
    cm_write_object(&answering->out, NULL);
    cm_write_integer(&answering->out, "index", 0);
    cm_write_object(&answering->out, "delta");
}

static void end_delta(struct answering *answering, const char *finish_reason)
{
    struct json_writer *const out = &answering->out;
    cm_write_end_object(out);
    if (answering->logprobs.bytes.n > 0) cm_write_chat_logprobs(out, answering);
    else cm_write_null(out, "logprobs");
    if (finish_reason != NULL) cm_write_text(out, "finish_reason", finish_reason);
    else cm_write_null(out, "finish_reason");
    cm_write_end_object(out);
    cm_write_end_array(out);
    if (finish_reason != NULL || answering->tells_timings) cm_write_timings(out, answering);
    cm_write_own(out, answering, finish_reason != NULL);
    cm_write_end_object(out);
    cm_write_raw(out, "\n\n");
}

static void begin(struct answering *answering)
{
    begin_delta(answering);
    cm_write_text(&answering->out, "role", "assistant");
    cm_write_null(&answering->out, "content");
    end_delta(answering, NULL);
}

/* Only a call's first delta has id, type and name, since clients concatenate what is repeated. */
static void write_call_delta(struct json_writer *out, const struct answer_call *call, int index,
                             const calmoe_answer_event *event)
{
    const bool is_begin = event->kind == CALMOE_ANSWER_CALL_BEGIN;
    cm_write_array(out, "tool_calls");
    cm_write_object(out, NULL);
    cm_write_integer(out, "index", index);
    if (is_begin) {
        cm_write_text(out, "id", call->id);
        cm_write_text(out, "type", "function");
    }
    cm_write_object(out, "function");
    if (is_begin) cm_write_text(out, "name", call->name);
    cm_write_bytes(out, "arguments", event->text, is_begin ? 0 : event->n_bytes);
    cm_write_end_object(out);
    cm_write_end_object(out);
    cm_write_end_array(out);
}

static void piece(struct answering *answering, const calmoe_answer_event *event)
{
    struct json_writer *const out = &answering->out;
    if (event->kind == CALMOE_ANSWER_CALL_END || answering->failed) return;
    begin_delta(answering);
    if (event->kind == CALMOE_ANSWER_TEXT || event->kind == CALMOE_ANSWER_REASONING)
        cm_write_bytes(out, event->kind == CALMOE_ANSWER_TEXT ? "content" : "reasoning_content", event->text,
                       event->n_bytes);
    else write_call_delta(out, &answering->calls[answering->n_calls - 1], answering->n_calls - 1, event);
    end_delta(answering, NULL);
}

static void progress(struct answering *answering, int n_read)
{
    struct json_writer *const out = &answering->out;
    cm_write_raw(out, "data: ");
    cm_write_head(out, answering, chunk);
    cm_write_json(out, NULL, "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":null}");
    cm_write_end_array(out);
    cm_write_progress(out, answering, n_read);
    cm_write_end_object(out);
    cm_write_raw(out, "\n\n");
}

static void finish(struct answering *answering)
{
    begin_delta(answering);
    end_delta(answering, cm_finish_reason(answering));
    cm_write_stream_end(answering, chunk);
}

/* ---- whole answers ---- */

static void write_message(struct json_writer *writer, const struct answering *answering)
{
    cm_write_object(writer, "message");
    cm_write_text(writer, "role", "assistant");
    if (answering->text.n == 0 && answering->n_calls > 0) cm_write_null(writer, "content");
    else cm_write_bytes(writer, "content", answering->text.at, answering->text.n);
    if (answering->reasoning.n > 0)
        cm_write_bytes(writer, "reasoning_content", answering->reasoning.at, answering->reasoning.n);
    if (answering->n_calls > 0) cm_write_array(writer, "tool_calls");
    for (int i = 0; i < answering->n_calls; i++) {
        const struct answer_call *const call = &answering->calls[i];
        cm_write_object(writer, NULL);
        cm_write_text(writer, "id", call->id);
        cm_write_text(writer, "type", "function");
        cm_write_object(writer, "function");
        cm_write_text(writer, "name", call->name);
        cm_write_bytes(writer, "arguments", call->arguments.at, call->arguments.n);
        cm_write_end_object(writer);
        cm_write_end_object(writer);
    }
    if (answering->n_calls > 0) cm_write_end_array(writer);
    cm_write_end_object(writer);
}

static void whole(struct answering *answering, struct json_writer *writer)
{
    cm_write_head(writer, answering, "chat.completion");
    cm_write_object(writer, NULL);
    cm_write_integer(writer, "index", 0);
    write_message(writer, answering);
    cm_write_chat_logprobs(writer, answering);
    cm_write_text(writer, "finish_reason", cm_finish_reason(answering));
    cm_write_end_object(writer);
    cm_write_end_array(writer);
    cm_write_usage(writer, answering);
    cm_write_timings(writer, answering);
    cm_write_own(writer, answering, true);
    cm_write_end_object(writer);
}

static const struct answer_form form = {.begin = begin, .piece = piece, .progress = progress, .finish = finish,
                                        .whole = whole};

/* ---- requests ---- */

static bool read_logprobs(const struct sent_value *body, struct job_request *want, struct refusal *refusal)
{
    bool logprobs = false;
    int  n_top = 0;
    if (!cm_read_bool(body, "logprobs", &logprobs, refusal) ||
        !cm_read_int(body, "top_logprobs", 0, JOB_MAX_TOP, &n_top, refusal))
        return false;
    if (n_top > 0 && !logprobs)
        return cm_refuse(refusal, 400, "top_logprobs", "'top_logprobs' wants 'logprobs' to be true");
    want->n_top = logprobs ? n_top : JOB_NO_LOGPROBS;
    return true;
}

static bool read_chat(struct answering *answering, const struct http_request *request, const struct sent_value *body,
                      struct refusal *refusal)
{
    static const struct generation_names names = {.max_tokens = {"max_completion_tokens", "max_tokens", "n_predict"},
                                                  .stop = "stop"};
    return cm_read_stream(answering, body, refusal) &&
           cm_read_generation_request(answering, &names, body, refusal) &&
           read_logprobs(body, &answering->job->want, refusal) &&
           cm_open_conversation(answering, request->body, request->n_body, body, refusal);
}

void cm_serve_chat(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    cm_serve_conversation(server, exchange, request, &form, "chatcmpl-", read_chat);
}
