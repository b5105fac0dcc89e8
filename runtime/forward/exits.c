/* runtime/forward/exits.c - the memory and the books of early exits, and widths. Exits themselves: exit_point.c. */
#include "runtime/forward/exits.h"

#include <limits.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/forward/exits_parts.h"

/* ---- memory ---- */

int cm_shortlist_length(int n_vocab)
{
    const int eighth = (n_vocab / 8 + 15) / 16 * 16;
    const int n = eighth < 256 ? 256 : eighth > 4096 ? 4096 : eighth;
    return n < n_vocab ? n : n_vocab;
}

calmoe_status cm_exits_open(struct calmoe_context *ctx, struct decoder *d)
{
    const size_t n = (size_t)d->max_rows, dim = (size_t)d->spec->dim;
    const size_t rank = d->exit_weights ? (size_t)d->exit_weights->max_rank : 0;
    struct exits *exits = cm_alloc(ctx, 1, sizeof *exits, "early exits");
    if (!exits) return CALMOE_NO_MEMORY;
    exits->n_short = cm_shortlist_length(d->spec->n_vocab);
    exits->staying = cm_alloc(ctx, n, sizeof *exits->staying, "early exits");
    exits->full = cm_alloc(ctx, n, sizeof *exits->full, "early exits");
    exits->few = cm_alloc(ctx, n, sizeof *exits->few, "early exits");
    exits->late = cm_alloc(ctx, n, sizeof *exits->late, "early exits");
    exits->late_states = cm_alloc(ctx, n * dim, sizeof *exits->late_states, "early exits");
    exits->previous = cm_alloc(ctx, n * dim, sizeof *exits->previous, "early exits");
    exits->rows = cm_alloc(ctx, n, sizeof *exits->rows, "early exits");
    exits->n_kept = cm_alloc(ctx, n, sizeof *exits->n_kept, "early exits");
    exits->had_rows = cm_alloc(ctx, (size_t)d->spec->n_layers, sizeof *exits->had_rows, "early exits");
    exits->sequences = cm_alloc(ctx, n + 1, sizeof *exits->sequences, "early exits");
    exits->fills = cm_alloc(ctx, n, sizeof *exits->fills, "early exits");
    exits->asked = cm_alloc(ctx, n, sizeof *exits->asked, "early exits");
    if (rank > 0) exits->low = cm_alloc(ctx, n * rank, sizeof *exits->low, "early exits");
    if (rank > 0) exits->translated = cm_alloc(ctx, n * dim, sizeof *exits->translated, "early exits");
    if (rank > 0) exits->drifts = cm_alloc(ctx, n * dim, sizeof *exits->drifts, "early exits");
    if (!exits->had_rows || !exits->sequences || !exits->fills || !exits->staying || !exits->full || !exits->few ||
        !exits->late || !exits->late_states || !exits->previous || !exits->rows || !exits->n_kept
        || !exits->asked || (rank > 0 && (!exits->low || !exits->translated || !exits->drifts)))
        cm_exits_close(&exits);
    d->exits = exits;
    return exits ? CALMOE_OK : CALMOE_NO_MEMORY;
}

void cm_exits_close(struct exits **exits)
{
    if (!*exits) return;
    cm_free((*exits)->staying);
    cm_free((*exits)->full);
    cm_free((*exits)->few);
    cm_free((*exits)->late);
    cm_free((*exits)->late_states);
    cm_free((*exits)->previous);
    cm_free((*exits)->rows);
    cm_free((*exits)->n_kept);
    cm_free((*exits)->had_rows);
    cm_free((*exits)->sequences);
    cm_free((*exits)->fills);
    cm_free((*exits)->asked);
    cm_free((*exits)->low);
    cm_free((*exits)->translated);
    cm_free((*exits)->drifts);
    cm_free(*exits);
    *exits = NULL;
}

calmoe_status cm_exits_check(struct calmoe_context *ctx, const struct policy_rung *rung,
                             const struct exit_weights *weights)
{
    for (int i = 0; i < rung->n_exits; i++) {
        const struct policy_exit *exit = &rung->exits[i];
        const struct exit_weight *weight = cm_exit_weight(weights, exit->layer);
        if (cm_exit_measures[exit->measure].reads_features && !(weight && weight->classifier))
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                           "the policy's exit after layer %d is decided by '%s'; the engine has %s for that layer",
                           exit->layer, cm_exit_measures[exit->measure].name,
                           weights ? "exits without one" : "no exits file with one");
    }
    return CALMOE_OK;
}

static bool may_wait(const struct policy_rung *rung)
{
    return rung && rung->n_exits > 0 && rung->k_tail == TAIL_NONE && rung->kv_fill != KV_PROPAGATE;
}

int cm_exits_max_waiting(const struct policy_rung *rungs, int n_rungs)
{
    int most = 0;
    for (int i = 0; i < n_rungs; i++)
        if (may_wait(&rungs[i]) && rungs[i].max_pending > most) most = rungs[i].max_pending;
    return most;
}

/* ---- a step ---- */

/* Adds a row to the ascending list. */
static void add_staying(struct exits *exits, int32_t logits_row)
{
    int at = exits->n_staying++;
    for (; at > 0 && exits->staying[at - 1] > logits_row; at--) exits->staying[at] = exits->staying[at - 1];
    exits->staying[at] = logits_row;
}

void cm_exits_list_staying(struct decoder *d)
{
    struct exits *exits = d->exits;
    exits->n_staying = 0;
    for (int r = 0; r < d->n_rows; r++)
        if (d->rows[r].logits_row >= 0 && !d->rows[r].is_in_tail) add_staying(exits, d->rows[r].logits_row);
    for (int i = 0; i < exits->n_late; i++) add_staying(exits, exits->late[i]);
}

void cm_exits_norm_late(struct decoder *d, const struct worker *me)
{
    int begin, end;
    cm_share(d->exits->n_late, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const int32_t row = d->exits->late[i];
        cm_head_norm_state(d, cm_row(d->exits->late_states, row, d->spec->dim), row);
    }
}

/* The sequences that wait; rows of one stand together. A sequence is driven where its rows that may leave find no
 * room: counted in limit, which is free before the first layer. */
static void list_sequences(struct decoder *d)
{
    struct exits *exits = d->exits;
    exits->n_sequences = 0;
    for (int r = 0; r < d->n_rows; r++) {
        struct waiting *waiting = d->rows[r].waiting;
        if (!waiting) continue;
        if (r == 0 || d->rows[r - 1].waiting != waiting) {
            exits->sequences[exits->n_sequences++] = waiting;
            waiting->limit = waiting->n;
        }
        if (may_wait(d->rows[r].rung) && d->rows[r].logits_row >= 0 && ++waiting->limit > waiting->capacity)
            waiting->driven_below = INT_MAX;
    }
    if (d->driven) exits->sequences[exits->n_sequences++] = d->driven;
}

void cm_exits_begin(struct decoder *d)
{
    struct exits *exits = d->exits;
    bool has_rungs = false;
    exits->is_deciding = exits->had_head = exits->had_shortlist = false;
    exits->n_fills = exits->n_asked = exits->n_late = 0;
    exits->translator_bytes = 0;
    memset(exits->had_rows, 0, (size_t)d->spec->n_layers);
    for (int r = 0; r < d->n_rows; r++) {
        const struct row *row = &d->rows[r];
        if (!row->rung) continue;
        has_rungs = true;
        if (row->rung->n_exits > 0 && row->logits_row >= 0) exits->is_deciding = true;
    }
    cm_exits_list_staying(d);
    list_sequences(d);
    for (int i = 0; i < exits->n_sequences; i++) has_rungs |= exits->sequences[i]->n > 0;
    d->routing.n_kept = has_rungs ? exits->n_kept : NULL;
}

void cm_exits_note(struct decoder *d, int layer) { d->exits->had_rows[layer] = 1; }

/* What a layer has but for experts: n_dense_bytes is the sum of these. */
static size_t dense_bytes(const struct layer *layer)
{
    return layer->q.n_bytes + layer->k.n_bytes + layer->v.n_bytes + layer->o.n_bytes + layer->router.n_bytes +
           layer->shared_gate.n_bytes;
}

void cm_exits_count(struct decoder *d)
{
    const struct exits *exits = d->exits;
    const size_t head = d->weights->output.n_bytes;
    for (int i = 0; i < d->spec->n_layers; i++)
        if (!exits->had_rows[i]) d->counters.n_weight_bytes -= dense_bytes(&d->weights->layers[i]);
    for (int i = 0; i < exits->n_sequences; i++) exits->sequences[i]->driven_below = 0;
    d->driven = NULL;
    d->counters.n_weight_bytes += exits->translator_bytes;
    if (exits->had_head || exits->n_staying > 0) cm_count_head(&d->counters, head);
    else if (exits->had_shortlist)
        cm_count_head(&d->counters, head / (size_t)d->spec->n_vocab * (size_t)exits->n_short);
}

int cm_exits_staying(const struct decoder *d, const int32_t **rows)
{
    *rows = d->exits->staying;
    return d->exits->n_staying;
}

/* ---- width ---- */

int cm_exits_width(struct decoder *d, int layer, int r, float *weights)
{
    const struct router_spec *router = &d->spec->layers[layer].ffn.router;
    const struct row *row = &d->rows[r];
    int n_kept = router->n_used;
    if (row->rung && row->rung->widths) n_kept = cm_width(&row->rung->widths[layer], weights, n_kept);
    if (row->is_in_tail && row->rung->k_tail != TAIL_NONE && row->rung->k_tail < n_kept) {
        const struct width_rule tail = {
            .kind = WIDTH_FIXED, .k = row->rung->k_tail,
            .renormalise = router->renormalise || router->score == SCORE_SOFTMAX_SELECTED};
        n_kept = tail.k > 0 ? cm_width(&tail, weights, n_kept) : 0;
    }
    d->exits->n_kept[r] = (uint8_t)n_kept;
    return n_kept;
}
