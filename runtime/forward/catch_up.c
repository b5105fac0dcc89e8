/* runtime/forward/catch_up.c - between two layers: which of the rows that wait (waiting.h) are wanted deeper now? They
 * join the batch, before the rows that want them, or have keys and values of the next layers made of their states.
 * One worker moves them, while the others wait; where nobody waits for a layer, this is one look and no barrier. */
#include <string.h>

#include "runtime/forward/exits.h"
#include "runtime/forward/exits_parts.h"

/* ---- who is wanted ---- */

/* How deep row will surely go, having run so many layers. */
static int next_stop(const struct decoder *d, const struct row *row, int n_layers_run)
{
    for (int i = 0; row->rung && row->logits_row >= 0 && i < row->rung->n_exits; i++)
        if (row->rung->exits[i].layer > n_layers_run) return row->rung->exits[i].layer;
    return d->spec->n_layers;
}

void cm_exits_want(struct decoder *d, int n_layers_run)
{
    const struct exits *exits = d->exits;
    for (int i = 0; i < exits->n_sequences; i++) {
        struct waiting *waiting = exits->sequences[i];
        waiting->limit = waiting->driven_below;
        waiting->to_layer = waiting->driven_below > 0 ? d->spec->n_layers : 0;
    }
    for (int r = 0; r < d->n_rows; r++) {
        const struct row *row = &d->rows[r];
        struct waiting *waiting = row->waiting;
        if (!waiting || row->is_in_tail || row->is_following) continue;
        const int to_layer = next_stop(d, row, n_layers_run);
        if (row->position > waiting->limit) waiting->limit = row->position;
        if (to_layer > waiting->to_layer) waiting->to_layer = to_layer;
    }
}

static bool is_lazy(const struct waiting_row *row) { return row->rung->kv_fill == KV_LAZY; }

/* Before the first layer a driven sequence has what it can have then: states need no layer to run. */
static bool is_here(const struct waiting *waiting, const struct waiting_row *row, int n_layers_run)
{
    return n_layers_run > 0 ? row->layers == n_layers_run : waiting->driven_below > 0 && is_lazy(row);
}

/* The same answer for all workers. */
static bool has_any_here(const struct exits *exits, int n_layers_run)
{
    for (int i = 0; i < exits->n_sequences; i++) {
        const struct waiting *waiting = exits->sequences[i];
        for (int at = 0; at < waiting->n; at++)
            if (is_here(waiting, &waiting->rows[at], n_layers_run)) return true;
    }
    return false;
}

bool cm_exits_more_come(const struct decoder *d)
{
    for (int i = 0; d->exits && i < d->exits->n_sequences; i++) {
        const struct waiting *waiting = d->exits->sequences[i];
        if (waiting->n > 0 && waiting->rows[0].position < waiting->driven_below) return true;
    }
    return false;
}

/* ---- into the batch, or behind it ---- */

static void place(struct decoder *d, struct waiting *waiting, int i, int r)
{
    const struct waiting_row *from = &waiting->rows[i];
    const int dim = d->spec->dim, n_pairs = d->rope.n_pairs;
    d->rows[r] = (struct row){.cache = waiting->cache, .position = from->position, .token = from->token,
                              .logits_row = from->logits_row, .owner = waiting->owner, .index = -1,
                              .rung = from->rung, .waiting = waiting, .is_following = true,
                              .layers = d->spec->n_layers, .n_experts = from->n_experts};
    memcpy(cm_row(d->x, r, dim), cm_waiting_state(waiting, i), (size_t)dim * sizeof *d->x);
    cm_rope_row(&d->rope, from->position, cm_row(d->cosines, r, n_pairs), cm_row(d->sines, r, n_pairs));
}

static void join(struct decoder *d, struct waiting *waiting, int i)
{
    const int position = waiting->rows[i].position;
    int at = 0;
    while (at < d->n_rows && !(d->rows[at].waiting == waiting && d->rows[at].position > position)) at++;
    for (int r = d->n_rows++; r > at; r--) cm_move_row(d, r - 1, r);
    place(d, waiting, i, at);
    cm_waiting_remove(waiting, i);
}

void cm_exits_join(struct decoder *d, int n_layers_run)
{
    const struct exits *exits = d->exits;
    const int n_before = d->n_rows;
    for (int s = 0; s < exits->n_sequences; s++) {
        struct waiting *waiting = exits->sequences[s];
        for (int i = 0; i < waiting->n && waiting->rows[i].position < waiting->limit;) {
            if (!is_lazy(&waiting->rows[i]) && is_here(waiting, &waiting->rows[i], n_layers_run)) join(d, waiting, i);
            else i++;
        }
    }
    if (d->n_rows > n_before) cm_exits_list_staying(d);
}

/* Row at the place `at` behind the batch: to the last fill, where that is for the same layers of the same exit. */
static void add_fill(struct decoder *d, int at, int exit_layer, int from_layer, int to_layer)
{
    struct exits *exits = d->exits;
    struct kv_fill_rows *last = exits->n_fills > 0 ? &exits->fills[exits->n_fills - 1] : NULL;
    if (last && last->exit_layer == exit_layer && last->from_layer == from_layer && last->to_layer == to_layer)
        last->n++;
    else exits->fills[exits->n_fills++] = (struct kv_fill_rows){at, 1, exit_layer, from_layer, to_layer};
}

void cm_exits_fill(struct decoder *d, int n_layers_run, int n_gone)
{
    struct exits *exits = d->exits;
    int at = d->n_rows;
    exits->n_fills = 0;
    for (; at < d->n_rows + n_gone; at++) add_fill(d, at, n_layers_run, n_layers_run, d->spec->n_layers);
    for (int s = 0; s < exits->n_sequences; s++) {
        struct waiting *waiting = exits->sequences[s];
        for (int i = 0; i < waiting->n && waiting->rows[i].position < waiting->limit;) {
            struct waiting_row *row = &waiting->rows[i];
            if (!is_lazy(row) || !is_here(waiting, row, n_layers_run)) {
                i++;
                continue;
            }
            place(d, waiting, i, at);
            if (cm_exit_has_path(d, row->exit_layer))
                memcpy(cm_row(exits->drifts, at, waiting->dim), cm_waiting_drift(waiting, i),
                       (size_t)waiting->dim * sizeof(float));
            add_fill(d, at++, row->exit_layer, row->layers, waiting->to_layer);
            row->layers = waiting->to_layer;
            if (row->layers == d->spec->n_layers) cm_waiting_remove(waiting, i);
            else i++;
        }
    }
    for (int i = 0; i < exits->n_fills; i++)
        for (int layer = exits->fills[i].from_layer; layer < exits->fills[i].to_layer; layer++)
            d->counters.n_weight_bytes += d->weights->layers[layer].k.n_bytes + d->weights->layers[layer].v.n_bytes;
}

/* ---- by all workers ---- */

void cm_exits_run_fills(struct decoder *d, const struct worker *me)
{
    for (int i = 0; i < d->exits->n_fills; i++) {
        if (i > 0) cm_barrier(me);
        cm_kv_propagate(d, &d->exits->fills[i], me);
    }
}

struct between {
    struct decoder *decoder;
    int             n_layers_run;
};

static void bring_in(void *arg)
{
    const struct between *between = arg;
    struct decoder *d = between->decoder;
    const int n_before = d->n_rows;
    cm_exits_want(d, between->n_layers_run);
    cm_exits_join(d, between->n_layers_run);
    cm_exits_fill(d, between->n_layers_run, 0);
    if (d->n_rows > n_before) cm_attention_plan(d);
}

void cm_exits_catch_up(struct decoder *d, int n_layers_run, const struct worker *me)
{
    struct between between = {d, n_layers_run};
    if (!has_any_here(d->exits, n_layers_run)) return;
    cm_enter_phase(d, me, CALMOE_PHASE_FILL);
    cm_barrier_with(me, bring_in, &between);
    cm_exits_run_fills(d, me);
}
