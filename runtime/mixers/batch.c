/* runtime/mixers/batch.c - norms and matrix products by all workers, on the rows of a batch. */
#include "runtime/mixers/mixer.h"

void cm_add_normed(struct batch *batch, int layer, const float *norm, int r, float *y)
{
    const int dim = batch->spec->dim;
    batch->ops->rms_norm(y, norm, batch->spec->norm_eps, dim, y);
    batch->ops->add_scaled(cm_row(batch->x, r, dim), y, batch->spec->layers[layer].residual_scale, dim);
}

void cm_linear_plain_part(struct batch *batch, const struct placed_matrix *matrix, const struct matrix_part *part,
                          int begin, int end, const struct activations *x, const int32_t *tokens, int n_tokens,
                          const float *bias, float *y, const struct worker *me)
{
    const size_t stride = (size_t)matrix->n_rows;
    const int first = part->first_row;
    if (begin >= end) return;
    part->matrix.kernel->multiply(&part->matrix, begin, end, x, tokens, n_tokens, y + first + begin, stride);
    cm_phase_bytes(&batch->counters.clocks[me->seat])[part->node] += cm_rows_bytes(&part->matrix, end - begin);
    if (!bias) return;
    for (int token = 0; token < n_tokens; token++)
        for (int i = first + begin; i < first + end; i++) y[(size_t)token * stride + (size_t)i] += bias[i];
}

void cm_linear_part(struct batch *batch, const struct placed_matrix *matrix, const struct matrix_part *part, int begin,
                    int end, const struct activations *x, const int32_t *tokens, int n_tokens, const float *bias,
                    float *y, const struct worker *me)
{
    const size_t stride = (size_t)matrix->n_rows;
    cm_linear_plain_part(batch, matrix, part, begin, end, x, tokens, n_tokens, bias, y, me);
    if (!batch->adapters || begin >= end) return;
    const struct low_rank_product product = {.matrix = &part->matrix, .begin = begin, .end = end, .x = x,
                                             .which = tokens, .n = n_tokens, .y = y + part->first_row + begin,
                                             .stride = stride};
    cm_low_rank_add(batch->ops, batch->adapters, &product);
}

void cm_linear_plain(struct batch *batch, const struct placed_matrix *matrix, const struct activations *x,
                     const int32_t *tokens, int n_tokens, const float *bias, float *y, const struct worker *me)
{
    for (int i = 0; i < matrix->n_parts; i++) {
        int begin, end;
        cm_part_share(&matrix->parts[i], me, &begin, &end);
        cm_linear_plain_part(batch, matrix, &matrix->parts[i], begin, end, x, tokens, n_tokens, bias, y, me);
    }
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

void cm_norm_rows(struct batch *batch, const float *norm, unsigned kinds, const struct worker *me)
{
    const int dim = batch->spec->dim;
    int begin, end;
    cm_own_rows(batch, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        cm_norm(batch, cm_row(batch->x, r, dim), norm, cm_row(batch->normed.values, r, dim));
        batch->ops->quantize(&batch->normed, r, 0, dim, kinds);
    }
}

void cm_add_product(struct batch *batch, int layer, const struct placed_matrix *matrix, const struct activations *y,
                    const float *bias, const float *norm, const struct worker *me)
{
    const int  dim = batch->spec->dim;
    const struct exchange_piece product = cm_columns_piece(batch->projected, batch->n_rows, dim);
    const bool adds_parts = !norm && !batch->exchange;
    int        own_begin, own_end;
    for (int i = 0; i < matrix->n_parts; i++) {
        const struct matrix_part *part = &matrix->parts[i];
        const int first = part->first_row;
        int begin, end;
        cm_part_share(part, me, &begin, &end);
        cm_linear_part(batch, matrix, part, begin, end, y, NULL, batch->n_rows, bias, batch->projected, me);
        for (int r = 0; r < batch->n_rows && begin < end && adds_parts; r++)
            batch->ops->add_scaled(cm_row(batch->x, r, dim) + first + begin,
                                   cm_row(batch->projected, r, dim) + first + begin,
                                   batch->spec->layers[layer].residual_scale, end - begin);
    }
    cm_barrier_gather(batch, me, &product, 1, CALMOE_PHASE_OTHER);
    cm_own_rows(batch, me, &own_begin, &own_end);
    for (int r = own_begin; r < own_end && !adds_parts; r++) {
        float *row = cm_row(batch->projected, r, dim);
        if (norm) cm_add_normed(batch, layer, norm, r, row);
        else batch->ops->add_scaled(cm_row(batch->x, r, dim), row, batch->spec->layers[layer].residual_scale, dim);
    }
}

void cm_norm_pair(struct batch *batch, const struct mixer_fill *fill, int pair, const float *norm, unsigned kinds)
{
    const int dim = batch->spec->dim, layer = fill->first_layer + pair / fill->n, r = fill->begin + pair % fill->n;
    const float *state = cm_row(batch->x, r, dim);
    float *normed = cm_row(batch->normed.values, pair, dim);
    if (fill->path) {
        const float *drift = fill->drifts + (size_t)r * (size_t)dim;
        for (int i = 0; i < dim; i++) normed[i] = state[i] + fill->path[layer] * drift[i];
        state = normed;
    }
    cm_norm(batch, state, norm, normed);
    batch->ops->quantize(&batch->normed, pair, 0, dim, kinds);
}
