/* runtime/exits/exits.c - the memory and the books of early exits, and widths. Exits themselves: exit_point.c. */
#include "runtime/exits/exits.h"

#include <limits.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/exits/exits_parts.h"

/* ---- memory ---- */

int cm_shortlist_length(int n_vocab)
{
    const int eighth = (n_vocab / 8 + 15) / 16 * 16;
    const int n = eighth < 256 ? 256 : eighth > 4096 ? 4096 : eighth;
    return n < n_vocab ? n : n_vocab;
}

/* All arrays, each of n rows of a size: what cm_exits_open() allocates and cm_exits_close() frees. */
struct array {
    void **at;
    size_t n, size;
};

enum { N_ARRAYS = 15 };

static void list_arrays(struct exits *e, size_t n, size_t row_floats, struct array *arrays)
{
    const size_t dim = (size_t)e->dim, rank = e->weights ? (size_t)e->weights->max_rank : 0;
    const struct array all[N_ARRAYS] = {
        {(void **)&e->staying, n, sizeof *e->staying},
        {(void **)&e->full, n, sizeof *e->full},
        {(void **)&e->few, n, sizeof *e->few},
        {(void **)&e->late, n, sizeof *e->late},
        {(void **)&e->asked, n, sizeof *e->asked},
        {(void **)&e->n_kept, n, sizeof *e->n_kept},
        {(void **)&e->fills, n, sizeof *e->fills},
        {(void **)&e->sequences, n + 1, sizeof *e->sequences},
        {(void **)&e->aside, n, sizeof *e->aside},
        {(void **)&e->aside_floats, n * row_floats, sizeof(float)},
        {(void **)&e->late_states, n * dim, sizeof(float)},
        {(void **)&e->previous, n * dim, sizeof(float)},
        {(void **)&e->low, n * rank, sizeof(float)},
        {(void **)&e->translated, rank > 0 ? n * dim : 0, sizeof(float)},
        {(void **)&e->drifts, rank > 0 ? n * dim : 0, sizeof(float)},
    };
    memcpy(arrays, all, sizeof all);
}

calmoe_status cm_exits_open(struct calmoe_context *ctx, const struct decoder *d, const struct exit_weights *weights,
                            const uint8_t *usable, struct exits **out)
{
    const struct model_spec *spec = cm_decoder_spec(d);
    struct exits *e = *out = cm_alloc(ctx, 1, sizeof *e, "early exits");
    struct array  arrays[N_ARRAYS];
    if (!e) return CALMOE_NO_MEMORY;
    e->weights = weights;
    e->usable = usable;
    e->dim = spec->dim;
    e->n_layers = spec->n_layers;
    e->n_vocab = spec->n_vocab;
    e->spec = spec;
    e->n_short = cm_shortlist_length(spec->n_vocab);
    list_arrays(e, (size_t)cm_decoder_max_rows(d), cm_batch_row_floats(d), arrays);
    for (int i = 0; i < N_ARRAYS; i++) {
        if (arrays[i].n == 0) continue;
        *arrays[i].at = cm_alloc(ctx, arrays[i].n, arrays[i].size, "early exits");
        if (*arrays[i].at) continue;
        cm_exits_close(out);
        return CALMOE_NO_MEMORY;
    }
    return CALMOE_OK;
}

void cm_exits_close(struct exits **exits)
{
    struct array arrays[N_ARRAYS];
    if (!*exits) return;
    list_arrays(*exits, 0, 0, arrays);
    for (int i = 0; i < N_ARRAYS; i++) cm_free(*arrays[i].at);
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

void cm_exits_drive(struct exits *e, const struct sequence *sequence, int below)
{
    e->driven = sequence;
    sequence->waiting->driven_below = below;
}

const struct sequence *cm_exits_driven(const struct exits *e) { return e->driven; }

/* The sequences that wait; rows of one stand together. A sequence is driven where its rows that may leave find no
 * room: counted in limit, which is free before the first layer. */
static void list_sequences(struct exits *e, const struct decoder *d)
{
    const struct waiting *before = NULL;
    e->n_sequences = 0;
    for (int r = 0; r < cm_batch_n(d); r++) {
        const struct row *row = cm_batch_row(d, r);
        struct waiting *waiting = row->asked.sequence->waiting;
        if (waiting && waiting != before) {
            e->sequences[e->n_sequences++] = waiting;
            waiting->limit = waiting->n;
        }
        before = waiting;
        if (waiting && may_wait(row->may.rung) && row->asked.logits_row >= 0 && ++waiting->limit > waiting->capacity)
            waiting->driven_below = INT_MAX;
    }
    if (e->driven) e->sequences[e->n_sequences++] = e->driven->waiting;
    for (int i = 0; i < e->n_sequences; i++) cm_waiting_begin(e->sequences[i]);
}

static void begin(void *self, struct decoder *d)
{
    struct exits *e = self;
    e->is_deciding = e->has_widths = e->had_head = e->had_shortlist = false;
    e->n_fills = e->n_asked = e->n_late = 0;
    e->translator_bytes = 0;
    for (int r = 0; r < cm_batch_n(d); r++) {
        const struct row *row = cm_batch_row(d, r);
        if (!row->may.rung) continue;
        e->has_widths = true;
        if (row->may.rung->n_exits > 0 && row->asked.logits_row >= 0) e->is_deciding = true;
    }
    cm_exits_list_staying(e, d);
    list_sequences(e, d);
    for (int i = 0; i < e->n_sequences; i++) e->has_widths |= e->sequences[i]->n > 0;
}

static void after(void *self, struct decoder *d, int n_layers_run, const struct worker *me)
{
    if (n_layers_run == 0) cm_exits_catch_up(self, d, 0, me);
    else cm_exit_point(self, d, n_layers_run, me);
}

static bool more_come(const void *self) { return cm_exits_more_come(self); }

static int head_rows(void *self, const int32_t **rows)
{
    const struct exits *e = self;
    *rows = e->staying;
    return e->n_staying;
}

static void norm_gone(void *self, struct decoder *d, const struct worker *me)
{
    struct exits *e = self;
    int first, last;
    cm_share(e->n_late, 1, me->index, me->n_workers, &first, &last);
    for (int i = first; i < last; i++)
        cm_head_norm(d, cm_row(e->late_states, e->late[i], e->dim), e->late[i]);
}

static void end(void *self, struct decoder *d, bool is_undone)
{
    struct exits    *e = self;
    struct counters *counters = cm_decoder_counters(d);
    const size_t     head = cm_head_bytes(d);
    for (int i = 0; i < e->n_sequences; i++) {
        if (is_undone) cm_waiting_undo(e->sequences[i]);
        e->sequences[i]->driven_below = 0;
    }
    e->driven = NULL;
    counters->n_weight_bytes += e->translator_bytes;
    if (e->had_head || e->n_staying > 0) cm_count_head(counters, head);
    else if (e->had_shortlist) cm_count_head(counters, head / (size_t)e->n_vocab * (size_t)e->n_short);
}

/* ---- width ---- */

static const uint8_t *widths(void *self)
{
    const struct exits *e = self;
    return e->has_widths ? e->n_kept : NULL;
}

static int width(void *self, const struct row *row, int layer, int r, float *weights)
{
    struct exits *e = self;
    const struct policy_rung *rung = row->may.rung;
    const struct router_spec *router = &e->spec->layers[layer].ffn.router;
    int n_kept = router->n_used;
    if (rung && rung->widths) n_kept = cm_width(&rung->widths[layer], weights, n_kept);
    if (row->is_in_tail && rung->k_tail != TAIL_NONE && rung->k_tail < n_kept) {
        const struct width_rule tail = {.kind = WIDTH_FIXED, .k = rung->k_tail,
                                        .renormalise = cm_renormalises(router)};
        n_kept = tail.k > 0 ? cm_width(&tail, weights, n_kept) : 0;
    }
    e->n_kept[r] = (uint8_t)n_kept;
    return n_kept;
}

const struct between_layers cm_exits_between = {
    .begin = begin, .after = after, .more_come = more_come, .width = width, .widths = widths,
    .head_rows = head_rows, .norm_gone = norm_gone, .end = end,
};
