/* runtime/forward/batch.c - the batch as what runs between layers sees it; see between.h. */
#include <string.h>

#include "runtime/forward/decoder_parts.h"

int         cm_batch_n(const struct decoder *d) { return d->n_rows; }
void        cm_batch_set_n(struct decoder *d, int n) { d->n_rows = n; }
struct row *cm_batch_row(const struct decoder *d, int r) { return &d->rows[r]; }
float      *cm_batch_state(const struct decoder *d, int r) { return cm_row(d->x, r, d->spec->dim); }

size_t cm_batch_row_floats(const struct decoder *d) { return (size_t)d->spec->dim + 2 * (size_t)d->rope.n_pairs; }

void cm_batch_save(const struct decoder *d, int r, float *to)
{
    const int dim = d->spec->dim, n_pairs = d->rope.n_pairs;
    memcpy(to, cm_row(d->x, r, dim), (size_t)dim * sizeof *to);
    memcpy(to + dim, cm_row(d->cosines, r, n_pairs), (size_t)n_pairs * sizeof *to);
    memcpy(to + dim + n_pairs, cm_row(d->sines, r, n_pairs), (size_t)n_pairs * sizeof *to);
}

void cm_batch_load(struct decoder *d, int r, const float *from)
{
    const int dim = d->spec->dim, n_pairs = d->rope.n_pairs;
    memcpy(cm_row(d->x, r, dim), from, (size_t)dim * sizeof *from);
    memcpy(cm_row(d->cosines, r, n_pairs), from + dim, (size_t)n_pairs * sizeof *from);
    memcpy(cm_row(d->sines, r, n_pairs), from + dim + n_pairs, (size_t)n_pairs * sizeof *from);
}

void cm_batch_move(struct decoder *d, int from, int to)
{
    const int dim = d->spec->dim, n_pairs = d->rope.n_pairs;
    if (from == to) return;
    d->rows[to] = d->rows[from];
    memcpy(cm_row(d->x, to, dim), cm_row(d->x, from, dim), (size_t)dim * sizeof *d->x);
    memcpy(cm_row(d->cosines, to, n_pairs), cm_row(d->cosines, from, n_pairs), (size_t)n_pairs * sizeof *d->x);
    memcpy(cm_row(d->sines, to, n_pairs), cm_row(d->sines, from, n_pairs), (size_t)n_pairs * sizeof *d->x);
}

void cm_batch_place(struct decoder *d, int r, const struct row *row, const float *state)
{
    const int dim = d->spec->dim, n_pairs = d->rope.n_pairs;
    d->rows[r] = *row;
    memcpy(cm_row(d->x, r, dim), state, (size_t)dim * sizeof *state);
    cm_rope_row(&d->rope, row->asked.position, cm_row(d->cosines, r, n_pairs), cm_row(d->sines, r, n_pairs));
}

void cm_batch_changed(struct decoder *d)
{
    if (d->n_rows > 0) cm_attention_plan(d);
}

void cm_batch_share(const struct decoder *d, const struct worker *me, int *begin, int *end)
{
    cm_own_rows(d, me, begin, end);
}

const int32_t *cm_batch_identity(const struct decoder *d) { return d->identity; }

struct activations cm_batch_states(const struct decoder *d)
{
    return (struct activations){.n_columns = d->spec->dim, .values = d->x};
}

void cm_report_row(struct decoder *d, const struct row *row)
{
    if (row->index >= 0) d->step->rows[row->index].came = row->came;
    if (row->asked.logits_row >= 0) d->outcomes[row->asked.logits_row] = row->came;
}

const struct step_observer *cm_step_observers(const struct decoder *d) { return d->step->observers; }

float *cm_step_logits(const struct decoder *d, int logits_row)
{
    return cm_row(d->logits, logits_row, d->spec->n_vocab);
}

void cm_between_phase(struct decoder *d, const struct worker *me, int phase) { cm_enter_phase(d, me, phase); }

void cm_between_multiply(struct decoder *d, const struct placed_matrix *matrix, const struct activations *x,
                         const int32_t *rows, int n, float *y, const struct worker *me)
{
    cm_linear_shared(d, matrix, x, rows, n, NULL, y, me);
}

void cm_batch_probe(struct decoder *d, const float *states, int n, void (*work)(void *arg, const struct worker *me),
                    void *arg)
{
    const int dim = d->spec->dim;
    d->n_rows = n;
    for (int r = 0; r < n; r++) d->rows[r] = (struct row){.asked = {.logits_row = r}, .index = -1};
    memcpy(d->x, states, (size_t)n * (size_t)dim * sizeof *states);
    cm_team_run(d->team, work, arg);
}
