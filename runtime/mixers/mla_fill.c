/* runtime/mixers/mla_fill.c - latents of layers that were skipped, in the way of attention_fill.c. */
#include "runtime/mixers/mla_parts.h"

static void norm_pairs(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    int begin, end;
    cm_share(fill->n_layers * fill->n, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const struct mla_weights *layer = cm_mla_weights(b, fill->first_layer + i / fill->n);
        cm_norm_pair(b, fill, i, layer->norm, cm_placed_kind(&layer->latent));
    }
}

void cm_mla_fill(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    const int n = fill->n, n_columns = cm_attention_spec(b, fill->first_layer)->head_size;
    float *rows = cm_mla_work(b)->rows;
    int begin, end;
    norm_pairs(b, fill, me);
    cm_barrier(me);
    for (int l = 0; l < fill->n_layers; l++)
        cm_linear_plain(b, &cm_mla_weights(b, fill->first_layer + l)->latent, &b->normed, b->identity + l * n, n, NULL,
                        cm_row(rows, l * n, n_columns), me);
    cm_barrier(me);
    cm_share(fill->n_layers * n, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++)
        cm_remember_latent(b, fill->first_layer + i / n, fill->begin + i % n, cm_row(rows, i, n_columns));
}
