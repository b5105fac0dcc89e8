/* runtime/fit/fit_common.c - what the passes of a fit share. */
#include <string.h>

#include "runtime/engine/followers.h"
#include "runtime/fit/fit_parts.h"

enum { A_ROUND = 10 }; /* windows, one of which is tried, another judged */

/* Of a short text the last window is judged, and the middle one tried. */
enum fit_use cm_fit_use(const struct fitting *f, size_t window)
{
    const size_t n = cm_fit_windows(&f->text);
    const bool is_short = n < A_ROUND;
    if (!f->held_out.tokens && (is_short ? window + 1 == n : window % A_ROUND == A_ROUND - 1)) return FIT_JUDGEMENT;
    if (is_short ? n >= 4 && window == n / 2 : window % A_ROUND == A_ROUND / 2) return FIT_TRIAL;
    return FIT_SUMS;
}

calmoe_status cm_fit_advance(struct fitting *f)
{
    f->n_worked++;
    if (!f->options.progress ||
        f->options.progress(f->options.progress_user, (double)f->n_worked / (double)f->n_work) == 0)
        return CALMOE_OK;
    return cm_fail(f->ctx, CALMOE_CANCELLED, "fitting exits was cancelled");
}

calmoe_status cm_fit_open_reader(struct fitting *f, int max_rows, bool for_paths)
{
    int n = f->n_exits;
    cm_state_reader_close(&f->reader);
    memcpy(f->read_layers, f->layers, (size_t)n * sizeof *f->layers);
    for (int layer = f->layers[0] + 1, i = 1; for_paths && layer < f->learned.n_layers; layer++) {
        if (i < f->n_exits && f->layers[i] == layer) i++;
        else f->read_layers[n++] = layer;
    }
    return cm_state_reader_open(f->engine, f->read_layers, n, f->text.window, max_rows, &f->reader);
}

/* Where another rank is lost, guesses mean nothing, and the next step fails. */
void cm_fit_probe(struct fitting *f, int n_layers_run, bool is_translated, const float *states, int n,
                  struct exit_guess *guesses)
{
    calmoe_engine    *engine = f->engine;
    struct followers *others = engine->followers;
    memset(guesses, 0, (size_t)n * sizeof *guesses);
    if (others &&
        cm_followers_begin_probe(others, n_layers_run, is_translated, states, n, f->learned.dim) != CALMOE_OK)
        return;
    cm_exit_probe(f->exits, engine->decoder, n_layers_run, is_translated, states, n, engine->model->usable, guesses);
    if (others) cm_followers_end_step(others);
}
