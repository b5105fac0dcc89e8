/* runtime/mixers/attention_fill.c - keys and values of layers that were skipped (CALM, section 3.3).
 *
 * The state h is the same for all skipped layers; where the exit has a translator with a path, layer l reads
 * h + path_l drift, the drift being what the translator adds to h: a state of about its own depth. Either way no
 * product waits for another: (layer, row) pairs stand as rows of b->normed, as many layers at once as there is room
 * for, and two barriers do for all of them. */
#include "runtime/mixers/attention.h"

static void norm_pairs(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    int begin, end;
    cm_share(fill->n_layers * fill->n, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const struct attention_weights *layer = cm_attention_weights(b, fill->first_layer + i / fill->n);
        cm_norm_pair(b, fill, i, layer->norm, cm_placed_kind(&layer->k) | cm_placed_kind(&layer->v));
    }
}

/* The k or v of the l-th layer's pairs, n_columns wide: one layer's stand behind another's, whatever their widths. */
static float *rows_of_layer(const struct mixer_fill *fill, float *all, int most_columns, int l)
{
    return cm_row(all, l * fill->n, most_columns);
}

static void project_pairs(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    for (int l = 0; l < fill->n_layers; l++) {
        const struct attention_weights *layer = cm_attention_weights(b, fill->first_layer + l);
        const int32_t *pairs = b->identity + l * fill->n;
        float *k = rows_of_layer(fill, cm_attention_work(b)->k, b->spec->most.k_columns, l);
        float *v = rows_of_layer(fill, cm_attention_work(b)->v, b->spec->most.v_columns, l);
        cm_linear_plain(b, &layer->k, &b->normed, pairs, fill->n, layer->k_bias, k, me);
        cm_linear_plain(b, &layer->v, &b->normed, pairs, fill->n, layer->v_bias, v, me);
    }
}

/* The barrier behind the products. Ranks keep their own heads; where a norm spans all of them, each needs all. */
static void gather_pairs(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    enum { AT_ONCE = 16 };
    struct exchange_piece pieces[AT_ONCE];
    int n = 0;
    for (int l = 0; l < fill->n_layers && b->exchange; l++) {
        const struct attention_spec *spec = cm_attention_spec(b, fill->first_layer + l);
        float *k = rows_of_layer(fill, cm_attention_work(b)->k, b->spec->most.k_columns, l);
        if (spec->k_norm != NORM_ALL_HEADS) continue;
        if (n == AT_ONCE) cm_exchange_meet(b->exchange, pieces, n, me);
        if (n == AT_ONCE) n = 0;
        pieces[n++] = cm_heads_piece(k, fill->n, spec->n_kv_heads, spec->head_size);
    }
    if (n > 0) cm_exchange_meet(b->exchange, pieces, n, me);
    else cm_barrier(me);
}

static void remember_pairs(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    const int n = fill->n;
    int begin, end;
    cm_share(fill->n_layers * n, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const int l = i / n, index = fill->first_layer + l, r = fill->begin + i % n;
        const struct attention_spec *spec = cm_attention_spec(b, index);
        const int head_size = spec->head_size, value_size = spec->value_size;
        float *ks = rows_of_layer(fill, cm_attention_work(b)->k, b->spec->most.k_columns, l);
        float *vs = rows_of_layer(fill, cm_attention_work(b)->v, b->spec->most.v_columns, l);
        float *k = cm_row(ks, i % n, spec->n_kv_heads * head_size);
        float *v = cm_row(vs, i % n, spec->n_kv_heads * value_size);
        cm_norm_keys(b, index, k);
        const struct attend_heads own = cm_attend_own_heads(cm_attention_work(b)->attention, index);
        for (int kv_head = own.first; kv_head < own.first + own.n; kv_head++)
            cm_remember_kv(b, index, r, kv_head, k + kv_head * head_size, v + kv_head * value_size);
    }
}

void cm_attention_fill(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    norm_pairs(b, fill, me);
    cm_barrier(me);
    project_pairs(b, fill, me);
    gather_pairs(b, fill, me);
    remember_pairs(b, fill, me);
}
