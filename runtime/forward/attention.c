/* runtime/forward/attention.c - the attention half of a block: norm; q, k, v; rotate and remember; attend;
 * project; add. Five barriers; one less where the workers share the kv heads evenly, one more where a norm spans
 * all heads. */
#include "runtime/forward/attention.h"

#include "runtime/forward/decoder_parts.h"

enum { FEW_ROWS = 8 }; /* for so many, time goes to reading weights */

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

static const struct attention_spec *spec_of(const struct decoder *d, int layer)
{
    return &d->spec->layers[layer].attention;
}

/* A norm of q or k (n wide) that spans all heads: own rows. Those of one head each: prepare_head(). */
static void norm_vectors(struct decoder *d, const float *weight, enum norm_span span, int n, float *x,
                         const struct worker *me)
{
    int begin, end;
    cm_own_rows(d, me, &begin, &end);
    for (int r = begin; r < end && span == NORM_ALL_HEADS; r++)
        d->ops->rms_norm(cm_row(x, r, n), weight, d->spec->norm_eps, n, cm_row(x, r, n));
}

static void clamp(float *x, int n, float limit)
{
    for (int i = 0; limit > 0.0f && i < n; i++) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

/* Norms (a norm of one head's length; NULL = none), clamps, rotates one head of row r. */
static void prepare_head(const struct decoder *d, const struct attention_spec *spec, const float *norm, int r,
                         float *head)
{
    const struct rope_kind *rope = &d->rope.kinds[spec->rope];
    const size_t at = (size_t)r * (size_t)d->rope.n_pairs + (size_t)rope->first_pair;
    if (norm) d->ops->rms_norm(head, norm, d->spec->norm_eps, spec->head_size, head);
    clamp(head, spec->head_size, spec->clamp);
    if (rope->n_pairs > 0) d->ops->rope(head, d->cosines + at, d->sines + at, 2 * rope->n_pairs, rope->pairing);
}

void cm_remember_kv(struct decoder *d, int index, int r, int kv_head, float *k, float *v)
{
    const struct attention_spec *spec = spec_of(d, index);
    const struct layer *layer = &d->weights->layers[index];
    const struct kv_cache *cache = d->rows[r].asked.sequence->cache;
    const int position = d->rows[r].asked.position;
    const size_t span = cm_kv_span_of(cache, index, kv_head, position);
    prepare_head(d, spec, spec->k_norm == NORM_EACH_HEAD ? layer->k_norm : NULL, r, k);
    clamp(v, spec->value_size, spec->clamp);
    d->ops->store_kv(k, v, (uint8_t *)cm_kv_keys(cache, index, kv_head) + span,
                     (uint8_t *)cm_kv_values(cache, index, kv_head) + span, cache->type, spec->head_size,
                     spec->value_size, position % CM_ATTEND_SPAN);
}

void cm_norm_keys(struct decoder *d, int index, float *k)
{
    const struct attention_spec *spec = spec_of(d, index);
    const int n = spec->n_kv_heads * spec->head_size;
    if (spec->k_norm == NORM_ALL_HEADS)
        d->ops->rms_norm(k, d->weights->layers[index].k_norm, d->spec->norm_eps, n, k);
}

/* One kv head of row r and the queries that read it: ready to attend, and k and v in the sequence's cache. */
static void remember(struct decoder *d, int index, int r, int kv_head)
{
    const struct attention_spec *spec = spec_of(d, index);
    const struct layer *layer = &d->weights->layers[index];
    const int n_heads = spec->n_heads / spec->n_kv_heads, size = spec->head_size;
    float *q = cm_row(d->q, r, spec->n_heads * size) + kv_head * n_heads * size;
    for (int head = 0; head < n_heads; head++)
        prepare_head(d, spec, spec->q_norm == NORM_EACH_HEAD ? layer->q_norm : NULL, r, q + head * size);
    cm_remember_kv(d, index, r, kv_head, cm_row(d->k, r, spec->n_kv_heads * size) + kv_head * size,
                   cm_row(d->v, r, spec->n_kv_heads * spec->value_size) + kv_head * spec->value_size);
}

/* Whether a norm of q or k spans several heads. */
static bool has_vector_norm(const struct attention_spec *spec)
{
    return spec->q_norm == NORM_ALL_HEADS || spec->k_norm == NORM_ALL_HEADS;
}

/* Part i of q, k and v, which a node has for the kv heads that it keeps: one of its workers computes a head from end to
 * end. Reading takes different workers different times, so that heads are taken bit by bit; with many rows, in fixed
 * shares: they would lay out their inputs for each bit anew. */
static void project_own_heads(struct decoder *d, int index, int i, const struct worker *me)
{
    const struct attention_spec *spec = spec_of(d, index);
    const struct layer *layer = &d->weights->layers[index];
    const struct matrix_part *q = &layer->q.parts[i], *k = &layer->k.parts[i], *v = &layer->v.parts[i];
    const int size = spec->head_size, q_size = spec->n_heads / spec->n_kv_heads * size;
    const int first_head = k->first_row / size, n_heads = k->matrix.n_rows / size, n = d->n_rows;
    const int at_least = n > FEW_ROWS ? n_heads : 1;
    int begin, end;
    if (cm_team_server(me->team, k->node) != me->node) return;
    while (cm_attend_take_heads(d->attention, index, i, me, at_least, &begin, &end)) {
        cm_enter_phase(d, me, CALMOE_PHASE_PROJECT);
        cm_linear_part(d, &layer->q, q, begin * q_size, end * q_size, &d->normed, NULL, n, layer->q_bias, d->q, me);
        cm_linear_part(d, &layer->k, k, begin * size, end * size, &d->normed, NULL, n, layer->k_bias, d->k, me);
        cm_linear_part(d, &layer->v, v, begin * spec->value_size, end * spec->value_size, &d->normed, NULL, n,
                       layer->v_bias, d->v, me);
        cm_enter_phase(d, me, CALMOE_PHASE_OTHER);
        for (int kv_head = first_head + begin; kv_head < first_head + end; kv_head++)
            for (int r = 0; r < n; r++) remember(d, index, r, kv_head);
    }
}

/* Else each has its range of rows of each matrix, and heads are dealt out behind a barrier. */
static void project_own_rows(struct decoder *d, int index, const struct worker *me)
{
    const struct attention_spec *spec = spec_of(d, index);
    const struct layer *layer = &d->weights->layers[index];
    int begin, end;
    cm_enter_phase(d, me, CALMOE_PHASE_PROJECT);
    cm_linear_shared(d, &layer->q, &d->normed, NULL, d->n_rows, layer->q_bias, d->q, me);
    cm_linear_shared(d, &layer->k, &d->normed, NULL, d->n_rows, layer->k_bias, d->k, me);
    cm_linear_shared(d, &layer->v, &d->normed, NULL, d->n_rows, layer->v_bias, d->v, me);
    cm_barrier_into(d, me, CALMOE_PHASE_OTHER);
    if (has_vector_norm(spec)) {
        norm_vectors(d, layer->q_norm, spec->q_norm, spec->n_heads * spec->head_size, d->q, me);
        norm_vectors(d, layer->k_norm, spec->k_norm, spec->n_kv_heads * spec->head_size, d->k, me);
        cm_barrier(me);
    }
    cm_share(spec->n_kv_heads * d->n_rows, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) remember(d, index, i % d->n_rows, i / d->n_rows);
}

/* Where the workers of each node share its kv heads evenly, and no norm spans several heads. */
static bool has_own_heads(const struct decoder *d, int index)
{
    const struct attention_spec *spec = spec_of(d, index);
    return cm_attend_is_even(d->attention, index) && spec->head_size % 16 == 0 &&
           spec->value_size % 16 == 0 && /* kernels take ranges that begin at multiples of 16 */
           !has_vector_norm(spec);
}

/* o, and what it gives added to x. */
static void project_back(struct decoder *d, int index, const struct worker *me)
{
    const struct layer *layer = &d->weights->layers[index];
    const struct activations *attended = cm_attended(d->attention, index);
    const int dim = d->spec->dim;
    for (int i = 0; i < layer->o.n_parts; i++) {
        const struct matrix_part *part = &layer->o.parts[i];
        const int first = part->first_row;
        int begin, end;
        cm_part_share(part, me, &begin, &end);
        cm_linear_part(d, &layer->o, part, begin, end, attended, NULL, d->n_rows, layer->o_bias, d->projected, me);
        for (int r = 0; r < d->n_rows && begin < end; r++)
            d->ops->add_scaled(cm_row(d->x, r, dim) + first + begin, cm_row(d->projected, r, dim) + first + begin,
                               d->spec->layers[index].residual_scale, end - begin);
    }
}

void cm_attention(struct decoder *d, int index, const struct worker *me)
{
    const struct layer *layer = &d->weights->layers[index];

    cm_enter_phase(d, me, CALMOE_PHASE_OTHER);
    norm_rows(d, layer, me);
    if (me->index == 0) cm_attend_deal_heads(d->attention, index);
    cm_barrier_into(d, me, CALMOE_PHASE_PROJECT);
    if (has_own_heads(d, index))
        for (int i = 0; i < layer->k.n_parts; i++) project_own_heads(d, index, i, me);
    else project_own_rows(d, index, me);
    cm_barrier_into(d, me, CALMOE_PHASE_ATTEND);
    cm_attend_rows(d, index, me);
    cm_barrier_into(d, me, CALMOE_PHASE_PROJECT);
    project_back(d, index, me);
    cm_barrier_into(d, me, CALMOE_PHASE_OTHER);
}
