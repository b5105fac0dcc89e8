/* fit_judge.c - the exits on text that was not fitted: against the full model's tokens, with its keys and values. */
#include "runtime/fit/fit_parts.h"

static void classify(struct fitting *f, int i, int n)
{
    const struct learned_exit *exit = &f->learned.exits[i];
    const struct vector_ops   *ops = cm_decoder_ops(f->engine->decoder);
    for (int r = 0; exit->classifier && r < n; r++) {
        const struct exit_view view = {.features = cm_row(cm_states(&f->reader, i), r, f->learned.dim),
                                       .classifier = exit->classifier, .classifier_bias = exit->classifier_bias,
                                       .n_features = f->learned.dim};
        if (cm_exit_measures[MEASURE_CLASSIFIER].confidence(ops, &view) < EXIT_IS_SURE) continue;
        f->n_chosen[i]++;
        f->n_chosen_agreeing[i] += f->after[r * f->n_exits + i].agrees;
    }
}

static void probe(struct fitting *f, int i, bool is_translated, int n, struct exit_answer *answers)
{
    cm_fit_probe(f, f->layers[i], is_translated, cm_states(&f->reader, i), n, f->guesses);
    for (int r = 0; r < n; r++)
        answers[r * f->n_exits + i] = (struct exit_answer){f->guesses[r].token == f->full[r].token,
                                                           f->guesses[r].margin};
}

static void judge_rows(void *user, int n)
{
    struct fitting *f = user;
    cm_fit_probe(f, f->learned.n_layers, false, cm_last_states(&f->reader), n, f->full);
    for (int i = 0; i < f->n_exits; i++) {
        probe(f, i, false, n, f->before);
        probe(f, i, f->learned.exits[i].rank > 0, n, f->after);
        classify(f, i, n);
    }
    for (int r = 0; r < n; r++) {
        cm_exit_tally_add(&f->tally_before, f->before + r * f->n_exits);
        cm_exit_tally_add(&f->tally_after, f->after + r * f->n_exits);
    }
}

calmoe_status cm_fit_judge(struct fitting *f)
{
    const bool is_apart = f->held_out.tokens != NULL;
    const struct fit_text *text = is_apart ? &f->held_out : &f->text;
    for (size_t i = 0; i < cm_fit_windows(text); i++) {
        const struct fit_text window = cm_fit_window(text, i);
        if (!is_apart && cm_fit_use(f, i) != FIT_JUDGEMENT) continue;
        CM_TRY(cm_state_reader_read(&f->reader, &window, judge_rows, f));
        CM_TRY(cm_fit_advance(f));
    }
    return CALMOE_OK;
}

/* ---- told ---- */

static double share(uint64_t part, uint64_t whole) { return whole > 0 ? (double)part / (double)whole : 0.0; }

static calmoe_exit_way way_of(const struct exit_tally *tally)
{
    return (calmoe_exit_way){share(tally->n_oracle_layers, tally->n), share(tally->n_sure_layers, tally->n),
                             share(tally->n_path_agreeing, tally->n)};
}

/* *n_reached: tokens that earlier exits agree on, and afterwards with this one */
static calmoe_exit_quality quality_of(const struct exit_tally *tally, int i, uint64_t *n_reached)
{
    const struct exit_count *count = &tally->exits[i];
    *n_reached += count->n_first;
    return (calmoe_exit_quality){share(count->n_agreeing, tally->n), share(count->n_sure, tally->n),
                                 share(count->n_sure_agreeing, count->n_sure), share(*n_reached, tally->n)};
}

void cm_fit_report(const struct fitting *f, calmoe_fit_report *report)
{
    uint64_t n_before = 0, n_after = 0;
    report->n_fitted = f->n_fitted;
    report->n_judged = f->tally_after.n;
    report->resumed = f->was_resumed;
    report->n_layers = f->learned.n_layers;
    report->before = way_of(&f->tally_before);
    report->after = way_of(&f->tally_after);
    report->n_exits = f->n_exits;
    for (int i = 0; i < f->n_exits; i++) {
        calmoe_fitted_exit *exit = &report->exits[i];
        exit->layer = f->layers[i];
        exit->rank = f->learned.exits[i].rank;
        exit->explained = f->explained[i];
        exit->skipped_before = f->skipped_before[i];
        exit->skipped_after = f->skipped_after[i];
        exit->tried_before = f->tried_before[i];
        exit->tried_after = f->tried_after[i];
        exit->is_dropped = f->is_dropped[i];
        exit->has_classifier = f->learned.exits[i].classifier != NULL;
        exit->chosen = share(f->n_chosen[i], f->tally_after.n);
        exit->chosen_agreement = share(f->n_chosen_agreeing[i], f->n_chosen[i]);
        exit->before = quality_of(&f->tally_before, i, &n_before);
        exit->after = quality_of(&f->tally_after, i, &n_after);
    }
}
