/* tools/serve/contexts.c - see contexts.h. */
#include "tools/serve/contexts.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/serve/service_parts.h"

bool cm_saved_path(const struct server *server, const char *field, const char *name, char *path, size_t capacity,
                   struct refusal *refusal)
{
    if (server->slot_folder == NULL)
        return cm_refuse(refusal, 501, NULL, "the server was started without --slot-save-path");
    if (name == NULL) return cm_refuse(refusal, 400, field, "'%s' wants a text, found none", field);
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL || strlen(name) > MAX_SAVED_NAME)
        return cm_refuse(refusal, 400, field, "'%s' wants a name without '/' that does not begin with '.', found "
                                              "'%.60s'", field, name);
    const int n = snprintf(path, capacity, "%s/%s", server->slot_folder, name);
    return (n >= 0 && (size_t)n < capacity) || cm_refuse(refusal, 400, field, "'%s' is too long", field);
}

/* ---- on the engine's thread ---- */

struct look_up {
    const char    *name;
    char           path[PATH_MAX];
    struct refusal refusal;
    struct bytes   text;     /* if it is a system text: the text       */
    int32_t       *tokens;   /* (n_tokens) else: its tokens            */
    int            n_tokens;
    bool           is_system;
    char           sha256[65];
};

/* The place that has the file in its present version; else the place that is missed least, which is emptied. */
static struct kept_context *place_for(struct service *service, const char *name, const struct stat *file)
{
    struct kept_context *best = &service->contexts[0];
    for (int i = 0; i < MAX_CONTEXTS; i++) {
        struct kept_context *const context = &service->contexts[i];
        if (context->slot.session != NULL && strcmp(context->name, name) == 0) {
            best = context;
            break;
        }
        if (best->slot.session != NULL &&
            (context->slot.session == NULL || context->slot.last_used < best->slot.last_used))
            best = context;
    }
    if (strcmp(best->name, name) != 0 || best->file.st_mtim.tv_sec != file->st_mtim.tv_sec ||
        best->file.st_mtim.tv_nsec != file->st_mtim.tv_nsec || best->file.st_size != file->st_size ||
        best->file.st_ino != file->st_ino)
        cm_slot_clear(&best->slot);
    return best;
}

static bool restore(struct service *service, struct kept_context *context, struct look_up *ask)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.context    = service->context;
    options.ignore_end = 1;
    const calmoe_status status =
        calmoe_session_restore(service->front.engine, ask->path, &options, &context->slot.session);
    if (status != CALMOE_OK)
        return cm_refuse(&ask->refusal, status == CALMOE_NO_MEMORY ? 500 : 400, "context", "%s",
                         calmoe_context_message(service->front.context));
    (void)snprintf(context->name, sizeof context->name, "%s", ask->name);
    context->slot.n_exact = calmoe_session_n_positions(context->slot.session);
    return true;
}

/* Copies what the client's thread needs to know about it. */
static bool copy_out(const calmoe_session *session, struct look_up *ask)
{
    calmoe_source source = {.size = sizeof source};
    const bool    has_source = calmoe_session_source(session, &source) == CALMOE_OK;
    const size_t  n = (size_t)calmoe_session_n_positions(session);
    if (has_source) memcpy(ask->sha256, source.sha256, sizeof ask->sha256);
    ask->is_system = has_source && source.is_system;
    if (ask->is_system)
        return cm_bytes_append(&ask->text, source.text, source.n_bytes) || cm_refuse_memory(&ask->refusal);
    ask->tokens = malloc((n + 1) * sizeof *ask->tokens);
    if (ask->tokens == NULL) return cm_refuse_memory(&ask->refusal);
    memcpy(ask->tokens, calmoe_session_tokens(session), n * sizeof *ask->tokens);
    ask->n_tokens = (int)n;
    return true;
}

static void look_up(void *user, struct service *service)
{
    struct look_up *const ask = user;
    struct stat           file;
    if (stat(ask->path, &file) != 0) {
        (void)cm_refuse(&ask->refusal, 404, "context", "there is no context '%.200s'", ask->name);
        return;
    }
    struct kept_context *const context = place_for(service, ask->name, &file);
    if (context->slot.session == NULL && !restore(service, context, ask)) return;
    context->file           = file;
    context->slot.last_used = ++service->n_jobs;
    (void)copy_out(context->slot.session, ask);
}

/* ---- on the client's thread ---- */

static bool find(struct answering *answering, struct look_up *ask, struct refusal *refusal)
{
    struct server *const     server = answering->server;
    struct own_request *const own = &answering->own;
    ask->name = own->context;
    if (!cm_saved_path(server, "context", own->context, ask->path, sizeof ask->path, refusal)) return false;
    if (!cm_service_call(server->service, look_up, ask)) {
        (void)cm_server_is_ready(server, refusal);
        return cm_refuse(refusal, 503, NULL, "the server is shutting down");
    }
    memcpy(own->context_sha256, ask->sha256, sizeof own->context_sha256);
    if (ask->refusal.status != 0) *refusal = ask->refusal;
    return ask->refusal.status == 0;
}

bool cm_prepend_context(struct answering *answering, struct refusal *refusal)
{
    struct job_request *const want = &answering->job->want;
    struct look_up            ask = {.n_tokens = 0};
    if (answering->own.context[0] == '\0') return true;
    bool is_fine = find(answering, &ask, refusal);
    if (is_fine && ask.is_system)
        is_fine = cm_refuse(refusal, 400, "context", "'%.200s' is a context for conversations", ask.name);
    if (is_fine && ask.n_tokens > INT_MAX - want->n_tokens)
        is_fine = cm_refuse_length(refusal, INT_MAX, cm_service_context(answering->server->service));
    const size_t   n_before = (size_t)ask.n_tokens, n_prompt = (size_t)want->n_tokens;
    int32_t *const all = is_fine ? malloc((n_before + n_prompt) * sizeof *all) : NULL;
    if (is_fine && all == NULL) is_fine = cm_refuse_memory(refusal);
    if (is_fine) {
        memcpy(all, ask.tokens, n_before * sizeof *all);
        memcpy(all + n_before, want->tokens, n_prompt * sizeof *all);
        free(want->tokens);
        want->tokens = all;
        want->n_tokens += ask.n_tokens;
    }
    free(ask.tokens);
    cm_bytes_close(&ask.text);
    return is_fine;
}

static bool copy_member(void *user, const char *name, const struct sent_value *value)
{
    struct json_writer *const writer = user;
    if (strcmp(name, "messages") != 0) cm_sent_copy(writer, name, value);
    return true;
}

static bool write_messages(struct json_writer *writer, const struct sent_value *messages, const struct bytes *text,
                           struct refusal *refusal)
{
    cm_write_array(writer, "messages");
    cm_write_object(writer, NULL);
    cm_write_text(writer, "role", "system");
    cm_write_bytes(writer, "content", text->at, text->n);
    cm_write_end_object(writer);
    for (size_t i = 0; i < cm_sent_n(messages); i++) {
        const char *const role = cm_sent_text(cm_sent_at(messages, i), "role");
        if (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0)
            return cm_refuse(refusal, 400, "context", "'context' is the system text: wanted it or a message of '%s', "
                                                      "found both", role);
        cm_sent_copy(writer, NULL, cm_sent_at(messages, i));
    }
    cm_write_end_array(writer);
    return true;
}

bool cm_begin_with_context(struct answering *answering, const struct sent_value *body, struct json_writer *written,
                           struct refusal *refusal)
{
    struct look_up           ask = {.n_tokens = 0};
    const struct sent_value *messages = NULL;
    if (answering->own.context[0] == '\0') return true;
    bool is_fine = cm_read_value(body, "messages", SENT_ARRAY, &messages, refusal) && find(answering, &ask, refusal);
    if (is_fine && !ask.is_system)
        is_fine = cm_refuse(refusal, 400, "context", "'%.200s' is a context without turns: wanted one that calmoe "
                                                     "context --chat made", ask.name);
    if (is_fine) {
        cm_write_object(written, NULL);
        (void)cm_sent_each(body, copy_member, written);
        is_fine = write_messages(written, messages, &ask.text, refusal);
        cm_write_end_object(written);
    }
    free(ask.tokens);
    cm_bytes_close(&ask.text);
    return is_fine && (!written->failed || cm_refuse_memory(refusal));
}
