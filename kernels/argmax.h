/* kernels/argmax.h - the largest of many numbers. */
#ifndef KERNELS_ARGMAX_H
#define KERNELS_ARGMAX_H

#include <stdint.h>

/* The index of the largest, the first of equals; NaN is never it; 0 where there is no number above -inf. */
int32_t cm_argmax(const float *x, int32_t n);

#endif
