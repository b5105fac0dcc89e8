/* tools/serve/messages_api.c - Anthropic's messages, and the counting of their tokens. */
#include <stdlib.h>
#include <string.h>

#include "tools/serve/conversation.h"

/* Claude Code's first line of the system text changes with every request, so that no prompt would begin as the one
 * before it. It says nothing to a model. */
static const char billing[] = "x-anthropic-billing-header:";

/* ---- requests, as chat completions ---- */

static const char *member_text(const struct json_value *object, const char *name)
{
    const char *const text = cm_json_string(cm_json_member(object, name), NULL);
    return text != NULL ? text : "";
}

static bool is_type(const struct json_value *block, const char *type)
{
    return strcmp(member_text(block, "type"), type) == 0;
}

static void write_copy(struct json_writer *writer, const char *name, const struct json_value *value)
{
    char *const text = cm_json_print(value);
    if (text == NULL) writer->failed = true;
    else cm_write_json(writer, name, text);
    free(text);
}

/* Texts of content, which is one or an array of blocks, each on lines of its own. */
static bool join_texts(const struct json_value *content, struct bytes *all, struct refusal *refusal)
{
    size_t            n = 0;
    const char *const text = cm_json_string(content, &n);
    if (text != NULL) return cm_bytes_append(all, text, n) || cm_refuse_memory(refusal);
    for (size_t i = 0; i < cm_json_n(content); i++) {
        const struct json_value *const block = cm_json_at(content, i);
        const char *const              part = cm_json_string(cm_json_member(block, "text"), &n);
        if (is_type(block, "thinking") || is_type(block, "redacted_thinking") || is_type(block, "tool_use") ||
            is_type(block, "tool_result"))
            continue;
        if (!is_type(block, "text") || part == NULL) {
            refusal->type = "not_supported_error";
            return cm_refuse(refusal, 400, NULL, "a content block of type '%.40s' is not supported",
                             member_text(block, "type"));
        }
        if (strncmp(part, billing, sizeof billing - 1) == 0) continue;
        if ((all->n > 0 && !cm_bytes_append(all, "\n", 1)) || !cm_bytes_append(all, part, n))
            return cm_refuse_memory(refusal);
    }
    return true;
}

static bool write_text_message(struct json_writer *writer, const char *role, const struct json_value *content,
                               const char *call_id, struct refusal *refusal)
{
    struct bytes text = {0};
    const bool   is_fine = join_texts(content, &text, refusal);
    const char  *from = text.at != NULL ? text.at : "";
    size_t       n = text.n;
    if (strcmp(role, "system") == 0 && n >= sizeof billing - 1 && strncmp(from, billing, sizeof billing - 1) == 0) {
        const char *const line_end = memchr(from, '\n', n);
        n -= line_end != NULL ? (size_t)(line_end + 1 - from) : n;
        from = line_end != NULL ? line_end + 1 : "";
    }
    if (is_fine && (n > 0 || call_id != NULL)) {
        cm_write_object(writer, NULL);
        cm_write_text(writer, "role", role);
        if (call_id != NULL) cm_write_text(writer, "tool_call_id", call_id);
        cm_write_bytes(writer, "content", from, n);
        cm_write_end_object(writer);
    }
    cm_bytes_close(&text);
    return is_fine;
}

static bool write_assistant(struct json_writer *writer, const struct json_value *content, struct refusal *refusal)
{
    struct bytes text = {0}, thoughts = {0};
    bool         is_fine = join_texts(content, &text, refusal), has_calls = false;
    const size_t n = cm_json_kind(content) == JSON_IS_ARRAY ? cm_json_n(content) : 0;
    for (size_t i = 0; is_fine && i < n; i++) {
        const char *const thought = member_text(cm_json_at(content, i), "thinking");
        if (is_type(cm_json_at(content, i), "thinking") && !cm_bytes_append(&thoughts, thought, strlen(thought)))
            is_fine = cm_refuse_memory(refusal);
    }
    cm_write_object(writer, NULL);
    cm_write_text(writer, "role", "assistant");
    cm_write_bytes(writer, "content", text.at, text.n);
    if (thoughts.n > 0) cm_write_bytes(writer, "reasoning_content", thoughts.at, thoughts.n);
    for (size_t i = 0; is_fine && i < n; i++) {
        const struct json_value *const block = cm_json_at(content, i);
        if (!is_type(block, "tool_use")) continue;
        if (!has_calls) cm_write_array(writer, "tool_calls");
        has_calls = true;
        cm_write_object(writer, NULL);
        cm_write_text(writer, "id", member_text(block, "id"));
        cm_write_text(writer, "type", "function");
        cm_write_object(writer, "function");
        cm_write_text(writer, "name", member_text(block, "name"));
        write_copy(writer, "arguments", cm_json_member(block, "input"));
        cm_write_end_object(writer);
        cm_write_end_object(writer);
    }
    if (has_calls) cm_write_end_array(writer);
    cm_write_end_object(writer);
    cm_bytes_close(&text);
    cm_bytes_close(&thoughts);
    return is_fine;
}

/* What tools gave stands in the user's message, before its text. */
static bool write_user(struct json_writer *writer, const struct json_value *content, struct refusal *refusal)
{
    const size_t n = cm_json_kind(content) == JSON_IS_ARRAY ? cm_json_n(content) : 0;
    for (size_t i = 0; i < n; i++) {
        const struct json_value *const block = cm_json_at(content, i);
        if (is_type(block, "tool_result") &&
            !write_text_message(writer, "tool", cm_json_member(block, "content"), member_text(block, "tool_use_id"),
                                refusal))
            return false;
    }
    return write_text_message(writer, "user", content, NULL, refusal);
}

static bool write_messages(struct json_writer *writer, const struct json_value *body, struct refusal *refusal)
{
    const struct json_value *messages = NULL;
    if (!cm_read_value(body, "messages", JSON_IS_ARRAY, &messages, refusal)) return false;
    if (messages == NULL) return cm_refuse(refusal, 400, "messages", "'messages' wants an array, found none");
    cm_write_array(writer, "messages");
    if (!write_text_message(writer, "system", cm_json_member(body, "system"), NULL, refusal)) return false;
    for (size_t i = 0; i < cm_json_n(messages); i++) {
        const struct json_value *const message = cm_json_at(messages, i), *const content =
            cm_json_member(message, "content");
        const char *const role = member_text(message, "role");
        if (cm_json_kind(content) != JSON_IS_TEXT && cm_json_kind(content) != JSON_IS_ARRAY)
            return cm_refuse(refusal, 400, "messages", "'messages' wants a 'content' that is a text or an array in "
                                                       "message %zu, found %s", i, cm_json_kind_name(content));
        const bool is_fine = strcmp(role, "assistant") == 0 ? write_assistant(writer, content, refusal)
                             : strcmp(role, "user") == 0    ? write_user(writer, content, refusal)
                             : write_text_message(writer, role, content, NULL, refusal);
        if (!is_fine) return false;
    }
    cm_write_end_array(writer);
    return true;
}

static void write_tools(struct json_writer *writer, const struct json_value *body)
{
    const struct json_value *const tools = cm_json_member(body, "tools"), *const choice =
        cm_json_member(body, "tool_choice");
    const char *const type = member_text(choice, "type");
    if (cm_json_n(tools) > 0) cm_write_array(writer, "tools");
    for (size_t i = 0; i < cm_json_n(tools); i++) {
        const struct json_value *const tool = cm_json_at(tools, i);
        cm_write_object(writer, NULL);
        cm_write_text(writer, "type", "function");
        cm_write_object(writer, "function");
        cm_write_text(writer, "name", member_text(tool, "name"));
        cm_write_text(writer, "description", member_text(tool, "description"));
        if (cm_json_member(tool, "input_schema") != NULL)
            write_copy(writer, "parameters", cm_json_member(tool, "input_schema"));
        cm_write_end_object(writer);
        cm_write_end_object(writer);
    }
    if (cm_json_n(tools) > 0) cm_write_end_array(writer);
    if (strcmp(type, "tool") == 0) {
        cm_write_object(writer, "tool_choice");
        cm_write_text(writer, "type", "function");
        cm_write_object(writer, "function");
        cm_write_text(writer, "name", member_text(choice, "name"));
        cm_write_end_object(writer);
        cm_write_end_object(writer);
    } else if (type[0] != '\0') cm_write_text(writer, "tool_choice", strcmp(type, "any") == 0 ? "required" : type);
}

/* The request as one of chat completions. */
static bool convert(struct json_writer *writer, const struct json_value *body, struct refusal *refusal)
{
    const struct json_value *thinking = NULL;
    if (!cm_read_value(body, "thinking", JSON_IS_OBJECT, &thinking, refusal)) return false;
    cm_write_object(writer, NULL);
    if (!write_messages(writer, body, refusal)) return false;
    write_tools(writer, body);
    if (thinking != NULL) {
        cm_write_object(writer, "chat_template_kwargs");
        cm_write_bool(writer, "enable_thinking", !is_type(thinking, "disabled"));
        cm_write_end_object(writer);
    }
    cm_write_end_object(writer);
    return !writer->failed || cm_refuse_memory(refusal);
}

/* ---- answers ---- */

struct blocks { /* of a stream */
    int kind;   /* of the one that is open, CALMOE_ANSWER_…; -1 = none */
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

/* Tokens that were cached do not count as those of the input. */
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
    cm_write_text(writer, "model", answering->server->name);
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

/* The arguments as an object; a model that wrote none is told as it wrote. */
static void write_input(struct json_writer *writer, const struct answer_call *call)
{
    struct refusal           none = {0};
    struct json_value *const input = cm_json_read(call->arguments.at, call->arguments.n, &none);
    if (input != NULL) {
        write_copy(writer, "input", input);
    } else {
        cm_write_object(writer, "input");
        if (call->arguments.n > 0) cm_write_bytes(writer, "text", call->arguments.at, call->arguments.n);
        cm_write_end_object(writer);
    }
    cm_json_free(input);
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

static void refuse(struct http_exchange *exchange, const struct refusal *refusal)
{
    struct json_writer writer = {.failed = false};
    cm_refusal_write_typed(&writer, refusal);
    cm_reply(exchange, refusal->status, &writer);
}

static void close_more(struct answering *answering) { free(answering->more); }

static const struct answer_form form = {.begin = begin, .piece = piece, .finish = finish, .fail = fail, .whole = whole,
                                        .refuse = refuse, .close = close_more};

/* ---- endpoints ---- */

static bool read_messages(struct answering *answering, const struct http_request *request,
                          const struct json_value *body, struct refusal *refusal)
{
    static const struct generation_names names = {.max_tokens = {"max_tokens"}, .stop = "stop_sequences"};
    struct json_writer writer = {.failed = false};
    struct blocks     *blocks = calloc(1, sizeof *blocks);
    (void)request;
    if (blocks == NULL) return cm_refuse_memory(refusal);
    blocks->kind    = -1;
    answering->more = blocks;
    bool is_fine = cm_read_stream(answering, body, refusal) &&
                   cm_read_conversation_request(answering, &names, body, refusal) && convert(&writer, body, refusal);
    struct json_value *const converted =
        is_fine ? cm_json_read(writer.bytes.at, writer.bytes.n, refusal) : NULL;
    is_fine = converted != NULL &&
              cm_open_conversation(answering, writer.bytes.at, writer.bytes.n, converted, refusal);
    cm_json_free(converted);
    cm_writer_close(&writer);
    return is_fine;
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
    struct json_value *const body = cm_server_is_ready(server, &refusal)
                                        ? cm_json_read(request->body, request->n_body, &refusal) : NULL;
    if (body != NULL && convert(&writer, body, &refusal) &&
        cm_open_prompt(server, writer.bytes.at, writer.bytes.n, &prompt, &refusal)) {
        (void)calmoe_chat_prompt_tokens(prompt, &n);
        cm_write_object(&reply, NULL);
        cm_write_integer(&reply, "input_tokens", (int64_t)n);
        cm_write_end_object(&reply);
        cm_reply(exchange, 200, &reply);
    } else refuse(exchange, &refusal);
    calmoe_chat_prompt_close(&prompt);
    cm_writer_close(&writer);
    cm_json_free(body);
}
