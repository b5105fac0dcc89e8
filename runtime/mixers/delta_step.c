/* runtime/mixers/delta_step.c - what changes the state of a delta net: the short convolution and the recurrence, over
 * the rows of each sequence in the order of their positions. */
#include <math.h>

#include "runtime/mixers/delta_parts.h"
#include "runtime/mixers/sequence_state.h"

enum { TILE = 32 };                   /* columns of a state that a worker takes at least */
static const float LENGTH_EPS = 1e-6f; /* of q and k; the models' own, in no file         */

enum input { QUERY, KEY, VALUE };

/* ---- where a head's elements stand ---- */

static int values_per_key(const struct delta_spec *spec) { return spec->n_value_heads / spec->n_key_heads; }

/* Among the channels of the convolution. */
static int channel_of(const struct delta_spec *spec, enum input input, int head)
{
    const int keys = cm_delta_key_columns(spec);
    return input == QUERY ? head * spec->key_size : input == KEY ? keys + head * spec->key_size
                                                                 : 2 * keys + head * spec->value_size;
}

/* In a row of inputs by key head: q, k, and r heads of v and of z. */
static int column_by_head(const struct delta_spec *spec, enum input input, int head)
{
    const int r = values_per_key(spec), size = 2 * spec->key_size + 2 * r * spec->value_size;
    if (input == QUERY) return head * size;
    if (input == KEY) return head * size + spec->key_size;
    return head / r * size + 2 * spec->key_size + head % r * spec->value_size;
}

struct delta_heads cm_delta_own_heads(const struct delta_spec *spec, const struct plan *plan)
{
    struct delta_heads own;
    own.n_keys = cm_own_part(plan, spec->n_key_heads, 1, &own.first_key);
    own.n_values = own.n_keys * values_per_key(spec);
    return own;
}

int cm_delta_own_value(const struct delta_spec *spec, const struct delta_heads *own, int i)
{
    if (spec->order != HEADS_IN_TURN) return own->first_key * values_per_key(spec) + i;
    return i / own->n_keys * spec->n_key_heads + own->first_key + i % own->n_keys;
}

static int column_of(const struct delta_spec *spec, enum input input, int head)
{
    return spec->is_by_head ? column_by_head(spec, input, head) : channel_of(spec, input, head);
}

static int input_columns(const struct delta_spec *spec)
{
    return cm_delta_channels(spec) + (spec->is_by_head ? cm_delta_value_columns(spec) : 0);
}

const float *cm_delta_gate(const struct delta_spec *spec, const struct delta_floats *floats, int row, int head)
{
    const int values = cm_delta_value_columns(spec);
    if (!spec->is_by_head) return cm_row(floats->gates, row, values) + head * spec->value_size;
    return cm_row(floats->inputs, row, input_columns(spec)) + column_by_head(spec, VALUE, head) +
           values_per_key(spec) * spec->value_size;
}

struct delta_floats cm_delta_floats(const struct batch *b, const struct delta_rows *rows)
{
    const struct delta_work *work = cm_delta_work(b);
    const struct layer_maxima *most = &b->spec->most;
    const int r = rows->scratch_row;
    return (struct delta_floats){
        .inputs = cm_row(work->inputs, r, most->delta_columns),
        .gates = cm_row(work->gates, r, most->delta_values),
        .betas = cm_row(work->betas, r, 2 * most->delta_heads),
        .alphas = cm_row(work->alphas, r, most->delta_heads),
        .strengths = cm_row(work->strengths, r, most->delta_heads),
        .decays = cm_row(work->decays, r, most->delta_heads),
        .read = cm_row(work->read.values, r, most->delta_values),
    };
}

/* ---- a sequence's rows ---- */

static const struct sequence *sequence_of(const struct batch *b, const struct delta_rows *rows, int i)
{
    return b->rows[rows->first_row + i].asked.sequence;
}

/* The end of the run of rows of one sequence that begins at row i. */
static int run_end(const struct batch *b, const struct delta_rows *rows, int i)
{
    const struct sequence *sequence = sequence_of(b, rows, i);
    while (i < rows->n && sequence_of(b, rows, i) == sequence) i++;
    return i;
}

static float *state_of(const struct batch *b, const struct delta_rows *rows, int i)
{
    const struct sequence_state *state = sequence_of(b, rows, i)->state;
    return (float *)(void *)(state->fixed + state->fixed_at[rows->layer]);
}

/* ---- q, k, v ---- */

/* One head of q, k or v in all rows. */
static void convolve_head(struct batch *b, const struct delta_rows *rows, enum input input, int head)
{
    const struct delta_spec *spec = cm_delta_spec(b, rows->layer);
    const struct delta_weights *weights = cm_delta_weights(b, rows->layer);
    const struct delta_floats floats = cm_delta_floats(b, rows);
    const int n = input == VALUE ? spec->value_size : spec->key_size, n_channels = cm_delta_channels(spec);
    const int channel = channel_of(spec, input, head), column = column_of(spec, input, head);
    const float scale = input == QUERY ? 1.0f / sqrtf((float)spec->key_size) : 1.0f;
    for (int i = 0, end; i < rows->n; i = end) {
        float *columns = state_of(b, rows, i) + cm_delta_state_floats(spec) + channel;
        end = run_end(b, rows, i);
        for (int r = i; r < end; r++) {
            float *x = cm_row(floats.inputs, r, input_columns(spec)) + column;
            b->ops->convolve(x, weights->taps + channel, NULL, spec->n_taps, n, (size_t)n_channels, columns, x);
            b->ops->nonlinear[NONLINEARITY_SILU](NULL, x, n, x);
            if (input != VALUE) b->ops->l2_norm(x, scale, LENGTH_EPS, n, x);
        }
    }
}

/* strength = sigmoid(beta), decay = decay softplus(alpha + time_bias), of all heads of a row. */
static void set_numbers(struct batch *b, const struct delta_rows *rows, int row)
{
    const struct delta_spec *spec = cm_delta_spec(b, rows->layer);
    const struct delta_weights *weights = cm_delta_weights(b, rows->layer);
    const struct delta_floats floats = cm_delta_floats(b, rows);
    const int n = spec->n_value_heads, r = values_per_key(spec);
    const float *pairs = cm_row(floats.betas, row, 2 * n), *betas = cm_row(floats.betas, row, n);
    const float *alphas = cm_row(floats.alphas, row, n);
    float *strengths = cm_row(floats.strengths, row, n), *decays = cm_row(floats.decays, row, n);
    for (int head = 0; head < n; head++) {
        const float *pair = pairs + head / r * 2 * r + head % r;
        strengths[head] = spec->has_pairs ? pair[0] : betas[head];
        decays[head] = (spec->has_pairs ? pair[r] : alphas[head]) + weights->time_bias[head];
    }
    b->ops->sigmoid(strengths, n);
    b->ops->softplus(decays, n);
    b->ops->multiply(decays, weights->decay, n);
}

void cm_delta_convolve(struct batch *b, const struct delta_rows *rows, const struct worker *me)
{
    const struct delta_spec *spec = cm_delta_spec(b, rows->layer);
    const struct delta_heads own = cm_delta_own_heads(spec, cm_delta_work(b)->plan);
    const int n_keys = own.n_keys;
    int begin, end;
    cm_share(2 * n_keys + own.n_values, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        if (i < n_keys) convolve_head(b, rows, QUERY, own.first_key + i);
        else if (i < 2 * n_keys) convolve_head(b, rows, KEY, own.first_key + i - n_keys);
        else convolve_head(b, rows, VALUE, cm_delta_own_value(spec, &own, i - 2 * n_keys));
    }
    cm_share(rows->n, 1, me->index, me->n_workers, &begin, &end);
    for (int row = begin; row < end; row++) set_numbers(b, rows, row);
}

/* ---- the recurrence ---- */

/* Columns begin … end of one value head's state take in all rows. */
static void recur_head(struct batch *b, const struct delta_rows *rows, int head, int begin, int end)
{
    const struct delta_spec *spec = cm_delta_spec(b, rows->layer);
    const struct delta_floats floats = cm_delta_floats(b, rows);
    const int n_heads = spec->n_value_heads, n_values = cm_delta_value_columns(spec), n_inputs = input_columns(spec);
    const int key_head = spec->order == HEADS_IN_TURN ? head % spec->n_key_heads : head / values_per_key(spec);
    const size_t at = (size_t)head * cm_recurrent_floats(spec->key_size, spec->value_size);
    for (int i = 0, next; i < rows->n; i = next) {
        const float *inputs = cm_row(floats.inputs, i, n_inputs);
        next = run_end(b, rows, i);
        const struct recurrent_input in = {
            .n_tokens = next - i, .key_size = spec->key_size, .value_size = spec->value_size,
            .q = inputs + column_of(spec, QUERY, key_head), .k = inputs + column_of(spec, KEY, key_head),
            .v = inputs + column_of(spec, VALUE, head),
            .q_stride = (size_t)n_inputs, .k_stride = (size_t)n_inputs, .v_stride = (size_t)n_inputs,
            .decay = cm_row(floats.decays, i, n_heads) + head, .beta = cm_row(floats.strengths, i, n_heads) + head,
            .number_stride = (size_t)n_heads,
            .out = cm_row(floats.read, i, n_values) + head * spec->value_size, .out_stride = (size_t)n_values,
        };
        b->ops->delta_net(&in, begin, end, state_of(b, rows, i) + at);
    }
}

/* Value heads first … first + n of this rank's, which are of one node, by its workers. */
static void recur_node(struct batch *b, const struct delta_rows *rows, const struct delta_heads *own, int first, int n,
                       const struct worker *me)
{
    const int size = cm_delta_spec(b, rows->layer)->value_size, n_tiles = (size + TILE - 1) / TILE;
    int begin, end;
    cm_share(n * n_tiles, 1, me->rank_on_node, me->n_on_node, &begin, &end);
    while (begin < end) { /* all tiles of a head at once, where it has them */
        const int head = begin / n_tiles, tile = begin % n_tiles;
        const int last = end - head * n_tiles < n_tiles ? end - head * n_tiles : n_tiles;
        const int value = cm_delta_own_value(cm_delta_spec(b, rows->layer), own, first + head);
        recur_head(b, rows, value, tile * TILE, last * TILE < size ? last * TILE : size);
        begin = head * n_tiles + last;
    }
}

void cm_delta_recur(struct batch *b, const struct delta_rows *rows, const struct worker *me)
{
    const struct plan *plan = cm_delta_work(b)->plan;
    const struct delta_heads own = cm_delta_own_heads(cm_delta_spec(b, rows->layer), plan);
    int32_t heads[CM_MAX_NODES];
    int     first = 0;
    cm_cut_heads(plan->shares, plan->n_nodes, own.n_values, heads);
    for (int node = 0; node < plan->n_nodes; first += heads[node++])
        if (cm_team_server(me->team, node) == me->node) recur_node(b, rows, &own, first, heads[node], me);
}
