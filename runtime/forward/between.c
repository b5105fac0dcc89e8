/* runtime/forward/between.c - the batch as what runs between layers sees it; see between.h. */
#include <string.h>

#include "runtime/forward/decoder_parts.h"
#include "runtime/mixers/sequence_state.h"

int         cm_batch_n(const struct decoder *d) { return d->batch.n_rows; }
void        cm_batch_set_n(struct decoder *d, int n) { d->batch.n_rows = n; }
struct row *cm_batch_row(const struct decoder *d, int r) { return &d->batch.rows[r]; }
float      *cm_batch_state(const struct decoder *d, int r) { return cm_row(d->batch.x, r, d->batch.spec->dim); }

size_t cm_batch_row_floats(const struct decoder *d)
{
    return (size_t)d->batch.spec->dim + 2 * (size_t)d->batch.rope.n_pairs;
}

void cm_batch_save(const struct decoder *d, int r, float *to)
{
    const int dim = d->batch.spec->dim, n_pairs = d->batch.rope.n_pairs;
    memcpy(to, cm_row(d->batch.x, r, dim), (size_t)dim * sizeof *to);
    memcpy(to + dim, cm_row(d->batch.cosines, r, n_pairs), (size_t)n_pairs * sizeof *to);
    memcpy(to + dim + n_pairs, cm_row(d->batch.sines, r, n_pairs), (size_t)n_pairs * sizeof *to);
}

void cm_batch_load(struct decoder *d, int r, const float *from)
{
    const int dim = d->batch.spec->dim, n_pairs = d->batch.rope.n_pairs;
    memcpy(cm_row(d->batch.x, r, dim), from, (size_t)dim * sizeof *from);
    memcpy(cm_row(d->batch.cosines, r, n_pairs), from + dim, (size_t)n_pairs * sizeof *from);
    memcpy(cm_row(d->batch.sines, r, n_pairs), from + dim + n_pairs, (size_t)n_pairs * sizeof *from);
}

void cm_batch_move(struct decoder *d, int from, int to)
{
    const int dim = d->batch.spec->dim, n_pairs = d->batch.rope.n_pairs;
    if (from == to) return;
    d->batch.rows[to] = d->batch.rows[from];
    memcpy(cm_row(d->batch.x, to, dim), cm_row(d->batch.x, from, dim), (size_t)dim * sizeof *d->batch.x);
    const size_t angles = (size_t)n_pairs * sizeof *d->batch.cosines;
    memcpy(cm_row(d->batch.cosines, to, n_pairs), cm_row(d->batch.cosines, from, n_pairs), angles);
    memcpy(cm_row(d->batch.sines, to, n_pairs), cm_row(d->batch.sines, from, n_pairs), angles);
}

void cm_batch_place(struct decoder *d, int r, const struct row *row, const float *state)
{
    const int dim = d->batch.spec->dim, n_pairs = d->batch.rope.n_pairs;
    d->batch.rows[r] = *row;
    memcpy(cm_row(d->batch.x, r, dim), state, (size_t)dim * sizeof *state);
    cm_rope_row(&d->batch.rope, cm_row_position(row), cm_row(d->batch.cosines, r, n_pairs),
                cm_row(d->batch.sines, r, n_pairs));
}

void cm_batch_changed(struct decoder *d)
{
    for (int r = 0; d->batch.adapters && r < d->batch.n_rows; r++) {
        const struct row_request *asked = &d->batch.rows[r].asked;
        d->row_uses[r] = asked->sequence->adapters;
        if (asked->logits_row >= 0) d->logit_uses[asked->logits_row] = asked->sequence->adapters;
    }
    for (int kind = 0; kind < MIXER_KIND_COUNT && d->batch.n_rows > 0; kind++)
        if (d->works[kind]) cm_mixers[kind]->plan(d->works[kind], &d->batch);
}

void cm_batch_share(const struct decoder *d, const struct worker *me, int *begin, int *end)
{
    cm_own_rows(&d->batch, me, begin, end);
}

const int32_t *cm_batch_identity(const struct decoder *d) { return d->batch.identity; }

struct activations cm_batch_states(const struct decoder *d)
{
    return (struct activations){.n_columns = d->batch.spec->dim, .values = d->batch.x};
}

void cm_report_row(struct decoder *d, const struct row *row)
{
    if (row->index >= 0) d->step->rows[row->index].came = row->came;
    if (row->asked.logits_row >= 0) d->outcomes[row->asked.logits_row] = row->came;
}

const struct step_observer *cm_step_observers(const struct decoder *d) { return d->step->observers; }

float *cm_step_logits(const struct decoder *d, int logits_row)
{
    return cm_row(d->logits, logits_row, d->batch.spec->n_vocab);
}

void cm_between_phase(struct decoder *d, const struct worker *me, int phase) { cm_enter_phase(&d->batch, me, phase); }

void cm_between_multiply(struct decoder *d, const struct placed_matrix *matrix, const struct activations *x,
                         const int32_t *rows, int n, float *y, const struct worker *me)
{
    cm_linear_plain(&d->batch, matrix, x, rows, n, NULL, y, me);
}

void cm_between_gather(struct decoder *d, float *y, int n, int n_columns, const struct worker *me)
{
    const struct exchange_piece piece = cm_columns_piece(y, n, n_columns);
    if (d->batch.exchange) cm_exchange_meet(d->batch.exchange, &piece, 1, me);
    else cm_barrier(me);
}

void cm_batch_probe(struct decoder *d, const float *states, int n, void (*work)(void *arg, const struct worker *me),
                    void *arg)
{
    const int dim = d->batch.spec->dim;
    d->batch.n_rows = n;
    for (int r = 0; r < n; r++) d->batch.rows[r] = (struct row){.asked = {.logits_row = r}, .index = -1};
    memcpy(d->batch.x, states, (size_t)n * (size_t)dim * sizeof *states);
    cm_team_run(d->team, work, arg);
}

/* ---- layers that rows skip ---- */

void cm_fill_layers(struct decoder *d, const struct layer_fill *fill, const struct worker *me)
{
    const int most = d->batch.max_rows / fill->n;
    int       n = 0;
    cm_enter_phase(&d->batch, me, CALMOE_PHASE_FILL);
    for (int layer = fill->from_layer; layer < fill->to_layer; layer += n) { /* layers of one mixer, as there is room */
        const struct mixer *mixer = cm_mixer_of(&d->batch, layer);
        n = 1;
        while (n < most && layer + n < fill->to_layer && cm_mixer_of(&d->batch, layer + n) == mixer) n++;
        const struct mixer_fill part = {layer, n, fill->begin, fill->n, fill->path, fill->drifts};
        if (layer > fill->from_layer) cm_barrier(me);
        mixer->fill(&d->batch, &part, me);
    }
}

size_t cm_fill_bytes(const struct decoder *d, int from_layer, int to_layer)
{
    size_t n_bytes = 0;
    for (int layer = from_layer; layer < to_layer; layer++)
        n_bytes += cm_mixer_of(&d->batch, layer)->fill_bytes(cm_mixer_weights(&d->batch, layer));
    return n_bytes;
}
