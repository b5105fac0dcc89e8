/* runtime/engine/engine_setup.c - what an engine found on the machine, in one line for people. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "runtime/engine/handles.h"

struct line {
    char  *text;
    size_t n, capacity;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(line->text + line->n, line->capacity - line->n, format, args);
    va_end(args);
    if (n > 0) line->n = (size_t)n < line->capacity - line->n ? line->n + (size_t)n : line->capacity - 1;
}

static void add_threads(struct line *line, const calmoe_engine *engine)
{
    const int   n = cm_team_n_wanted(engine->team), n_cores = engine->topology.n_cores;
    const long  n_online = sysconf(_SC_NPROCESSORS_ONLN);
    const char *crowd = cm_team_crowd(engine->team);
    add(line, "%d thread%s on %d core%s of %d node%s", n, n == 1 ? "" : "s", n_cores, n_cores == 1 ? "" : "s",
        engine->topology.n_nodes, engine->topology.n_nodes == 1 ? "" : "s");
    if (n_cores < n_online) add(line, " (the machine has %ld processors)", n_online);
    add(line, ", %s", cm_team_binding(engine->team));
    if (crowd[0] != '\0') add(line, " because of %s", crowd);
}

static void add_disk(struct line *line, const struct expert_stream *stream)
{
    const struct stream_size size = cm_expert_stream_size(stream);
    if (size.ring_error == 0) add(line, "; experts are read from disk by io_uring");
    else add(line, "; experts are read from disk by pread (io_uring: %s)", strerror(size.ring_error));
    if (size.is_direct) add(line, ", past the system's cache");
}

calmoe_status calmoe_engine_describe(const calmoe_engine *engine, char *text, size_t capacity)
{
    char        name[CM_LIMIT_NAME], bytes[32];
    struct line line = {text, 0, capacity};
    if (!engine || !text || capacity == 0)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_describe: engine and text are needed");
    add_threads(&line, engine);
    const double quota = cm_cpu_quota(cm_limits_root(), name);
    if (quota > 0.0) add(&line, "; a quota of %.3g processors by %s", quota, name);
    const uint64_t memory = cm_memory_limit(cm_limits_root());
    if (memory > 0) add(&line, "; %s of memory by the control groups", cm_bytes_text(memory, bytes));
    add(&line, "; weights take %s", cm_bytes_text(engine->weights->packed.n_bytes, bytes));
    if (engine->weights->stream) add_disk(&line, engine->weights->stream);
    return CALMOE_OK;
}
