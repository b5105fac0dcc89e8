/* runtime/forward/attention.c - the attention half of a block: norm; q, k, v; rotate and remember; attend;
 * project; add. */
#include <math.h>

#include "runtime/forward/decoder.h"

static void norm_rows(struct decoder *d, const struct layer *layer, const struct worker *me)
{
    const int dim = d->spec->dim;
    int begin, end;
    cm_own_rows(d, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        d->ops->rms_norm(cm_row(d->x, r, dim), layer->attention_norm, d->spec->norm_eps, dim,
                         cm_row(d->normed.values, r, dim));
        d->ops->quantize(&d->normed, r, 0, dim, layer->attention_kinds);
    }
}

/* Norm of q or k: over each head where the weight is one head long, else over the whole vector. */
static void norm_heads(const struct decoder *d, const float *weight, int norm_size, int n, float *x)
{
    if (!weight) return;
    for (int first = 0; first < n; first += norm_size)
        d->ops->rms_norm(x + first, weight, d->spec->norm_eps, norm_size, x + first);
}

static void clamp(float *x, int n, float limit)
{
    for (int i = 0; i < n; i++) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

/* Norms, rotates, and puts k and v of row r into its sequence's cache. */
static void remember(struct decoder *d, int index, int r)
{
    const struct model_spec *spec = d->spec;
    const struct layer *layer = &d->weights->layers[index];
    const struct row *row = &d->rows[r];
    const int n_q = spec->n_heads * spec->head_size, n_k = spec->n_kv_heads * spec->head_size,
              n_v = spec->n_kv_heads * spec->value_size, n_pairs = d->rope.n_pairs;
    float *q = cm_row(d->q, r, n_q), *k = cm_row(d->k, r, n_k), *v = cm_row(d->v, r, n_v);
    norm_heads(d, layer->q_norm, layer->q_norm_size, n_q, q);
    norm_heads(d, layer->k_norm, layer->k_norm_size, n_k, k);
    if (spec->clamp_qkv > 0.0f) {
        clamp(q, n_q, spec->clamp_qkv);
        clamp(k, n_k, spec->clamp_qkv);
        clamp(v, n_v, spec->clamp_qkv);
    }
    const float *cosines = cm_row(d->cosines, r, n_pairs), *sines = cm_row(d->sines, r, n_pairs);
    for (int head = 0; n_pairs > 0 && head < spec->n_heads; head++)
        d->ops->rope(q + head * spec->head_size, cosines, sines, 2 * n_pairs, spec->rope.pairing);
    for (int head = 0; head < spec->n_kv_heads; head++) {
        if (n_pairs > 0)
            d->ops->rope(k + head * spec->head_size, cosines, sines, 2 * n_pairs, spec->rope.pairing);
        d->ops->store_kv(k + head * spec->head_size, v + head * spec->value_size,
                         cm_kv_keys(row->cache, index, head), cm_kv_values(row->cache, index, head),
                         row->cache->type, spec->head_size, spec->value_size, row->position);
    }
}

static void attend_head(struct decoder *d, int layer, int r, int head)
{
    const struct model_spec *spec = d->spec;
    const struct row *row = &d->rows[r];
    const int kv_head = head / (spec->n_heads / spec->n_kv_heads);
    const struct attention_input input = {
        .query = cm_row(d->q, r, spec->n_heads * spec->head_size) + head * spec->head_size,
        .keys = cm_kv_keys(row->cache, layer, kv_head),
        .values = cm_kv_values(row->cache, layer, kv_head),
        .type = row->cache->type,
        .head_size = spec->head_size,
        .value_size = spec->value_size,
        .n_positions = row->position + 1,
        .scale = spec->attention_scale,
    };
    d->ops->attend(&input, cm_row(d->attended.values, r, d->attended.n_columns) + head * spec->value_size);
}

/* Shared: (row, head) pairs, dealt out in turn, since later rows see more positions. */
static void attend_rows(struct decoder *d, int layer, const struct worker *me)
{
    const int n_heads = d->spec->n_heads, n = d->n_rows * n_heads;
    for (int i = me->index; i < n; i += me->n_workers) attend_head(d, layer, i / n_heads, i % n_heads);
}

void cm_attention(struct decoder *d, int index, const struct worker *me)
{
    const struct layer *layer = &d->weights->layers[index];
    const int dim = d->spec->dim;
    int begin, end;
    cm_own_rows(d, me, &begin, &end);

    norm_rows(d, layer, me);
    cm_barrier(me);
    cm_linear_shared(&layer->q, &d->normed, d->n_rows, layer->q_bias, d->q, me);
    cm_linear_shared(&layer->k, &d->normed, d->n_rows, layer->k_bias, d->k, me);
    cm_linear_shared(&layer->v, &d->normed, d->n_rows, layer->v_bias, d->v, me);
    cm_barrier(me);
    for (int r = begin; r < end; r++) remember(d, index, r);
    cm_barrier(me);
    attend_rows(d, index, me);
    cm_barrier(me);
    for (int r = begin; r < end; r++) d->ops->quantize(&d->attended, r, 0, d->attended.n_columns, layer->o_kinds);
    cm_barrier(me);
    cm_linear_shared(&layer->o, &d->attended, d->n_rows, layer->o_bias, d->projected, me);
    cm_barrier(me);
    for (int r = begin; r < end; r++)
        d->ops->add_scaled(cm_row(d->x, r, dim), cm_row(d->projected, r, dim), d->spec->residual_scale, dim);
}
