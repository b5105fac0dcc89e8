/* tools/serve/server.c - see server.h: replies and what endpoints share. */
#include "tools/serve/server.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

void cm_reply(struct http_exchange *exchange, int status, struct json_writer *writer)
{
    static const char no_memory[] = "{\"error\":{\"code\":500,\"message\":\"no memory\",\"type\":\"server_error\"}}";
    if (writer->failed) cm_http_answer(exchange, 500, "application/json", no_memory, sizeof no_memory - 1);
    else cm_http_answer(exchange, status, "application/json; charset=utf-8", writer->bytes.at, writer->bytes.n);
    cm_writer_close(writer);
}

static void reply_refusal(struct http_exchange *exchange, const struct refusal *refusal,
                          void (*write)(struct json_writer *writer, const struct refusal *refusal))
{
    struct json_writer writer = {.failed = false};
    char               seconds[16];
    (void)snprintf(seconds, sizeof seconds, "%d", refusal->retry_after);
    if (refusal->retry_after > 0) cm_http_add_header(exchange, "Retry-After", seconds);
    write(&writer, refusal);
    cm_reply(exchange, refusal->status, &writer);
}

void cm_reply_refusal(struct http_exchange *exchange, const struct refusal *refusal)
{
    reply_refusal(exchange, refusal, cm_refusal_write);
}

void cm_reply_typed_refusal(struct http_exchange *exchange, const struct refusal *refusal)
{
    reply_refusal(exchange, refusal, cm_refusal_write_typed);
}

void cm_make_id(char id[ID_BYTES], const char *begin)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
    unsigned char     random[24] = {0};
    const size_t      n = strlen(begin);
    if (getrandom(random, sizeof random, 0) < 0) memcpy(random, &(double){cm_seconds()}, sizeof(double));
    (void)snprintf(id, ID_BYTES, "%s", begin);
    for (size_t i = 0; i < sizeof random && n + i + 1 < ID_BYTES; i++) {
        id[n + i]     = letters[random[i] % 62];
        id[n + i + 1] = '\0';
    }
}

bool cm_server_is_ready(const struct server *server, struct refusal *refusal)
{
    const enum service_state state = cm_service_state(server->service);
    if (state == SERVICE_READY) return true;
    return cm_refuse(refusal, 503, NULL, "%s",
                     state == SERVICE_LOADING ? "the model is still loading" : "the server is shutting down");
}

struct job *cm_server_job(struct server *server, struct refusal *refusal)
{
    struct job *const job = cm_server_is_ready(server, refusal) ? cm_job_open() : NULL;
    if (job == NULL) (void)cm_refuse_memory(refusal); /* does nothing if it is filled */
    else job->want.sampler = server->sampler;
    return job;
}

const calmoe_model *cm_server_model(const struct server *server) { return cm_service_calmoe_model(server->service); }
