/* adapted.c - adapters on several ranks: each packs its own part of them; sessions with and without one in a step; one
 * that is closed while it is used; one that cannot be opened; and a restored session that uses one. Prefixes likewise:
 * each rank puts the kv heads that it keeps before the session. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <calmoe/adapter.h>

#include "tests/ranks/driver.h"

/* MODEL.gguf has its adapter in adapters/MODEL beside it, and may have a prefix in adapters/MODEL_prefix. */
static const char *adapter_of(const char *model, const char *kind, char path[600])
{
    const char *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;
    snprintf(path, 600, "%.*sadapters/%.*s%s", (int)(name - model), model, (int)(strlen(name) - strlen(".gguf")), name,
             kind);
    return path;
}

static const char *file_of(char path[600])
{
    snprintf(path, 600, "%s/adapted.session", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    return path;
}

/* Session 0 has the prefix, session 1 nothing, session 2 the prefix and a LoRA. */
static void read_prefixed(struct run *run, const calmoe_session_options *options)
{
    char path[600], file[600];
    calmoe_adapter *adapters[2];
    calmoe_session **const sessions = run->sessions;
    const float scales[] = {1.0f, -0.5f};
    if (access(adapter_of(run->path, "_prefix", path), R_OK) != 0) return;
    must(run, calmoe_adapter_open(run->engine, path, &adapters[0]));
    must(run, calmoe_adapter_open(run->engine, adapter_of(run->path, "", path), &adapters[1]));
    open_sessions(run, options);
    must(run, calmoe_session_set_adapters(sessions[0], adapters, scales, 1));
    must(run, calmoe_session_set_adapters(sessions[2], adapters, scales, 2));
    step(run, (const int[]){4, 3, 2, 0}, 0, CALMOE_LOGITS_ALL);
    must(run, calmoe_session_fork(sessions[0], &sessions[N_SESSIONS]));
    step(run, (const int[]){1, 0, 5, 2}, 4, CALMOE_LOGITS_ALL);
    must(run, calmoe_session_save(sessions[2], file_of(file)));
    calmoe_session_close(&sessions[1]);
    must(run, calmoe_session_restore(run->engine, file, options, &sessions[1]));
    must(run, calmoe_session_rewind(sessions[0], 0)); /* the prefix is put there anew */
    must(run, calmoe_session_rewind(sessions[2], 3));
    step(run, (const int[]){5, 1, 2, 1}, 6, CALMOE_LOGITS_ALL);
    must(run, calmoe_session_rewind(sessions[2], 0));
    must(run, calmoe_session_set_adapters(sessions[2], NULL, NULL, 0)); /* and taken from there */
    step(run, (const int[]){1, 1, 4, 1}, 2, CALMOE_LOGITS_ALL);
    calmoe_adapter_close(&adapters[0]);
    calmoe_adapter_close(&adapters[1]);
    close_sessions(run);
}

void read_adapted(struct run *run)
{
    char path[600], file[600];
    calmoe_session_options options;
    calmoe_adapter *adapter, *none;
    calmoe_session **const sessions = run->sessions;
    const float scales[] = {1.0f, -0.5f};
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.ignore_end = 1;
    open_sessions(run, &options);
    step(run, (const int[]){0, 2, 0, 0}, 0, CALMOE_LOGITS_ALL);
    if (calmoe_adapter_open(run->engine, "no such adapter", &none) == CALMOE_OK) exit(1);
    must(run, calmoe_adapter_open(run->engine, adapter_of(run->path, "", path), &adapter));
    must(run, calmoe_session_set_adapters(sessions[0], &adapter, &scales[0], 1));
    must(run, calmoe_session_set_adapters(sessions[2], &adapter, &scales[1], 1));
    step(run, (const int[]){4, 2, 3, 0}, 2, CALMOE_LOGITS_ALL);
    must(run, calmoe_session_fork(sessions[2], &sessions[N_SESSIONS]));
    step(run, (const int[]){1, 1, 1, 1}, 7, CALMOE_LOGITS_ALL);
    must(run, calmoe_session_save(sessions[0], file_of(file)));
    calmoe_session_close(&sessions[1]);
    must(run, calmoe_session_restore(run->engine, file, &options, &sessions[1]));
    calmoe_adapter_close(&adapter); /* for sessions that have it, it stays */
    step(run, (const int[]){1, 2, 0, 1}, 9, CALMOE_LOGITS_ALL);
    must(run, calmoe_session_rewind(sessions[0], 0));
    must(run, calmoe_session_set_adapters(sessions[0], NULL, NULL, 0));
    step(run, (const int[]){4, 1, 0, 0}, 2, CALMOE_LOGITS_ALL);
    close_sessions(run);
    read_prefixed(run, &options);
}
