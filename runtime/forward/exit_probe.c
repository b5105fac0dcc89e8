/* exit_probe.c - see exit_probe.h. */
#include "runtime/forward/exit_probe.h"

#include <string.h>

#include "runtime/forward/exits_parts.h"
#include "runtime/sample/likeliest.h"

struct probe {
    struct decoder    *decoder;
    int                n_layers_run;
    bool               is_translated;
    const float       *states;
    struct exit_guess *guesses;
};

static void guess_rows(struct decoder *d, struct exit_guess *guesses, const struct worker *me)
{
    const int n_vocab = d->spec->n_vocab;
    int begin, end;
    cm_own_rows(d, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        float *logits = cm_row(d->logits, r, n_vocab);
        const struct exit_view view = {.logits = logits, .n_logits = n_vocab};
        guesses[r].token = cm_likeliest_token(logits, n_vocab, d->usable);
        guesses[r].margin = cm_exit_measures[MEASURE_SOFTMAX].confidence(d->ops, &view);
    }
}

static void run_probe(void *arg, const struct worker *me)
{
    const struct probe *probe = arg;
    struct decoder *d = probe->decoder;
    const int dim = d->spec->dim;
    int begin, end;
    cm_own_rows(d, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        memcpy(cm_row(d->x, r, dim), probe->states + (size_t)r * (size_t)dim, (size_t)dim * sizeof(float));
        if (!probe->is_translated) cm_head_norm(d, r);
    }
    cm_barrier(me);
    if (probe->is_translated) cm_translate_asked(d, probe->n_layers_run, me);
    cm_head_multiply(d, d->identity, d->n_rows, d->spec->n_vocab, me);
    cm_barrier(me);
    guess_rows(d, probe->guesses, me);
}

void cm_exit_probe(struct decoder *d, int n_layers_run, bool is_translated, const float *states, int n,
                   struct exit_guess *guesses)
{
    struct probe probe = {d, n_layers_run, is_translated, states, guesses};
    d->n_rows = n;
    for (int r = 0; r < n; r++) {
        d->rows[r].logits_row = r;
        if (is_translated) d->exits->asked[r] = r;
    }
    if (is_translated) d->exits->n_asked = n;
    cm_team_run(d->team, run_probe, &probe);
}

const float *cm_exit_probe_drifts(const struct decoder *d) { return d->exits->drifts; }
