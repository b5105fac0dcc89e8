/* runtime/forward/further.c - what the layer of a block that predicts a further token reads: the embedding of a token
 * and the model's state at the position before it, each normed, side by side through one matrix. */
#include "runtime/forward/decoder_parts.h"

static void norm_half(struct decoder *d, const float *from, const float *norm, float *to)
{
    d->batch.ops->rms_norm(from, norm, d->batch.spec->norm_eps, d->batch.spec->dim, to);
}

void cm_join_states(struct decoder *d, const struct worker *me)
{
    const struct weights *weights = d->weights;
    const int dim = d->batch.spec->dim;
    const struct exchange_piece joined_rows = cm_columns_piece(d->batch.x, d->batch.n_rows, dim);
    int begin, end;
    cm_own_rows(&d->batch, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        float *joined = cm_row(d->joined.values, r, 2 * dim);
        norm_half(d, cm_row(d->batch.x, r, dim), weights->embedding_norm, joined);
        norm_half(d, d->batch.rows[r].asked.before, weights->state_norm, joined + dim);
        d->batch.ops->quantize(&d->joined, r, 0, 2 * dim, cm_placed_kind(&weights->joint));
    }
    if (me->index == 0) d->batch.counters.n_weight_bytes += weights->joint.n_bytes;
    cm_barrier(me);
    cm_linear_shared(&d->batch, &weights->joint, &d->joined, NULL, d->batch.n_rows, NULL, d->batch.x, me);
    cm_barrier_gather(&d->batch, me, &joined_rows, 1, CALMOE_PHASE_OTHER);
}
