/* bench/synthetic_model.c - a model of random weights, written for one run of the bench. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bench/bench.h"

static const uint64_t HEADER_BYTES = 32u << 20; /* metadata and vocabulary: at most about this */

bool cm_bench_read_synthetic(const char *spec, size_t n_spec, struct bench_synthetic *out)
{
    memset(out, 0, sizeof *out);
    if (n_spec >= sizeof out->spec) {
        cm_say("'%.40s…' is too long for SHAPE:TYPE", spec);
        return false;
    }
    memcpy(out->spec, spec, n_spec);
    char  shape[sizeof out->spec];
    snprintf(shape, sizeof shape, "%s", out->spec);
    char *colon = strrchr(shape, ':');
    if (colon == NULL || colon == shape || colon[1] == '\0' || strlen(colon + 1) >= sizeof out->type) {
        cm_say("found '%s'; wanted SHAPE:TYPE, such as a1b:q4_0", out->spec);
        return false;
    }
    *colon = '\0';
    if (!cm_bench_read_shape(shape, out)) return false;
    snprintf(out->type, sizeof out->type, "%s", colon + 1);
    const size_t n_name = strlen(out->name);
    snprintf(out->name + n_name, sizeof out->name - n_name, "-%s", out->type);
    out->options.name = out->name;
    out->options.type = out->type;
    return true;
}

static void folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    const int   n = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
    snprintf(folder, PATH_MAX, "%.*s", n, slash == NULL ? "." : path);
}

static bool has_room(const char *path, const char *spec, uint64_t n_bytes, bool is_temporary)
{
    char           folder[PATH_MAX];
    struct statvfs facts;
    folder_of(path, folder);
    if (statvfs(folder, &facts) != 0) {
        cm_say("cannot write into '%s': %s", folder, strerror(errno));
        return false;
    }
    const uint64_t n_free = (uint64_t)facts.f_bavail * (uint64_t)facts.f_frsize;
    if (n_free >= n_bytes + HEADER_BYTES) return true;
    cm_say("'%s' has %.2f GB free; the model %s takes up to %.2f GB%s", folder, (double)n_free / 1e9, spec,
           (double)(n_bytes + HEADER_BYTES) / 1e9, is_temporary ? "; TMPDIR names another folder" : "");
    return false;
}

/* Makes an empty file with an unused name; the model will be renamed to it. */
static bool begin_temporary(char path[PATH_MAX])
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, PATH_MAX, "%s/calmoe-bench-XXXXXX", folder != NULL && folder[0] != '\0' ? folder : "/tmp");
    const int file = mkstemp(path);
    if (file < 0) {
        cm_say("cannot write '%s': %s", path, strerror(errno));
        return false;
    }
    (void)close(file);
    return true;
}

static bool write_model(struct front *front, const struct bench_synthetic *synthetic, const char *path,
                        uint64_t n_bytes, bool is_temporary)
{
    struct progress_bar bar;
    if (!has_room(path, synthetic->spec, n_bytes, is_temporary)) return false;
    if (isatty(STDERR_FILENO))
        cm_say("writing %s, %.2f GB, to '%s'%s", synthetic->spec, (double)n_bytes / 1e9, path,
               is_temporary ? ", which is removed again" : "");
    cm_bar_begin(&bar, synthetic->spec);
    const calmoe_status status = calmoe_synthesize(front->context, &synthetic->options, path, cm_bar_move, &bar);
    cm_bar_end(&bar);
    return cm_front_succeeded(front, status);
}

bool cm_bench_open_synthetic(struct front *front, const struct bench_synthetic *synthetic, const char *save,
                             const struct model_request *numbers, double *start)
{
    char     path[PATH_MAX];
    uint64_t n_bytes = 0;
    if (front->context == NULL && !cm_front_open(front)) return false;
    if (!cm_front_succeeded(front, calmoe_synthetic_bytes(front->context, &synthetic->options, &n_bytes)))
        return false;
    if (save != NULL) snprintf(path, sizeof path, "%s", save);
    else if (!begin_temporary(path)) return false;
    const bool is_written = write_model(front, synthetic, path, n_bytes, save == NULL);
    *start = cm_seconds();
    const bool fine = is_written && cm_model_request_open(front, path, numbers, 0);
    if (save == NULL) (void)unlink(path); /* the open model keeps its map of the file */
    return fine;
}
