/* runtime/exits/exit_point.c - after a layer: who may leave?
 *
 *   own rows   the last norm of rows whose measure reads logits here (translate.c where there is a translator)
 *   shared     the head for them: the whole vocabulary, or the shortlist; several ranks hand each other what they made,
 *              so that each decides by the same bits
 *   own rows   confidence against threshold
 *   shared     the whole head for those on the shortlist that would leave; for those of measures without logits it
 *              runs at the end of the step, once for all rows
 *   own rows   a shortlist's winner that is not the vocabulary's stays
 *   one        rows that leave go behind the others, or wait; rows that waited and are wanted now join (catch_up.c)
 *   all        keys and values of those that did not run the layers
 * No barrier where nobody is asked; three at most where nobody leaves, three more with a translator. */
#include <string.h>

#include "runtime/exits/exits_parts.h"
#include "runtime/sample/likeliest.h"

struct exit_point {
    struct exits   *exits;
    struct decoder *decoder;
    int             n_layers_run;
};

/* ---- who is asked ---- */

const struct policy_exit *cm_exit_of(const struct row *row, int n_layers_run)
{
    const struct policy_rung *rung = row->may.rung;
    if (!rung || row->asked.logits_row < 0 || row->is_in_tail || row->is_following) return NULL;
    for (int i = 0; i < rung->n_exits; i++)
        if (rung->exits[i].layer == n_layers_run) return &rung->exits[i];
    return NULL;
}

static const struct exit_measure_row *measure_of(const struct policy_exit *exit)
{
    return &cm_exit_measures[exit->measure];
}

static bool reads_head(const struct policy_exit *exit)
{
    return measure_of(exit)->reads_logits || measure_of(exit)->reads_shortlist;
}

bool cm_exit_is_late(const struct exits *e, const struct policy_exit *exit)
{
    return !reads_head(exit) && !cm_exit_is_translated(e->weights, exit->layer);
}

struct questions { /* that any row has after so many layers */
    bool any, of_logits, of_previous;
};

/* The same answer for all workers. */
static struct questions look(const struct exits *e, const struct decoder *d, int n_layers_run)
{
    struct questions found = {false, false, false};
    if (!e->is_deciding) return found;
    for (int r = 0; r < cm_batch_n(d); r++) {
        const struct policy_exit *exit = cm_exit_of(cm_batch_row(d, r), n_layers_run);
        if (!exit) continue;
        found.any = true;
        found.of_logits |= reads_head(exit);
        found.of_previous |= measure_of(exit)->reads_previous;
    }
    return found;
}

static void norm_asked(struct decoder *d, int n_layers_run, const struct worker *me)
{
    int begin, end;
    cm_batch_share(d, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        const struct row         *row = cm_batch_row(d, r);
        const struct policy_exit *exit = cm_exit_of(row, n_layers_run);
        if (exit && reads_head(exit)) cm_head_norm(d, cm_batch_state(d, r), row->asked.logits_row);
    }
}

/* One worker: the list of rows to be translated is made. */
static void count_translator(struct exits *e, int n_layers_run)
{
    if (e->n_asked > 0 && cm_exit_is_translated(e->weights, n_layers_run))
        e->translator_bytes += cm_translator_bytes(cm_exit_weight(e->weights, n_layers_run));
}

/* One worker: whose logits the measures want. */
static void list_asked(void *arg)
{
    const struct exit_point *point = arg;
    const struct decoder *d = point->decoder;
    struct exits *e = point->exits;
    e->n_full = e->n_few = e->n_asked = 0;
    for (int r = 0; r < cm_batch_n(d); r++) {
        const struct row         *row = cm_batch_row(d, r);
        const struct policy_exit *exit = cm_exit_of(row, point->n_layers_run);
        if (!exit) continue;
        if (measure_of(exit)->reads_logits) e->full[e->n_full++] = row->asked.logits_row;
        if (measure_of(exit)->reads_shortlist) e->few[e->n_few++] = row->asked.logits_row;
        if (reads_head(exit)) e->asked[e->n_asked++] = r;
    }
    count_translator(e, point->n_layers_run);
    e->had_head |= e->n_full > 0;
    e->had_shortlist |= e->n_few > 0;
}

/* ---- decisions ---- */

static void decide_row(struct exits *e, struct decoder *d, int r, const struct policy_exit *exit)
{
    struct row *row = cm_batch_row(d, r);
    const struct exit_measure_row *measure = measure_of(exit);
    const struct exit_weight *weight = cm_exit_weight(e->weights, exit->layer);
    const float *state = cm_batch_state(d, r);
    const struct exit_view view = {
        .logits = cm_step_logits(d, row->asked.logits_row),
        .n_logits = measure->reads_shortlist ? e->n_short : e->n_vocab,
        .hidden = state,
        .previous = cm_row(e->previous, r, e->dim),
        .dim = e->dim,
        .features = state,
        .classifier = weight ? weight->classifier : NULL,
        .classifier_bias = weight ? weight->classifier_bias : 0.0f,
        .n_features = e->dim,
    };
    row->came.confidence = measure->confidence(cm_decoder_ops(d), &view);
    row->is_leaving = cm_leaves(&exit->threshold, row->came.confidence, row->may.t);
    for (const struct step_observer *observer = cm_step_observers(d); observer; observer = observer->next)
        if (observer->asked)
            observer->asked(observer->user, row, exit->layer, measure->reads_logits ? view.logits : NULL);
    if (row->is_leaving && cm_exit_is_late(e, exit))
        memcpy(cm_row(e->late_states, row->asked.logits_row, e->dim), state, (size_t)e->dim * sizeof *state);
    if (row->is_leaving && measure->reads_shortlist)
        row->pick = cm_likeliest_token(view.logits, view.n_logits, e->usable);
}

static void decide(struct exits *e, struct decoder *d, int n_layers_run, const struct worker *me)
{
    int begin, end;
    cm_batch_share(d, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        const struct policy_exit *exit = cm_exit_of(cm_batch_row(d, r), n_layers_run);
        if (exit) decide_row(e, d, r, exit);
    }
}

/* The whole head has spoken. */
static void confirm(const struct exits *e, struct decoder *d, int n_layers_run, const struct worker *me)
{
    int begin, end;
    cm_batch_share(d, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        struct row *row = cm_batch_row(d, r);
        if (!row->is_leaving || !measure_of(cm_exit_of(row, n_layers_run))->reads_shortlist) continue;
        const float *logits = cm_step_logits(d, row->asked.logits_row);
        row->is_leaving = cm_likeliest_token(logits, e->n_vocab, e->usable) == row->pick;
        row->came.n_refused += !row->is_leaving;
    }
}

/* ---- leaving ---- */

/* Row r waits in the i-th place aside; its drift goes to the i-th place of drifts, i <= r. */
static void set_aside(struct exits *e, const struct decoder *d, int r, int i)
{
    const size_t drift = (size_t)e->dim * sizeof(float);
    e->aside[i] = *cm_batch_row(d, r);
    cm_batch_save(d, r, e->aside_floats + (size_t)i * cm_batch_row_floats(d));
    if (i != r && cm_exit_has_path(e, e->aside[i].came.layers))
        memcpy(cm_row(e->drifts, i, e->dim), cm_row(e->drifts, r, e->dim), drift);
}

static void bring_back(struct exits *e, struct decoder *d, int i, int r)
{
    const size_t drift = (size_t)e->dim * sizeof(float);
    *cm_batch_row(d, r) = e->aside[i];
    cm_batch_load(d, r, e->aside_floats + (size_t)i * cm_batch_row_floats(d));
    if (i != r && cm_exit_has_path(e, e->aside[i].came.layers))
        memcpy(cm_row(e->drifts, r, e->dim), cm_row(e->drifts, i, e->dim), drift);
}

/* A row that leaves has its logits, and what is told of them; a thin tail's experts are still to be counted. */
static void leave(struct decoder *d, struct row *row, int n_layers_run)
{
    row->is_leaving = false;
    row->came.layers = n_layers_run;
    row->is_in_tail = true;
    cm_decoder_counters(d)->exits[n_layers_run]++;
    if (row->may.rung->k_tail != TAIL_NONE) return;
    cm_report_row(d, row);
    row->asked.logits_row = -1;
}

enum fate { STAYS, GOES, WAITS };

/* Of rows before the limit the layers to come are wanted, by a row behind them or because the sequence is driven. */
static enum fate fate_of(const struct row *row)
{
    const struct policy_rung *rung = row->may.rung;
    const struct waiting     *waiting = row->asked.sequence->waiting;
    if (!row->is_following && (!row->is_in_tail || rung->k_tail != TAIL_NONE)) return STAYS;
    switch (rung->kv_fill) {
    case KV_CATCH_UP: return row->asked.position < waiting->limit ? STAYS : WAITS;
    case KV_LAZY: return waiting->driven_below > 0 ? GOES : WAITS;
    default: return GOES;
    }
}

static void wait_here(struct exits *e, const struct decoder *d, int r, int n_layers_run)
{
    const struct row *row = cm_batch_row(d, r);
    const bool needs_drift = row->may.rung->kv_fill == KV_LAZY && cm_exit_has_path(e, n_layers_run);
    const struct waiting_row waiting = {.sequence = row->asked.sequence, .position = row->asked.position,
                                        .token = row->asked.token, .layers = n_layers_run,
                                        .exit_layer = n_layers_run, .n_experts = row->came.n_experts,
                                        .broke_after = row->came.broke_after,
                                        .rung = row->may.rung};
    cm_waiting_add(row->asked.sequence->waiting, waiting, cm_batch_state(d, r),
                   needs_drift ? cm_row(e->drifts, r, e->dim) : NULL);
}

/* One worker: rows that leave are taken out, the others keep their order. Those whose keys and values are made at once
 * are set aside; how many. */
static int part(struct exits *e, struct decoder *d, int n_layers_run)
{
    const int n_before = cm_batch_n(d);
    int n = 0, n_gone = 0;
    for (int r = 0; r < n_before; r++)
        if (cm_batch_row(d, r)->is_leaving) leave(d, cm_batch_row(d, r), n_layers_run);
    cm_exits_want(e, d, n_layers_run);
    for (int r = 0; r < n_before; r++) {
        const enum fate fate = fate_of(cm_batch_row(d, r));
        if (fate == GOES) set_aside(e, d, r, n_gone++);
        else if (fate == WAITS) wait_here(e, d, r, n_layers_run);
        else cm_batch_move(d, r, n++);
    }
    cm_batch_set_n(d, n);
    cm_exits_list_staying(e, d);
    return n_gone;
}

static void let_go(void *arg)
{
    const struct exit_point *point = arg;
    struct exits *e = point->exits;
    struct decoder *d = point->decoder;
    const int n_before = cm_batch_n(d);
    int n_gone = 0;
    bool any = false;
    for (int r = 0; r < n_before; r++) any |= cm_batch_row(d, r)->is_leaving;
    if (any) n_gone = part(e, d, point->n_layers_run);
    else cm_exits_want(e, d, point->n_layers_run);
    const int n_parted = cm_batch_n(d);
    cm_exits_join(e, d, point->n_layers_run);
    const int n_now = cm_batch_n(d);
    for (int i = n_gone - 1; i >= 0; i--) bring_back(e, d, i, n_now + i); /* drifts move up, so the last goes first */
    cm_exits_fill(e, d, point->n_layers_run, n_gone);
    if (n_parted < n_before || n_now > n_parted) cm_batch_changed(d);
}

/* One worker: who would leave and wants logits that are not there yet; if nobody does, they leave now. */
static void settle(void *arg)
{
    const struct exit_point *point = arg;
    const struct decoder *d = point->decoder;
    struct exits *e = point->exits;
    e->n_full = e->n_asked = 0;
    for (int r = 0; r < cm_batch_n(d); r++) {
        const struct row *row = cm_batch_row(d, r);
        if (!row->is_leaving) continue;
        const struct policy_exit *exit = cm_exit_of(row, point->n_layers_run);
        if (cm_exit_is_late(e, exit)) {
            e->late[e->n_late++] = row->asked.logits_row;
            continue;
        }
        if (!measure_of(exit)->reads_logits) e->full[e->n_full++] = row->asked.logits_row;
        if (!reads_head(exit)) e->asked[e->n_asked++] = r;
    }
    count_translator(e, point->n_layers_run);
    e->had_head |= e->n_full > 0;
    if (e->n_full == 0) let_go(arg);
}

static void ask(struct exit_point *point, bool of_logits, const struct worker *me)
{
    struct exits   *e = point->exits;
    struct decoder *d = point->decoder;
    const int  n_layers_run = point->n_layers_run;
    const bool is_translated = cm_exit_is_translated(e->weights, n_layers_run);
    cm_between_phase(d, me, CALMOE_PHASE_CHECKS);
    if (!is_translated) norm_asked(d, n_layers_run, me);
    if (of_logits) {
        cm_barrier_with(me, list_asked, point);
        if (is_translated) cm_translate_asked(e, d, n_layers_run, me);
        const struct logit_rows made[MAX_HEAD_LISTS] = {{e->full, e->n_full, e->n_vocab},
                                                        {e->few, e->n_few, e->n_short}};
        cm_head_multiply(d, e->full, e->n_full, e->n_vocab, me);
        cm_head_multiply(d, e->few, e->n_few, e->n_short, me);
        cm_head_gather(d, made, 2, me);
    }
    decide(e, d, n_layers_run, me);
    cm_barrier_with(me, settle, point);
    if (e->n_full > 0) {
        if (is_translated) cm_translate_asked(e, d, n_layers_run, me);
        cm_head_multiply(d, e->full, e->n_full, e->n_vocab, me);
        cm_head_gather(d, &(struct logit_rows){e->full, e->n_full, e->n_vocab}, 1, me);
        confirm(e, d, n_layers_run, me);
        cm_barrier_with(me, let_go, point);
    }
    cm_exits_run_fills(e, d, me);
}

void cm_exit_point(struct exits *e, struct decoder *d, int n_layers_run, const struct worker *me)
{
    struct exit_point point = {e, d, n_layers_run};
    const struct questions now = look(e, d, n_layers_run);
    int begin, end;
    if (now.any) ask(&point, now.of_logits, me);
    else cm_exits_catch_up(e, d, n_layers_run, me);
    if (!look(e, d, n_layers_run + 1).of_previous) return;
    cm_between_phase(d, me, CALMOE_PHASE_CHECKS);
    cm_batch_share(d, me, &begin, &end);
    if (begin < end)
        memcpy(cm_row(e->previous, begin, e->dim), cm_batch_state(d, begin),
               (size_t)(end - begin) * (size_t)e->dim * sizeof *e->previous);
}
