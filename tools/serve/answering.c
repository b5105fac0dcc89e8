/* tools/serve/answering.c - see answering.h. */
#include "tools/serve/answering.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_SECONDS = 1 };       /* between checks whether the client has left */
enum { MAX_PING = 3600 };
static const double PROGRESS_SECONDS = 0.2; /* between two reports on how far the prompt is read */
enum { BEGIN_SECONDS = 10 };     /* a stream waits so long for a slot before it begins, so that errors get a status */

struct answering *cm_answering_open(struct server *server, struct http_exchange *exchange,
                                    const struct answer_form *form, const char *id_begin, struct refusal *refusal)
{
    struct answering *answering = calloc(1, sizeof *answering);
    if (answering == NULL) {
        (void)cm_refuse_memory(refusal);
        return NULL;
    }
    answering->server   = server;
    answering->exchange = exchange;
    answering->form     = form;
    answering->created  = (int64_t)time(NULL);
    cm_make_id(answering->id, id_begin);
    answering->job = cm_server_job(server, refusal);
    if (answering->job != NULL) return answering;
    free(answering);
    return NULL;
}

void cm_answering_close(struct answering *answering)
{
    if (answering == NULL) return;
    cm_service_release(answering->server->service, answering->job);
    if (answering->form->close != NULL) answering->form->close(answering);
    calmoe_answer_parser_close(&answering->parser);
    cm_forced_calls_close(&answering->forced);
    calmoe_chat_prompt_close(&answering->prompt);
    for (int i = 0; i < answering->n_calls; i++) cm_bytes_close(&answering->calls[i].arguments);
    free(answering->calls);
    cm_bytes_close(&answering->text);
    cm_bytes_close(&answering->reasoning);
    cm_bytes_close(&answering->records);
    cm_writer_close(&answering->out);
    cm_writer_close(&answering->logprobs);
    cm_writer_close(&answering->details);
    free(answering);
}

/* As clients of llama.cpp send it; -1: no comments. */
static bool read_ping(struct answering *answering, const struct sent_value *body, struct refusal *refusal)
{
    int seconds = (int)answering->server->ping_seconds;
    if (!cm_read_int(body, "sse_ping_interval", -1, MAX_PING, &seconds, refusal)) return false;
    answering->ping_seconds = seconds > 0 ? seconds : 0;
    return true;
}

bool cm_read_stream(struct answering *answering, const struct sent_value *body, struct refusal *refusal)
{
    const struct sent_value *options = NULL;
    const char              *model = answering->server->name;
    if (!cm_read_text(body, "model", &model, refusal)) return false;
    (void)snprintf(answering->model, sizeof answering->model, "%s", model);
    return cm_read_bool(body, "stream", &answering->is_stream, refusal) &&
           cm_read_value(body, "stream_options", SENT_OBJECT, &options, refusal) &&
           cm_read_bool(options, "include_usage", &answering->includes_usage, refusal) &&
           cm_read_bool(body, "timings_per_token", &answering->tells_timings, refusal) &&
           cm_read_bool(body, "return_progress", &answering->tells_progress, refusal) &&
           read_ping(answering, body, refusal);
}

bool cm_read_generation_request(struct answering *answering, const struct generation_names *names,
                                const struct sent_value *body, struct refusal *refusal)
{
    const struct service *const    service = answering->server->service;
    const calmoe_model_info *const model = cm_service_model(service);
    const struct generation_scope  scope = {.model = cm_server_model(answering->server), .n_vocab = model->n_vocab,
                                            .n_slots = cm_service_n_slots(service),
                                            .n_context = cm_service_context(service)};
    return cm_read_generation(body, names, &scope, answering->job, refusal) &&
           cm_read_own_request(body, model->n_experts_used, &answering->job->want, &answering->own, refusal);
}

/* ---- common to several forms ---- */

void cm_write_head(struct json_writer *writer, const struct answering *answering, const char *object)
{
    cm_write_object(writer, NULL);
    cm_write_text(writer, "id", answering->id);
    cm_write_text(writer, "object", object);
    cm_write_integer(writer, "created", answering->created);
    cm_write_text(writer, "model", answering->model);
    cm_write_text(writer, "system_fingerprint", cm_service_model(answering->server->service)->fingerprint);
    cm_write_array(writer, "choices");
}

void cm_write_stream_end(struct answering *answering, const char *object)
{
    struct json_writer *const out = &answering->out;
    if (answering->includes_usage) {
        cm_write_raw(out, "data: ");
        cm_write_head(out, answering, object);
        cm_write_end_array(out);
        cm_write_usage(out, answering);
        cm_write_end_object(out);
        cm_write_raw(out, "\n\n");
    }
    cm_write_raw(out, "data: [DONE]\n\n");
}

static void fail(struct answering *answering, const struct refusal *refusal)
{
    if (answering->form->fail != NULL) {
        answering->form->fail(answering, refusal);
        return;
    }
    cm_write_raw(&answering->out, "data: ");
    cm_refusal_write(&answering->out, refusal);
    cm_write_raw(&answering->out, "\n\n");
}

const char *cm_finish_reason(const struct answering *answering)
{
    if (answering->job->end == JOB_LENGTH) return "length";
    return answering->n_calls > 0 ? "tool_calls" : "stop";
}

void cm_write_usage(struct json_writer *writer, const struct answering *answering)
{
    const struct job *const job = answering->job;
    cm_write_object(writer, "usage");
    cm_write_integer(writer, "prompt_tokens", job->want.n_tokens);
    cm_write_integer(writer, "completion_tokens", job->figures.n_generated);
    cm_write_integer(writer, "total_tokens", job->want.n_tokens + job->figures.n_generated);
    cm_write_object(writer, "prompt_tokens_details");
    cm_write_integer(writer, "cached_tokens", job->figures.n_cached);
    cm_write_end_object(writer);
    if (answering->n_reasoning > 0) {
        cm_write_object(writer, "completion_tokens_details");
        cm_write_integer(writer, "reasoning_tokens", answering->n_reasoning);
        cm_write_end_object(writer);
    }
    cm_write_end_object(writer);
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

void cm_write_timings(struct json_writer *writer, const struct answering *answering)
{
    const struct job_figures figures = cm_service_figures(answering->server->service, answering->job);
    const int    n_prompt = answering->job->want.n_tokens - figures.n_cached;
    const double prompt_ms = figures.first > 0 ? (figures.first - figures.begun) * 1e3 : 0;
    const double answer_ms = figures.first > 0 ? (figures.last - figures.first) * 1e3 : 0;
    cm_write_object(writer, "timings");
    cm_write_integer(writer, "cache_n", figures.n_cached);
    cm_write_integer(writer, "prompt_n", n_prompt);
    cm_write_real(writer, "prompt_ms", prompt_ms);
    cm_write_real(writer, "prompt_per_token_ms", ratio(prompt_ms, n_prompt));
    cm_write_real(writer, "prompt_per_second", ratio(n_prompt, prompt_ms / 1e3));
    cm_write_integer(writer, "predicted_n", figures.n_generated);
    cm_write_real(writer, "predicted_ms", answer_ms);
    cm_write_real(writer, "predicted_per_token_ms", ratio(answer_ms, figures.n_generated));
    cm_write_real(writer, "predicted_per_second", ratio(figures.n_generated, answer_ms / 1e3));
    cm_write_end_object(writer);
}

void cm_write_progress(struct json_writer *writer, const struct answering *answering, int n_read)
{
    const struct job_figures figures = cm_service_figures(answering->server->service, answering->job);
    cm_write_object(writer, "prompt_progress");
    cm_write_integer(writer, "total", answering->job->want.n_tokens);
    cm_write_integer(writer, "cache", figures.n_cached);
    cm_write_integer(writer, "processed", n_read);
    cm_write_real(writer, "time_ms", (cm_seconds() - figures.begun) * 1e3);
    cm_write_end_object(writer);
}

/* Writes the elements that wait in *from as an array, and empties *from. */
static void write_waiting(struct json_writer *writer, const char *name, struct json_writer *from)
{
    cm_write_array(writer, name);
    if (from->bytes.n > 0 && cm_bytes_append(&from->bytes, "", 1)) cm_write_json(writer, NULL, from->bytes.at);
    cm_write_end_array(writer);
    from->bytes.n = 0;
}

void cm_write_own(struct json_writer *writer, struct answering *answering, bool is_end)
{
    const struct job_figures *const figures = &answering->job->figures;
    if (!is_end && answering->details.bytes.n == 0) return;
    cm_write_object(writer, "calmoe");
    if (is_end) { /* until then the engine's thread still changes them */
        const double n = figures->n_generated > 0 ? figures->n_generated : 1;
        cm_write_real(writer, "layers", (double)figures->n_layers / n);
        cm_write_real(writer, "experts", (double)figures->n_experts / n);
        if (figures->rung < 0) cm_write_null(writer, "rung");
        else cm_write_integer(writer, "rung", figures->rung);
        cm_write_integer(writer, "cached_tokens", figures->n_cached);
        cm_write_integer(writer, "slot", figures->slot);
        if (answering->own.context[0] != '\0') cm_write_text(writer, "context", answering->own.context);
        if (answering->own.context_sha256[0] != '\0')
            cm_write_text(writer, "context_sha256", answering->own.context_sha256);
    }
    if (answering->own.tokens) write_waiting(writer, "tokens", &answering->details);
    cm_write_end_object(writer);
}

void cm_write_chat_logprobs(struct json_writer *writer, struct answering *answering)
{
    if (answering->job->want.n_top == JOB_NO_LOGPROBS) {
        cm_write_null(writer, "logprobs");
        return;
    }
    cm_write_object(writer, "logprobs");
    write_waiting(writer, "content", &answering->logprobs);
    cm_write_end_object(writer);
}

static void write_token(struct json_writer *writer, const struct answering *answering, int32_t token, float logprob)
{
    size_t            n = 0;
    const char *const bytes = calmoe_token_bytes(cm_server_model(answering->server), token, 1, &n);
    cm_write_integer(writer, "id", token);
    cm_write_bytes(writer, "token", bytes, n);
    cm_write_array(writer, "bytes");
    for (size_t i = 0; i < n; i++) cm_write_integer(writer, NULL, (unsigned char)bytes[i]);
    cm_write_end_array(writer);
    cm_write_real(writer, "logprob", logprob);
}

void cm_write_token_logprob(struct json_writer *writer, const struct answering *answering,
                            const struct job_record *record)
{
    cm_write_object(writer, NULL);
    write_token(writer, answering, record->token.token, record->token.logprob);
    cm_write_array(writer, "top_logprobs");
    for (int i = 0; i < record->token.n_top; i++) {
        struct job_top top;
        memcpy(&top, record->top + (size_t)i * sizeof top, sizeof top);
        cm_write_object(writer, NULL);
        write_token(writer, answering, top.token, top.logprob);
        cm_write_end_object(writer);
    }
    cm_write_end_array(writer);
    cm_write_end_object(writer);
}

/* ---- tokens and pieces ---- */

/* Writes a token's text, its layers, and the experts that each layer took. */
static void note_details(struct answering *answering, const struct job_record *record)
{
    struct json_writer *const writer = &answering->details;
    const int n_used = cm_service_model(answering->server->service)->n_experts_used;
    cm_write_object(writer, NULL);
    cm_write_integer(writer, "id", record->token.token);
    cm_write_bytes(writer, "text", record->text, record->token.n_text);
    cm_write_integer(writer, "layers", record->token.layers);
    cm_write_integer(writer, "experts", record->token.experts);
    cm_write_real(writer, "confidence", record->token.confidence);
    if (record->token.n_routing > 0) cm_write_array(writer, "routing");
    for (int i = 0; i < record->token.n_routing; i++) {
        int16_t expert;
        memcpy(&expert, record->routing + (size_t)i * sizeof expert, sizeof expert);
        if (i % n_used == 0) cm_write_array(writer, NULL);
        if (expert >= 0) cm_write_integer(writer, NULL, expert);
        if (i % n_used == n_used - 1) cm_write_end_array(writer);
    }
    if (record->token.n_routing > 0) cm_write_end_array(writer);
    cm_write_end_object(writer);
}

static void begin_call(struct answering *answering, const calmoe_answer_event *event)
{
    struct answer_call *larger =
        realloc(answering->calls, ((size_t)answering->n_calls + 1) * sizeof *answering->calls);
    if (larger == NULL) {
        answering->failed = true;
        return;
    }
    answering->calls = larger;
    struct answer_call *const call = &larger[answering->n_calls++];
    *call = (struct answer_call){.arguments = {0}};
    (void)snprintf(call->name, sizeof call->name, "%.*s", (int)event->n_bytes, event->text);
    if (event->id != NULL && event->id[0] != '\0') (void)snprintf(call->id, sizeof call->id, "%s", event->id);
    else cm_make_id(call->id, "call_");
}

/* Feeds the parser; without one, the text itself is a piece. */
void cm_answering_take_piece(void *user, const calmoe_answer_event *event)
{
    struct answering *const answering = user;
    struct bytes           *into = event->kind == CALMOE_ANSWER_TEXT        ? &answering->text
                                   : event->kind == CALMOE_ANSWER_REASONING ? &answering->reasoning : NULL;
    if (event->kind == CALMOE_ANSWER_CALL_BEGIN) begin_call(answering, event);
    if (event->kind == CALMOE_ANSWER_CALL_ARGUMENTS && answering->n_calls > 0)
        into = &answering->calls[answering->n_calls - 1].arguments;
    if (into != NULL && !cm_bytes_append(into, event->text, event->n_bytes)) answering->failed = true;
    if (answering->form->collect != NULL && !answering->failed) answering->form->collect(answering, event);
    if (answering->is_stream && !answering->failed) answering->form->piece(answering, event);
}

static void put_text(struct answering *answering, const char *bytes, size_t n, bool is_control)
{
    if (n == 0) return;
    const bool is_fine =
        answering->parser != NULL ? calmoe_answer_parser_put(answering->parser, bytes, n, is_control) == CALMOE_OK
        : is_control || cm_tell_answer(cm_answering_take_piece, answering, CALMOE_ANSWER_TEXT, bytes, n);
    if (!is_fine) answering->failed = true;
}

static void take_record(struct answering *answering, const struct job_record *record)
{
    const calmoe_model *const model = cm_server_model(answering->server);
    const int32_t             token = record->token.token;
    const size_t              n_thoughts = answering->reasoning.n;
    size_t                    n_plain = 0, n_special = 0;
    if (answering->form->token != NULL) answering->form->token(answering, record);
    else if (token >= 0 && record->token.has_logprob)
        cm_write_token_logprob(&answering->logprobs, answering, record);
    if (answering->own.tokens && token >= 0) note_details(answering, record);
    put_text(answering, record->text, record->token.n_text, false);
    if (token < 0 || record->token.is_prompt) return;
    (void)calmoe_token_bytes(model, token, 0, &n_plain);
    const char *const mark = calmoe_token_bytes(model, token, 1, &n_special);
    if (n_plain == 0) put_text(answering, mark, n_special, true);
    answering->n_reasoning += answering->reasoning.n > n_thoughts;
}

static void take_records(struct answering *answering)
{
    size_t            at = 0;
    struct job_record record;
    while (cm_job_next_record(&answering->records, &at, &record)) take_record(answering, &record);
}

static void finish_parser(struct answering *answering)
{
    if (answering->parser != NULL && calmoe_answer_parser_finish(answering->parser) != CALMOE_OK)
        answering->failed = true;
}

/* Fills the refusal if the job gave no answer; false: it gave one. */
static bool has_failed(const struct answering *answering, struct refusal *refusal)
{
    const struct job *const job = answering->job;
    *refusal                    = job->refusal;
    if (answering->failed || answering->forced.failed || answering->out.failed) return !cm_refuse_memory(refusal);
    if (job->end == JOB_CANCELLED) return !cm_refuse(refusal, 503, NULL, "the server is shutting down");
    return job->end == JOB_FAILED;
}

void cm_answer_refusal(struct answering *answering, const struct refusal *refusal)
{
    if (answering->form->refuse != NULL) answering->form->refuse(answering->exchange, refusal);
    else cm_reply_refusal(answering->exchange, refusal);
    cm_answering_close(answering);
}

/* ---- streams ---- */

static enum job_state advance(struct answering *answering)
{
    struct service *const service = answering->server->service;
    const double          seconds = answering->tells_progress ? PROGRESS_SECONDS : TICK_SECONDS;
    const enum job_state  state = cm_service_wait(service, answering->job, seconds, &answering->records);
    struct refusal        refusal = {0};
    take_records(answering);
    if (state != JOB_OVER) return state;
    cm_service_wait(service, answering->job, 0, &answering->records); /* what came before the end */
    take_records(answering);
    answering->is_over = true;
    if (!has_failed(answering, &refusal)) finish_parser(answering);
    if (has_failed(answering, &refusal)) fail(answering, &refusal);
    else answering->form->finish(answering);
    return state;
}

static void tell_progress(struct answering *answering)
{
    const int n_read = cm_service_n_read(answering->server->service, answering->job);
    if (n_read >= 0 && n_read < answering->job->want.n_tokens) answering->form->progress(answering, n_read);
}

static long read_stream(void *user, char *bytes, size_t capacity)
{
    struct answering *const answering = user;
    const double            ping = answering->ping_seconds;
    while (answering->n_sent == answering->out.bytes.n) {
        answering->out.bytes.n = answering->n_sent = 0;
        if (answering->is_over) return answering->out.failed ? HTTP_STREAM_BROKEN : HTTP_STREAM_END;
        if (cm_http_client_left(answering->exchange)) return HTTP_STREAM_BROKEN;
        const enum job_state state = advance(answering);
        if (answering->tells_progress && answering->form->progress != NULL && state == JOB_READING &&
            answering->out.bytes.n == 0)
            tell_progress(answering);
        if (answering->out.failed) return HTTP_STREAM_BROKEN;
        if (answering->out.bytes.n == 0 && ping > 0 && cm_seconds() - answering->last_sent >= ping)
            cm_write_raw(&answering->out, ": ping\n\n");
    }
    const size_t left = answering->out.bytes.n - answering->n_sent, n = left < capacity ? left : capacity;
    memcpy(bytes, answering->out.bytes.at + answering->n_sent, n);
    answering->n_sent += n;
    answering->last_sent = cm_seconds();
    return (long)n;
}

static void close_stream(void *user) { cm_answering_close(user); }

/* Waits until the job has a slot, or has waited long: an error before the first byte is sent gets its own HTTP
 * status. */
static bool wait_for_slot(struct answering *answering, struct refusal *refusal)
{
    struct service *const service = answering->server->service;
    const double          until = cm_seconds() + BEGIN_SECONDS;
    enum job_state        state;
    do {
        state = cm_service_wait_begun(service, answering->job, TICK_SECONDS);
        if (cm_http_client_left(answering->exchange)) return cm_refuse(refusal, 503, NULL, "the client left");
    } while (state == JOB_QUEUED && cm_seconds() < until);
    return state != JOB_OVER || answering->job->out.n > 0 || !has_failed(answering, refusal);
}

static void answer_stream(struct answering *answering)
{
    struct refusal refusal = {0};
    if (!wait_for_slot(answering, &refusal)) {
        cm_answer_refusal(answering, &refusal);
        return;
    }
    answering->last_sent = cm_seconds();
    if (answering->form->begin != NULL) answering->form->begin(answering);
    const struct http_stream stream = {.read = read_stream, .close = close_stream, .user = answering};
    cm_http_stream(answering->exchange, "text/event-stream", &stream);
}

/* ---- whole answers ---- */

bool cm_answering_wait(struct answering *answering, struct refusal *refusal)
{
    struct service *const service = answering->server->service;
    enum job_state        state;
    do {
        state = cm_service_wait(service, answering->job, TICK_SECONDS, &answering->records);
        take_records(answering);
        if (state != JOB_OVER && cm_http_client_left(answering->exchange))
            return cm_refuse(refusal, 503, NULL, "the client left");
    } while (state != JOB_OVER);
    (void)cm_service_wait(service, answering->job, 0, &answering->records); /* what came before the end */
    take_records(answering);
    finish_parser(answering);
    return !has_failed(answering, refusal);
}

static void answer_whole(struct answering *answering)
{
    struct refusal     refusal = {0};
    struct json_writer writer = {.failed = false};
    if (!cm_answering_wait(answering, &refusal)) {
        cm_answer_refusal(answering, &refusal);
        return;
    }
    answering->form->whole(answering, &writer);
    cm_reply(answering->exchange, 200, &writer);
    cm_answering_close(answering);
}

void cm_answer(struct answering *answering)
{
    struct refusal refusal = {0};
    if (!cm_service_submit(answering->server->service, answering->job, &refusal))
        cm_answer_refusal(answering, &refusal);
    else if (answering->is_stream) answer_stream(answering);
    else answer_whole(answering);
}
