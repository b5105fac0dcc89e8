/* runtime/mixers/delta_net.c - the mixer's half of a block where it is a gated delta net: norm; project; convolve;
 * recur; norm what was read and gate it; project; add. Six barriers. */
#include "runtime/mixers/delta_parts.h"

#include "base/memory.h"

/* What heads read comes together: rows by key head, or, of heads in turn, as many rows as a key head has readers. */
static struct exchange_piece read_piece(const struct delta_spec *spec, int n_rows, float *read)
{
    const int n = spec->n_value_heads / spec->n_key_heads, n_runs = spec->order == HEADS_IN_TURN ? n : 1;
    return cm_heads_piece(read, n_rows * n_runs, spec->n_key_heads, n / n_runs * spec->value_size);
}

/* Own rows: what each head read, normed, and weighted by silu of its gate. */
static void gate_rows(struct batch *b, const struct delta_rows *rows, const struct worker *me)
{
    const struct delta_spec *spec = cm_delta_spec(b, rows->layer);
    const struct delta_weights *weights = cm_delta_weights(b, rows->layer);
    const struct delta_floats floats = cm_delta_floats(b, rows);
    const int n = spec->value_size, n_values = cm_delta_value_columns(spec);
    const struct delta_heads own = cm_delta_own_heads(spec, cm_delta_work(b)->plan);
    struct activations *read = &cm_delta_work(b)->read;
    int begin, end;
    cm_own_rows(b, me, &begin, &end);
    for (int r = begin; r < end; r++)
        for (int i = 0; i < own.n_values; i++) {
            const int head = cm_delta_own_value(spec, &own, i);
            float *x = cm_row(floats.read, r, n_values) + head * n;
            b->ops->rms_norm(x, weights->read_norm, b->spec->norm_eps, n, x);
            b->ops->nonlinear[NONLINEARITY_SILU_UP](cm_delta_gate(spec, &floats, r, head), x, n, x);
        }
    const struct exchange_piece all = read_piece(spec, rows->n, floats.read);
    if (b->exchange) cm_barrier_gather(b, me, &all, 1, CALMOE_PHASE_OTHER);
    for (int r = begin; r < end; r++) b->ops->quantize(read, r, 0, n_values, weights->out_kinds);
}

static void run(struct batch *b, int index, const struct worker *me)
{
    const struct delta_weights *layer = cm_delta_weights(b, index);
    const struct delta_rows rows = {.layer = index, .n = b->n_rows};
    const struct delta_floats to = cm_delta_floats(b, &rows);
    cm_enter_phase(b, me, CALMOE_PHASE_OTHER);
    cm_norm_rows(b, layer->norm, layer->input_kinds, me);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    cm_linear_shared(b, &layer->qkv, &b->normed, NULL, b->n_rows, NULL, to.inputs, me);
    cm_linear_shared(b, &layer->z, &b->normed, NULL, b->n_rows, NULL, to.gates, me);
    cm_linear_shared(b, &layer->beta, &b->normed, NULL, b->n_rows, NULL, to.betas, me);
    cm_linear_shared(b, &layer->alpha, &b->normed, NULL, b->n_rows, NULL, to.alphas, me);
    cm_barrier_into(b, me, CALMOE_PHASE_ATTEND);
    cm_delta_convolve(b, &rows, me);
    cm_barrier(me);
    cm_delta_recur(b, &rows, me);
    cm_barrier(me);
    gate_rows(b, &rows, me);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    cm_add_product(b, index, &layer->out, &cm_delta_work(b)->read, NULL, NULL, me);
}

/* ---- the record ---- */

static calmoe_status open_work(const struct mixer_place *place, void **out)
{
    const struct layer_maxima *most = &place->spec->most;
    const size_t n = (size_t)place->max_rows, n_heads = n * (size_t)most->delta_heads;
    const size_t n_inputs = n * (size_t)most->delta_columns, n_values = n * (size_t)most->delta_values;
    struct delta_work *work = *out = cm_alloc(place->machine->ctx, 1, sizeof *work, "delta nets");
    if (!work) return CALMOE_NO_MEMORY;
    float *at = work->memory = cm_alloc(place->machine->ctx, n_inputs + n_values + 5 * n_heads, sizeof *at,
                                      "delta nets");
    work->read_memory = cm_alloc(place->machine->ctx, cm_activations_bytes(place->max_rows, most->delta_values), 1,
                                 "delta nets");
    if (!at || !work->read_memory) return CALMOE_NO_MEMORY;
    work->inputs = at;
    work->gates = work->inputs + n_inputs;
    work->betas = work->gates + n_values;
    work->alphas = work->betas + 2 * n_heads;
    work->strengths = work->alphas + n_heads;
    work->decays = work->strengths + n_heads;
    cm_activations_place(&work->read, place->max_rows, most->delta_values, work->read_memory);
    work->plan = place->machine->plan;
    return CALMOE_OK;
}

static void close_work(void **out)
{
    struct delta_work *work = *out;
    if (!work) return;
    cm_free(work->read_memory);
    cm_free(work->memory);
    cm_free(work);
    *out = NULL;
}

static void plan(void *work, const struct batch *b) /* which rows make a sequence is seen as they are read */
{
    (void)work;
    (void)b;
}

static size_t fill_bytes(const void *weights)
{
    const struct delta_weights *w = weights;
    return w->qkv.n_bytes + w->beta.n_bytes + w->alpha.n_bytes;
}

static size_t step_bytes(const void *weights)
{
    const struct delta_weights *w = weights;
    return fill_bytes(w) + w->z.n_bytes + w->out.n_bytes;
}

static void gathers(const struct layer_spec *layer, int dim, int n_rows, struct gatherings *out)
{
    cm_add_gathering(out, read_piece(&layer->delta, n_rows, NULL));
    cm_add_gathering(out, cm_columns_piece(NULL, n_rows, dim));
}

static size_t fixed_bytes(const struct layer_spec *layer)
{
    const struct delta_spec *spec = &layer->delta;
    const size_t n_columns = (size_t)(spec->n_taps - 1) * (size_t)cm_delta_channels(spec);
    return (cm_delta_state_floats(spec) + n_columns) * sizeof(float);
}

extern const struct mixer cm_mixer_delta_net;
const struct mixer cm_mixer_delta_net = {
    .name = "delta net", .gathers = gathers, .pack = cm_delta_pack, .drop = cm_delta_drop,
    .step_bytes = step_bytes, .fill_bytes = fill_bytes, .open = open_work, .close = close_work, .plan = plan,
    .run = run,
    .fill = cm_delta_fill, .fixed_bytes = fixed_bytes,
};
