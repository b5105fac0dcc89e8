/* rounding.h - small functions that quantizers share. They use only operations that IEEE arithmetic defines exactly, so
 * that the same weights give the same bytes on every machine. */
#ifndef KERNELS_QUANT_ROUNDING_H
#define KERNELS_QUANT_ROUNDING_H

#include <math.h>
#include <stdint.h>

#include "kernels/half.h"

/* value rounded to the nearest integer (ties to even) in [low, high], |low|, |high| < 2^22; NaN gives 0
 * or the end of the range that is nearest to it. */
static inline int cm_nearest(float value, int low, int high)
{
    if (isnan(value)) value = 0.0f;
    if (value <= (float)low) return low;
    if (value >= (float)high) return high;
    const float shift = 12582912.0f; /* 1.5 * 2^23: here the unit is 1 */
    return (int)((value + shift) - shift);
}

/* The float16 nearest to value, but at most the largest finite one; NaN gives 0. *stored becomes its float32 value,
 * since codes are chosen for the scale that readers will see. */
static inline uint16_t cm_store_scale(float value, float *stored)
{
    if (isnan(value)) value = 0.0f;
    if (value > 65504.0f) value = 65504.0f;
    if (value < -65504.0f) value = -65504.0f;
    const uint16_t half = cm_half_of_float(value);
    *stored = cm_float_of_half(half);
    return half;
}

/* 1 / scale; 0 for a scale of 0, so that all codes become the code of 0. */
static inline float cm_inverse(float scale)
{
    return scale != 0.0f ? 1.0f / scale : 0.0f;
}

/* The value of x[0 … n) with the largest magnitude, with its sign; NaN is ignored. */
static inline float cm_extreme(const float *x, int n)
{
    float extreme = 0.0f;
    for (int k = 0; k < n; k++)
        if (fabsf(x[k]) > fabsf(extreme)) extreme = x[k];
    return extreme;
}

/* How much an error in each weight counts: more for large weights, but something for each. */
static inline void cm_importance(const float *x, int n, float *importance)
{
    float square_sum = 0.0f;
    for (int k = 0; k < n; k++) square_sum += x[k] * x[k];
    const float typical = sqrtf(square_sum / (float)n);
    for (int k = 0; k < n; k++) importance[k] = typical + fabsf(x[k]);
}

#endif
