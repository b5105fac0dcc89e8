/* tools/front.c - see front.h. */
#include "tools/front.h"

#include <calmoe/machine.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cm_front_leads(const struct front *front) { return calmoe_ranks_own(front->ranks) == 0; }

static void say(const struct front *front, const char *sentence)
{
    if (cm_front_leads(front)) cm_say("%s", sentence);
    else cm_say("rank %d: %s", calmoe_ranks_own(front->ranks), sentence);
}

/* The same remark several times in a row is printed once: each session of a server would repeat it. */
static void log_remark(void *user, const char *sentence)
{
    static char last[400]; /* shared by all fronts of the program */
    if (strcmp(last, sentence) == 0) return;
    snprintf(last, sizeof last, "%s", sentence);
    say(user, sentence);
}

bool cm_front_succeeded(const struct front *front, calmoe_status status)
{
    if (status == CALMOE_OK) return true;
    const char *sentence = calmoe_context_message(front->context);
    if (sentence[0] == '\0') sentence = calmoe_status_text(status);
    say(front, sentence);
    return false;
}

/* A positive number from an environment variable; 0 if it is not set. */
static bool read_number(const char *name, double *number)
{
    const char *text = getenv(name);
    char       *end  = NULL;
    *number          = text != NULL ? strtod(text, &end) : 0;
    if (text == NULL || (end != text && *end == '\0' && *number > 0)) return true;
    cm_say("the environment variable %s wants a number above 0, found '%s'", name, text);
    return false;
}

/* GB/s: the best of several passes, since the machine may also do other things. */
static bool measure(const struct front *front, double *bandwidth)
{
    enum { PASSES = 8 };
    calmoe_machine_options options;
    calmoe_read_meter     *meter = NULL;
    calmoe_machine_options_init(&options);
    if (!cm_front_succeeded(front, calmoe_read_meter_open(front->context, &options, &meter))) return false;
    for (int i = 0; i < PASSES; i++) {
        const double rate = calmoe_read_meter_pass(meter) / 1e9;
        if (rate > *bandwidth) *bandwidth = rate;
    }
    calmoe_read_meter_close(&meter);
    return true;
}

static bool open_ranks(struct front *front)
{
    static const char    stated[] = "CALMOE_RANKS_BANDWIDTH";
    const bool           measures = getenv(stated) != NULL && strcmp(getenv(stated), "measure") == 0;
    calmoe_ranks_options options;
    calmoe_ranks_options_init(&options);
    return read_number("CALMOE_RANKS_TIMEOUT", &options.timeout) &&
           (measures ? measure(front, &options.bandwidth) : read_number(stated, &options.bandwidth)) &&
           cm_front_succeeded(front, calmoe_ranks_open(front->context, &options, &front->ranks));
}

bool cm_front_open(struct front *front)
{
    calmoe_context_options options;
    calmoe_context_options_init(&options);
    options.log      = log_remark;
    options.log_user = front;
    return cm_front_succeeded(front, calmoe_context_open(&options, &front->context)) &&
           (calmoe_ranks_launched() == 1 || open_ranks(front));
}

bool cm_front_open_model(struct front *front, const char *path, bool vocabulary_only)
{
    calmoe_model_options options;
    calmoe_model_options_init(&options);
    options.vocabulary_only = vocabulary_only;
    if (front->context == NULL && !cm_front_open(front)) return false;
    return cm_front_succeeded(front,
                              calmoe_model_open(front->context, path, &options, &front->model));
}

bool cm_front_open_draft_model(struct front *front, const char *path)
{
    calmoe_model_options options;
    calmoe_model_options_init(&options);
    if (front->shares_file) options.ranks = front->ranks;
    return path == NULL ||
           cm_front_succeeded(front, calmoe_model_open(front->context, path, &options, &front->draft_model));
}

/* Callbacks of the caller are for rank 0 only. */
static void follow(struct front *front, calmoe_engine_options *options)
{
    options->profile = 0;
    options->routing = NULL;
    front->is_as_one = cm_front_succeeded(front, calmoe_engine_open(front->model, options, &front->engine)) &&
                       cm_front_succeeded(front, calmoe_engine_follow(front->engine));
    const int status = front->is_as_one ? 0 : 1;
    cm_front_close(front);
    exit(status);
}

bool cm_front_open_engine(struct front *front, const calmoe_engine_options *options)
{
    struct progress_bar   bar;
    calmoe_engine_options with_bar = *options;
    with_bar.ranks                 = front->ranks;
    with_bar.draft_model           = front->draft_model;
    if (!cm_front_leads(front)) follow(front, &with_bar);
    with_bar.progress              = cm_bar_move;
    with_bar.progress_user         = &bar;
    cm_bar_begin(&bar, "loading");
    const calmoe_status status = calmoe_engine_open(front->model, &with_bar, &front->engine);
    cm_bar_end(&bar);
    front->is_as_one = status == CALMOE_OK;
    return cm_front_succeeded(front, status);
}

void cm_front_close(struct front *front)
{
    const char *sentence = calmoe_context_message(front->context), *failure = NULL;
    if (!front->is_as_one) failure = sentence[0] != '\0' ? sentence : "it did not get as far as the others";
    calmoe_engine_close(&front->engine);
    calmoe_model_close(&front->model);
    calmoe_model_close(&front->draft_model);
    calmoe_ranks_close(&front->ranks, failure);
    calmoe_context_close(&front->context);
}

bool cm_bytes_append(struct bytes *bytes, const void *from, size_t n)
{
    if (n > bytes->capacity - bytes->n) {
        size_t capacity = bytes->capacity != 0 ? bytes->capacity : 4096;
        while (n > capacity - bytes->n && capacity <= SIZE_MAX / 2) capacity *= 2;
        char *grown = n > capacity - bytes->n ? NULL : realloc(bytes->at, capacity);
        if (grown == NULL) {
            cm_say("no memory for %zu bytes of text", capacity);
            return false;
        }
        bytes->at       = grown;
        bytes->capacity = capacity;
    }
    if (n > 0) memcpy(bytes->at + bytes->n, from, n);
    bytes->n += n;
    return true;
}

void cm_bytes_drop(struct bytes *bytes, size_t n)
{
    if (n > 0) memmove(bytes->at, bytes->at + n, bytes->n - n);
    bytes->n -= n;
}

void cm_bytes_close(struct bytes *bytes)
{
    free(bytes->at);
    memset(bytes, 0, sizeof *bytes);
}

bool cm_bytes_read_file(struct bytes *bytes, const char *path)
{
    const bool is_stdin = strcmp(path, "-") == 0;
    char       buffer[16384];
    FILE      *file = is_stdin ? stdin : fopen(path, "rb");
    if (file == NULL) {
        cm_say("cannot open '%s': %s", path, strerror(errno));
        return false;
    }
    bool   fine = true;
    size_t n;
    while (fine && (n = fread(buffer, 1, sizeof buffer, file)) > 0)
        fine = cm_bytes_append(bytes, buffer, n);
    if (fine && ferror(file)) {
        cm_say("cannot read %s%s%s: %s", is_stdin ? "standard input" : "'", is_stdin ? "" : path,
               is_stdin ? "" : "'", strerror(errno));
        fine = false;
    }
    if (!is_stdin) (void)fclose(file);
    return fine;
}
