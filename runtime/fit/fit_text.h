/* runtime/fit/fit_text.h - reads a text in windows, each a sequence of its own, and keeps the states of the rows after
 * some layers and after the last. For fitting exits. */
#ifndef RUNTIME_FIT_FIT_TEXT_H
#define RUNTIME_FIT_FIT_TEXT_H

#include "runtime/engine/handles.h"

struct fit_text {
    const int32_t *tokens; /* (n_tokens) */
    size_t         n_tokens;
    int            window; /* tokens; the last one may be shorter */
};

static inline size_t cm_fit_windows(const struct fit_text *text)
{
    return (text->n_tokens + (size_t)text->window - 1) / (size_t)text->window;
}
/* Window i. */
static inline struct fit_text cm_fit_window(const struct fit_text *text, size_t i)
{
    const size_t at = i * (size_t)text->window, left = text->n_tokens - at, most = (size_t)text->window;
    return (struct fit_text){text->tokens + at, left < most ? left : most, text->window};
}

struct state_reader {
    calmoe_engine  *engine;
    calmoe_session *session;
    int             n_kept;
    const int      *layers;   /* (n_kept) that have run, borrowed              */
    int             max_rows; /* of a step                                     */
    float          *states;   /* (n_kept + 1, max_rows, dim), the last layer's last */
};

calmoe_status cm_state_reader_open(calmoe_engine *engine, const int *layers, int n_kept, int window, int max_rows,
                                   struct state_reader *out);
void          cm_state_reader_close(struct state_reader *reader); /* zeroes it; a zeroed one is fine */

/* Reads a window, and calls see(user, n) after each step of n rows: then their states are there. */
calmoe_status cm_state_reader_read(struct state_reader *reader, const struct fit_text *window,
                                   void (*see)(void *user, int n), void *user);

/* (max_rows, dim) after layers[i]; i = n_kept: after the last layer. */
static inline float *cm_states(const struct state_reader *reader, int i)
{
    return reader->states + (size_t)i * (size_t)reader->max_rows * (size_t)reader->engine->model->spec.dim;
}
static inline float *cm_last_states(const struct state_reader *reader) { return cm_states(reader, reader->n_kept); }

#endif
