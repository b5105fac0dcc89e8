/* runtime/mixers/shortconv.c - a short convolution over positions between two factors: c * conv(b * x). There are no
 * heads: all that a sequence keeps are the last inputs of the convolution. */
#include <string.h>

#include "runtime/mixers/recurrent.h"

static void prepare(struct batch *b, const struct recurrent_rows *rows, const struct worker *me)
{
    int begin, end;
    cm_share(rows->shape.n_channels, 16, me->index, me->n_workers, &begin, &end);
    const struct channels channels = {.first = begin, .n = end - begin, .column = begin};
    if (begin < end) cm_convolve_channels(b, rows, &channels);
}

static void gate(const struct batch *b, const struct recurrent_rows *rows, int i)
{
    const int n = rows->shape.n_values;
    float *y = cm_row(rows->read, i, n);
    memcpy(y, cm_row(rows->products[PRODUCT_INPUT], i, n), (size_t)n * sizeof *y);
    b->ops->multiply(y, cm_row(rows->products[PRODUCT_GATE], i, n), n);
}

static const struct recurrence shortconv = {.prepare = prepare, .gate = gate};

extern const struct mixer cm_mixer_shortconv;
const struct mixer cm_mixer_shortconv = RECURRENT_MIXER("short convolution", &shortconv, NULL);
