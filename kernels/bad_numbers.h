/* kernels/bad_numbers.h - finds NaN and infinities among weights of any type. */
#ifndef KERNELS_BAD_NUMBERS_H
#define KERNELS_BAD_NUMBERS_H

#include "kernels/weight_type.h"

struct bad_numbers {
    uint64_t n_nan, n_infinite;
    uint64_t first;        /* if there are any: the place of the first one among all numbers that were examined */
    bool     first_is_nan;
};

/* Counts the bad ones of n floats; x[0] is number `place` of all that are examined. Calls must go in the order of
 * places. */
void cm_count_bad_floats(const float *x, size_t n, uint64_t place, struct bad_numbers *found);
/* The same for n_blocks blocks of a type, as cm_weight_types' dequantize would give them. */
void cm_count_bad_weights(enum weight_type type, const void *blocks, size_t n_blocks, uint64_t place,
                          struct bad_numbers *found);
/* True where all n floats are finite. */
bool cm_are_finite(const float *x, size_t n);

#endif
