/* runtime/mixers/mla.c - the mixer's half of a block where it is latent attention (mla_parts.h). Its phases, in
 * order: norm; project; rotate and remember; multiply queries by key matrices; attend; multiply by value matrices;
 * project; add. They take eight barriers, or ten where queries are products of a vector of their own. */
#include "runtime/mixers/mla_parts.h"

#include "base/memory.h"
#include "runtime/mixers/sequence_state.h"

enum { UNIT = 16 }; /* rows of a head's matrix that a worker takes at least; kernels take ranges that begin so */

/* Own rows: the vector that queries are products of. */
static void norm_q_a(struct batch *b, int index, const struct worker *me)
{
    const struct mla_weights *layer = cm_mla_weights(b, index);
    struct activations *q_a = &cm_mla_work(b)->q_a;
    const int n = cm_mla_spec(b, index)->q_rank;
    int begin, end;
    cm_own_rows(b, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        float *x = cm_row(q_a->values, r, n);
        b->ops->rms_norm(x, layer->q_norm, b->spec->norm_eps, n, x);
        b->ops->quantize(q_a, r, 0, n, layer->q_kinds);
    }
}

static void project(struct batch *b, int index, const struct worker *me)
{
    const struct mla_weights *layer = cm_mla_weights(b, index);
    struct mla_work *work = cm_mla_work(b);
    const bool has_rank = cm_mla_spec(b, index)->q_rank > 0;
    cm_linear_shared(b, has_rank ? &layer->q_a : &layer->q, &b->normed, NULL, b->n_rows, NULL,
                     has_rank ? work->q_a.values : work->q, me);
    cm_linear_shared(b, &layer->latent, &b->normed, NULL, b->n_rows, NULL, work->rows, me);
    cm_barrier_into(b, me, CALMOE_PHASE_OTHER);
    if (!has_rank) return;
    norm_q_a(b, index, me);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    cm_linear_shared(b, &layer->q, &work->q_a, NULL, b->n_rows, NULL, work->q, me);
    cm_barrier_into(b, me, CALMOE_PHASE_OTHER);
}

/* A head of row r: the plain part of q becomes an input of its key matrix, the rotated one the end of its query. */
static void split_query(struct batch *b, int index, int r, int head)
{
    const struct attention_spec *spec = cm_attention_spec(b, index);
    const struct mla_spec *mla = cm_mla_spec(b, index);
    struct mla_work *work = cm_mla_work(b);
    const int input = r * spec->n_heads + head, n_plain = mla->plain_size, n_rope = mla->rope_size;
    float *q = cm_row(work->q, input, n_plain + n_rope);
    float *plain = cm_row(work->plain.values, input, n_plain);
    float *end = cm_row(work->queries, input, spec->head_size) + spec->value_size;
    cm_warm_query(spec, cm_row_position(&b->rows[r]), n_plain + n_rope, q);
    for (int i = 0; i < n_plain; i++) plain[i] = q[i];
    for (int i = 0; i < n_rope; i++) end[i] = q[n_plain + i];
    b->ops->quantize(&work->plain, input, 0, n_plain, cm_mla_weights(b, index)->plain_kinds);
    cm_mla_rotate(b, index, r, end);
}

static void split_and_remember(struct batch *b, int index, const struct worker *me)
{
    const struct attention_spec *spec = cm_attention_spec(b, index);
    const struct mla_work *work = cm_mla_work(b);
    int begin, end;
    cm_share(b->n_rows * work->n_own_heads, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++)
        split_query(b, index, i / work->n_own_heads, work->first_head + i % work->n_own_heads);
    cm_own_rows(b, me, &begin, &end);
    for (int r = begin; r < end; r++)
        cm_remember_latent(b, index, r, cm_row(work->rows, r, spec->head_size));
}

/* y of head h and row r, at y + r * stride + h * n_out, becomes the head's matrix times input r * n_heads + h of x. */
struct head_product {
    bool                      is_value; /* by value matrices, else by key matrices */
    const struct activations *x;
    float                    *y;
    int                       n_out;
};

/* Rows of one head's matrix. */
static void multiply_head(struct batch *b, int index, const struct head_product *p, int h, int begin, int end,
                          const struct worker *me)
{
    const struct mla_head *head = &cm_mla_weights(b, index)->heads[h];
    const struct matrix *matrix = p->is_value ? &head->value : &head->key;
    const struct mla_work *work = cm_mla_work(b);
    const size_t stride = (size_t)p->n_out * (size_t)cm_attention_spec(b, index)->n_heads;
    if (end > matrix->n_rows) end = matrix->n_rows;
    matrix->kernel->multiply(matrix, begin, end, p->x, work->inputs + (size_t)h * (size_t)work->max_rows, b->n_rows,
                             p->y + (size_t)h * (size_t)p->n_out + begin, stride);
    cm_phase_bytes(&b->counters.clocks[me->seat])[head->node] += cm_rows_bytes(matrix, end - begin);
    if (!b->adapters) return;
    const struct low_rank_product product = {
        .matrix = matrix, .begin = begin, .end = end, .x = p->x,
        .which = work->inputs + (size_t)h * (size_t)work->max_rows, .rows = b->identity, .n = b->n_rows,
        .y = p->y + (size_t)h * (size_t)p->n_out + begin, .stride = stride};
    cm_low_rank_add(b->ops, b->adapters, &product);
}

/* Shared: the heads of a node by its workers, in units of rows. */
static void multiply_heads(struct batch *b, int index, const struct head_product *p, const struct worker *me)
{
    const struct mla_work *work = cm_mla_work(b);
    const int n_rows = p->is_value ? cm_mla_spec(b, index)->value_size : cm_attention_spec(b, index)->value_size;
    const int n_units = (n_rows + UNIT - 1) / UNIT; /* of a head */
    for (int node = 0, first = work->first_head; node < work->n_nodes; first += work->heads_on[node++]) {
        int at, end;
        if (work->heads_on[node] == 0 || cm_team_server(me->team, node) != me->node) continue;
        cm_share(work->heads_on[node] * n_units, 1, me->rank_on_node, me->n_on_node, &at, &end);
        while (at < end) {
            const int from = at % n_units, to = n_units - from < end - at ? n_units : from + end - at;
            multiply_head(b, index, p, first + at / n_units, from * UNIT, to * UNIT, me);
            at += to - from;
        }
    }
}

/* What heads give, as their output projection reads it. */
static struct exchange_piece attended_piece(const struct layer_spec *layer, int n_rows, float *values)
{
    const int n_groups = layer->attention.n_kv_heads;
    return cm_heads_piece(values, n_rows, n_groups, layer->attention.n_heads / n_groups * layer->mla.value_size);
}

/* What heads gave comes together, as the output projection reads it. */
static void gather_values(struct batch *b, int index, const struct worker *me)
{
    struct activations *values = &cm_mla_work(b)->values;
    const struct exchange_piece attended =
        cm_input_piece(attended_piece(&b->spec->layers[index], b->n_rows, values->values), values,
                       cm_mla_weights(b, index)->o_kinds, b->adapters != NULL);
    int begin, end;
    cm_barrier_gather(b, me, &attended, 1, CALMOE_PHASE_OTHER);
    cm_own_rows(b, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        if (b->exchange) cm_exchange_quantize(b->exchange, &attended, r);
        else b->ops->quantize(values, r, 0, values->n_columns, attended.kinds);
    }
}

static void run(struct batch *b, int index, const struct worker *me)
{
    const struct mla_weights *layer = cm_mla_weights(b, index);
    struct mla_work *work = cm_mla_work(b);
    const struct attend_reader reader = {work->attention, work->queries, NULL, NULL, NULL, layer->attended_kinds};
    const struct head_product keys = {false, &work->plain, work->queries, cm_attention_spec(b, index)->head_size};
    const struct head_product values = {true, cm_attended(work->attention, index), work->values.values,
                                        cm_mla_spec(b, index)->value_size};
    cm_enter_phase(b, me, CALMOE_PHASE_OTHER);
    cm_norm_rows(b, layer->norm, layer->input_kinds, me);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    project(b, index, me);
    split_and_remember(b, index, me);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    multiply_heads(b, index, &keys, me);
    cm_barrier_into(b, me, CALMOE_PHASE_ATTEND);
    cm_attend_rows(b, index, &reader, me);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    multiply_heads(b, index, &values, me);
    gather_values(b, index, me);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    cm_add_product(b, index, &layer->o, &work->values, NULL, NULL, me);
}

/* ---- the record ---- */

static calmoe_status open_activations(struct calmoe_context *ctx, int n, int n_columns, struct activations *out,
                                      void **memory)
{
    *memory = cm_alloc(ctx, cm_activations_bytes(n, n_columns), 1, "latent attention");
    if (!*memory) return CALMOE_NO_MEMORY;
    cm_activations_place(out, n, n_columns, *memory);
    return CALMOE_OK;
}

static calmoe_status open_inputs(struct calmoe_context *ctx, int n_heads, struct mla_work *work)
{
    const size_t n = (size_t)n_heads * (size_t)work->max_rows;
    int32_t *at = work->inputs = cm_alloc(ctx, n, sizeof *at, "latent attention");
    for (int head = 0; at && head < n_heads; head++)
        for (int r = 0; r < work->max_rows; r++) *at++ = r * n_heads + head;
    return work->inputs ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static calmoe_status open_work(const struct mixer_place *place, void **out)
{
    struct calmoe_context *ctx = place->machine->ctx;
    const struct layer_maxima *most = &place->spec->most;
    const int    n_rows = place->max_rows;
    const size_t n = (size_t)n_rows, n_q = n * (size_t)most->mla_inputs, n_kept = n * (size_t)most->head_size;
    struct mla_work *work = *out = cm_alloc(ctx, 1, sizeof *work, "latent attention");
    if (!work) return CALMOE_NO_MEMORY;
    work->max_rows = n_rows;
    work->n_nodes = place->machine->plan->n_nodes;
    for (int layer = 0; layer < place->spec->n_layers; layer++) /* all such layers have the same heads */
        if (place->spec->layers[layer].mixer == MIXER_MLA)
            work->first_head = cm_mla_heads_on_nodes(place->machine->plan, &place->spec->layers[layer].attention,
                                                     work->heads_on);
    for (int node = 0; node < work->n_nodes; node++) work->n_own_heads += work->heads_on[node];
    const size_t n_queries = n * (size_t)most->q_columns;
    float *at = work->memory = cm_alloc(ctx, n_q + n_kept + n_queries, sizeof *at, "latent attention");
    if (!at) return CALMOE_NO_MEMORY;
    work->q = at;
    work->rows = work->q + n_q;
    work->queries = work->rows + n_kept;
    CM_TRY(open_inputs(ctx, most->n_heads, work));
    CM_TRY(open_activations(ctx, n_rows, most->mla_q_rank, &work->q_a, &work->q_a_memory));
    CM_TRY(open_activations(ctx, n_rows * most->n_heads, most->mla_plain_size, &work->plain, &work->plain_memory));
    CM_TRY(open_activations(ctx, n_rows, most->mla_values, &work->values, &work->values_memory));
    return cm_attend_open(place, MIXER_MLA, &work->attention);
}

static void close_work(void **out)
{
    struct mla_work *work = *out;
    if (!work) return;
    cm_attend_close(&work->attention);
    cm_free(work->values_memory);
    cm_free(work->plain_memory);
    cm_free(work->q_a_memory);
    cm_free(work->inputs);
    cm_free(work->memory);
    cm_free(work);
    *out = NULL;
}

static void plan(void *work, const struct batch *b)
{
    cm_attend_plan_rows(((struct mla_work *)work)->attention, b->rows, b->n_rows);
}

static size_t step_bytes(const void *weights)
{
    const struct mla_weights *w = weights;
    return w->q_a.n_bytes + w->q.n_bytes + w->latent.n_bytes + w->head_bytes + w->o.n_bytes;
}

static size_t fill_bytes(const void *weights) { return ((const struct mla_weights *)weights)->latent.n_bytes; }

static void gathers(const struct mixer *mixer, const struct layer_spec *layer, int dim, int n_rows,
                    struct gatherings *out)
{
    (void)mixer;
    cm_add_gathering(out, cm_as_input(attended_piece(layer, n_rows, NULL)));
    cm_add_gathering(out, cm_columns_piece(NULL, n_rows, dim));
}

/* Behind the norm, the projections, the split, the keys' product, the reading, the values' product, its quantization,
 * and the output's product; two more where q has a low-rank form. */
static int n_barriers(const struct mixer *mixer, const struct layer_spec *layer, int n_workers)
{
    (void)mixer, (void)n_workers;
    return layer->mla.q_rank > 0 ? 10 : 8;
}

static size_t fixed_bytes(const struct layer_spec *layer)
{
    (void)layer;
    return 0;
}

extern const struct mixer cm_mixer_mla;
const struct mixer cm_mixer_mla = {
    .name = "latent attention", .gathers = gathers, .n_barriers = n_barriers, .pack = cm_mla_pack, .drop = cm_mla_drop,
    .step_bytes = step_bytes, .fill_bytes = fill_bytes, .open = open_work, .close = close_work, .plan = plan,
    .run = run,
    .fill = cm_mla_fill, .fixed_bytes = fixed_bytes,
};
