/* tools/serve/slot_api.c - POST /slots/{id}?action=save|restore|erase: what a slot has read, to a file and back. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/serve/contexts.h"
#include "tools/serve/server.h"
#include "tools/serve/service_parts.h"

enum action { ACTION_SAVE, ACTION_RESTORE, ACTION_ERASE };

struct slot_action {
    enum action    action;
    int            slot;
    char           path[PATH_MAX];
    struct refusal refusal;
    int            n_tokens;
    double         seconds;
};

static void refuse_status(struct slot_action *action, const struct service *service, calmoe_status status)
{
    const int http = status == CALMOE_IO || status == CALMOE_NO_MEMORY ? 500 : 400;
    (void)cm_refuse(&action->refusal, http, NULL, "%s", calmoe_context_message(service->front.context));
}

static void restore(struct slot_action *action, struct service *service, struct slot *slot)
{
    calmoe_session        *session = NULL;
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.context    = service->context;
    options.ignore_end = 1;
    if (access(action->path, F_OK) != 0) {
        (void)cm_refuse(&action->refusal, 404, "filename", "no slot was saved as '%.200s'",
                        strrchr(action->path, '/') + 1);
        return;
    }
    const calmoe_status status =
        calmoe_session_restore(service->front.engine, action->path, &options, &session);
    if (status != CALMOE_OK) {
        refuse_status(action, service, status);
        return;
    }
    cm_slot_clear(slot);
    slot->session    = session;
    slot->n_exact    = calmoe_session_n_positions(session);
    slot->last_used  = ++service->n_jobs;
    action->n_tokens = slot->n_exact;
}

/* On the engine's thread. */
static void act(void *user, struct service *service)
{
    struct slot_action *const action = user;
    struct slot *const        slot = &service->slots[action->slot];
    const double              begin = cm_seconds();
    if (slot->job != NULL) {
        (void)cm_refuse(&action->refusal, 503, NULL, "slot %d is at work", action->slot);
        return;
    }
    if (action->action == ACTION_RESTORE) {
        restore(action, service, slot);
    } else if (action->action == ACTION_ERASE) {
        action->n_tokens = calmoe_session_n_tokens(slot->session);
        cm_slot_clear(slot);
    } else if (slot->session == NULL || slot->n_exact == 0) {
        (void)cm_refuse(&action->refusal, 400, NULL, "slot %d has read nothing", action->slot);
    } else {
        /* Tokens that were read under a policy cannot be used by others. */
        calmoe_status status = calmoe_session_rewind(slot->session, slot->n_exact);
        if (status == CALMOE_OK) status = calmoe_session_save(slot->session, action->path);
        action->n_tokens = calmoe_session_n_positions(slot->session);
        if (status != CALMOE_OK) refuse_status(action, service, status);
    }
    action->seconds = cm_seconds() - begin;
}

/* The name of a file directly in the folder. */
static bool read_path(const struct server *server, const struct http_request *request, struct slot_action *action)
{
    struct refusal *const    refusal = &action->refusal;
    const char              *name = NULL;
    struct sent_value *const body = cm_sent_read(request->body, request->n_body, refusal);
    bool is_fine = body != NULL && cm_read_text(body, "filename", &name, refusal);
    is_fine = is_fine && cm_saved_path(server, "filename", name, action->path, sizeof action->path, refusal);
    cm_sent_free(body);
    return is_fine;
}

static bool read_action(const struct server *server, struct http_exchange *exchange,
                        const struct http_request *request, struct slot_action *action)
{
    static const char *const words[] = {[ACTION_SAVE] = "save", [ACTION_RESTORE] = "restore", [ACTION_ERASE] = "erase"};
    const char *const        word = cm_http_query(exchange, "action");
    const char *const        number = strrchr(request->path, '/') + 1;
    char                    *end = NULL;
    const long               slot = strtol(number, &end, 10);
    if (!cm_server_is_ready(server, &action->refusal)) return false;
    if (end == number || *end != '\0' || slot < 0 || slot >= cm_service_n_slots(server->service))
        return cm_refuse(&action->refusal, 400, NULL, "slots are numbered from 0 to %d, found '%.20s'",
                         cm_service_n_slots(server->service) - 1, number);
    action->slot   = (int)slot;
    action->action = ACTION_SAVE;
    while (action->action <= ACTION_ERASE && (word == NULL || strcmp(word, words[action->action]) != 0))
        action->action++;
    if (action->action > ACTION_ERASE)
        return cm_refuse(&action->refusal, 400, "action", "'action' wants save, restore or erase, found '%.20s'",
                         word != NULL ? word : "");
    if (action->action == ACTION_ERASE) return true;
    return read_path(server, request, action);
}

static void write_done(struct json_writer *writer, const struct slot_action *action)
{
    static const char *const counts[] = {[ACTION_SAVE] = "n_saved", [ACTION_RESTORE] = "n_restored",
                                         [ACTION_ERASE] = "n_erased"};
    struct stat file;
    cm_write_object(writer, NULL);
    cm_write_integer(writer, "id_slot", action->slot);
    if (action->action != ACTION_ERASE) {
        cm_write_text(writer, "filename", strrchr(action->path, '/') + 1);
        if (stat(action->path, &file) == 0)
            cm_write_integer(writer, action->action == ACTION_SAVE ? "n_written" : "n_read", file.st_size);
    }
    cm_write_integer(writer, counts[action->action], action->n_tokens);
    cm_write_object(writer, "timings");
    cm_write_real(writer, action->action == ACTION_RESTORE ? "restore_ms" : "save_ms", action->seconds * 1e3);
    cm_write_end_object(writer);
    cm_write_end_object(writer);
}

void cm_serve_slot_action(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct slot_action *const action = calloc(1, sizeof *action);
    struct json_writer        writer = {.failed = false};
    if (action == NULL) {
        struct refusal refusal = {0};
        (void)cm_refuse_memory(&refusal);
        cm_reply_refusal(exchange, &refusal);
        return;
    }
    if (read_action(server, exchange, request, action) && !cm_service_call(server->service, act, action))
        (void)cm_refuse(&action->refusal, 503, NULL, "the server is shutting down");
    if (action->refusal.status != 0) {
        cm_reply_refusal(exchange, &action->refusal);
    } else {
        write_done(&writer, action);
        cm_reply(exchange, 200, &writer);
    }
    free(action);
}
