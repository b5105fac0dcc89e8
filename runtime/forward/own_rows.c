/* runtime/forward/own_rows.c - what a worker does of the feed-forward half with rows of its own: norms, and products
 * with the node's copy of a small matrix. */
#include "runtime/forward/decoder_parts.h"

/* y (end - begin, n rows) = the node's copy of matrix times own rows of the input */
void cm_multiply_own(struct decoder *d, const struct placed_matrix *matrix, const struct activations *input, int begin,
                     int end, float *y, const struct worker *me)
{
    const int n = matrix->n_rows;
    if (end > begin)
        cm_linear_part(&d->batch, matrix, cm_copy_for(matrix, me), 0, n, input, d->batch.identity + begin,
                       end - begin, NULL, cm_row(y, begin, n), me);
}

void cm_norm_ffn_rows(struct decoder *d, unsigned kinds, const float *norm, int begin, int end, struct activations *out)
{
    const int dim = d->batch.spec->dim;
    for (int r = begin; r < end; r++) {
        cm_norm(&d->batch, cm_row(d->batch.x, r, dim), norm, cm_row(out->values, r, dim));
        d->batch.ops->quantize(out, r, 0, dim, kinds);
    }
}
