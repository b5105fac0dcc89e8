/* runtime/mixers/recurrent.c - the mixer's half of a block where it keeps a state of fixed size: norm; project;
 * convolve; recur; gate what was read; project; add. Six barriers, five where there are no heads. And the states of
 * such layers that were skipped: they take a row in as if the layer had run on the row's state at the exit. What is
 * saved there is the gate and the output projection; all else is needed for the rows to come. */
#include "runtime/mixers/recurrent.h"

#include <string.h>

#include "base/memory.h"
#include "runtime/mixers/sequence_state.h"

enum { TILE = 32 };                    /* columns of a state that a worker takes at least    */
static const float LENGTH_EPS = 1e-6f; /* of q and k; the models' own, in no file            */

struct recurrent_work { /* scratch of all such layers */
    const struct plan *plan; /* heads are dealt out to nodes in proportion to its shares */
    /* the largest of all layers: floats of a row in each product; heads; values */
    int               most_rows[N_PRODUCTS], most_heads, most_values;
    /* (max_rows, …) each */
    float            *products[N_PRODUCTS];
    float            *strengths, *decays;
    struct activations read;
    void             *memory, *read_memory;
};

static struct recurrent_work *work_of(const struct batch *b, int layer)
{
    return b->works[b->spec->layers[layer].mixer];
}

/* ---- rows ---- */

/* Rows first_row … first_row + n of the batch, or behind it; their scratch begins at scratch_row. */
static struct recurrent_rows rows_of(const struct batch *b, int layer, int first_row, int n, int scratch_row)
{
    const struct recurrent_work *work = work_of(b, layer);
    struct recurrent_rows rows = {
        .spec = &b->spec->layers[layer], .weights = cm_mixer_weights(b, layer),
        .shape = cm_recurrent_shape(&b->spec->layers[layer]), .plan = work->plan, .layer = layer,
        .first_row = first_row, .n = n,
        .strengths = cm_row(work->strengths, scratch_row, work->most_heads),
        .decays = cm_row(work->decays, scratch_row, work->most_heads),
        .read = cm_row(work->read.values, scratch_row, work->most_values),
    };
    for (int product = 0; product < N_PRODUCTS; product++)
        rows.products[product] = cm_row(work->products[product], scratch_row, work->most_rows[product]);
    return rows;
}

static const struct sequence *sequence_of(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    return b->rows[rows->first_row + i].asked.sequence;
}

/* The end of the run of rows of one sequence that begins at row i, counted from the first. */
static int run_end(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    const struct sequence *sequence = sequence_of(b, rows, i);
    while (i < rows->n && sequence_of(b, rows, i) == sequence) i++;
    return i;
}

/* The layer's state of the sequence of row i. */
static float *state_of(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    const struct sequence_state *state = sequence_of(b, rows, i)->state;
    return (float *)(state->fixed + state->fixed_at[rows->layer]);
}

/* Whether row i wants the state behind it kept, and where what lies at `of` in the layer's state goes then. */
static bool is_kept(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    return b->rows[rows->first_row + i].asked.kept != NULL;
}

static float *kept_place(const struct batch *b, const struct recurrent_rows *rows, int i, const float *of)
{
    const struct row_request *asked = &b->rows[rows->first_row + i].asked;
    return (float *)(asked->kept + ((const uint8_t *)of - asked->sequence->state->fixed));
}

static size_t head_floats(const struct recurrent_shape *shape)
{
    return cm_recurrent_floats(shape->key_size, shape->value_size);
}

static size_t all_heads_floats(const struct recurrent_shape *shape)
{
    return (size_t)shape->n_heads * head_floats(shape);
}

/* ---- what changes the states ---- */

/* All products of the batch's rows; or, where tokens says which rows of the normed input, of pairs of a fill, those
 * that change the state. */
static void project(struct batch *b, const struct recurrent_rows *rows, const int32_t *tokens, const struct worker *me)
{
    for (int product = 0; product < N_PRODUCTS; product++)
        if (!tokens)
            cm_linear_shared(b, &rows->weights->products[product], &b->normed, NULL, rows->n, NULL,
                             rows->products[product], me);
        else if (product != PRODUCT_GATE) /* pairs of a fill */
            cm_linear_plain(b, &rows->weights->products[product], &b->normed, tokens, rows->n, NULL,
                            rows->products[product], me);
}

void cm_convolve_channels(struct batch *b, const struct recurrent_rows *rows, const struct channels *channels)
{
    const struct recurrent_shape *shape = &rows->shape;
    const struct recurrent_weights *weights = rows->weights;
    const int n = channels->n, first = channels->first, n_columns = shape->rows[PRODUCT_INPUT];
    for (int i = 0, end; i < rows->n; i = end) {
        float *columns = state_of(b, rows, i) + all_heads_floats(shape) + first;
        end = run_end(b, rows, i);
        for (int r = i; r < end; r++) {
            float *x = cm_row(rows->products[PRODUCT_INPUT], r, n_columns) + channels->column;
            if (shape->rows[PRODUCT_FACTOR])
                b->ops->multiply(x, cm_row(rows->products[PRODUCT_FACTOR], r, shape->n_channels) + first, n);
            b->ops->convolve(x, weights->taps + first, weights->taps_bias ? weights->taps_bias + first : NULL,
                             shape->n_taps, n, (size_t)shape->n_channels, columns, x);
            if (channels->is_activated) b->ops->nonlinear[NONLINEARITY_SILU](NULL, x, n, x);
            if (channels->length > 0.0f) b->ops->l2_norm(x, channels->length, LENGTH_EPS, n, x);
            for (int tap = 0; tap < shape->n_taps - 1 && is_kept(b, rows, r); tap++) {
                const float *column = columns + (size_t)tap * (size_t)shape->n_channels;
                memcpy(kept_place(b, rows, r, column), column, (size_t)n * sizeof *column);
            }
        }
    }
}

void cm_convolve_own(struct batch *b, const struct recurrent_rows *rows, bool is_activated, const struct worker *me)
{
    const struct recurrence *recurrence = cm_mixer_of(b, rows->layer)->recurrence;
    struct row_range own;
    for (int i = 0; recurrence->own_channels(rows->spec, rows->plan, i, &own); i++) {
        int begin, end;
        cm_share(own.n, 16, me->index, me->n_workers, &begin, &end);
        const struct channels channels = {.first = own.first + begin, .n = end - begin, .column = own.first + begin,
                                          .is_activated = is_activated};
        if (begin < end) cm_convolve_channels(b, rows, &channels);
    }
}

/* Columns begin … end of one head's state take in all rows. */
static void recur_head(struct batch *b, const struct recurrent_rows *rows, int head, int begin, int end)
{
    const struct recurrence *recurrence = cm_mixer_of(b, rows->layer)->recurrence;
    const struct recurrent_shape *shape = &rows->shape;
    const size_t first = (size_t)begin * (size_t)shape->key_size; /* blocks of 16 columns lie one after the other */
    const size_t n = (size_t)((end - begin + 15) / 16 * 16) * (size_t)shape->key_size;
    for (int i = 0, next; i < rows->n; i = next) {
        float *state = state_of(b, rows, i) + (size_t)head * head_floats(shape);
        next = is_kept(b, rows, i) ? i + 1 : run_end(b, rows, i);
        struct recurrent_input in = {
            .n_tokens = next - i, .key_size = shape->key_size, .value_size = shape->value_size,
            .decay = cm_row(rows->decays, i, shape->n_heads) + head,
            .beta = cm_row(rows->strengths, i, shape->n_heads) + head, .number_stride = (size_t)shape->n_heads,
            .out = cm_row(rows->read, i, shape->n_values) + head * shape->value_size,
            .out_stride = (size_t)shape->n_values,
        };
        in.q_stride = in.k_stride = in.v_stride = (size_t)shape->rows[PRODUCT_INPUT];
        recurrence->head(rows, head, i, &in);
        if (recurrence->is_delta) b->ops->delta_net(&in, begin, end, state);
        else b->ops->state_space(&in, begin, end, state);
        if (is_kept(b, rows, i)) memcpy(kept_place(b, rows, i, state + first), state + first, n * sizeof *state);
    }
}

/* The number of head i of this rank's. */
static int own_head(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    const struct recurrence *recurrence = cm_mixer_of(b, rows->layer)->recurrence;
    return recurrence->own_head(rows->spec, rows->plan, i);
}

/* Heads first … first + n of this rank's, which are of one node, by its workers. */
static void recur_node(struct batch *b, const struct recurrent_rows *rows, int first, int n, const struct worker *me)
{
    const int size = rows->shape.value_size, n_tiles = (size + TILE - 1) / TILE;
    int begin, end;
    cm_share(n * n_tiles, 1, me->rank_on_node, me->n_on_node, &begin, &end);
    while (begin < end) { /* all tiles of a head at once, where it has them */
        const int head = begin / n_tiles, tile = begin % n_tiles;
        const int last = end - head * n_tiles < n_tiles ? end - head * n_tiles : n_tiles;
        recur_head(b, rows, own_head(b, rows, first + head), tile * TILE, last * TILE < size ? last * TILE : size);
        begin = head * n_tiles + last;
    }
}

static void recur(struct batch *b, const struct recurrent_rows *rows, const struct worker *me)
{
    const struct recurrence *recurrence = cm_mixer_of(b, rows->layer)->recurrence;
    const struct plan *plan = rows->plan;
    int32_t heads[CM_MAX_NODES];
    int     first = 0;
    cm_cut_heads(plan->shares, plan->n_nodes,
                 recurrence->n_own(rows->spec, plan), heads);
    for (int node = 0; node < plan->n_nodes; first += heads[node++])
        if (cm_team_server(me->team, node) == me->node) recur_node(b, rows, first, heads[node], me);
}

/* ---- a step ---- */

/* Own rows: what was read, gated, in the forms that the output matrix asks for. */
static void gate_rows(struct batch *b, const struct recurrent_rows *rows, const struct worker *me)
{
    const struct recurrence *recurrence = cm_mixer_of(b, rows->layer)->recurrence;
    int begin, end;
    cm_own_rows(b, me, &begin, &end);
    struct activations   *read = &work_of(b, rows->layer)->read;
    struct exchange_piece all = recurrence->read_piece(rows->spec, rows->n, rows->read);
    for (int r = begin; r < end; r++) recurrence->gate(b, rows, r);
    if (all.is_input) all = cm_input_piece(all, read, rows->weights->out_kinds, b->adapters != NULL);
    if (b->exchange) cm_barrier_gather(b, me, &all, 1, CALMOE_PHASE_OTHER);
    for (int r = begin; r < end && recurrence->norm; r++) recurrence->norm(b, rows, r);
    for (int r = begin; r < end; r++) {
        if (b->exchange && all.is_input) cm_exchange_quantize(b->exchange, &all, r);
        else b->ops->quantize(read, r, 0, rows->shape.n_values, rows->weights->out_kinds);
    }
}

void cm_recurrent_run(struct batch *b, int layer, const struct worker *me)
{
    const struct recurrence *recurrence = cm_mixer_of(b, layer)->recurrence;
    const struct recurrent_rows rows = rows_of(b, layer, 0, b->n_rows, 0);
    cm_enter_phase(b, me, CALMOE_PHASE_OTHER);
    cm_norm_rows(b, rows.weights->norm, rows.weights->input_kinds, me);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    project(b, &rows, NULL, me);
    cm_barrier_into(b, me, CALMOE_PHASE_ATTEND);
    recurrence->prepare(b, &rows, me);
    cm_barrier(me);
    if (recurrence->head) {
        recur(b, &rows, me);
        cm_barrier(me);
    }
    gate_rows(b, &rows, me);
    cm_barrier_into(b, me, CALMOE_PHASE_PROJECT);
    cm_add_product(b, layer, &rows.weights->out, &work_of(b, layer)->read, NULL, NULL, me);
}

/* Behind the norm, the projections, what is prepared, the heads' recurrence where there is one, the gates and the
 * product. */
int cm_recurrent_n_barriers(const struct mixer *mixer, const struct layer_spec *layer, int n_workers)
{
    (void)layer, (void)n_workers;
    return mixer->recurrence->head ? 6 : 5;
}

/* ---- layers that were skipped ---- */

static void norm_pairs(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    int begin, end;
    cm_share(fill->n_layers * fill->n, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const struct recurrent_weights *layer = cm_mixer_weights(b, fill->first_layer + i / fill->n);
        cm_norm_pair(b, fill, i, layer->norm, layer->fill_kinds);
    }
}

/* The l-th layer's rows. */
static struct recurrent_rows rows_of_layer(const struct batch *b, const struct mixer_fill *fill, int l)
{
    return rows_of(b, fill->first_layer + l, fill->begin, fill->n, l * fill->n);
}

void cm_recurrent_fill(struct batch *b, const struct mixer_fill *fill, const struct worker *me)
{
    const struct recurrence *recurrence = cm_mixer_of(b, fill->first_layer)->recurrence;
    norm_pairs(b, fill, me);
    cm_barrier(me);
    for (int l = 0; l < fill->n_layers; l++) {
        const struct recurrent_rows rows = rows_of_layer(b, fill, l);
        project(b, &rows, b->identity + l * fill->n, me);
    }
    cm_barrier(me);
    for (int l = 0; l < fill->n_layers; l++) {
        const struct recurrent_rows rows = rows_of_layer(b, fill, l);
        recurrence->prepare(b, &rows, me);
    }
    if (!recurrence->head) return;
    cm_barrier(me);
    for (int l = 0; l < fill->n_layers; l++) {
        const struct recurrent_rows rows = rows_of_layer(b, fill, l);
        recur(b, &rows, me);
    }
}

/* ---- the record ---- */

static void grow(int *most, int value)
{
    if (value > *most) *most = value;
}

static void measure(const struct model_spec *spec, struct recurrent_work *work)
{
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const struct recurrent_shape shape = cm_recurrent_shape(&spec->layers[layer]);
        for (int product = 0; product < N_PRODUCTS; product++) grow(&work->most_rows[product], shape.rows[product]);
        grow(&work->most_heads, shape.n_heads);
        grow(&work->most_values, shape.n_values);
    }
}

calmoe_status cm_recurrent_open(const struct mixer_place *place, void **out)
{
    const size_t n = (size_t)place->max_rows;
    struct recurrent_work *work = *out = cm_alloc(place->machine->ctx, 1, sizeof *work, "recurrent layers");
    if (!work) return CALMOE_NO_MEMORY;
    measure(place->spec, work);
    size_t n_floats = 2 * (size_t)work->most_heads;
    for (int product = 0; product < N_PRODUCTS; product++) n_floats += (size_t)work->most_rows[product];
    float *at = work->memory = cm_alloc(place->machine->ctx, n * n_floats, sizeof *at, "recurrent layers");
    work->read_memory = cm_alloc(place->machine->ctx, cm_activations_bytes(place->max_rows, work->most_values), 1,
                                 "recurrent layers");
    if (!at || !work->read_memory) return CALMOE_NO_MEMORY;
    for (int product = 0; product < N_PRODUCTS; at += n * (size_t)work->most_rows[product++])
        work->products[product] = at;
    work->strengths = at;
    work->decays = at + n * (size_t)work->most_heads;
    cm_activations_place(&work->read, place->max_rows, work->most_values, work->read_memory);
    work->plan = place->machine->plan;
    return CALMOE_OK;
}

void cm_recurrent_close(void **out)
{
    struct recurrent_work *work = *out;
    if (!work) return;
    cm_free(work->read_memory);
    cm_free(work->memory);
    cm_free(work);
    *out = NULL;
}

void cm_recurrent_plan(void *work, const struct batch *b) /* which rows make a sequence is seen as they are read */
{
    (void)work;
    (void)b;
}

size_t cm_recurrent_fixed_bytes(const struct layer_spec *layer)
{
    const struct recurrent_shape shape = cm_recurrent_shape(layer);
    const size_t n_columns = (size_t)(shape.n_taps - 1) * (size_t)shape.n_channels;
    return (all_heads_floats(&shape) + n_columns) * sizeof(float);
}

/* ---- several ranks ---- */

void cm_recurrent_gathers(const struct mixer *mixer, const struct layer_spec *layer, int dim, int n_rows,
                          struct gatherings *out)
{
    cm_add_gathering(out, mixer->recurrence->read_piece(layer, n_rows, NULL));
    cm_add_gathering(out, cm_columns_piece(NULL, n_rows, dim));
}

static bool is_own_head(const struct recurrence *recurrence, const struct layer_spec *layer, const struct plan *plan,
                        int head)
{
    int i = recurrence->n_own(layer, plan) - 1;
    while (i >= 0 && recurrence->own_head(layer, plan, i) != head) i--;
    return i >= 0;
}

/* Channels begin … end, in what is kept of the convolution's inputs. */
static void clear_channels(const struct recurrent_shape *shape, int begin, int end, float *columns)
{
    for (int tap = 0; tap < shape->n_taps - 1 && begin < end; tap++)
        memset(columns + (size_t)tap * (size_t)shape->n_channels + begin, 0, (size_t)(end - begin) * sizeof *columns);
}

void cm_recurrent_clear_others(const struct mixer *mixer, const struct layer_spec *layer, const struct plan *plan,
                               void *state)
{
    const struct recurrence     *recurrence = mixer->recurrence;
    const struct recurrent_shape shape = cm_recurrent_shape(layer);
    float *const     heads = state, *const columns = heads + all_heads_floats(&shape);
    struct row_range own;
    int              at = 0; /* channels before it are done */
    for (int head = 0; head < shape.n_heads; head++)
        if (!is_own_head(recurrence, layer, plan, head))
            memset(heads + (size_t)head * head_floats(&shape), 0, head_floats(&shape) * sizeof *heads);
    for (int i = 0; recurrence->own_channels(layer, plan, i, &own); i++) {
        if (own.n == 0) continue;
        clear_channels(&shape, at, own.first, columns);
        at = own.first + own.n;
    }
    clear_channels(&shape, at, shape.n_channels, columns);
}
