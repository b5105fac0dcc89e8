/* runtime/mixers/batch.c - see batch.h. */
#include "runtime/mixers/batch.h"

void cm_add_normed(struct batch *batch, int layer, const float *norm, int r, float *y)
{
    const int dim = batch->spec->dim;
    batch->ops->rms_norm(y, norm, batch->spec->norm_eps, dim, y);
    batch->ops->add_scaled(cm_row(batch->x, r, dim), y, batch->spec->layers[layer].residual_scale, dim);
}

void cm_linear_part(struct batch *batch, const struct placed_matrix *matrix, const struct matrix_part *part, int begin,
                    int end, const struct activations *x, const int32_t *tokens, int n_tokens, const float *bias,
                    float *y, const struct worker *me)
{
    const size_t stride = (size_t)matrix->n_rows;
    const int first = part->first_row;
    if (begin >= end) return;
    part->matrix.kernel->multiply(&part->matrix, begin, end, x, tokens, n_tokens, y + first + begin, stride);
    cm_phase_bytes(&batch->counters.clocks[me->index])[part->node] += cm_rows_bytes(&part->matrix, end - begin);
    if (!bias) return;
    for (int token = 0; token < n_tokens; token++)
        for (int i = first + begin; i < first + end; i++) y[(size_t)token * stride + (size_t)i] += bias[i];
}

void cm_linear_shared(struct batch *batch, const struct placed_matrix *matrix, const struct activations *x,
                      const int32_t *tokens, int n_tokens, const float *bias, float *y, const struct worker *me)
{
    for (int i = 0; i < matrix->n_parts; i++) {
        int begin, end;
        cm_part_share(&matrix->parts[i], me, &begin, &end);
        cm_linear_part(batch, matrix, &matrix->parts[i], begin, end, x, tokens, n_tokens, bias, y, me);
    }
}
