/* kernels/vector_body.h - the ops of vector_ops.h, written once for sixteen lanes. Each level includes this file after
 * its own vector_lanes_*.h. The order of every float32 operation is fixed here, so all levels give the same bits. */
#ifndef KERNELS_VECTOR_BODY_H
#define KERNELS_VECTOR_BODY_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "kernels/half.h"
#include "kernels/vector_ops.h"

static inline int least(int a, int b) { return a < b ? a : b; }

/* x[0 .. n), n <= 16; the rest are `fill` */
static inline lanes load_up_to(const float *x, int n, float fill)
{
    return n >= 16 ? lanes_load(x) : lanes_load_part(x, n, fill);
}

static inline void store_up_to(float *x, lanes a, int n)
{
    if (n >= 16) lanes_store(x, a);
    else lanes_store_part(x, a, n);
}

/* e^x: x = n ln 2 + r, |r| <= ln 2 / 2, Taylor to r^7. Up to -87.33: 0. Above 88.37: e^88.37. NaN stays
 * NaN, so that a score or a logit that is no number does not become a weight of 0 and vanish. */
static inline lanes lanes_exp(lanes x)
{
    const float lowest = -87.33f;
    const lanes bounded = lanes_min(lanes_set(88.37f), lanes_max(lanes_set(lowest), x));
    const lanes n = lanes_round(lanes_mul(bounded, lanes_set(1.44269504f)));
    lanes r = lanes_fma(n, lanes_set(-0.693359375f), bounded);
    r = lanes_fma(n, lanes_set(2.12194440e-4f), r); /* ln 2 = 0.693359375 - 0.000212194440 */
    lanes sum = lanes_set(1.0f / 5040.0f);
    sum = lanes_fma(sum, r, lanes_set(1.0f / 720.0f));
    sum = lanes_fma(sum, r, lanes_set(1.0f / 120.0f));
    sum = lanes_fma(sum, r, lanes_set(1.0f / 24.0f));
    sum = lanes_fma(sum, r, lanes_set(1.0f / 6.0f));
    sum = lanes_fma(sum, r, lanes_set(0.5f));
    sum = lanes_fma(sum, r, lanes_set(1.0f));
    sum = lanes_fma(sum, r, lanes_set(1.0f));
    return lanes_zero_up_to(x, lowest, lanes_scale_by_power(sum, n));
}

/* e^x - 1 for |x| <= 80, with the digits of small x kept: 2^n (e^r - 1) + (2^n - 1), n and r as above. */
static inline lanes lanes_exp_minus_1(lanes x)
{
    const lanes n = lanes_round(lanes_mul(x, lanes_set(1.44269504f)));
    lanes r = lanes_fma(n, lanes_set(-0.693359375f), x);
    r = lanes_fma(n, lanes_set(2.12194440e-4f), r);
    lanes sum = lanes_set(1.0f / 5040.0f);
    sum = lanes_fma(sum, r, lanes_set(1.0f / 720.0f));
    sum = lanes_fma(sum, r, lanes_set(1.0f / 120.0f));
    sum = lanes_fma(sum, r, lanes_set(1.0f / 24.0f));
    sum = lanes_fma(sum, r, lanes_set(1.0f / 6.0f));
    sum = lanes_fma(sum, r, lanes_set(0.5f));
    sum = lanes_fma(sum, r, lanes_set(1.0f));
    const lanes power = lanes_scale_by_power(lanes_set(1.0f), n);
    return lanes_fma(power, lanes_mul(sum, r), lanes_sub(power, lanes_set(1.0f)));
}

/* tanh x = E / (E + 2), E = e^2x - 1. From |x| = 10 on it is ±1. NaN stays NaN. */
static inline lanes lanes_tanh(lanes x)
{
    const lanes lowest = lanes_set(-10.0f), highest = lanes_set(10.0f);
    const lanes number = lanes_min(lanes_max(x, lowest), highest);  /* NaN becomes -10 */
    const lanes or_nan = lanes_min(highest, lanes_max(lowest, x));  /* NaN stays       */
    const lanes e = lanes_exp_minus_1(lanes_add(number, number));
    return lanes_add(lanes_div(e, lanes_add(e, lanes_set(2.0f))), lanes_sub(or_nan, number));
}

static inline lanes lanes_sigmoid(lanes x)
{
    const lanes one = lanes_set(1.0f);
    return lanes_div(one, lanes_add(one, lanes_exp(lanes_sub(lanes_set(0.0f), x))));
}

/* Quantizes n <= block values at x to codes with one scale, and computes the sums of 16 codes. Codes cannot represent
 * NaN, so the scale becomes NaN, and with it everything that is computed from the block. */
static void quantize_block(const float *x, int n, int8_t *codes, float *scale, int16_t *sums)
{
    lanes largest = lanes_set(0.0f);
    bool holds_nan = false;
    for (int i = 0; i < n; i += 16) {
        const lanes now = load_up_to(x + i, n - i, 0.0f);
        holds_nan |= lanes_hold_nan(now);
        largest = lanes_max(lanes_abs(now), largest);
    }
    const float da = holds_nan ? NAN : lanes_largest(largest) / 127.0f;
    *scale = da;
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        lanes q = lanes_set(0.0f);
        if (da > 0.0f) {
            q = lanes_div(load_up_to(x + i, m, 0.0f), lanes_set(da));
            q = lanes_round(lanes_min(lanes_max(q, lanes_set(-127.0f)), lanes_set(127.0f)));
        }
        lanes_store_int8(codes + i, q, m);
        sums[i / 16] = (int16_t)lanes_sum(q); /* whole numbers: exact */
    }
}

static void quantize_form(const float *x, struct quantized *form, int n_columns, int token, int block,
                          int begin, int end)
{
    const size_t row = (size_t)token;
    int8_t *codes = form->codes + row * (size_t)n_columns;
    float *scales = form->scales + row * (size_t)((n_columns + block - 1) / block);
    int16_t *sums = form->sums + row * (size_t)((n_columns + 15) / 16);
    for (int i = begin; i < end; i += block)
        quantize_block(x + i, least(block, end - i), codes + i, &scales[i / block], sums + i / 16);
}

static void quantize(struct activations *x, int token, int begin, int end, unsigned kinds)
{
    const float *row = x->values + (size_t)token * (size_t)x->n_columns;
    if (kinds & cm_kind_bit(ACTIVATION_Q32)) quantize_form(row, &x->q32, x->n_columns, token, 32, begin, end);
    if (kinds & cm_kind_bit(ACTIVATION_Q256)) quantize_form(row, &x->q256, x->n_columns, token, 256, begin, end);
}

static float sum_of_squares(const float *x, int n)
{
    lanes squares = lanes_set(0.0f);
    for (int i = 0; i < n; i += 16) {
        const lanes v = load_up_to(x + i, n - i, 0.0f);
        squares = lanes_fma(v, v, squares);
    }
    return lanes_sum(squares);
}

/* y = factor x */
static void multiply_by(const float *x, float factor, int n, float *y)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        store_up_to(y + i, lanes_mul(load_up_to(x + i, m, 0.0f), lanes_set(factor)), m);
    }
}

static void rms_norm(const float *x, const float *weight, float eps, int n, float *y)
{
    const float inverse = 1.0f / sqrtf(sum_of_squares(x, n) / (float)n + eps);
    if (!weight) {
        multiply_by(x, inverse, n, y);
        return;
    }
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes scaled = lanes_mul(load_up_to(x + i, m, 0.0f), lanes_set(inverse));
        store_up_to(y + i, lanes_mul(scaled, load_up_to(weight + i, m, 0.0f)), m);
    }
}

static void layer_norm(const float *x, const float *weight, const float *bias, float eps, int n, float *y)
{
    lanes sums = lanes_set(0.0f), squares = lanes_set(0.0f);
    for (int i = 0; i < n; i += 16) sums = lanes_add(sums, load_up_to(x + i, n - i, 0.0f));
    const float mean = lanes_sum(sums) / (float)n;
    for (int i = 0; i < n; i += 16) {
        const lanes off = lanes_sub(load_up_to(x + i, n - i, mean), lanes_set(mean));
        squares = lanes_fma(off, off, squares);
    }
    const lanes inverse = lanes_set(1.0f / sqrtf(lanes_sum(squares) / (float)n + eps));
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes scaled = lanes_mul(lanes_sub(load_up_to(x + i, m, 0.0f), lanes_set(mean)), inverse);
        store_up_to(y + i, lanes_fma(scaled, load_up_to(weight + i, m, 0.0f), load_up_to(bias + i, m, 0.0f)), m);
    }
}

static void l2_norm(const float *x, float scale, float eps, int n, float *y)
{
    multiply_by(x, scale / sqrtf(sum_of_squares(x, n) + eps), n, y);
}

#include "kernels/nonlinear_body.h"

static void softmax(float *x, int n)
{
    lanes largest = lanes_set(-INFINITY), total = lanes_set(0.0f);
    for (int i = 0; i < n; i += 16)
        largest = lanes_max(load_up_to(x + i, n - i, -INFINITY), largest);
    const lanes top = lanes_set(lanes_largest(largest));
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes e = lanes_exp(lanes_sub(load_up_to(x + i, m, -INFINITY), top));
        total = lanes_add(total, e);
        store_up_to(x + i, e, m);
    }
    const lanes sum = lanes_set(lanes_sum(total));
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        store_up_to(x + i, lanes_div(load_up_to(x + i, m, 0.0f), sum), m);
    }
}

/* The exponential of `score` over the sum. */
static float share_of(float score, lanes top, lanes sum)
{
    float share[16];
    lanes_store(share, lanes_div(lanes_exp(lanes_sub(lanes_set(score), top)), sum));
    return share[0];
}

static void softmax_top_two(const float *x, int n, float *first, float *second)
{
    lanes largest = lanes_set(-INFINITY), next = largest, total = lanes_set(0.0f);
    for (int i = 0; i < n; i += 16) {
        const lanes now = load_up_to(x + i, n - i, -INFINITY);
        next = lanes_max(lanes_min(largest, now), next); /* where now is no number, next stays */
        largest = lanes_max(now, largest);
    }
    float best[2][16], top = -INFINITY, runner_up = -INFINITY;
    lanes_store(best[0], largest);
    lanes_store(best[1], next);
    for (int i = 0; i < 32; i++) {
        const float now = best[i / 16][i % 16];
        runner_up = now > top ? top : now > runner_up ? now : runner_up;
        top = now > top ? now : top;
    }
    for (int i = 0; i < n; i += 16)
        total = lanes_add(total, lanes_exp(lanes_sub(load_up_to(x + i, n - i, -INFINITY), lanes_set(top))));
    const lanes sum = lanes_set(lanes_sum(total));
    *first = share_of(top, lanes_set(top), sum);
    *second = share_of(runner_up, lanes_set(top), sum);
}

static void sigmoid(float *x, int n)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        store_up_to(x + i, lanes_sigmoid(load_up_to(x + i, m, 0.0f)), m);
    }
}

static void sigmoid_multiply(float *x, const float *gate, int n)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes share = lanes_sigmoid(load_up_to(gate + i, m, 0.0f));
        store_up_to(x + i, lanes_mul(load_up_to(x + i, m, 0.0f), share), m);
    }
}

/* ln(1 + t) for t in [0, 1]: 2 artanh(s) = 2 (s + s^3 / 3 + ... + s^15 / 15), s = t / (2 + t) <= 1/3 */
static inline lanes lanes_ln_1_plus(lanes t)
{
    const lanes s = lanes_div(t, lanes_add(t, lanes_set(2.0f))), s2 = lanes_mul(s, s);
    lanes sum = lanes_set(1.0f / 15.0f);
    sum = lanes_fma(sum, s2, lanes_set(1.0f / 13.0f));
    sum = lanes_fma(sum, s2, lanes_set(1.0f / 11.0f));
    sum = lanes_fma(sum, s2, lanes_set(1.0f / 9.0f));
    sum = lanes_fma(sum, s2, lanes_set(1.0f / 7.0f));
    sum = lanes_fma(sum, s2, lanes_set(1.0f / 5.0f));
    sum = lanes_fma(sum, s2, lanes_set(1.0f / 3.0f));
    sum = lanes_fma(sum, s2, lanes_set(1.0f));
    return lanes_mul(lanes_add(s, s), sum);
}

/* max(x, 0) + ln(1 + e^-|x|): from x = 17 on it is x. */
static void softplus(float *x, int n)
{
    const lanes zero = lanes_set(0.0f);
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes a = load_up_to(x + i, m, 0.0f);
        const lanes rest = lanes_ln_1_plus(lanes_exp(lanes_sub(zero, lanes_abs(a))));
        store_up_to(x + i, lanes_add(lanes_max(zero, a), rest), m);
    }
}

static void multiply(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        store_up_to(x + i, lanes_mul(load_up_to(x + i, m, 0.0f), load_up_to(y + i, m, 0.0f)), m);
    }
}

static void soft_cap(float *x, float cap, int n)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes shrunk = lanes_div(load_up_to(x + i, m, 0.0f), lanes_set(cap));
        store_up_to(x + i, lanes_mul(lanes_set(cap), lanes_tanh(shrunk)), m);
    }
}

static void add_scaled(float *x, const float *y, float scale, int n)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes sum = lanes_fma(lanes_set(scale), load_up_to(y + i, m, 0.0f), load_up_to(x + i, m, 0.0f));
        store_up_to(x + i, sum, m);
    }
}

/* (a, b) -> (a cos - b sin, a sin + b cos) */
static void rope(float *head, const float *cosines, const float *sines, int n_rot, enum rope_pairing pairing)
{
    const int half = n_rot / 2;
    for (int i = 0; pairing == ROPE_NEOX && i < half; i += 16) {
        const int n = least(16, half - i);
        const lanes a = load_up_to(head + i, n, 0.0f), b = load_up_to(head + half + i, n, 0.0f);
        const lanes c = load_up_to(cosines + i, n, 0.0f), s = load_up_to(sines + i, n, 0.0f);
        store_up_to(head + i, lanes_fma(a, c, lanes_mul(lanes_mul(b, s), lanes_set(-1.0f))), n);
        store_up_to(head + half + i, lanes_fma(a, s, lanes_mul(b, c)), n);
    }
    for (int i = 0; pairing == ROPE_NORM && i < half; i++) {
        float *first = head + 2 * i, *second = first + 1;
        const float a = *first, b = *second;
        *first = fmaf(a, cosines[i], -(b * sines[i]));
        *second = fmaf(a, sines[i], b * cosines[i]);
    }
}

#include "kernels/attend_body.h"
#include "kernels/recurrent_body.h"

#define VECTOR_OPS(level)                                                                                       \
    {                                                                                                           \
        .isa = (level), .quantize = quantize, .rms_norm = rms_norm, .layer_norm = layer_norm,                   \
        .l2_norm = l2_norm,                                                                                     \
        .nonlinear = {[NONLINEARITY_SILU_UP] = silu_up, [NONLINEARITY_GELU_UP] = gelu_up,                       \
                      [NONLINEARITY_CLAMPED_UP] = clamped_up, [NONLINEARITY_RELU_SQUARED] = relu_squared,       \
                      [NONLINEARITY_SILU] = silu_alone, [NONLINEARITY_GELU] = gelu_alone},                      \
        .softmax = softmax, .softmax_top_two = softmax_top_two, .sigmoid = sigmoid,                             \
        .sigmoid_multiply = sigmoid_multiply, .softplus = softplus, .multiply = multiply, .soft_cap = soft_cap, \
        .add_scaled = add_scaled, .rope = rope, .convolve = convolve,                                           \
        .delta_net = delta_net, .state_space = state_space,                                                     \
        .store_kv = store_kv, .attend_span = attend_span, .attend_merge = attend_merge,                         \
        .attend_sink = attend_sink, .attend_finish = attend_finish                                              \
    }

#endif
