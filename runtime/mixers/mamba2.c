/* runtime/mixers/mamba2.c - Mamba-2 (Dao and Gu, 2024). Each head keeps a matrix S (state_size, head_size). Of a
 * position it gets x (head_size), its group's B and C (state_size), all behind the convolution, and one number dt:
 *     dt = softplus(dt + time_bias);  S = e^(dt decay) S + B (dt x)';  y = S'C + skip x
 * y of all heads is weighted by silu(z), then normed in as many parts as there are groups. */
#include <string.h>

#include "runtime/mixers/recurrent.h"

/* ---- heads of this rank ---- */

/* Some heads in a row, and the groups whose B and C they read: ranks that share a group have both. */
struct mamba_heads {
    int first, n, first_group, n_groups;
};

static struct mamba_heads own_heads(const struct mamba2_spec *spec, const struct plan *plan)
{
    const int of_group = spec->n_heads / spec->n_groups;
    struct mamba_heads own = {.n_groups = 0};
    own.n = cm_own_part(plan, spec->n_heads, 1, &own.first);
    if (own.n == 0) return own;
    own.first_group = own.first / of_group;
    own.n_groups = (own.first + own.n - 1) / of_group + 1 - own.first_group;
    return own;
}

static int n_own(const struct layer_spec *layer, const struct plan *plan) { return own_heads(&layer->mamba2, plan).n; }

static int own_head(const struct layer_spec *layer, const struct plan *plan, int i)
{
    return own_heads(&layer->mamba2, plan).first + i;
}

/* Those of x, of B, of C; all of them are one range. */
static bool own_channels(const struct layer_spec *layer, const struct plan *plan, int i, struct row_range *channels)
{
    const struct mamba2_spec *spec = &layer->mamba2;
    const struct mamba_heads own = own_heads(spec, plan);
    const int values = spec->n_heads * spec->head_size, of_groups = spec->n_groups * spec->state_size;
    const bool has_all = own.n == spec->n_heads;
    if (has_all) *channels = (struct row_range){0, values + 2 * of_groups};
    else if (i == 0) *channels = (struct row_range){own.first * spec->head_size, own.n * spec->head_size};
    else *channels = (struct row_range){values + (i - 1) * of_groups + own.first_group * spec->state_size,
                                        own.n_groups * spec->state_size};
    return i < (has_all ? 1 : 3);
}

/* The numbers dt of all heads are on each rank. */
static int own_ranges(const struct layer_spec *layer, const struct plan *plan, enum recurrent_product product,
                      struct row_range *ranges)
{
    const struct mamba2_spec *spec = &layer->mamba2;
    const struct recurrent_shape shape = cm_recurrent_shape(layer);
    const struct mamba_heads own = own_heads(spec, plan);
    int n = 0;
    if (own.n == spec->n_heads) return 0;
    if (product == PRODUCT_GATE) ranges[n++] = (struct row_range){own.first * spec->head_size, own.n * spec->head_size};
    else
        while (own_channels(layer, plan, n, &ranges[n])) n++;
    if (product == PRODUCT_INPUT) ranges[n++] = (struct row_range){shape.n_channels, spec->n_heads};
    return n;
}

static struct exchange_piece read_piece(const struct layer_spec *layer, int n_rows, float *read)
{
    return cm_heads_piece(read, n_rows, layer->mamba2.n_heads, layer->mamba2.head_size);
}

/* ---- a step ---- */

/* strength = softplus(dt + time_bias), decay = that times the head's own, of all heads of a row. */
static void set_numbers(struct batch *b, const struct recurrent_rows *rows, int row)
{
    const int n = rows->shape.n_heads;
    const float *inputs = cm_row(rows->products[PRODUCT_INPUT], row, rows->shape.rows[PRODUCT_INPUT]);
    float *strengths = cm_row(rows->strengths, row, n), *decays = cm_row(rows->decays, row, n);
    for (int head = 0; head < n; head++)
        strengths[head] = inputs[rows->shape.n_channels + head] + rows->weights->time_bias[head];
    b->ops->softplus(strengths, n);
    memcpy(decays, strengths, (size_t)n * sizeof *decays);
    b->ops->multiply(decays, rows->weights->decay, n);
}

static void prepare(struct batch *b, const struct recurrent_rows *rows, const struct worker *me)
{
    int begin, end;
    cm_convolve_own(b, rows, true, me);
    cm_share(rows->n, 1, me->index, me->n_workers, &begin, &end);
    for (int row = begin; row < end; row++) set_numbers(b, rows, row);
}

static void take_head(const struct recurrent_rows *rows, int head, int i, struct recurrent_input *in)
{
    const struct mamba2_spec *spec = &rows->spec->mamba2;
    const float *x = cm_row(rows->products[PRODUCT_INPUT], i, rows->shape.rows[PRODUCT_INPUT]);
    const float *writes = x + rows->shape.n_values, *reads = writes + spec->n_groups * spec->state_size;
    const int group = head / (spec->n_heads / spec->n_groups);
    in->v = x + head * spec->head_size;
    in->k = writes + group * spec->state_size;
    in->q = reads + group * spec->state_size;
    in->skip = rows->weights->skip[head];
}

/* Of this rank's heads. */
static void gate(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    const struct mamba_heads own = own_heads(&rows->spec->mamba2, rows->plan);
    const int first = own.first * rows->spec->mamba2.head_size, n = own.n * rows->spec->mamba2.head_size;
    float *y = cm_row(rows->read, i, rows->shape.n_values) + first;
    const float *z = cm_row(rows->products[PRODUCT_GATE], i, rows->shape.n_values) + first;
    b->ops->nonlinear[NONLINEARITY_SILU_UP](z, y, n, y);
}

static void norm(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    const int n = rows->shape.n_values, n_groups = rows->spec->mamba2.n_groups;
    float *y = cm_row(rows->read, i, n);
    cm_rms_norm_groups(b->ops, y, rows->weights->read_norm, b->spec->norm_eps, n / n_groups, n_groups, y);
}

static const struct recurrence mamba2 = {.prepare = prepare, .head = take_head, .gate = gate, .norm = norm,
                                         .n_own = n_own, .own_head = own_head, .own_channels = own_channels,
                                         .own_ranges = own_ranges, .read_piece = read_piece};

extern const struct mixer cm_mixer_mamba2;
const struct mixer cm_mixer_mamba2 = RECURRENT_MIXER("Mamba-2", &mamba2);
