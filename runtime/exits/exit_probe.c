/* exit_probe.c - see exit_probe.h. */
#include "runtime/exits/exit_probe.h"

#include "runtime/exits/exits_parts.h"
#include "runtime/sample/likeliest.h"

struct probe {
    struct exits      *exits;
    struct decoder    *decoder;
    int                n_layers_run;
    bool               is_translated;
    const uint8_t     *usable;
    struct exit_guess *guesses;
};

static void guess_rows(const struct probe *probe, int begin, int end)
{
    const struct decoder *d = probe->decoder;
    struct exit_guess *guesses = probe->guesses;
    const int n_vocab = cm_decoder_spec(d)->n_vocab;
    for (int r = begin; r < end; r++) {
        float *logits = cm_step_logits(d, r);
        const struct exit_view view = {.logits = logits, .n_logits = n_vocab};
        guesses[r].token = cm_likeliest_token(logits, n_vocab, probe->usable);
        guesses[r].margin = cm_exit_measures[MEASURE_SOFTMAX].confidence(cm_decoder_ops(d), &view);
    }
}

static void run_probe(void *arg, const struct worker *me)
{
    const struct probe *probe = arg;
    struct decoder *d = probe->decoder;
    int begin, end;
    cm_batch_share(d, me, &begin, &end);
    for (int r = begin; r < end && !probe->is_translated; r++) cm_head_norm(d, cm_batch_state(d, r), r);
    cm_barrier(me);
    if (probe->is_translated) cm_translate_asked(probe->exits, d, probe->n_layers_run, me);
    const struct logit_rows rows = {cm_batch_identity(d), cm_batch_n(d), cm_decoder_spec(d)->n_vocab};
    cm_head_multiply(d, rows.rows, rows.n, rows.n_tokens, me);
    cm_head_gather(d, &rows, 1, me);
    guess_rows(probe, begin, end);
}

void cm_exit_probe(struct exits *exits, struct decoder *d, int n_layers_run, bool is_translated, const float *states,
                   int n, const uint8_t *usable, struct exit_guess *guesses)
{
    struct probe probe = {exits, d, n_layers_run, is_translated, usable, guesses};
    for (int r = 0; r < n && is_translated; r++) exits->asked[r] = r;
    if (is_translated) exits->n_asked = n;
    cm_batch_probe(d, states, n, run_probe, &probe);
}

const float *cm_exit_probe_drifts(const struct exits *exits) { return exits->drifts; }
