/* runtime/mixers/mamba2.c - Mamba-2 (Dao and Gu, 2024). Each head keeps a matrix S (state_size, head_size). Of a
 * position it gets x (head_size), its group's B and C (state_size), all behind the convolution, and one number dt:
 *     dt = softplus(dt + time_bias);  S = e^(dt decay) S + B (dt x)';  y = S'C + skip x
 * y of all heads is weighted by silu(z), then normed in as many parts as there are groups. */
#include <string.h>

#include "runtime/mixers/recurrent.h"

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
    cm_share(rows->shape.n_channels, 16, me->index, me->n_workers, &begin, &end);
    const struct channels channels = {.first = begin, .n = end - begin, .column = begin, .is_activated = true};
    if (begin < end) cm_convolve_channels(b, rows, &channels);
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

static void gate(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    const int n = rows->shape.n_values, n_groups = rows->spec->mamba2.n_groups;
    float *y = cm_row(rows->read, i, n);
    b->ops->nonlinear[NONLINEARITY_SILU_UP](cm_row(rows->products[PRODUCT_GATE], i, n), y, n, y);
    cm_rms_norm_groups(b->ops, y, rows->weights->read_norm, b->spec->norm_eps, n / n_groups, n_groups, y);
}

static const struct recurrence mamba2 = {.prepare = prepare, .head = take_head, .gate = gate};

extern const struct mixer cm_mixer_mamba2;
const struct mixer cm_mixer_mamba2 = RECURRENT_MIXER("Mamba-2", &mamba2, NULL);
