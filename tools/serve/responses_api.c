/* tools/serve/responses_api.c - OpenAI's responses: the answer is a list of items, thoughts, messages and calls. */
#include <stdlib.h>
#include <string.h>

#include "tools/serve/conversation.h"
#include "tools/serve/responses_request.h"

struct item {
    int          kind;  /* CALMOE_ANSWER_TEXT, …_REASONING or …_CALL_BEGIN */
    char         id[ID_BYTES];
    struct bytes text;  /* its text; for a call, the arguments              */
    struct bytes logprobs; /* log-probabilities of its tokens: elements of an array, separated by commas and followed
                              by a NUL                                                                  */
    struct bytes fresh;    /* those of them that no delta has sent yet                                  */
    int          call;  /* number of the call                               */
    bool         is_open;
};

struct response {
    struct item *items;
    int          n_items;
    int          sequence; /* number of the next event */
};

static void close_more(struct answering *answering)
{
    struct response *const response = answering->more;
    for (int i = 0; response != NULL && i < response->n_items; i++) {
        cm_bytes_close(&response->items[i].text);
        cm_bytes_close(&response->items[i].logprobs);
        cm_bytes_close(&response->items[i].fresh);
    }
    if (response != NULL) free(response->items);
    free(response);
}

/* ---- items ---- */

static int kind_of(const calmoe_answer_event *event)
{
    return event->kind == CALMOE_ANSWER_TEXT || event->kind == CALMOE_ANSWER_REASONING ? event->kind
                                                                                       : CALMOE_ANSWER_CALL_BEGIN;
}

static void add_item(struct answering *answering, int kind)
{
    static const char *const begins[] = {[CALMOE_ANSWER_TEXT] = "msg_", [CALMOE_ANSWER_REASONING] = "rs_",
                                         [CALMOE_ANSWER_CALL_BEGIN] = "fc_"};
    struct response *const   response = answering->more;
    struct item             *larger = realloc(response->items, ((size_t)response->n_items + 1) * sizeof *larger);
    if (larger == NULL) {
        answering->failed = true;
        return;
    }
    response->items = larger;
    struct item *const item = &larger[response->n_items++];
    *item = (struct item){.kind = kind, .call = answering->n_calls - 1};
    cm_make_id(item->id, begins[kind]);
}

static bool add_logprobs(struct bytes *all, const struct bytes *more)
{
    if (all->n > 0) all->at[all->n - 1] = ','; /* in place of the NUL */
    return cm_bytes_append(all, more->at, more->n) && cm_bytes_append(all, "", 1);
}

/* The waiting log-probabilities belong to the tokens of this piece; they are only reported for texts. */
static void collect_logprobs(struct answering *answering, struct item *item)
{
    struct bytes *const waiting = &answering->logprobs.bytes;
    if (waiting->n == 0) return;
    if (item->kind == CALMOE_ANSWER_TEXT &&
        (!add_logprobs(&item->logprobs, waiting) || (answering->is_stream && !add_logprobs(&item->fresh, waiting))))
        answering->failed = true;
    waiting->n = 0;
}

static void write_logprobs(struct json_writer *writer, const struct bytes *logprobs)
{
    cm_write_array(writer, "logprobs");
    if (logprobs->n > 0) cm_write_json(writer, NULL, logprobs->at);
    cm_write_end_array(writer);
}

/* Adds the piece to the last item, or to a new one. */
static void collect(struct answering *answering, const calmoe_answer_event *event)
{
    struct response *const response = answering->more;
    const int              kind = kind_of(event);
    const bool is_new = response->n_items == 0 || event->kind == CALMOE_ANSWER_CALL_BEGIN ||
                        response->items[response->n_items - 1].kind != kind;
    if (is_new) add_item(answering, kind);
    if (event->kind == CALMOE_ANSWER_CALL_BEGIN || answering->failed) return;
    struct item *const item = &response->items[response->n_items - 1];
    if (!cm_bytes_append(&item->text, event->text, event->n_bytes)) answering->failed = true;
    collect_logprobs(answering, item);
}

static void write_part(struct json_writer *writer, const char *name, const struct item *item, size_t n)
{
    const bool is_text = item->kind == CALMOE_ANSWER_TEXT;
    cm_write_object(writer, name);
    cm_write_text(writer, "type", is_text ? "output_text" : "reasoning_text");
    cm_write_bytes(writer, "text", item->text.at, n);
    if (is_text) {
        cm_write_array(writer, "annotations");
        cm_write_end_array(writer);
        write_logprobs(writer, n > 0 ? &item->logprobs : &(struct bytes){0});
    }
    cm_write_end_object(writer);
}

/* Writes the item as it is at its end, or, at its beginning, without its contents. */
static void write_item(struct json_writer *writer, const char *name, const struct answering *answering,
                       const struct item *item, bool is_done)
{
    static const char *const types[] = {[CALMOE_ANSWER_TEXT] = "message", [CALMOE_ANSWER_REASONING] = "reasoning",
                                        [CALMOE_ANSWER_CALL_BEGIN] = "function_call"};
    cm_write_object(writer, name);
    cm_write_text(writer, "id", item->id);
    cm_write_text(writer, "type", types[item->kind]);
    cm_write_text(writer, "status", is_done ? "completed" : "in_progress");
    if (item->kind == CALMOE_ANSWER_CALL_BEGIN) {
        cm_write_text(writer, "call_id", item->id);
        cm_write_text(writer, "name", answering->calls[item->call].name);
        cm_write_bytes(writer, "arguments", item->text.at, is_done ? item->text.n : 0);
    } else {
        if (item->kind == CALMOE_ANSWER_TEXT) cm_write_text(writer, "role", "assistant");
        else {
            cm_write_array(writer, "summary");
            cm_write_end_array(writer);
        }
        cm_write_array(writer, "content");
        if (is_done) write_part(writer, NULL, item, item->text.n);
        cm_write_end_array(writer);
    }
    cm_write_end_object(writer);
}

/* ---- the response ---- */

static void write_usage(struct json_writer *writer, const struct answering *answering)
{
    const struct job *const job = answering->job;
    cm_write_object(writer, "usage");
    cm_write_integer(writer, "input_tokens", job->want.n_tokens);
    cm_write_object(writer, "input_tokens_details");
    cm_write_integer(writer, "cached_tokens", job->figures.n_cached);
    cm_write_end_object(writer);
    cm_write_integer(writer, "output_tokens", job->figures.n_generated);
    cm_write_object(writer, "output_tokens_details");
    cm_write_integer(writer, "reasoning_tokens", answering->n_reasoning);
    cm_write_end_object(writer);
    cm_write_integer(writer, "total_tokens", job->want.n_tokens + job->figures.n_generated);
    cm_write_end_object(writer);
}

static void write_response(struct json_writer *writer, const char *name, struct answering *answering, bool is_done)
{
    const struct response *const response = answering->more;
    const bool                   is_cut = is_done && answering->job->end == JOB_LENGTH;
    cm_write_object(writer, name);
    cm_write_text(writer, "id", answering->id);
    cm_write_text(writer, "object", "response");
    cm_write_integer(writer, "created_at", answering->created);
    cm_write_text(writer, "status", !is_done ? "in_progress" : is_cut ? "incomplete" : "completed");
    cm_write_null(writer, "error");
    if (is_cut) {
        cm_write_object(writer, "incomplete_details");
        cm_write_text(writer, "reason", "max_output_tokens");
        cm_write_end_object(writer);
    } else cm_write_null(writer, "incomplete_details");
    cm_write_null(writer, "instructions");
    cm_write_text(writer, "model", answering->model);
    cm_write_array(writer, "output");
    for (int i = 0; is_done && i < response->n_items; i++)
        write_item(writer, NULL, answering, &response->items[i], true);
    cm_write_end_array(writer);
    cm_write_bool(writer, "parallel_tool_calls", true);
    cm_write_text(writer, "tool_choice", "auto");
    cm_write_array(writer, "tools");
    cm_write_end_array(writer);
    cm_write_real(writer, "temperature", answering->job->want.sampler.temperature);
    cm_write_real(writer, "top_p", answering->job->want.sampler.top_p);
    cm_write_null(writer, "previous_response_id");
    cm_write_object(writer, "metadata");
    cm_write_end_object(writer);
    if (is_done) write_usage(writer, answering);
    else cm_write_null(writer, "usage");
    if (is_done) cm_write_timings(writer, answering);
    if (is_done) cm_write_own(writer, answering, true);
    cm_write_end_object(writer);
}

static void whole(struct answering *answering, struct json_writer *writer)
{
    write_response(writer, NULL, answering, true);
}

/* ---- streams ---- */

static void begin_event(struct answering *answering, const char *type)
{
    struct response *const response = answering->more;
    cm_write_format(&answering->out, "event: %s\ndata: ", type);
    cm_write_object(&answering->out, NULL);
    cm_write_text(&answering->out, "type", type);
    cm_write_integer(&answering->out, "sequence_number", response->sequence++);
}

static void end_event(struct answering *answering)
{
    cm_write_end_object(&answering->out);
    cm_write_raw(&answering->out, "\n\n");
}

/* Writes the members that all events about an item's contents have in common. */
static void begin_item_event(struct answering *answering, const char *type, int i, bool has_content)
{
    const struct response *const response = answering->more;
    begin_event(answering, type);
    cm_write_text(&answering->out, "item_id", response->items[i].id);
    cm_write_integer(&answering->out, "output_index", i);
    if (has_content) cm_write_integer(&answering->out, "content_index", 0);
}

static void whole_event(struct answering *answering, const char *type, bool is_done)
{
    begin_event(answering, type);
    write_response(&answering->out, "response", answering, is_done);
    end_event(answering);
}

static void begin(struct answering *answering)
{
    whole_event(answering, "response.created", false);
    whole_event(answering, "response.in_progress", false);
}

static void item_event(struct answering *answering, const char *type, int i, bool is_done)
{
    const struct response *const response = answering->more;
    begin_event(answering, type);
    cm_write_integer(&answering->out, "output_index", i);
    write_item(&answering->out, "item", answering, &response->items[i], is_done);
    end_event(answering);
}

static void part_event(struct answering *answering, const char *type, int i, bool is_done)
{
    const struct response *const response = answering->more;
    const struct item *const     item = &response->items[i];
    if (item->kind == CALMOE_ANSWER_CALL_BEGIN) return;
    begin_item_event(answering, type, i, true);
    write_part(&answering->out, "part", item, is_done ? item->text.n : 0);
    end_event(answering);
}

/* The names of the events about an item's text, and of the member that holds it. */
static const struct { const char *delta, *done, *member; } text_events[] = {
    [CALMOE_ANSWER_TEXT]       = {"response.output_text.delta", "response.output_text.done", "text"},
    [CALMOE_ANSWER_REASONING]  = {"response.reasoning_text.delta", "response.reasoning_text.done", "text"},
    [CALMOE_ANSWER_CALL_BEGIN] = {"response.function_call_arguments.delta", "response.function_call_arguments.done",
                                  "arguments"},
};

static void end_item(struct answering *answering, int i)
{
    struct response *const response = answering->more;
    struct item *const     item = i >= 0 ? &response->items[i] : NULL;
    if (item == NULL || !item->is_open) return;
    begin_item_event(answering, text_events[item->kind].done, i, item->kind != CALMOE_ANSWER_CALL_BEGIN);
    cm_write_bytes(&answering->out, text_events[item->kind].member, item->text.at, item->text.n);
    if (item->kind == CALMOE_ANSWER_TEXT) write_logprobs(&answering->out, &item->logprobs);
    end_event(answering);
    part_event(answering, "response.content_part.done", i, true);
    item_event(answering, "response.output_item.done", i, true);
    item->is_open = false;
}

static void piece(struct answering *answering, const calmoe_answer_event *event)
{
    struct response *const response = answering->more;
    const int              i = response->n_items - 1, kind = kind_of(event);
    struct item *const     item = &response->items[i];
    if (!item->is_open && event->kind != CALMOE_ANSWER_CALL_END) {
        end_item(answering, i - 1);
        item->is_open = true;
        item_event(answering, "response.output_item.added", i, false);
        part_event(answering, "response.content_part.added", i, false);
    }
    if (event->kind == CALMOE_ANSWER_CALL_BEGIN || event->kind == CALMOE_ANSWER_CALL_END) return;
    begin_item_event(answering, text_events[kind].delta, i, kind != CALMOE_ANSWER_CALL_BEGIN);
    cm_write_bytes(&answering->out, "delta", event->text, event->n_bytes);
    if (kind == CALMOE_ANSWER_TEXT) write_logprobs(&answering->out, &item->fresh);
    item->fresh.n = 0;
    cm_write_own(&answering->out, answering, false);
    end_event(answering);
}

static void finish(struct answering *answering)
{
    const struct response *const response = answering->more;
    end_item(answering, response->n_items - 1);
    whole_event(answering, answering->job->end == JOB_LENGTH ? "response.incomplete" : "response.completed", true);
}

static void fail(struct answering *answering, const struct refusal *refusal)
{
    begin_event(answering, "error");
    cm_write_text(&answering->out, "code", refusal->status == 503 ? "server_is_overloaded" : "server_error");
    cm_write_text(&answering->out, "message", refusal->message);
    cm_write_null(&answering->out, "param");
    end_event(answering);
}

static const struct answer_form form = {.begin = begin, .collect = collect, .piece = piece, .finish = finish,
                                        .fail = fail, .whole = whole, .close = close_more};

/* ---- requests ---- */

/* "include" names them, or "top_logprobs" says how many. */
static bool read_logprobs(const struct sent_value *body, struct job_request *want, struct refusal *refusal)
{
    const struct sent_value *include = NULL;
    int                      n_top = 0;
    if (!cm_read_value(body, "include", SENT_ARRAY, &include, refusal) ||
        !cm_read_int(body, "top_logprobs", 0, JOB_MAX_TOP, &n_top, refusal))
        return false;
    for (size_t i = 0; i < cm_sent_n(include); i++) {
        const char *const name = cm_sent_string(cm_sent_at(include, i), NULL);
        if (name != NULL && strcmp(name, "message.output_text.logprobs") == 0) want->n_top = n_top;
    }
    if (n_top > 0) want->n_top = n_top;
    return true;
}

static bool read_response(struct answering *answering, const struct http_request *request,
                          const struct sent_value *body, struct refusal *refusal)
{
    static const struct generation_names names = {.max_tokens = {"max_output_tokens", "max_tokens"}, .stop = "stop"};
    (void)request;
    answering->more = calloc(1, sizeof(struct response));
    if (answering->more == NULL) return cm_refuse_memory(refusal);
    return read_logprobs(body, &answering->job->want, refusal) &&
           cm_open_converted(answering, &names, body, cm_convert_response_request, refusal);
}

void cm_serve_responses(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    cm_serve_conversation(server, exchange, request, &form, "resp_", read_response);
}
