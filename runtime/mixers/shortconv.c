/* runtime/mixers/shortconv.c - a short convolution over positions between two factors: c * conv(b * x). There are no
 * heads: all that a sequence keeps are the last inputs of the convolution. */
#include <string.h>

#include "runtime/mixers/recurrent.h"

/* Ranks share the channels. */
static struct row_range own_of(const struct layer_spec *layer, const struct plan *plan)
{
    struct row_range own;
    own.n = cm_own_part(plan, layer->shortconv.n_channels, CM_SLICE_QUANTUM, &own.first);
    return own;
}

static bool own_channels(const struct layer_spec *layer, const struct plan *plan, int i, struct row_range *channels)
{
    *channels = own_of(layer, plan);
    return i == 0;
}

static int own_ranges(const struct layer_spec *layer, const struct plan *plan, enum recurrent_product product,
                      struct row_range *ranges)
{
    (void)product;
    ranges[0] = own_of(layer, plan);
    return 1;
}

static struct exchange_piece read_piece(const struct layer_spec *layer, int n_rows, float *read)
{
    return cm_as_input(cm_columns_piece(read, n_rows, layer->shortconv.n_channels));
}

static void prepare(struct batch *b, const struct recurrent_rows *rows, const struct worker *me)
{
    cm_convolve_own(b, rows, false, me);
}

static void gate(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    const struct row_range own = own_of(rows->spec, rows->plan);
    const int n = rows->shape.n_values;
    float *y = cm_row(rows->read, i, n) + own.first;
    memcpy(y, cm_row(rows->products[PRODUCT_INPUT], i, n) + own.first, (size_t)own.n * sizeof *y);
    b->ops->multiply(y, cm_row(rows->products[PRODUCT_GATE], i, n) + own.first, own.n);
}

static const struct recurrence shortconv = {.prepare = prepare, .gate = gate, .own_channels = own_channels,
                                            .own_ranges = own_ranges, .read_piece = read_piece};

extern const struct mixer cm_mixer_shortconv;
const struct mixer cm_mixer_shortconv = RECURRENT_MIXER("short convolution", &shortconv);
