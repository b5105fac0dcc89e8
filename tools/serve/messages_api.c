/* tools/serve/messages_api.c - Anthropic's messages, and the counting of their tokens. */
#include <stdlib.h>
#include <string.h>

#include "tools/serve/conversation.h"
#include "tools/serve/messages_request.h"
#include "tools/serve/prompts.h"

/* ---- answers ---- */

struct blocks { /* content blocks of a stream */
    int kind;   /* kind of the open block, CALMOE_ANSWER_…; -1 = none is open */
    int n;
};

static const char *stop_reason(const struct answering *answering)
{
    if (answering->job->end == JOB_LENGTH) return "max_tokens";
    if (answering->n_calls > 0) return "tool_use";
    return answering->job->end == JOB_STOPPED ? "stop_sequence" : "end_turn";
}

static void write_stop(struct json_writer *writer, const struct answering *answering)
{
    const char *const stop = cm_job_stop_text(answering->job);
    cm_write_text(writer, "stop_reason", stop_reason(answering));
    if (stop != NULL) cm_write_text(writer, "stop_sequence", stop);
    else cm_write_null(writer, "stop_sequence");
}

/* In this API, cached tokens do not count as input tokens. */
static void write_usage(struct json_writer *writer, const struct answering *answering, int n_output)
{
    const struct job *const job = answering->job;
    cm_write_object(writer, "usage");
    cm_write_integer(writer, "input_tokens", job->want.n_tokens - job->figures.n_cached);
    cm_write_integer(writer, "cache_creation_input_tokens", 0);
    cm_write_integer(writer, "cache_read_input_tokens", job->figures.n_cached);
    cm_write_integer(writer, "output_tokens", n_output);
    cm_write_end_object(writer);
}

static void begin_event(struct answering *answering, const char *type)
{
    cm_write_format(&answering->out, "event: %s\ndata: ", type);
    cm_write_object(&answering->out, NULL);
    cm_write_text(&answering->out, "type", type);
}

static void end_event(struct answering *answering)
{
    cm_write_end_object(&answering->out);
    cm_write_raw(&answering->out, "\n\n");
}

static void write_head(struct json_writer *writer, const struct answering *answering)
{
    cm_write_text(writer, "id", answering->id);
    cm_write_text(writer, "type", "message");
    cm_write_text(writer, "role", "assistant");
    cm_write_text(writer, "model", answering->model);
}

static void begin(struct answering *answering)
{
    struct json_writer *const out = &answering->out;
    begin_event(answering, "message_start");
    cm_write_object(out, "message");
    write_head(out, answering);
    cm_write_array(out, "content");
    cm_write_end_array(out);
    cm_write_null(out, "stop_reason");
    cm_write_null(out, "stop_sequence");
    write_usage(out, answering, 0);
    cm_write_end_object(out);
    end_event(answering);
}

static void write_delta(struct answering *answering, const char *type, const char *name, const char *text, size_t n)
{
    struct json_writer *const  out = &answering->out;
    const struct blocks *const blocks = answering->more;
    begin_event(answering, "content_block_delta");
    cm_write_integer(out, "index", blocks->n - 1);
    cm_write_object(out, "delta");
    cm_write_text(out, "type", type);
    cm_write_bytes(out, name, text, n);
    cm_write_end_object(out);
    end_event(answering);
}

static void end_block(struct answering *answering)
{
    struct blocks *const blocks = answering->more;
    if (blocks->kind < 0) return;
    if (blocks->kind == CALMOE_ANSWER_REASONING) write_delta(answering, "signature_delta", "signature", "", 0);
    begin_event(answering, "content_block_stop");
    cm_write_integer(&answering->out, "index", blocks->n - 1);
    end_event(answering);
    blocks->kind = -1;
}

static void begin_block(struct answering *answering, int kind)
{
    struct json_writer *const out = &answering->out;
    struct blocks *const      blocks = answering->more;
    end_block(answering);
    begin_event(answering, "content_block_start");
    cm_write_integer(out, "index", blocks->n++);
    cm_write_object(out, "content_block");
    if (kind == CALMOE_ANSWER_TEXT) {
        cm_write_text(out, "type", "text");
        cm_write_text(out, "text", "");
    } else if (kind == CALMOE_ANSWER_REASONING) {
        cm_write_text(out, "type", "thinking");
        cm_write_text(out, "thinking", "");
        cm_write_text(out, "signature", "");
    } else {
        const struct answer_call *const call = &answering->calls[answering->n_calls - 1];
        cm_write_text(out, "type", "tool_use");
        cm_write_text(out, "id", call->id);
        cm_write_text(out, "name", call->name);
        cm_write_object(out, "input");
        cm_write_end_object(out);
    }
    cm_write_end_object(out);
    end_event(answering);
    blocks->kind = kind;
}

static void piece(struct answering *answering, const calmoe_answer_event *event)
{
    const struct blocks *const blocks = answering->more;
    if (event->kind == CALMOE_ANSWER_CALL_END) return;
    if (event->kind == CALMOE_ANSWER_CALL_BEGIN ||
        (event->kind != CALMOE_ANSWER_CALL_ARGUMENTS && event->kind != blocks->kind))
        begin_block(answering, event->kind);
    if (event->kind == CALMOE_ANSWER_TEXT) write_delta(answering, "text_delta", "text", event->text, event->n_bytes);
    if (event->kind == CALMOE_ANSWER_REASONING)
        write_delta(answering, "thinking_delta", "thinking", event->text, event->n_bytes);
    if (event->kind == CALMOE_ANSWER_CALL_ARGUMENTS)
        write_delta(answering, "input_json_delta", "partial_json", event->text, event->n_bytes);
}

static void finish(struct answering *answering)
{
    struct json_writer *const out = &answering->out;
    end_block(answering);
    begin_event(answering, "message_delta");
    cm_write_object(out, "delta");
    write_stop(out, answering);
    cm_write_end_object(out);
    write_usage(out, answering, answering->job->figures.n_generated);
    cm_write_own(out, answering, true);
    end_event(answering);
    begin_event(answering, "message_stop");
    end_event(answering);
}

static void fail(struct answering *answering, const struct refusal *refusal)
{
    cm_write_raw(&answering->out, "event: error\ndata: ");
    cm_refusal_write_typed(&answering->out, refusal);
    cm_write_raw(&answering->out, "\n\n");
}

/* Writes the arguments as an object; if the model did not write one, as the model wrote them. */
static void write_input(struct json_writer *writer, const struct answer_call *call)
{
    struct refusal           none = {0};
    struct sent_value *const input = cm_sent_read(call->arguments.at, call->arguments.n, &none);
    if (input != NULL) {
        cm_sent_copy(writer, "input", input);
    } else {
        cm_write_object(writer, "input");
        if (call->arguments.n > 0) cm_write_bytes(writer, "text", call->arguments.at, call->arguments.n);
        cm_write_end_object(writer);
    }
    cm_sent_free(input);
}

static void write_block(struct json_writer *writer, const char *type, const char *name, const struct bytes *text)
{
    cm_write_object(writer, NULL);
    cm_write_text(writer, "type", type);
    cm_write_bytes(writer, name, text->at, text->n);
    if (strcmp(type, "thinking") == 0) cm_write_text(writer, "signature", "");
    cm_write_end_object(writer);
}

static void whole(struct answering *answering, struct json_writer *writer)
{
    cm_write_object(writer, NULL);
    write_head(writer, answering);
    cm_write_array(writer, "content");
    if (answering->reasoning.n > 0) write_block(writer, "thinking", "thinking", &answering->reasoning);
    if (answering->text.n > 0 || answering->n_calls == 0) write_block(writer, "text", "text", &answering->text);
    for (int i = 0; i < answering->n_calls; i++) {
        cm_write_object(writer, NULL);
        cm_write_text(writer, "type", "tool_use");
        cm_write_text(writer, "id", answering->calls[i].id);
        cm_write_text(writer, "name", answering->calls[i].name);
        write_input(writer, &answering->calls[i]);
        cm_write_end_object(writer);
    }
    cm_write_end_array(writer);
    write_stop(writer, answering);
    write_usage(writer, answering, answering->job->figures.n_generated);
    cm_write_own(writer, answering, true);
    cm_write_end_object(writer);
}

static void close_more(struct answering *answering) { free(answering->more); }

static const struct answer_form form = {.begin = begin, .piece = piece, .finish = finish, .fail = fail, .whole = whole,
                                        .refuse = cm_reply_typed_refusal, .close = close_more};

/* ---- endpoints ---- */

static bool read_messages(struct answering *answering, const struct http_request *request,
                          const struct sent_value *body, struct refusal *refusal)
{
    static const struct generation_names names = {.max_tokens = {"max_tokens"}, .stop = "stop_sequences"};
    struct blocks *blocks = calloc(1, sizeof *blocks);
    (void)request;
    if (blocks == NULL) return cm_refuse_memory(refusal);
    blocks->kind    = -1;
    answering->more = blocks;
    return cm_open_converted(answering, &names, body, cm_convert_messages_request, refusal);
}

void cm_serve_messages(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    cm_serve_conversation(server, exchange, request, &form, "msg_", read_messages);
}

void cm_serve_count_tokens(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct refusal           refusal = {0};
    struct json_writer       writer = {.failed = false}, reply = {.failed = false};
    calmoe_chat_prompt      *prompt = NULL;
    size_t                   n = 0;
    struct sent_value *const body = cm_server_is_ready(server, &refusal)
                                        ? cm_sent_read(request->body, request->n_body, &refusal) : NULL;
    if (body != NULL && cm_convert_messages_request(&writer, body, &refusal) &&
        cm_open_prompt(server, writer.bytes.at, writer.bytes.n, &prompt, &refusal)) {
        (void)calmoe_chat_prompt_tokens(prompt, &n);
        cm_write_object(&reply, NULL);
        cm_write_integer(&reply, "input_tokens", (int64_t)n);
        cm_write_end_object(&reply);
        cm_reply(exchange, 200, &reply);
    } else cm_reply_typed_refusal(exchange, &refusal);
    calmoe_chat_prompt_close(&prompt);
    cm_writer_close(&writer);
    cm_sent_free(body);
}
