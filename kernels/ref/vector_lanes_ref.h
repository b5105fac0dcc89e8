/* kernels/ref/vector_lanes_ref.h - sixteen float32 lanes in plain C: the definition of what the other levels'
 * vector_lanes_*.h do with registers. Used by vector_body.h only. */
#ifndef KERNELS_REF_VECTOR_LANES_REF_H
#define KERNELS_REF_VECTOR_LANES_REF_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/half.h"

typedef struct { float v[16]; } lanes;

#define LANES_EACH(expression)                                    \
    lanes r;                                                      \
    for (int i = 0; i < 16; i++) r.v[i] = (expression);           \
    return r

static inline lanes lanes_set(float a) { LANES_EACH(a); }
static inline lanes lanes_load(const float *p) { LANES_EACH(p[i]); }
/* The first n elements of p, and `fill` in the other lanes. */
static inline lanes lanes_load_part(const float *p, int n, float fill) { LANES_EACH(i < n ? p[i] : fill); }
static inline void lanes_store(float *p, lanes a) { memcpy(p, a.v, sizeof a.v); }
static inline void lanes_store_part(float *p, lanes a, int n) { memcpy(p, a.v, (size_t)n * sizeof *p); }
static inline lanes lanes_load_half(const uint16_t *p) { LANES_EACH(cm_float_of_half(p[i])); }
static inline lanes lanes_load_half_part(const uint16_t *p, int n)
{
    LANES_EACH(i < n ? cm_float_of_half(p[i]) : 0.0f);
}
/* Rounded to the nearest float16, ties to even. */
static inline void lanes_store_half(uint16_t *p, lanes a, int n)
{
    for (int i = 0; i < n; i++) p[i] = cm_half_of_float(a.v[i]);
}
static inline lanes lanes_add(lanes a, lanes b) { LANES_EACH(a.v[i] + b.v[i]); }
static inline lanes lanes_sub(lanes a, lanes b) { LANES_EACH(a.v[i] - b.v[i]); }
static inline lanes lanes_mul(lanes a, lanes b) { LANES_EACH(a.v[i] * b.v[i]); }
static inline lanes lanes_div(lanes a, lanes b) { LANES_EACH(a.v[i] / b.v[i]); }
static inline lanes lanes_fma(lanes a, lanes b, lanes c) { LANES_EACH(fmaf(a.v[i], b.v[i], c.v[i])); }
/* If either operand of max or min is NaN, the result is the second operand. */
static inline lanes lanes_max(lanes a, lanes b) { LANES_EACH(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
static inline lanes lanes_min(lanes a, lanes b) { LANES_EACH(a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
static inline lanes lanes_abs(lanes a) { LANES_EACH(fabsf(a.v[i])); }
/* The fixed tree: i + (i+8), then + (i+4), + (i+2), + (i+1); and the same for max. */
static inline float lanes_sum(lanes a)
{
    for (int step = 8; step >= 1; step /= 2)
        for (int i = 0; i < step; i++) a.v[i] += a.v[i + step];
    return a.v[0];
}
static inline float lanes_largest(lanes a)
{
    for (int step = 8; step >= 1; step /= 2)
        for (int i = 0; i < step; i++) a.v[i] = a.v[i] > a.v[i + step] ? a.v[i] : a.v[i + step];
    return a.v[0];
}
/* +0 where a <= limit, else value (also for NaN) */
static inline lanes lanes_zero_up_to(lanes a, float limit, lanes value)
{
    LANES_EACH(a.v[i] <= limit ? 0.0f : value.v[i]);
}

static inline bool lanes_hold_nan(lanes a)
{
    bool found = false;
    for (int i = 0; i < 16; i++) found |= isnan(a.v[i]) != 0;
    return found;
}
/* Round to nearest, ties to even; |a| < 2^22. */
static inline lanes lanes_round(lanes a) { LANES_EACH((a.v[i] + 12582912.0f) - 12582912.0f); }
/* a * 2^n for lanes n that hold whole numbers in [-126, 127], or NaN where a is NaN */
static inline lanes lanes_scale_by_power(lanes a, lanes n)
{
    lanes r;
    for (int i = 0; i < 16; i++) {
        const uint32_t bits = (uint32_t)((isnan(n.v[i]) ? 0 : (int32_t)n.v[i]) + 127) << 23;
        float power;
        memcpy(&power, &bits, sizeof power);
        r.v[i] = a.v[i] * power;
    }
    return r;
}
/* Lanes hold whole numbers in [-128, 127]. */
static inline void lanes_store_int8(int8_t *p, lanes a, int n)
{
    for (int i = 0; i < n; i++) p[i] = (int8_t)a.v[i];
}

#undef LANES_EACH
/* The number of vectors in a tile of n queries of attention (attend_body.h), as many as fit into a level's registers:
 * vectors of positions when scores are computed (1, 2 or 4), vectors of elements when values are summed (most for one
 * query). */
#define SCORE_LANES(n) 1
#define VALUE_LANES(n) 1

#endif
