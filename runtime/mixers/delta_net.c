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

/* ---- heads of this rank ---- */

/* Some key heads in a row, and the value heads that read them: by key head those side by side, in turn (HEADS_IN_TURN)
 * as many runs of n_keys as a key head has readers. All of them where there is one rank. */
struct delta_heads {
    int first_key, n_keys, n_values;
};

static struct delta_heads own_heads(const struct delta_spec *spec, const struct plan *plan)
{
    struct delta_heads own;
    own.n_keys = cm_own_part(plan, spec->n_key_heads, 1, &own.first_key);
    own.n_values = own.n_keys * values_per_key(spec);
    return own;
}

/* The number of value head i of them. */
static int own_value(const struct delta_spec *spec, const struct delta_heads *own, int i)
{
    if (spec->order != HEADS_IN_TURN) return own->first_key * values_per_key(spec) + i;
    return i / own->n_keys * spec->n_key_heads + own->first_key + i % own->n_keys;
}

static int n_own(const struct layer_spec *layer, const struct plan *plan)
{
    return own_heads(&layer->delta, plan).n_values;
}

static int own_head(const struct layer_spec *layer, const struct plan *plan, int i)
{
    const struct delta_heads own = own_heads(&layer->delta, plan);
    return own_value(&layer->delta, &own, i);
}

/* The i-th run of value heads in a row, in a matrix or convolution that has value_size rows for each, the first at
 * `first`; false where there are no more. */
static bool value_range(const struct delta_spec *spec, const struct delta_heads *own, int first, int i,
                        struct row_range *range)
{
    const int in_a_row = spec->order == HEADS_IN_TURN ? own->n_keys : own->n_values;
    if (in_a_row == 0 || i * in_a_row >= own->n_values) return false;
    *range = (struct row_range){first + own_value(spec, own, i * in_a_row) * spec->value_size,
                                in_a_row * spec->value_size};
    return true;
}

/* Those of q, those of k, then each run of v. */
static bool own_channels(const struct layer_spec *layer, const struct plan *plan, int i, struct row_range *channels)
{
    const struct delta_spec *spec = &layer->delta;
    const struct delta_heads own = own_heads(spec, plan);
    const int keys = cm_delta_key_columns(spec);
    if (i > 1) return value_range(spec, &own, 2 * keys, i - 2, channels);
    *channels = (struct row_range){i * keys + own.first_key * spec->key_size, own.n_keys * spec->key_size};
    return true;
}

/* Numbers for heads are all on each rank; of q, k, v, z it has the rows of its heads. */
static int own_ranges(const struct layer_spec *layer, const struct plan *plan, enum recurrent_product product,
                      struct row_range *ranges)
{
    const struct delta_spec *spec = &layer->delta;
    const struct delta_heads own = own_heads(spec, plan);
    const int of_key = 2 * spec->key_size + 2 * values_per_key(spec) * spec->value_size;
    int       n = 0;
    if (own.n_keys == spec->n_key_heads || product == PRODUCT_BETA || product == PRODUCT_ALPHA) return 0;
    if (product != PRODUCT_GATE && spec->is_by_head) {
        ranges[0] = (struct row_range){own.first_key * of_key, own.n_keys * of_key};
        return 1;
    }
    if (product == PRODUCT_GATE)
        while (value_range(spec, &own, 0, n, &ranges[n])) n++;
    else
        while (own_channels(layer, plan, n, &ranges[n])) n++;
    if (n == 0) ranges[n++] = (struct row_range){0, 0};
    return n;
}

/* What heads read comes together: rows by key head, or, of heads in turn, as many rows as a key head has readers. */
static struct exchange_piece read_piece(const struct layer_spec *layer, int n_rows, float *read)
{
    const struct delta_spec *spec = &layer->delta;
    const int n = values_per_key(spec), n_runs = spec->order == HEADS_IN_TURN ? n : 1;
    const struct exchange_piece piece =
        cm_heads_piece(read, n_rows * n_runs, spec->n_key_heads, n / n_runs * spec->value_size);
    return n_runs == 1 ? cm_as_input(piece) : piece; /* else a rank's columns of a row are in pieces */
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
    const struct delta_heads own = own_heads(spec, rows->plan);
    const int n_keys = own.n_keys;
    int begin, end;
    cm_share(2 * n_keys + own.n_values, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        if (i < n_keys) convolve_head(b, rows, QUERY, own.first_key + i);
        else if (i < 2 * n_keys) convolve_head(b, rows, KEY, own.first_key + i - n_keys);
        else convolve_head(b, rows, VALUE, own_value(spec, &own, i - 2 * n_keys));
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
    const struct delta_heads own = own_heads(&rows->spec->delta, rows->plan);
    for (int k = 0; k < own.n_values; k++) {
        const int head = own_value(&rows->spec->delta, &own, k);
        float *x = cm_row(rows->read, i, rows->shape.n_values) + head * n;
        b->ops->rms_norm(x, rows->weights->read_norm, b->spec->norm_eps, n, x);
        b->ops->nonlinear[NONLINEARITY_SILU_UP](gate_of(rows, i, head), x, n, x);
    }
}

static const struct recurrence delta_net = {.prepare = prepare, .head = take_head, .is_delta = true, .gate = gate,
                                            .n_own = n_own, .own_head = own_head,
                                            .own_channels = own_channels, .own_ranges = own_ranges,
                                            .read_piece = read_piece};

extern const struct mixer cm_mixer_delta_net;
const struct mixer cm_mixer_delta_net = RECURRENT_MIXER("delta net", &delta_net);
