/* fit_text.c - see fit_text.h. */
#include "runtime/fit/fit_text.h"

#include <string.h>

#include "base/memory.h"

static void keep_states(void *user, int layer, int begin, int end, const float *x)
{
    const struct state_reader *reader = user;
    const struct model_spec   *spec = &reader->engine->model->spec;
    const size_t dim = (size_t)spec->dim;
    int i = 0;
    while (i < reader->n_kept && reader->layers[i] != layer + 1) i++;
    if (i == reader->n_kept && layer != spec->n_layers - 1) return;
    memcpy(cm_states(reader, i) + (size_t)begin * dim, x + (size_t)begin * dim,
           (size_t)(end - begin) * dim * sizeof *x);
}

calmoe_status cm_state_reader_open(calmoe_engine *engine, const int *layers, int n_kept, int window, int max_rows,
                                   struct state_reader *out)
{
    calmoe_session_options options;
    *out = (struct state_reader){.engine = engine, .n_kept = n_kept, .layers = layers, .max_rows = max_rows};
    calmoe_session_options_init(&options);
    options.context = window;
    out->states = cm_alloc(engine->ctx, (size_t)(n_kept + 1) * (size_t)max_rows,
                           (size_t)engine->model->spec.dim * sizeof *out->states, "hidden states");
    if (!out->states) return CALMOE_NO_MEMORY;
    const calmoe_status status = calmoe_session_open(engine, &options, &out->session);
    if (status != CALMOE_OK) cm_state_reader_close(out);
    return status;
}

void cm_state_reader_close(struct state_reader *reader)
{
    calmoe_session_close(&reader->session);
    cm_free(reader->states);
    *reader = (struct state_reader){.n_kept = 0};
}

calmoe_status cm_state_reader_read(struct state_reader *reader, const struct fit_text *window,
                                   void (*see)(void *user, int n), void *user)
{
    const struct step_observer observer = {reader, .states = keep_states};
    CM_TRY(calmoe_session_rewind(reader->session, 0));
    for (size_t at = 0; at < window->n_tokens;) {
        const size_t left = window->n_tokens - at;
        const int    n = left < (size_t)reader->max_rows ? (int)left : reader->max_rows;
        const calmoe_chunk chunk = {reader->session, window->tokens + at, n, CALMOE_LOGITS_NONE};
        CM_TRY(cm_engine_run(reader->engine, &chunk, 1, &observer));
        see(user, n);
        at += (size_t)n;
    }
    return CALMOE_OK;
}
