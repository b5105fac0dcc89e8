/* tools/serve/info_api.c - what the server says of itself: models, health, properties, slots, metrics. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/serve/prompts.h"
#include "tools/serve/service_parts.h"
#include "tools/serve/server.h"

extern const char   cm_serve_page_html[]; /* serve_page.html, made into C by the build */
extern const size_t cm_serve_page_html_size;

static bool is_loaded(const struct server *server)
{
    const enum service_state state = cm_service_state(server->service);
    return state == SERVICE_READY || state == SERVICE_DRAINING;
}

static void write_model(struct json_writer *writer, const struct server *server)
{
    const calmoe_model_info *const model = cm_service_model(server->service);
    cm_write_object(writer, NULL);
    cm_write_text(writer, "id", server->name);
    cm_write_text(writer, "object", "model");
    cm_write_integer(writer, "created", server->started);
    cm_write_text(writer, "owned_by", "calmoe");
    if (is_loaded(server)) {
        cm_write_integer(writer, "max_model_len", cm_service_context(server->service));
        cm_write_object(writer, "meta");
        cm_write_text(writer, "vocab_type", model->tokenizer);
        cm_write_integer(writer, "n_vocab", model->n_vocab);
        cm_write_integer(writer, "n_ctx_train", model->context_length);
        cm_write_integer(writer, "n_embd", model->width);
        cm_write_integer(writer, "n_params", (int64_t)model->n_parameters);
        cm_write_integer(writer, "size", (int64_t)model->n_file_bytes);
        cm_write_end_object(writer);
    }
    cm_write_end_object(writer);
}

/* Also answers while the model is loading: it is the first call of nearly every client. */
void cm_serve_models(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct json_writer writer = {.failed = false};
    (void)request;
    cm_write_object(&writer, NULL);
    cm_write_text(&writer, "object", "list");
    cm_write_array(&writer, "data");
    write_model(&writer, server);
    cm_write_end_array(&writer);
    cm_write_array(&writer, "models"); /* where some clients look */
    cm_write_object(&writer, NULL);
    cm_write_text(&writer, "name", server->name);
    cm_write_text(&writer, "model", server->name);
    cm_write_text(&writer, "slug", server->name);
    cm_write_end_object(&writer);
    cm_write_end_array(&writer);
    cm_write_end_object(&writer);
    cm_reply(exchange, 200, &writer);
}

/* /models/NAME */
void cm_serve_model(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct json_writer writer = {.failed = false};
    struct refusal     refusal = {0};
    const char *const  name = strstr(request->path, "/models/") + strlen("/models/"); /* names have slashes, too */
    if (strcmp(name, server->name) != 0) {
        (void)cm_refuse(&refusal, 404, "model", "there is no model '%.100s' here; '%.100s' is", name, server->name);
        cm_reply_refusal(exchange, &refusal);
        return;
    }
    write_model(&writer, server);
    cm_reply(exchange, 200, &writer);
}

void cm_serve_health(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct refusal     refusal = {0};
    struct json_writer writer = {.failed = false};
    (void)request;
    if (!cm_server_is_ready(server, &refusal)) {
        cm_reply_refusal(exchange, &refusal);
        return;
    }
    cm_write_object(&writer, NULL);
    cm_write_text(&writer, "status", "ok");
    cm_write_end_object(&writer);
    cm_reply(exchange, 200, &writer);
}

static void write_sampler(struct json_writer *writer, const calmoe_sampler_options *sampler)
{
    cm_write_object(writer, "params");
    cm_write_real(writer, "temperature", sampler->temperature);
    cm_write_integer(writer, "top_k", sampler->top_k);
    cm_write_real(writer, "top_p", sampler->top_p);
    cm_write_real(writer, "min_p", sampler->min_p);
    cm_write_real(writer, "repeat_penalty", sampler->repeat_penalty);
    cm_write_integer(writer, "repeat_last_n", sampler->repeat_last);
    cm_write_real(writer, "presence_penalty", sampler->presence_penalty);
    cm_write_real(writer, "frequency_penalty", sampler->frequency_penalty);
    cm_write_end_object(writer);
}

/* The value of a metadata key of the file, to be freed, or NULL. */
static char *metadata(const calmoe_model *model, const char *wanted)
{
    enum { MOST = 1 << 20 };
    char *text = malloc(MOST);
    for (uint64_t i = 0; text != NULL; i++) {
        const char *key = NULL;
        if (calmoe_model_get_metadata(model, i, &key, text, MOST) != CALMOE_OK) break;
        if (strcmp(key, wanted) == 0) return text;
    }
    free(text);
    return NULL;
}

static void write_special(struct json_writer *writer, const calmoe_model *model, const char *name, const char *key)
{
    char *const  text = metadata(model, key);
    size_t       n = 0;
    const char  *bytes = text != NULL ? calmoe_token_bytes(model, (int32_t)strtol(text, NULL, 10), 1, &n) : "";
    cm_write_bytes(writer, name, bytes, n);
    free(text);
}

/* The prompt that the model's template makes of the conversation, to be freed; NULL: the template refuses it. */
static char *prompt_of(const struct server *server, const char *conversation)
{
    struct refusal      none = {0};
    calmoe_chat_prompt *prompt = NULL;
    char               *text = NULL;
    size_t              n = 0;
    if (cm_open_prompt(server, conversation, strlen(conversation), &prompt, &none))
        text = strdup(calmoe_chat_prompt_text(prompt, &n));
    calmoe_chat_prompt_close(&prompt);
    return text;
}

#define CALL(name) "{\"id\":\"call_000\",\"type\":\"function\",\"function\":{\"name\":\"" name \
                   "\",\"arguments\":\"{}\"}}"
#define ASK "{\"role\":\"user\",\"content\":\"Go\"}"
#define CALLS(calls) "{\"messages\":[" ASK ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[" calls "]}," \
                     ASK "]}"
/* Finds out what a template supports: whether it puts what it is given into the prompt. */
static const struct { const char *name, *conversation, *shown; } abilities[] = {
    {"supports_system_role", "{\"messages\":[{\"role\":\"system\",\"content\":\"zqsystem\"}," ASK "]}",
     "zqsystem"},
    {"supports_tools", "{\"messages\":[" ASK "],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"zqtool\","
                       "\"description\":\"\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]}", "zqtool"},
    {"supports_tool_calls", CALLS(CALL("zqcall")), "zqcall"},
    {"supports_parallel_tool_calls", CALLS(CALL("go") "," CALL("zqcall")), "zqcall"},
    {"supports_preserve_reasoning", "{\"messages\":[" ASK ",{\"role\":\"assistant\",\"content\":\"Yes\","
                                    "\"reasoning_content\":\"zqthought\"}," ASK "]}", "zqthought"},
};

static void write_abilities(struct json_writer *writer, const struct server *server)
{
    cm_write_object(writer, "chat_template_caps");
    cm_write_bool(writer, "supports_string_content", true);
    cm_write_bool(writer, "supports_typed_content", true); /* parts of text */
    for (size_t i = 0; i < sizeof abilities / sizeof abilities[0]; i++) {
        char *const text = prompt_of(server, abilities[i].conversation);
        cm_write_bool(writer, abilities[i].name, text != NULL && strstr(text, abilities[i].shown) != NULL);
        free(text);
    }
    char *const little = prompt_of(server, "{\"reasoning_effort\":\"low\",\"messages\":[" ASK "]}");
    char *const much = prompt_of(server, "{\"reasoning_effort\":\"high\",\"messages\":[" ASK "]}");
    cm_write_bool(writer, "supports_reasoning_effort", little != NULL && much != NULL && strcmp(little, much) != 0);
    cm_write_end_object(writer);
    free(little);
    free(much);
}

void cm_serve_props(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct refusal     refusal = {0};
    struct json_writer writer = {.failed = false};
    (void)request;
    if (!is_loaded(server)) {
        (void)cm_refuse(&refusal, 503, NULL, "the model is still loading");
        cm_reply_refusal(exchange, &refusal);
        return;
    }
    const calmoe_model *const model = cm_server_model(server);
    char *const               chat_template = metadata(model, "tokenizer.chat_template");
    char *const               tool_template = metadata(model, "tokenizer.chat_template.tool_use");
    cm_write_object(&writer, NULL);
    cm_write_object(&writer, "default_generation_settings");
    cm_write_integer(&writer, "n_ctx", cm_service_context(server->service));
    write_sampler(&writer, &server->sampler);
    cm_write_end_object(&writer);
    cm_write_integer(&writer, "total_slots", cm_service_n_slots(server->service));
    cm_write_text(&writer, "model_alias", server->name);
    cm_write_text(&writer, "model_path", cm_service_model(server->service)->path);
    cm_write_text(&writer, "chat_template", chat_template != NULL ? chat_template : "");
    if (tool_template != NULL) cm_write_text(&writer, "chat_template_tool_use", tool_template);
    write_abilities(&writer, server);
    cm_write_text(&writer, "chat_format", cm_service_model(server->service)->chat_format);
    write_special(&writer, model, "bos_token", "tokenizer.ggml.bos_token_id");
    write_special(&writer, model, "eos_token", "tokenizer.ggml.eos_token_id");
    cm_write_object(&writer, "modalities");
    cm_write_bool(&writer, "vision", false);
    cm_write_bool(&writer, "audio", false);
    cm_write_end_object(&writer);
    cm_write_format(&writer, ",\"build_info\":\"calmoe %s\"", calmoe_version());
    cm_write_end_object(&writer);
    free(tool_template);
    free(chat_template);
    cm_reply(exchange, 200, &writer);
}

/* Clients of vLLM ask this before they use /tokenize. */
void cm_serve_tokenizer_info(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct refusal     refusal = {0};
    struct json_writer writer = {.failed = false};
    (void)request;
    if (!cm_server_is_ready(server, &refusal)) {
        cm_reply_refusal(exchange, &refusal);
        return;
    }
    const calmoe_model *const model = cm_server_model(server);
    char *const               chat_template = metadata(model, "tokenizer.chat_template");
    cm_write_object(&writer, NULL);
    cm_write_text(&writer, "tokenizer_class", cm_service_model(server->service)->tokenizer);
    write_special(&writer, model, "bos_token", "tokenizer.ggml.bos_token_id");
    write_special(&writer, model, "eos_token", "tokenizer.ggml.eos_token_id");
    cm_write_text(&writer, "chat_template", chat_template != NULL ? chat_template : "");
    cm_write_end_object(&writer);
    free(chat_template);
    cm_reply(exchange, 200, &writer);
}

/* ---- answers from the engine's thread ---- */

struct report {
    struct json_writer writer;
    bool               fails_when_busy; /* answer 503 if no slot is idle */
    bool               is_busy;
    const struct server *server;
};

static void write_slots(void *user, struct service *service)
{
    struct report *const      report = user;
    struct json_writer *const writer = &report->writer;
    report->is_busy = true;
    cm_write_array(writer, NULL);
    for (int i = 0; i < service->options.n_slots; i++) {
        const struct slot *const slot = &service->slots[i];
        report->is_busy = report->is_busy && slot->job != NULL;
        cm_write_object(writer, NULL);
        cm_write_integer(writer, "id", i);
        cm_write_integer(writer, "id_task", slot->job != NULL ? (int64_t)slot->last_used : -1);
        cm_write_integer(writer, "n_ctx", service->context);
        cm_write_bool(writer, "is_processing", slot->job != NULL);
        cm_write_integer(writer, "n_tokens", calmoe_session_n_tokens(slot->session));
        if (slot->job != NULL) {
            cm_write_integer(writer, "n_prompt_tokens", slot->job->want.n_tokens);
            cm_write_integer(writer, "n_prompt_tokens_processed",
                             calmoe_session_n_positions(slot->session) < slot->job->want.n_tokens
                                 ? calmoe_session_n_positions(slot->session) : slot->job->want.n_tokens);
            write_sampler(writer, &slot->job->want.sampler);
            cm_write_array(writer, "next_token");
            cm_write_object(writer, NULL);
            cm_write_integer(writer, "n_decoded", slot->job->figures.n_generated);
            cm_write_integer(writer, "n_remain", slot->job->want.max_tokens < 0 ? -1 : slot->job->want.max_tokens -
                                                     slot->job->figures.n_generated);
            cm_write_end_object(writer);
            cm_write_end_array(writer);
        }
        cm_write_end_object(writer);
    }
    cm_write_end_array(writer);
}

static void write_metrics(void *user, struct service *service)
{
    struct report *const report = user;
    (void)pthread_mutex_lock(&service->lock);
    const struct metrics     copy = service->metrics;
    const struct metrics_now now = {.n_processing = service->n_active, .n_deferred = service->n_queued,
                                    .n_slots = service->options.n_slots};
    (void)pthread_mutex_unlock(&service->lock);
    cm_metrics_write(&report->writer, &copy, &now);
    size_t n = 0;
    (void)calmoe_engine_get_stats_text(service->front.engine, NULL, 0, &n);
    char *const text = malloc(n + 1);
    if (text != NULL && calmoe_engine_get_stats_text(service->front.engine, text, n + 1, &n) == CALMOE_OK)
        cm_write_raw(&report->writer, text);
    free(text);
}

/* How often each expert of each layer was taken since the start. */
static void write_counts(struct json_writer *writer, const struct service *service)
{
    const int       n = service->model.n_experts;
    uint64_t *const counts = calloc((size_t)n, sizeof *counts);
    if (counts == NULL) writer->failed = true;
    cm_write_array(writer, "counts");
    for (int layer = 0; counts != NULL && layer < service->model.n_layers; layer++) {
        cm_write_array(writer, NULL);
        if (calmoe_engine_get_expert_counts(service->front.engine, layer, counts, n) == CALMOE_OK)
            for (int i = 0; i < n; i++) cm_write_integer(writer, NULL, (int64_t)counts[i]);
        cm_write_end_array(writer);
    }
    cm_write_end_array(writer);
    free(counts);
}

/* The figures that the web page shows. */
static void write_state(void *user, struct service *service)
{
    struct report *const      report = user;
    struct json_writer *const writer = &report->writer;
    (void)pthread_mutex_lock(&service->lock);
    const struct metrics metrics = service->metrics;
    const int            n_active = service->n_active, n_queued = service->n_queued;
    (void)pthread_mutex_unlock(&service->lock);
    cm_write_object(writer, NULL);
    cm_write_text(writer, "model", report->server->name);
    cm_write_text(writer, "version", calmoe_version());
    cm_write_integer(writer, "layers", service->model.n_layers);
    cm_write_integer(writer, "experts", service->model.n_experts);
    cm_write_integer(writer, "used", service->model.n_experts_used);
    cm_write_integer(writer, "context", service->context);
    cm_write_integer(writer, "slots", service->options.n_slots);
    cm_write_integer(writer, "processing", n_active);
    cm_write_integer(writer, "deferred", n_queued);
    cm_write_integer(writer, "prompt_tokens", (int64_t)metrics.n_prompt_tokens);
    cm_write_integer(writer, "cached_tokens", (int64_t)metrics.n_cached_tokens);
    cm_write_integer(writer, "predicted_tokens", (int64_t)metrics.n_predicted_tokens);
    cm_write_array(writer, "rungs");
    for (int i = 0; service->policy != NULL && i < calmoe_policy_n_rungs(service->policy); i++) {
        calmoe_rung_info rung = {.size = sizeof rung};
        if (calmoe_policy_get_rung(service->policy, i, &rung) == CALMOE_OK && rung.is_proven && rung.member == 1)
            cm_write_real(writer, NULL, rung.delta);
    }
    cm_write_end_array(writer);
    write_counts(writer, service);
    cm_write_end_object(writer);
}

static bool ask(struct server *server, struct http_exchange *exchange, void (*work)(void *, struct service *),
                struct report *report)
{
    struct refusal refusal = {0};
    report->server = server;
    if (cm_service_call(server->service, work, report)) return true;
    (void)cm_refuse(&refusal, 503, NULL, "the model is not loaded");
    cm_reply_refusal(exchange, &refusal);
    return false;
}

void cm_serve_metrics(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct report report = {.is_busy = false};
    (void)request;
    if (ask(server, exchange, write_metrics, &report))
        cm_http_answer(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", report.writer.bytes.at,
                       report.writer.bytes.n);
    cm_writer_close(&report.writer);
}

void cm_serve_state(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct report report = {.is_busy = false};
    (void)request;
    if (ask(server, exchange, write_state, &report)) cm_reply(exchange, 200, &report.writer);
    else cm_writer_close(&report.writer);
}

void cm_serve_page(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    (void)server;
    (void)request;
    cm_http_add_header(exchange, "Content-Security-Policy",
                       "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'");
    cm_http_answer(exchange, 200, "text/html; charset=utf-8", cm_serve_page_html, cm_serve_page_html_size);
}

void cm_serve_slots(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct report     report = {.is_busy = false};
    const char *const fail = cm_http_query(exchange, "fail_on_no_slot");
    if (strcmp(request->method, "POST") == 0) {
        cm_serve_slot_action(server, exchange, request);
        return;
    }
    if (!ask(server, exchange, write_slots, &report)) {
        cm_writer_close(&report.writer);
        return;
    }
    if (fail != NULL && report.is_busy) {
        struct refusal refusal = {0};
        cm_writer_close(&report.writer);
        (void)cm_refuse(&refusal, 503, NULL, "no slot available");
        cm_reply_refusal(exchange, &refusal);
        return;
    }
    cm_reply(exchange, 200, &report.writer);
}
