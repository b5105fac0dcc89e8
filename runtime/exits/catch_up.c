/* runtime/exits/catch_up.c - what happens between two layers to rows that left early and wait (waiting.h).
 *
 * A row of a later position attends to all positions before its own, so it needs their keys and values in every
 * layer that it will run. The rows that wait at this depth and are needed deeper either join the batch, before the
 * row that needs them, and run the real layers (KV_CATCH_UP); or keys and values of the next layers are made of
 * their states (KV_LAZY). One worker moves rows while the others wait. Where no row waits at this depth, each worker
 * finds that out by itself, and there is no barrier. */
#include <string.h>

#include "runtime/exits/exits_parts.h"

/* ---- who is wanted ---- */

/* The depth that a row reaches for certain, after n_layers_run layers: the next layer behind which its policy may
 * let it leave, else the last layer. */
static int next_stop(const struct exits *e, const struct row *row, int n_layers_run)
{
    const struct policy_rung *rung = row->may.rung;
    for (int i = 0; rung && row->asked.logits_row >= 0 && i < rung->n_exits; i++)
        if (rung->exits[i].layer > n_layers_run) return rung->exits[i].layer;
    return e->n_layers;
}

void cm_exits_want(struct exits *e, const struct decoder *d, int n_layers_run)
{
    for (int i = 0; i < e->n_sequences; i++) {
        struct waiting *waiting = e->sequences[i];
        waiting->limit = waiting->driven_below;
        waiting->to_layer = waiting->driven_below > 0 ? e->n_layers : 0;
    }
    for (int r = 0; r < cm_batch_n(d); r++) {
        const struct row *row = cm_batch_row(d, r);
        struct waiting *waiting = row->asked.sequence->waiting;
        if (!waiting || row->is_in_tail || row->is_following) continue;
        const int to_layer = next_stop(e, row, n_layers_run);
        if (row->asked.position > waiting->limit) waiting->limit = row->asked.position;
        if (to_layer > waiting->to_layer) waiting->to_layer = to_layer;
    }
}

static bool is_lazy(const struct waiting_row *row) { return row->rung->kv_fill == KV_LAZY; }

/* Whether a row that waits is dealt with at this depth. Behind a layer, these are the rows that stopped there.
 * Before the first layer, these are the lazy rows of a sequence that is driven to the end, whatever their depth: to
 * make keys and values of a state no layer has to run. */
static bool is_here(const struct waiting *waiting, const struct waiting_row *row, int n_layers_run)
{
    return n_layers_run > 0 ? row->layers == n_layers_run : waiting->driven_below > 0 && is_lazy(row);
}

/* All workers ask this, of data that none of them changes meanwhile; so all get the same answer and go the same way. */
static bool has_any_here(const struct exits *e, int n_layers_run)
{
    for (int i = 0; i < e->n_sequences; i++) {
        const struct waiting *waiting = e->sequences[i];
        for (int at = 0; at < waiting->n; at++)
            if (is_here(waiting, &waiting->rows[at], n_layers_run)) return true;
    }
    return false;
}

bool cm_exits_more_come(const struct exits *e)
{
    for (int i = 0; i < e->n_sequences; i++) {
        const struct waiting *waiting = e->sequences[i];
        if (waiting->n > 0 && waiting->rows[0].position < waiting->driven_below) return true;
    }
    return false;
}

/* ---- into the batch, or behind it ---- */

static void place(const struct exits *e, struct decoder *d, const struct waiting *waiting, int i, int r)
{
    const struct waiting_row *from = &waiting->rows[i];
    const struct row row = {
        .asked = {.sequence = from->sequence, .position = from->position, .token = from->token,
                  .logits_row = from->logits_row, .kept = from->kept, .state = from->state},
        .may = {.rung = from->rung},
        .came = {.layers = e->n_layers, .n_experts = from->n_experts,
                 .broke_after = from->broke_after},
        .index = -1,
        .is_following = true,
    };
    cm_batch_place(d, r, &row, cm_waiting_state(waiting, i));
}

static void join(const struct exits *e, struct decoder *d, struct waiting *waiting, int i)
{
    const int position = waiting->rows[i].position, n = cm_batch_n(d);
    int at = 0;
    for (; at < n; at++) {
        const struct row_request *asked = &cm_batch_row(d, at)->asked;
        if (asked->sequence->waiting == waiting && asked->position > position) break;
    }
    cm_batch_set_n(d, n + 1);
    for (int r = n; r > at; r--) cm_batch_move(d, r - 1, r);
    place(e, d, waiting, i, at);
    cm_waiting_remove(waiting, i);
}

void cm_exits_join(struct exits *e, struct decoder *d, int n_layers_run)
{
    const int n_before = cm_batch_n(d);
    for (int s = 0; s < e->n_sequences; s++) {
        struct waiting *waiting = e->sequences[s];
        for (int i = 0; i < waiting->n && waiting->rows[i].position < waiting->limit;) {
            if (!is_lazy(&waiting->rows[i]) && is_here(waiting, &waiting->rows[i], n_layers_run))
                join(e, d, waiting, i);
            else i++;
        }
    }
    if (cm_batch_n(d) > n_before) cm_exits_list_staying(e, d);
}

/* Has the row at place `at`, behind the batch, filled. It is added to the fill that was begun last if that is for the
 * same layers and the same exit, so that rows are filled together; else it begins another one. */
static void add_fill(struct exits *e, int at, int exit_layer, int from_layer, int to_layer)
{
    struct exit_fill *last = e->n_fills > 0 ? &e->fills[e->n_fills - 1] : NULL;
    if (last && last->exit_layer == exit_layer && last->layers.from_layer == from_layer &&
        last->layers.to_layer == to_layer) {
        last->layers.n++;
        return;
    }
    const struct exit_weight *weight = cm_exit_weight(e->weights, exit_layer);
    e->fills[e->n_fills++] = (struct exit_fill){
        exit_layer, {at, 1, from_layer, to_layer, weight ? weight->path : NULL, e->drifts}};
}

/* How deep row i of those that wait is filled now. A layer with a state takes rows in by the order of their
 * positions, so no row is filled deeper than any row before it. */
static int filled_to(const struct waiting *waiting, int i)
{
    int to_layer = waiting->to_layer;
    for (int before = 0; before < i; before++)
        if (waiting->rows[before].layers < to_layer) to_layer = waiting->rows[before].layers;
    return to_layer;
}

/* Fills the rows of one sequence that wait at this depth and are lazy. They are placed behind the batch, from *at
 * on. */
static void fill_waiting(struct exits *e, struct decoder *d, struct waiting *waiting, int n_layers_run, int *at)
{
    for (int i = 0; i < waiting->n && waiting->rows[i].position < waiting->limit;) {
        struct waiting_row *row = &waiting->rows[i];
        if (!is_lazy(row) || !is_here(waiting, row, n_layers_run)) {
            i++;
            continue;
        }
        place(e, d, waiting, i, *at);
        if (cm_exit_has_path(e, row->exit_layer))
            memcpy(cm_row(e->drifts, *at, e->dim), cm_waiting_drift(waiting, i),
                   (size_t)e->dim * sizeof(float));
        const int to_layer = filled_to(waiting, i);
        add_fill(e, (*at)++, row->exit_layer, row->layers, to_layer);
        row->layers = to_layer;
        if (row->layers == e->n_layers) cm_waiting_remove(waiting, i);
        else i++;
    }
}

void cm_exits_fill(struct exits *e, struct decoder *d, int n_layers_run, int n_gone)
{
    const int n = cm_batch_n(d);
    int at = n;
    e->n_fills = 0;
    for (; at < n + n_gone; at++) add_fill(e, at, n_layers_run, n_layers_run, e->n_layers);
    for (int s = 0; s < e->n_sequences; s++) fill_waiting(e, d, e->sequences[s], n_layers_run, &at);
    for (int i = 0; i < e->n_fills; i++)
        cm_decoder_counters(d)->n_weight_bytes +=
            cm_fill_bytes(d, e->fills[i].layers.from_layer, e->fills[i].layers.to_layer);
}

/* ---- by all workers ---- */

void cm_exits_run_fills(struct exits *e, struct decoder *d, const struct worker *me)
{
    for (int i = 0; i < e->n_fills; i++) {
        if (i > 0) cm_barrier(me);
        cm_fill_layers(d, &e->fills[i].layers, me);
    }
}

struct between {
    struct exits   *exits;
    struct decoder *decoder;
    int             n_layers_run;
};

static void bring_in(void *arg)
{
    const struct between *between = arg;
    struct decoder *d = between->decoder;
    const int n_before = cm_batch_n(d);
    cm_exits_want(between->exits, d, between->n_layers_run);
    cm_exits_join(between->exits, d, between->n_layers_run);
    cm_exits_fill(between->exits, d, between->n_layers_run, 0);
    if (cm_batch_n(d) > n_before) cm_batch_changed(d);
}

void cm_exits_catch_up(struct exits *e, struct decoder *d, int n_layers_run, const struct worker *me)
{
    struct between between = {e, d, n_layers_run};
    if (!has_any_here(e, n_layers_run)) return;
    cm_between_phase(d, me, CALMOE_PHASE_FILL);
    cm_barrier_with(me, bring_in, &between);
    cm_exits_run_fills(e, d, me);
}
