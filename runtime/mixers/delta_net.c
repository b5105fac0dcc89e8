/* runtime/mixers/delta_net.c - gated delta nets (Yang et al., 2024). Each value head keeps a matrix S of what its
 * sequence has read. A position's query, key and value (behind the convolution; q and k are made vectors of length 1),
 * beta and decay say what becomes of S and what is read out of it, which is normed and weighted by silu(z). */
#include <math.h>

#include "runtime/mixers/recurrent.h"

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

static int column_of(const struct delta_spec *spec, enum input input, int head)
{
    return spec->is_by_head ? column_by_head(spec, input, head) : channel_of(spec, input, head);
}

/* z of one value head. */
static const float *gate_of(const struct recurrent_rows *rows, int row, int head)
{
    const struct delta_spec *spec = &rows->spec->delta;
    if (!spec->is_by_head)
        return cm_row(rows->products[PRODUCT_GATE], row, rows->shape.n_values) + head * spec->value_size;
    return cm_row(rows->products[PRODUCT_INPUT], row, rows->shape.rows[PRODUCT_INPUT]) +
           column_by_head(spec, VALUE, head) + values_per_key(spec) * spec->value_size;
}

/* ---- a step ---- */

/* One head of q, k or v in all rows. q is scaled as the models want it. */
static void convolve_head(struct batch *b, const struct recurrent_rows *rows, enum input input, int head)
{
    const struct delta_spec *spec = &rows->spec->delta;
    const struct channels channels = {
        .first = channel_of(spec, input, head), .n = input == VALUE ? spec->value_size : spec->key_size,
        .column = column_of(spec, input, head), .is_activated = true,
        .length = input == QUERY ? 1.0f / sqrtf((float)spec->key_size) : input == KEY ? 1.0f : 0.0f};
    cm_convolve_channels(b, rows, &channels);
}

/* strength = sigmoid(beta), decay = decay softplus(alpha + time_bias), of all heads of a row. */
static void set_numbers(struct batch *b, const struct recurrent_rows *rows, int row)
{
    const struct delta_spec *spec = &rows->spec->delta;
    const struct recurrent_weights *weights = rows->weights;
    const int n = spec->n_value_heads, r = values_per_key(spec);
    const float *betas = cm_row(rows->products[PRODUCT_BETA], row, rows->shape.rows[PRODUCT_BETA]);
    const float *alphas = cm_row(rows->products[PRODUCT_ALPHA], row, rows->shape.rows[PRODUCT_ALPHA]);
    float *strengths = cm_row(rows->strengths, row, n), *decays = cm_row(rows->decays, row, n);
    for (int head = 0; head < n; head++) {
        const float *pair = betas + head / r * 2 * r + head % r;
        strengths[head] = spec->has_pairs ? pair[0] : betas[head];
        decays[head] = (spec->has_pairs ? pair[r] : alphas[head]) + weights->time_bias[head];
    }
    b->ops->sigmoid(strengths, n);
    b->ops->softplus(decays, n);
    b->ops->multiply(decays, weights->decay, n);
}

static void prepare(struct batch *b, const struct recurrent_rows *rows, const struct worker *me)
{
    const struct delta_spec *spec = &rows->spec->delta;
    const int n_keys = spec->n_key_heads;
    int begin, end;
    cm_share(2 * n_keys + spec->n_value_heads, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        if (i < n_keys) convolve_head(b, rows, QUERY, i);
        else if (i < 2 * n_keys) convolve_head(b, rows, KEY, i - n_keys);
        else convolve_head(b, rows, VALUE, i - 2 * n_keys);
    }
    cm_share(rows->n, 1, me->index, me->n_workers, &begin, &end);
    for (int row = begin; row < end; row++) set_numbers(b, rows, row);
}

static void take_head(const struct recurrent_rows *rows, int head, int i, struct recurrent_input *in)
{
    const struct delta_spec *spec = &rows->spec->delta;
    const float *inputs = cm_row(rows->products[PRODUCT_INPUT], i, rows->shape.rows[PRODUCT_INPUT]);
    const int key_head = spec->order == HEADS_IN_TURN ? head % spec->n_key_heads : head / values_per_key(spec);
    in->q = inputs + column_of(spec, QUERY, key_head);
    in->k = inputs + column_of(spec, KEY, key_head);
    in->v = inputs + column_of(spec, VALUE, head);
}

static void gate(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    const int n = rows->shape.value_size;
    for (int head = 0; head < rows->shape.n_heads; head++) {
        float *x = cm_row(rows->read, i, rows->shape.n_values) + head * n;
        b->ops->rms_norm(x, rows->weights->read_norm, b->spec->norm_eps, n, x);
        b->ops->nonlinear[NONLINEARITY_SILU_UP](gate_of(rows, i, head), x, n, x);
    }
}

static const struct recurrence delta_net = {.prepare = prepare, .head = take_head, .is_delta = true, .gate = gate};

extern const struct mixer cm_mixer_delta_net;
const struct mixer cm_mixer_delta_net = RECURRENT_MIXER("delta net", &delta_net);
