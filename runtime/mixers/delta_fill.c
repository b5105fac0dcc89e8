/* runtime/mixers/delta_fill.c - the states of delta nets that were skipped: they take a row in as if the layer had run
 * on the row's state at the exit. What is saved is gate, norm and output projection; q is needed too, for the
 * convolution of the rows to come. */
#include "runtime/mixers/delta_net.h"

static void norm_pairs(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    int begin, end;
    cm_share(fill->n_layers * fill->n, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const struct delta_weights *layer = cm_delta_weights(b, fill->first_layer + i / fill->n);
        cm_norm_pair(b, fill, i, layer->norm, layer->fill_kinds);
    }
}

/* The l-th layer's rows in the scratch. */
static struct delta_rows rows_of_layer(const struct mixer_fill *fill, int l)
{
    return (struct delta_rows){fill->first_layer + l, fill->begin, fill->n, l * fill->n};
}

static void project_pairs(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    for (int l = 0; l < fill->n_layers; l++) {
        const struct delta_rows rows = rows_of_layer(fill, l);
        const struct delta_weights *layer = cm_delta_weights(b, rows.layer);
        const struct delta_floats to = cm_delta_floats(b, &rows);
        const int32_t *pairs = b->identity + rows.scratch_row;
        cm_linear_shared(b, &layer->qkv, &b->normed, pairs, fill->n, NULL, to.inputs, me);
        cm_linear_shared(b, &layer->beta, &b->normed, pairs, fill->n, NULL, to.betas, me);
        cm_linear_shared(b, &layer->alpha, &b->normed, pairs, fill->n, NULL, to.alphas, me);
    }
}

void cm_delta_fill(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    norm_pairs(b, fill, me);
    cm_barrier(me);
    project_pairs(b, fill, me);
    cm_barrier(me);
    for (int l = 0; l < fill->n_layers; l++) {
        const struct delta_rows rows = rows_of_layer(fill, l);
        cm_delta_convolve(b, &rows, me);
    }
    cm_barrier(me);
    for (int l = 0; l < fill->n_layers; l++) {
        const struct delta_rows rows = rows_of_layer(fill, l);
        cm_delta_recur(b, &rows, me);
    }
}
