/* adapted.c - adapters on several ranks: each packs its own part of them; sessions with and without one in a step; one
 * that is closed while it is used; one that cannot be opened; and a restored session that uses one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <calmoe/adapter.h>

#include "tests/ranks/driver.h"

/* MODEL.gguf has its adapter in adapters/MODEL beside it. */
static const char *adapter_of(const char *model, char path[600])
{
    const char *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;
    snprintf(path, 600, "%.*sadapters/%.*s", (int)(name - model), model, (int)(strlen(name) - strlen(".gguf")), name);
    return path;
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
    must(run, calmoe_adapter_open(run->engine, adapter_of(run->path, path), &adapter));
    must(run, calmoe_session_set_adapters(sessions[0], &adapter, &scales[0], 1));
    must(run, calmoe_session_set_adapters(sessions[2], &adapter, &scales[1], 1));
    step(run, (const int[]){4, 2, 3, 0}, 2, CALMOE_LOGITS_ALL);
    must(run, calmoe_session_fork(sessions[2], &sessions[N_SESSIONS]));
    step(run, (const int[]){1, 1, 1, 1}, 7, CALMOE_LOGITS_ALL);
    snprintf(file, sizeof file, "%s/adapted.session", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    must(run, calmoe_session_save(sessions[0], file));
    calmoe_session_close(&sessions[1]);
    must(run, calmoe_session_restore(run->engine, file, &options, &sessions[1]));
    calmoe_adapter_close(&adapter); /* for sessions that have it, it stays */
    step(run, (const int[]){1, 2, 0, 1}, 9, CALMOE_LOGITS_ALL);
    must(run, calmoe_session_rewind(sessions[0], 0));
    must(run, calmoe_session_set_adapters(sessions[0], NULL, NULL, 0));
    step(run, (const int[]){4, 1, 0, 0}, 2, CALMOE_LOGITS_ALL);
    close_sessions(run);
}
