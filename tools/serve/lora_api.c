/* tools/serve/lora_api.c - /lora-adapters: which adapters the server has, and how strongly they are used by requests
 * that do not say it themselves ("lora": [{"id", "scale"}]). */
#include <string.h>

#include "tools/serve/generation_request.h"
#include "tools/serve/server.h"

static void list(struct server *server, struct http_exchange *exchange)
{
    struct json_writer writer = {.failed = false};
    float              scales[CALMOE_MAX_ADAPTERS];
    cm_service_get_scales(server->service, scales);
    cm_write_array(&writer, NULL);
    for (int i = 0; i < cm_service_n_adapters(server->service); i++) {
        const calmoe_adapter_info *const about = cm_service_adapter(server->service, i);
        cm_write_object(&writer, NULL);
        cm_write_integer(&writer, "id", i);
        cm_write_text(&writer, "path", about->path);
        cm_write_real(&writer, "scale", (double)scales[i]);
        cm_write_text(&writer, "name", about->name);
        cm_write_text(&writer, "fingerprint", about->fingerprint);
        cm_write_integer(&writer, "rank", about->rank);
        if (about->n_virtual_tokens > 0) cm_write_integer(&writer, "virtual_tokens", about->n_virtual_tokens);
        cm_write_end_object(&writer);
    }
    cm_write_end_array(&writer);
    cm_reply(exchange, 200, &writer);
}

/* The body is an array, which is read as the only member of an object. */
static struct sent_value *read_body(const struct http_request *request, struct refusal *refusal)
{
    struct bytes       text = {0};
    struct sent_value *body = NULL;
    if (cm_bytes_append(&text, "{\"adapters\":", 12) && cm_bytes_append(&text, request->body, request->n_body) &&
        cm_bytes_append(&text, "}", 1))
        body = cm_sent_read(text.at, text.n, refusal);
    else (void)cm_refuse_memory(refusal);
    cm_bytes_close(&text);
    return body;
}

/* Adapters that it does not name are no longer used. */
static bool set(struct server *server, const struct http_request *request, struct refusal *refusal)
{
    struct sent_value *const body = read_body(request, refusal);
    const struct sent_value *adapters = NULL;
    float                    scales[CALMOE_MAX_ADAPTERS];
    int                      n = 0;
    bool is_fine = body != NULL && cm_read_value(body, "adapters", SENT_ARRAY, &adapters, refusal);
    if (is_fine && adapters == NULL) is_fine = cm_refuse(refusal, 400, NULL, "an array of {\"id\", \"scale\"} is "
        "wanted");
    is_fine = is_fine && cm_read_scales(adapters, "adapters", &n, scales, refusal);
    if (is_fine && n > cm_service_n_adapters(server->service))
        is_fine = cm_refuse(refusal, 400, "id", "the adapter %d is named; the server has %d, numbered from 0", n - 1,
                            cm_service_n_adapters(server->service));
    is_fine = is_fine && cm_service_set_scales(server->service, scales, refusal);
    cm_sent_free(body);
    return is_fine;
}

void cm_serve_adapters(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct refusal     refusal = {0};
    struct json_writer writer = {.failed = false};
    const bool         is_post = strcmp(request->method, "POST") == 0;
    if (!cm_server_is_ready(server, &refusal) || (is_post && !set(server, request, &refusal))) {
        cm_reply_refusal(exchange, &refusal);
        return;
    }
    if (!is_post) {
        list(server, exchange);
        return;
    }
    cm_write_object(&writer, NULL);
    cm_write_bool(&writer, "success", true);
    cm_write_end_object(&writer);
    cm_reply(exchange, 200, &writer);
}
