/* runtime/exits/waiting.c - see waiting.h. */
#include "runtime/exits/waiting.h"

#include <string.h>

#include "base/memory.h"

calmoe_status cm_waiting_open(struct calmoe_context *ctx, int capacity, int dim, struct waiting **out)
{
    struct waiting *waiting = *out = cm_alloc(ctx, 1, sizeof *waiting, "rows that wait");
    if (!waiting) return CALMOE_NO_MEMORY;
    const size_t n = (size_t)capacity, n_floats = 2 * n * (size_t)dim;
    waiting->dim = dim;
    waiting->capacity = capacity;
    waiting->rows = cm_alloc(ctx, n, sizeof *waiting->rows, "rows that wait");
    waiting->before = cm_alloc(ctx, n, sizeof *waiting->before, "rows that wait");
    waiting->states = cm_alloc(ctx, n_floats, sizeof *waiting->states, "rows that wait");
    waiting->drifts = cm_alloc(ctx, n_floats, sizeof *waiting->drifts, "rows that wait");
    waiting->is_taken = cm_alloc(ctx, 2 * n, sizeof *waiting->is_taken, "rows that wait");
    if (waiting->rows && waiting->before && waiting->states && waiting->drifts && waiting->is_taken) return CALMOE_OK;
    cm_waiting_close(out);
    return CALMOE_NO_MEMORY;
}

void cm_waiting_close(struct waiting **waiting)
{
    if (!*waiting) return;
    cm_free((*waiting)->rows);
    cm_free((*waiting)->before);
    cm_free((*waiting)->states);
    cm_free((*waiting)->drifts);
    cm_free((*waiting)->is_taken);
    cm_free(*waiting);
    *waiting = NULL;
}

static void take_slots(struct waiting *waiting, const struct waiting_row *rows, int n)
{
    for (int i = 0; i < n; i++) waiting->is_taken[rows[i].slot] = true;
}

void cm_waiting_copy(const struct waiting *from, const struct sequence *sequence, struct waiting *to)
{
    const size_t n_floats = 2 * (size_t)from->capacity * (size_t)from->dim;
    to->n = from->n;
    for (int i = 0; i < from->n; i++) {
        to->rows[i] = from->rows[i];
        to->rows[i].sequence = sequence;
    }
    memcpy(to->states, from->states, n_floats * sizeof *to->states);
    memcpy(to->drifts, from->drifts, n_floats * sizeof *to->drifts);
}

void cm_waiting_begin(struct waiting *waiting)
{
    memset(waiting->is_taken, 0, 2 * (size_t)waiting->capacity * sizeof *waiting->is_taken);
    take_slots(waiting, waiting->rows, waiting->n);
    memcpy(waiting->before, waiting->rows, (size_t)waiting->n * sizeof *waiting->rows);
    waiting->n_before = waiting->n;
}

void cm_waiting_undo(struct waiting *waiting)
{
    memcpy(waiting->rows, waiting->before, (size_t)waiting->n_before * sizeof *waiting->rows);
    waiting->n = waiting->n_before;
}

/* One is always free: rows that wait and rows that waited when the step began are at most twice the capacity together,
 * and the row that is being added is not counted yet. */
static int free_slot(const struct waiting *waiting)
{
    int slot = 0;
    while (waiting->is_taken[slot]) slot++;
    return slot;
}

void cm_waiting_add(struct waiting *waiting, struct waiting_row row, const float *state, const float *drift)
{
    const size_t dim = (size_t)waiting->dim;
    int at = waiting->n++;
    row.slot = free_slot(waiting);
    row.logits_row = -1;
    row.state = NULL;
    row.kept = NULL;
    waiting->is_taken[row.slot] = true;
    for (; at > 0 && waiting->rows[at - 1].position > row.position; at--) waiting->rows[at] = waiting->rows[at - 1];
    waiting->rows[at] = row;
    memcpy(waiting->states + (size_t)row.slot * dim, state, dim * sizeof *state);
    if (drift) memcpy(waiting->drifts + (size_t)row.slot * dim, drift, dim * sizeof *drift);
}

static bool waited_before(const struct waiting *waiting, int slot)
{
    for (int i = 0; i < waiting->n_before; i++)
        if (waiting->before[i].slot == slot) return true;
    return false;
}

void cm_waiting_remove(struct waiting *waiting, int i)
{
    const int slot = waiting->rows[i].slot;
    if (!waited_before(waiting, slot)) waiting->is_taken[slot] = false;
    for (waiting->n--; i < waiting->n; i++) waiting->rows[i] = waiting->rows[i + 1];
}

void cm_waiting_rewind(struct waiting *waiting, int position)
{
    while (waiting->n > 0 && waiting->rows[waiting->n - 1].position >= position) waiting->n--;
}
