/* runtime/forward/exit_point.c - after a layer: who may leave?
 *
 *   own rows   the last norm of rows whose measure reads logits here (translate.c where there is a translator)
 *   shared     the head for them: the whole vocabulary, or the shortlist
 *   own rows   confidence against threshold
 *   shared     the whole head for those on the shortlist that would leave; for those of measures without logits it
 *              runs at the end of the step, once for all rows
 *   own rows   a shortlist's winner that is not the vocabulary's stays
 *   one        rows that leave go behind the others, or wait; rows that waited and are wanted now join (catch_up.c)
 *   all        keys and values of those that did not run the layers
 * No barrier where nobody is asked; three at most where nobody leaves, three more with a translator. */
#include <string.h>

#include "runtime/forward/exits.h"
#include "runtime/forward/exits_parts.h"
#include "runtime/sample/likeliest.h"

struct exit_point {
    struct decoder *decoder;
    int             n_layers_run;
};

/* ---- who is asked ---- */

const struct policy_exit *cm_exit_of(const struct row *row, int n_layers_run)
{
    if (!row->rung || row->logits_row < 0 || row->is_in_tail || row->is_following) return NULL;
    for (int i = 0; i < row->rung->n_exits; i++)
        if (row->rung->exits[i].layer == n_layers_run) return &row->rung->exits[i];
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

bool cm_exit_is_late(const struct decoder *d, const struct policy_exit *exit)
{
    return !reads_head(exit) && !cm_exit_is_translated(d->exit_weights, exit->layer);
}

struct questions { /* that any row has after so many layers */
    bool any, of_logits, of_previous;
};

/* The same answer for all workers. */
static struct questions look(const struct decoder *d, int n_layers_run)
{
    struct questions found = {false, false, false};
    if (!d->exits->is_deciding) return found;
    for (int r = 0; r < d->n_rows; r++) {
        const struct policy_exit *exit = cm_exit_of(&d->rows[r], n_layers_run);
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
    cm_own_rows(d, me, &begin, &end);
    for (int r = begin; r < end; r++)
        if (cm_exit_of(&d->rows[r], n_layers_run) && reads_head(cm_exit_of(&d->rows[r], n_layers_run)))
            cm_head_norm(d, r);
}

/* One worker: the list of rows to be translated is made. */
static void count_translator(struct decoder *d, int n_layers_run)
{
    if (d->exits->n_asked > 0 && cm_exit_is_translated(d->exit_weights, n_layers_run))
        d->exits->translator_bytes += cm_translator_bytes(cm_exit_weight(d->exit_weights, n_layers_run));
}

/* One worker: whose logits the measures want. */
static void list_asked(void *arg)
{
    const struct exit_point *point = arg;
    struct decoder *d = point->decoder;
    struct exits *exits = d->exits;
    exits->n_full = exits->n_few = exits->n_asked = 0;
    for (int r = 0; r < d->n_rows; r++) {
        const struct policy_exit *exit = cm_exit_of(&d->rows[r], point->n_layers_run);
        if (!exit) continue;
        if (measure_of(exit)->reads_logits) exits->full[exits->n_full++] = d->rows[r].logits_row;
        if (measure_of(exit)->reads_shortlist) exits->few[exits->n_few++] = d->rows[r].logits_row;
        if (reads_head(exit)) exits->asked[exits->n_asked++] = r;
    }
    count_translator(d, point->n_layers_run);
    exits->had_head |= exits->n_full > 0;
    exits->had_shortlist |= exits->n_few > 0;
}

/* ---- decisions ---- */

static void decide_row(struct decoder *d, struct row *row, int r, const struct policy_exit *exit)
{
    const struct exit_measure_row *measure = measure_of(exit);
    const struct exit_weight *weight = cm_exit_weight(d->exit_weights, exit->layer);
    const int dim = d->spec->dim, n_vocab = d->spec->n_vocab;
    const struct exit_view view = {
        .logits = cm_row(d->logits, row->logits_row, n_vocab),
        .n_logits = measure->reads_shortlist ? d->exits->n_short : n_vocab,
        .hidden = cm_row(d->x, r, dim),
        .previous = cm_row(d->exits->previous, r, dim),
        .dim = dim,
        .features = cm_row(d->x, r, dim),
        .classifier = weight ? weight->classifier : NULL,
        .classifier_bias = weight ? weight->classifier_bias : 0.0f,
        .n_features = dim,
    };
    row->confidence = measure->confidence(d->ops, &view);
    row->is_leaving = cm_leaves(&exit->threshold, row->confidence, row->t);
    if (d->on_exit) d->on_exit(d->on_exit_user, row, exit->layer, measure->reads_logits ? view.logits : NULL);
    if (row->is_leaving && cm_exit_is_late(d, exit))
        memcpy(cm_row(d->exits->late_states, row->logits_row, dim), view.hidden, (size_t)dim * sizeof *view.hidden);
    if (row->is_leaving && measure->reads_shortlist)
        row->pick = cm_likeliest_token(view.logits, view.n_logits, d->usable);
}

static void decide(struct decoder *d, int n_layers_run, const struct worker *me)
{
    int begin, end;
    cm_own_rows(d, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        const struct policy_exit *exit = cm_exit_of(&d->rows[r], n_layers_run);
        if (exit) decide_row(d, &d->rows[r], r, exit);
    }
}

/* The whole head has spoken. */
static void confirm(struct decoder *d, int n_layers_run, const struct worker *me)
{
    int begin, end;
    cm_own_rows(d, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        struct row *row = &d->rows[r];
        if (!row->is_leaving || !measure_of(cm_exit_of(row, n_layers_run))->reads_shortlist) continue;
        const float *logits = cm_row(d->logits, row->logits_row, d->spec->n_vocab);
        row->is_leaving = cm_likeliest_token(logits, d->spec->n_vocab, d->usable) == row->pick;
        row->n_refused += !row->is_leaving;
    }
}

/* ---- leaving ---- */

void cm_move_row(struct decoder *d, int from, int to)
{
    const size_t dim = (size_t)d->spec->dim, n_pairs = (size_t)d->rope.n_pairs;
    if (from == to) return;
    d->rows[to] = d->rows[from];
    memcpy(d->x + (size_t)to * dim, d->x + (size_t)from * dim, dim * sizeof *d->x);
    memcpy(d->cosines + (size_t)to * n_pairs, d->cosines + (size_t)from * n_pairs, n_pairs * sizeof *d->cosines);
    memcpy(d->sines + (size_t)to * n_pairs, d->sines + (size_t)from * n_pairs, n_pairs * sizeof *d->sines);
}

/* Row r waits in the i-th place of d->projected and d->q, which are free between layers; its drift goes to the i-th
 * place of its own, i <= r. */
static void set_aside(struct decoder *d, int r, int i)
{
    const int dim = d->spec->dim, n_pairs = d->rope.n_pairs, n_q = 2 * d->rope.n_pairs;
    float *angles = cm_row(d->q, i, n_q);
    d->exits->rows[i] = d->rows[r];
    memcpy(cm_row(d->projected, i, dim), cm_row(d->x, r, dim), (size_t)dim * sizeof *d->x);
    if (i != r && cm_exit_has_path(d, d->rows[r].layers))
        memcpy(cm_row(d->exits->drifts, i, dim), cm_row(d->exits->drifts, r, dim), (size_t)dim * sizeof *d->x);
    memcpy(angles, cm_row(d->cosines, r, n_pairs), (size_t)n_pairs * sizeof *angles);
    memcpy(angles + n_pairs, cm_row(d->sines, r, n_pairs), (size_t)n_pairs * sizeof *angles);
}

static void bring_back(struct decoder *d, int i, int r)
{
    const int dim = d->spec->dim, n_pairs = d->rope.n_pairs, n_q = 2 * d->rope.n_pairs;
    const float *angles = cm_row(d->q, i, n_q);
    d->rows[r] = d->exits->rows[i];
    memcpy(cm_row(d->x, r, dim), cm_row(d->projected, i, dim), (size_t)dim * sizeof *d->x);
    if (i != r && cm_exit_has_path(d, d->rows[r].layers))
        memcpy(cm_row(d->exits->drifts, r, dim), cm_row(d->exits->drifts, i, dim), (size_t)dim * sizeof *d->x);
    memcpy(cm_row(d->cosines, r, n_pairs), angles, (size_t)n_pairs * sizeof *angles);
    memcpy(cm_row(d->sines, r, n_pairs), angles + n_pairs, (size_t)n_pairs * sizeof *angles);
}

/* A row that leaves has its logits, and what is told of them; a thin tail's experts are still to be counted. */
static void leave(struct decoder *d, struct row *row, int n_layers_run)
{
    row->is_leaving = false;
    row->layers = d->layers_used[row->index] = n_layers_run;
    row->is_in_tail = true;
    d->counters.exits[n_layers_run]++;
    if (row->rung->k_tail != TAIL_NONE) return;
    cm_report_depth(d, row);
    row->logits_row = -1;
}

enum fate { STAYS, GOES, WAITS };

/* Of rows before the limit the layers to come are wanted, by a row behind them or because the sequence is driven. */
static enum fate fate_of(const struct row *row)
{
    if (!row->is_following && (!row->is_in_tail || row->rung->k_tail != TAIL_NONE)) return STAYS;
    switch (row->rung->kv_fill) {
    case KV_CATCH_UP: return row->position < row->waiting->limit ? STAYS : WAITS;
    case KV_LAZY: return row->waiting->driven_below > 0 ? GOES : WAITS;
    default: return GOES;
    }
}

static void wait_here(struct decoder *d, int r, int n_layers_run)
{
    const struct row *row = &d->rows[r];
    const struct waiting_row waiting = {.position = row->position, .token = row->token, .layers = n_layers_run,
                                        .exit_layer = n_layers_run, .n_experts = row->n_experts, .rung = row->rung};
    cm_waiting_add(row->waiting, waiting, cm_row(d->x, r, d->spec->dim),
                   row->rung->kv_fill == KV_LAZY && cm_exit_has_path(d, n_layers_run)
                       ? cm_row(d->exits->drifts, r, d->spec->dim)
                       : NULL);
}

/* One worker: rows that leave are taken out, the others keep their order. Those whose keys and values are made at once
 * stand behind the batch afterwards; how many. */
static int part(struct decoder *d, int n_layers_run)
{
    const int n_before = d->n_rows;
    int n = 0, n_gone = 0;
    for (int r = 0; r < n_before; r++)
        if (d->rows[r].is_leaving) leave(d, &d->rows[r], n_layers_run);
    cm_exits_want(d, n_layers_run);
    for (int r = 0; r < n_before; r++) {
        const enum fate fate = fate_of(&d->rows[r]);
        if (fate == GOES) set_aside(d, r, n_gone++);
        else if (fate == WAITS) wait_here(d, r, n_layers_run);
        else cm_move_row(d, r, n++);
    }
    d->n_rows = n;
    cm_exits_list_staying(d);
    return n_gone;
}

static void let_go(void *arg)
{
    const struct exit_point *point = arg;
    struct decoder *d = point->decoder;
    const int n_before = d->n_rows;
    int n_gone = 0;
    bool any = false;
    for (int r = 0; r < n_before; r++) any |= d->rows[r].is_leaving;
    if (any) n_gone = part(d, point->n_layers_run);
    else cm_exits_want(d, point->n_layers_run);
    const int n_parted = d->n_rows;
    cm_exits_join(d, point->n_layers_run);
    for (int i = n_gone - 1; i >= 0; i--) bring_back(d, i, d->n_rows + i); /* drifts move up, so the last goes first */
    cm_exits_fill(d, point->n_layers_run, n_gone);
    if (d->n_rows > 0 && (n_parted < n_before || d->n_rows > n_parted)) cm_attention_plan(d);
}

/* One worker: who would leave and wants logits that are not there yet; if nobody does, they leave now. */
static void settle(void *arg)
{
    const struct exit_point *point = arg;
    struct decoder *d = point->decoder;
    struct exits *exits = d->exits;
    exits->n_full = exits->n_asked = 0;
    for (int r = 0; r < d->n_rows; r++) {
        const struct row *row = &d->rows[r];
        if (!row->is_leaving) continue;
        const struct policy_exit *exit = cm_exit_of(row, point->n_layers_run);
        if (cm_exit_is_late(d, exit)) {
            exits->late[exits->n_late++] = row->logits_row;
            continue;
        }
        if (!measure_of(exit)->reads_logits) exits->full[exits->n_full++] = row->logits_row;
        if (!reads_head(exit)) exits->asked[exits->n_asked++] = r;
    }
    count_translator(d, point->n_layers_run);
    exits->had_head |= exits->n_full > 0;
    if (exits->n_full == 0) let_go(arg);
}

static void ask(struct decoder *d, int n_layers_run, bool of_logits, const struct worker *me)
{
    struct exit_point point = {d, n_layers_run};
    const struct exits *exits = d->exits;
    const int n_vocab = d->spec->n_vocab;
    const bool is_translated = cm_exit_is_translated(d->exit_weights, n_layers_run);
    cm_enter_phase(d, me, CALMOE_PHASE_CHECKS);
    if (!is_translated) norm_asked(d, n_layers_run, me);
    if (of_logits) {
        cm_barrier_with(me, list_asked, &point);
        if (is_translated) cm_translate_asked(d, n_layers_run, me);
        cm_head_multiply(d, exits->full, exits->n_full, n_vocab, me);
        cm_head_multiply(d, exits->few, exits->n_few, exits->n_short, me);
        cm_barrier(me);
    }
    decide(d, n_layers_run, me);
    cm_barrier_with(me, settle, &point);
    if (exits->n_full > 0) {
        if (is_translated) cm_translate_asked(d, n_layers_run, me);
        cm_head_multiply(d, exits->full, exits->n_full, n_vocab, me);
        cm_barrier(me);
        confirm(d, n_layers_run, me);
        cm_barrier_with(me, let_go, &point);
    }
    cm_exits_run_fills(d, me);
}

void cm_exit_point(struct decoder *d, int layer, const struct worker *me)
{
    const int n_layers_run = layer + 1, dim = d->spec->dim;
    int begin, end;
    const struct questions now = look(d, n_layers_run);
    if (now.any) ask(d, n_layers_run, now.of_logits, me);
    else cm_exits_catch_up(d, n_layers_run, me);
    if (!look(d, n_layers_run + 1).of_previous) return;
    cm_enter_phase(d, me, CALMOE_PHASE_CHECKS);
    cm_own_rows(d, me, &begin, &end);
    memcpy(cm_row(d->exits->previous, begin, dim), cm_row(d->x, begin, dim),
           (size_t)(end - begin) * (size_t)dim * sizeof *d->x);
}
