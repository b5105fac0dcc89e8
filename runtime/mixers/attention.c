/* runtime/mixers/attention.c - the attention half of a block: norm; q, k, v; rotate and remember; attend;
 * project; add. Five barriers; one less where the workers share the kv heads evenly, one more where a norm spans
 * all heads. */
#include "runtime/mixers/attention.h"

#include "base/memory.h"
#include "runtime/mixers/sequence_state.h"

enum { FEW_ROWS = 8 }; /* for so many, time goes to reading weights */

/* A norm of q or k (n wide) that spans all heads: own rows. Those of one head each: cm_prepare_head(). */
static void norm_vectors(struct batch *b, const float *weight, enum norm_span span, int n, float *x,
                         const struct worker *me)
{
    int begin, end;
    cm_own_rows(b, me, &begin, &end);
    for (int r = begin; r < end && span == NORM_ALL_HEADS; r++)
        b->ops->rms_norm(cm_row(x, r, n), weight, b->spec->norm_eps, n, cm_row(x, r, n));
}

/* One kv head of row r and the queries that read it: ready to attend, and k and v in the sequence's cache. */
static void remember(struct batch *b, int index, int r, int kv_head)
{
    const struct attention_spec *spec = cm_attention_spec(b, index);
    const struct attention_weights *layer = cm_attention_weights(b, index);
    const int n_heads = spec->n_heads / spec->n_kv_heads, size = spec->head_size;
    const struct attention_work *work = cm_attention_work(b);
    const int q_size = cm_query_size(spec);
    float *q = cm_row(work->q, r, spec->n_heads * q_size) + kv_head * n_heads * q_size;
    for (int head = 0; head < n_heads; head++) {
        cm_prepare_head(b, spec, spec->q_norm == NORM_EACH_HEAD ? layer->q_norm : NULL, r, q + head * q_size);
        cm_warm_query(spec, cm_row_position(&b->rows[r]), spec->head_size, q + head * q_size);
    }
    if (spec->has_soft_gates)
        b->ops->softplus(cm_row(work->gates, r, spec->n_heads * spec->gate_size) + kv_head * n_heads * spec->gate_size,
                         n_heads * spec->gate_size);
    cm_remember_kv(b, index, r, kv_head, cm_row(work->k, r, spec->n_kv_heads * size) + kv_head * size,
                   cm_row(work->v, r, spec->n_kv_heads * spec->value_size) + kv_head * spec->value_size);
}

/* Whether a norm of q or k spans several heads. */
static bool has_vector_norm(const struct attention_spec *spec)
{
    return spec->q_norm == NORM_ALL_HEADS || spec->k_norm == NORM_ALL_HEADS;
}

/* Part i of q, k and v, which a node has for the kv heads that it keeps: one of its workers computes a head from end to
 * end. Reading takes different workers different times, so that heads are taken bit by bit; with many rows, in fixed
 * shares: they would lay out their inputs for each bit anew. */
static void project_own_heads(struct batch *b, int index, int i, const struct worker *me)
{
    const struct attention_spec *spec = cm_attention_spec(b, index);
    const struct attention_weights *layer = cm_attention_weights(b, index);
    const struct matrix_part *q = &layer->q.parts[i], *k = &layer->k.parts[i];
    const int size = spec->head_size, q_size = spec->n_heads / spec->n_kv_heads * cm_query_size(spec);
    const int gate_size = cm_gates_of_kv(spec);
    const int first_head = k->first_row / size, n_heads = k->matrix.n_rows / size, n = b->n_rows;
    const int at_least = n > FEW_ROWS ? n_heads : 1;
    const struct attention_work *work = cm_attention_work(b);
    int begin, end;
    if (cm_team_server(me->team, k->node) != me->node) return;
    while (cm_attend_take_heads(work->attention, index, i, me, at_least, &begin, &end)) {
        cm_enter_phase(b, me, CALMOE_PHASE_PROJECT);
        cm_linear_part(b, &layer->q, q, begin * q_size, end * q_size, &b->normed, NULL, n, layer->q_bias, work->q, me);
        cm_linear_part(b, &layer->k, k, begin * size, end * size, &b->normed, NULL, n, layer->k_bias, work->k, me);
        if (!spec->keys_are_values)
            cm_linear_part(b, &layer->v, &layer->v.parts[i], begin * spec->value_size, end * spec->value_size,
                           &b->normed, NULL, n, layer->v_bias, work->v, me);
        if (gate_size > 0)
            cm_linear_part(b, &layer->gate, &layer->gate.parts[i], begin * gate_size, end * gate_size, &b->normed, NULL,
                           n, NULL, work->gates, me);
        cm_enter_phase(b, me, CALMOE_PHASE_OTHER);
        for (int kv_head = first_head + begin; kv_head < first_head + end; kv_head++)
            for (int r = 0; r < n; r++) remember(b, index, r, kv_head);
    }
}

/* Else each has its range of rows of each matrix, and heads are dealt out behind a barrier. */
static void project_own_rows(struct batch *b, int index, const struct worker *me)
{
    const struct attention_spec *spec = cm_attention_spec(b, index);
    const struct attention_weights *layer = cm_attention_weights(b, index);
    const struct attention_work *work = cm_attention_work(b);
    const int n_heads_per_kv = spec->n_heads / spec->n_kv_heads;
    int begin, end;
    cm_enter_phase(b, me, CALMOE_PHASE_PROJECT);
    cm_linear_shared(b, &layer->q, &b->normed, NULL, b->n_rows, layer->q_bias, work->q, me);
    cm_linear_shared(b, &layer->k, &b->normed, NULL, b->n_rows, layer->k_bias, work->k, me);
    cm_linear_shared(b, &layer->v, &b->normed, NULL, b->n_rows, layer->v_bias, work->v, me);
    if (spec->gate_size > 0) cm_linear_shared(b, &layer->gate, &b->normed, NULL, b->n_rows, NULL, work->gates, me);
    if (has_vector_norm(spec)) {
        const struct exchange_piece heads[] = {
            cm_heads_piece(work->q, b->n_rows, spec->n_kv_heads, n_heads_per_kv * cm_query_size(spec)),
            cm_heads_piece(work->k, b->n_rows, spec->n_kv_heads, spec->head_size)};
        cm_barrier_gather(b, me, heads, 2, CALMOE_PHASE_OTHER);
        norm_vectors(b, layer->q_norm, spec->q_norm, spec->n_heads * spec->head_size, work->q, me);
        norm_vectors(b, layer->k_norm, spec->k_norm, spec->n_kv_heads * spec->head_size, work->k, me);
        cm_barrier(me);
    } else {
        cm_barrier_into(b, me, CALMOE_PHASE_OTHER);
    }
    const struct attend_heads heads = cm_attend_own_heads(work->attention, index);
    cm_share(heads.n * b->n_rows, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) remember(b, index, i % b->n_rows, heads.first + i / b->n_rows);
}

/* Whether rows of each kv head begin at multiples of 16, as ranges must that kernels take. */
static bool has_even_rows(const struct attention_spec *spec)
{
    return spec->head_size % 16 == 0 && spec->value_size % 16 == 0 && cm_gates_of_kv(spec) % 16 == 0;
}

/* Where the workers of each node share its kv heads evenly, and no norm spans several heads. */
static bool has_own_heads(const struct batch *b, int index)
{
    const struct attention_spec *spec = cm_attention_spec(b, index);
    return cm_attend_is_even(cm_attention_work(b)->attention, index) && has_even_rows(spec) && !has_vector_norm(spec);
}

static void run(struct batch *b, int index, const struct worker *me)
{
    const struct attention_weights *layer = cm_attention_weights(b, index);
    struct attention *attention = cm_attention_work(b)->attention;
    const struct attention_work *work = cm_attention_work(b);
    const struct attend_reader reader = {attention, work->q, work->gates, layer->sinks, layer->slopes, layer->o_kinds};
    cm_enter_phase(b, me, CALMOE_PHASE_OTHER);
    cm_norm_rows(b, layer->norm, layer->input_kinds, me);
    if (me->index == 0) cm_attend_deal_heads(attention, index);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    if (has_own_heads(b, index))
        for (int i = 0; i < layer->k.n_parts; i++) project_own_heads(b, index, i, me);
    else project_own_rows(b, index, me);
    cm_barrier_into(b, me, CALMOE_PHASE_ATTEND);
    cm_attend_rows(b, index, &reader, me);
    if (b->exchange) cm_attend_gather(b, index, &reader, me);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    cm_add_product(b, index, &layer->o, cm_attended(attention, index), layer->o_bias, layer->after_norm, me);
}

/* ---- the record ---- */

static calmoe_status open_work(const struct mixer_place *place, void **out)
{
    const struct layer_maxima *most = &place->spec->most;
    const size_t n = (size_t)place->max_rows;
    const size_t n_q = n * (size_t)most->q_columns, n_k = n * (size_t)most->k_columns,
                 n_v = n * (size_t)most->v_columns, n_gates = n * (size_t)most->gate_columns;
    struct attention_work *work = *out = cm_alloc(place->machine->ctx, 1, sizeof *work, "attention");
    if (!work) return CALMOE_NO_MEMORY;
    work->memory = cm_alloc(place->machine->ctx, n_q + n_k + n_v + n_gates, sizeof(float), "attention");
    if (!work->memory) return CALMOE_NO_MEMORY;
    work->q = work->memory;
    work->k = work->q + n_q;
    work->v = work->k + n_k;
    work->gates = work->v + n_v;
    return cm_attend_open(place, MIXER_ATTENTION, &work->attention);
}

static void close_work(void **out)
{
    struct attention_work *work = *out;
    if (!work) return;
    cm_attend_close(&work->attention);
    cm_free(work->memory);
    cm_free(work);
    *out = NULL;
}

static void plan(void *work, const struct batch *b)
{
    cm_attend_plan_rows(((struct attention_work *)work)->attention, b->rows, b->n_rows);
}

static size_t step_bytes(const void *weights)
{
    const struct attention_weights *w = weights;
    return w->q.n_bytes + w->k.n_bytes + w->v.n_bytes + w->gate.n_bytes + w->o.n_bytes;
}

static size_t fill_bytes(const void *weights)
{
    const struct attention_weights *w = weights;
    return w->k.n_bytes + w->v.n_bytes;
}

static void gathers(const struct mixer *mixer, const struct layer_spec *layer, int dim, int n_rows,
                    struct gatherings *out)
{
    (void)mixer;
    const struct attention_spec *spec = &layer->attention;
    const int n_kv = spec->n_kv_heads, heads_per_kv = spec->n_heads / n_kv;
    if (has_vector_norm(spec)) {
        out->pieces[0][0] = cm_heads_piece(NULL, n_rows, n_kv, heads_per_kv * cm_query_size(spec));
        out->pieces[0][1] = cm_heads_piece(NULL, n_rows, n_kv, spec->head_size);
        out->n_pieces[out->n++] = 2;
    }
    cm_add_gathering(out, cm_as_input(cm_heads_piece(NULL, n_rows, n_kv, heads_per_kv * spec->value_size)));
    cm_add_gathering(out, cm_columns_piece(NULL, n_rows, dim));
}

/* Behind the norm, the projections, the reading and the product; before keys are kept where heads are dealt out, and
 * once more where norms span several. */
static int n_barriers(const struct mixer *mixer, const struct layer_spec *layer, int n_workers)
{
    const bool is_even = layer->attention.n_kv_heads % n_workers == 0; /* has_own_heads() */
    (void)mixer;
    if (has_vector_norm(&layer->attention)) return 6;
    return is_even && has_even_rows(&layer->attention) ? 4 : 5;
}

static size_t fixed_bytes(const struct layer_spec *layer)
{
    (void)layer;
    return 0;
}

extern const struct mixer cm_mixer_attention;
const struct mixer cm_mixer_attention = {
    .name = "attention", .gathers = gathers, .n_barriers = n_barriers, .pack = cm_attention_pack,
    .drop = cm_attention_drop, .step_bytes = step_bytes, .fill_bytes = fill_bytes, .open = open_work,
    .close = close_work, .plan = plan, .run = run, .fill = cm_attention_fill, .fixed_bytes = fixed_bytes,
};
