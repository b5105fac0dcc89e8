/* experts/measure_reading.h - which way to read ahead (kernels/read_ahead.h) is quickest here, by measurement: packed
 * weights are multiplied with one token, by all workers at once, as generating does. It takes some milliseconds. */
#ifndef EXPERTS_MEASURE_READING_H
#define EXPERTS_MEASURE_READING_H

#include "experts/packing.h"
#include "kernels/read_ahead.h"

struct reading {
    const struct read_ahead_row *quickest;
    double quickest_rate, own_rate; /* bytes/s of all workers: its own, and that of the row chosen before */
};

/* The matrices of the list, which has run, are read. Each byte is read once, so that it comes from memory; where
 * weights are too few for that or not packed in tiles, or the machine is so busy that nothing can be told, *out is
 * zeroed. What was chosen before is chosen afterwards; quickest is that, too, unless another is clearly quicker.
 * NO_MEMORY. */
calmoe_status cm_measure_reading(struct calmoe_context *ctx, const struct pack_list *list, struct team *team,
                                 struct reading *out);

#endif
