/* kernels/vector_body.h - the ops of vector_ops.h, written once on sixteen lanes. Each level includes it
 * after its own vector_lanes_*.h; the order of every float32 operation stands here, so levels agree in bits. */
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

/* The fixed tree: i + (i+8), then + (i+4), + (i+2), + (i+1). */
static inline float lanes_sum(lanes a)
{
    float v[16];
    lanes_store(v, a);
    for (int step = 8; step >= 1; step /= 2)
        for (int i = 0; i < step; i++) v[i] += v[i + step];
    return v[0];
}

static inline float lanes_largest(lanes a)
{
    float v[16];
    lanes_store(v, a);
    for (int step = 8; step >= 1; step /= 2)
        for (int i = 0; i < step; i++) v[i] = v[i] > v[i + step] ? v[i] : v[i + step];
    return v[0];
}

/* e^x: x = n ln 2 + r, |r| <= ln 2 / 2, Taylor to r^7. Below -87.33 and for NaN: 0. Above 88.37: e^88.37. */
static inline lanes lanes_exp(lanes x)
{
    const float lowest = -87.33f;
    const lanes bounded = lanes_min(lanes_max(x, lanes_set(lowest)), lanes_set(88.37f));
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
    return lanes_keep_above(x, lowest, lanes_scale_by_power(sum, n));
}

static inline lanes lanes_sigmoid(lanes x)
{
    const lanes one = lanes_set(1.0f);
    return lanes_div(one, lanes_add(one, lanes_exp(lanes_sub(lanes_set(0.0f), x))));
}

/* n <= block values at x into codes, with one scale; sums of 16 codes. */
static void quantize_block(const float *x, int n, int8_t *codes, float *scale, int16_t *sums)
{
    lanes largest = lanes_set(0.0f);
    for (int i = 0; i < n; i += 16)
        largest = lanes_max(lanes_abs(load_up_to(x + i, n - i, 0.0f)), largest);
    const float da = lanes_largest(largest) / 127.0f;
    *scale = da;
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        lanes q = lanes_set(0.0f);
        if (da > 0.0f) {
            q = lanes_div(load_up_to(x + i, m, 0.0f), lanes_set(da));
            q = lanes_round(lanes_min(lanes_max(q, lanes_set(-127.0f)), lanes_set(127.0f)));
        }
        lanes_store_int8(codes + i, q, m);
        int sum = 0;
        for (int j = 0; j < m; j++) sum += codes[i + j];
        sums[i / 16] = (int16_t)sum;
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

static void rms_norm(const float *x, const float *weight, float eps, int n, float *y)
{
    lanes squares = lanes_set(0.0f);
    for (int i = 0; i < n; i += 16) {
        const lanes v = load_up_to(x + i, n - i, 0.0f);
        squares = lanes_fma(v, v, squares);
    }
    const lanes inverse = lanes_set(1.0f / sqrtf(lanes_sum(squares) / (float)n + eps));
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes scaled = lanes_mul(load_up_to(x + i, m, 0.0f), inverse);
        store_up_to(y + i, lanes_mul(scaled, load_up_to(weight + i, m, 0.0f)), m);
    }
}

static void silu_multiply(const float *gate, const float *up, int n, float *h)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes g = load_up_to(gate + i, m, 0.0f);
        const lanes silu = lanes_mul(g, lanes_sigmoid(g));
        store_up_to(h + i, lanes_mul(silu, load_up_to(up + i, m, 0.0f)), m);
    }
}

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

static void sigmoid(float *x, int n)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        store_up_to(x + i, lanes_sigmoid(load_up_to(x + i, m, 0.0f)), m);
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
    const int step = pairing == ROPE_NORM ? 2 : 1, apart = pairing == ROPE_NORM ? 1 : half;
    for (int i = 0; i < half; i++) {
        float *first = head + i * step, *second = first + apart;
        const float a = *first, b = *second;
        *first = fmaf(a, cosines[i], -(b * sines[i]));
        *second = fmaf(a, sines[i], b * cosines[i]);
    }
}

/* Where element d of position's key stands: blocks of 64 positions, transposed. */
static inline size_t key_index(int head_size, int position, int d)
{
    const size_t block = (size_t)(position / CM_KV_BLOCK), within = (size_t)(position % CM_KV_BLOCK);
    return (block * (size_t)head_size + (size_t)d) * CM_KV_BLOCK + within;
}

/* float16 cannot hold more; an overflow must not become an infinity that poisons later sums. */
static inline uint16_t half_of(float x)
{
    const float largest = 65504.0f;
    return cm_half_of_float(x > largest ? largest : x < -largest ? -largest : x);
}

static void store_kv(const float *k, const float *v, void *keys, void *values, enum kv_type type,
                     int head_size, int value_size, int position)
{
    const size_t first = (size_t)position * (size_t)value_size;
    if (type == KV_F32) {
        for (int d = 0; d < head_size; d++) ((float *)keys)[key_index(head_size, position, d)] = k[d];
        for (int d = 0; d < value_size; d++) ((float *)values)[first + (size_t)d] = v[d];
    } else {
        for (int d = 0; d < head_size; d++) ((uint16_t *)keys)[key_index(head_size, position, d)] = half_of(k[d]);
        for (int d = 0; d < value_size; d++) ((uint16_t *)values)[first + (size_t)d] = half_of(v[d]);
    }
}

/* Cache elements [at, at + n) as lanes; n <= 16. */
static inline lanes load_cached(const void *cache, enum kv_type type, size_t at, int n)
{
    if (type == KV_F32) return load_up_to((const float *)cache + at, n, 0.0f);
    const uint16_t *p = (const uint16_t *)cache + at;
    return n >= 16 ? lanes_load_half(p) : lanes_load_half_part(p, n);
}

/* scores[0 .. 64) of the positions of one block: sequential over the head, lanes are positions. */
static inline void score_block(const struct attention_input *in, enum kv_type type, int block, float *scores)
{
    const size_t first = (size_t)block * (size_t)in->head_size * CM_KV_BLOCK;
    lanes s0 = lanes_set(0.0f), s1 = s0, s2 = s0, s3 = s0;
    for (int d = 0; d < in->head_size; d++) {
        const lanes q = lanes_set(in->query[d]);
        const size_t at = first + (size_t)d * CM_KV_BLOCK;
        s0 = lanes_fma(q, load_cached(in->keys, type, at, 16), s0);
        s1 = lanes_fma(q, load_cached(in->keys, type, at + 16, 16), s1);
        s2 = lanes_fma(q, load_cached(in->keys, type, at + 32, 16), s2);
        s3 = lanes_fma(q, load_cached(in->keys, type, at + 48, 16), s3);
    }
    const lanes scale = lanes_set(in->scale);
    lanes_store(scores, lanes_mul(s0, scale));
    lanes_store(scores + 16, lanes_mul(s1, scale));
    lanes_store(scores + 32, lanes_mul(s2, scale));
    lanes_store(scores + 48, lanes_mul(s3, scale));
}

/* out = out * keep + sum over the block's n positions of weights[p] v_p, positions ascending. */
static inline void add_values(const struct attention_input *in, enum kv_type type, int block, int n,
                              const float *weights, float keep, float *out)
{
    const size_t width = (size_t)in->value_size, first = (size_t)block * CM_KV_BLOCK * width;
    for (int d = 0; d < in->value_size; d += 16) {
        const int m = least(16, in->value_size - d);
        lanes sum = lanes_mul(load_up_to(out + d, m, 0.0f), lanes_set(keep));
        for (int p = 0; p < n; p++) {
            const size_t at = first + (size_t)p * width + (size_t)d;
            sum = lanes_fma(lanes_set(weights[p]), load_cached(in->values, type, at, m), sum);
        }
        store_up_to(out + d, sum, m);
    }
}

/* Online softmax: for each block its own maximum, then the running sums are rescaled to the larger of
 * the two. Blocks start at multiples of 64 whatever the batch, so the order of sums never changes. */
static inline void attend_typed(const struct attention_input *in, enum kv_type type, float *out)
{
    float scores[CM_KV_BLOCK], largest = -INFINITY, total = 0.0f;
    for (int d = 0; d < in->value_size; d++) out[d] = 0.0f;
    for (int block = 0; block * CM_KV_BLOCK < in->n_positions; block++) {
        const int n = least(CM_KV_BLOCK, in->n_positions - block * CM_KV_BLOCK);
        score_block(in, type, block, scores);
        for (int p = n; p < CM_KV_BLOCK; p++) scores[p] = -INFINITY;
        lanes top = lanes_set(largest);
        for (int p = 0; p < CM_KV_BLOCK; p += 16) top = lanes_max(lanes_load(scores + p), top);
        const float larger = lanes_largest(top);
        float keep[16];
        lanes_store(keep, lanes_exp(lanes_set(largest - larger)));
        lanes sum = lanes_set(0.0f);
        for (int p = 0; p < CM_KV_BLOCK; p += 16) {
            const lanes e = lanes_exp(lanes_sub(lanes_load(scores + p), lanes_set(larger)));
            sum = lanes_add(sum, e);
            lanes_store(scores + p, e);
        }
        total = fmaf(total, keep[0], lanes_sum(sum));
        add_values(in, type, block, n, scores, keep[0], out);
        largest = larger;
    }
    for (int d = 0; d < in->value_size; d++) out[d] /= total;
}

static void attend(const struct attention_input *in, float *out)
{
    if (in->type == KV_F32) attend_typed(in, KV_F32, out);
    else attend_typed(in, KV_F16, out);
}

#define VECTOR_OPS(level)                                                                           \
    {                                                                                               \
        .isa = (level), .quantize = quantize, .rms_norm = rms_norm, .silu_multiply = silu_multiply, \
        .softmax = softmax, .sigmoid = sigmoid, .add_scaled = add_scaled, .rope = rope,             \
        .store_kv = store_kv, .attend = attend                                                      \
    }

#endif
