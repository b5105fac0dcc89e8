/* kernels/argmax.h - finds the largest of many numbers. */
#ifndef KERNELS_ARGMAX_H
#define KERNELS_ARGMAX_H

#include <stdint.h>

/* The index of the largest number, of equal ones the first. NaN is never the largest; 0 if no number is above -inf. */
int32_t cm_argmax(const float *x, int32_t n);

#endif
