/* runtime/forward/waiting.c - see waiting.h. */
#include "runtime/forward/waiting.h"

#include <string.h>

#include "base/memory.h"

calmoe_status cm_waiting_open(struct calmoe_context *ctx, int capacity, int dim, struct waiting **out)
{
    struct waiting *waiting = *out = cm_alloc(ctx, 1, sizeof *waiting, "rows that wait");
    if (!waiting) return CALMOE_NO_MEMORY;
    const size_t n = (size_t)capacity;
    waiting->dim = dim;
    waiting->capacity = capacity;
    waiting->rows = cm_alloc(ctx, n, sizeof *waiting->rows, "rows that wait");
    waiting->states = cm_alloc(ctx, n * (size_t)dim, sizeof *waiting->states, "rows that wait");
    waiting->drifts = cm_alloc(ctx, n * (size_t)dim, sizeof *waiting->drifts, "rows that wait");
    if (!waiting->rows || !waiting->states || !waiting->drifts) {
        cm_waiting_close(out);
        return CALMOE_NO_MEMORY;
    }
    for (int i = 0; i < capacity; i++) waiting->rows[i].slot = i;
    return CALMOE_OK;
}

void cm_waiting_close(struct waiting **waiting)
{
    if (!*waiting) return;
    cm_free((*waiting)->rows);
    cm_free((*waiting)->states);
    cm_free((*waiting)->drifts);
    cm_free(*waiting);
    *waiting = NULL;
}

void cm_waiting_add(struct waiting *waiting, struct waiting_row row, const float *state, const float *drift)
{
    const size_t dim = (size_t)waiting->dim;
    int at = waiting->n;
    row.slot = waiting->rows[waiting->n++].slot;
    row.logits_row = -1;
    for (; at > 0 && waiting->rows[at - 1].position > row.position; at--) waiting->rows[at] = waiting->rows[at - 1];
    waiting->rows[at] = row;
    memcpy(waiting->states + (size_t)row.slot * dim, state, dim * sizeof *state);
    if (drift) memcpy(waiting->drifts + (size_t)row.slot * dim, drift, dim * sizeof *drift);
}

void cm_waiting_remove(struct waiting *waiting, int i)
{
    const struct waiting_row removed = waiting->rows[i];
    for (waiting->n--; i < waiting->n; i++) waiting->rows[i] = waiting->rows[i + 1];
    waiting->rows[waiting->n] = removed;
}

void cm_waiting_rewind(struct waiting *waiting, int position)
{
    while (waiting->n > 0 && waiting->rows[waiting->n - 1].position >= position) waiting->n--;
}
