/* kernels/bad_numbers.h - finds numbers that are none, NaN and infinities, among weights of any type. */
#ifndef KERNELS_BAD_NUMBERS_H
#define KERNELS_BAD_NUMBERS_H

#include "kernels/weight_type.h"

struct bad_numbers {
    uint64_t n_nan, n_infinite;
    uint64_t first;        /* where there are any: the place of the first among all that were looked at */
    bool     first_is_nan;
};

/* Adds what n floats hold; x[0] is number `place` of all that are looked at. Calls go in the order of places. */
void cm_count_bad_floats(const float *x, size_t n, uint64_t place, struct bad_numbers *found);
/* The same for n_blocks blocks of a type, as cm_weight_types' dequantize would give them. */
void cm_count_bad_weights(enum weight_type type, const void *blocks, size_t n_blocks, uint64_t place,
                          struct bad_numbers *found);
/* True where all n floats are finite. */
bool cm_are_finite(const float *x, size_t n);

#endif
