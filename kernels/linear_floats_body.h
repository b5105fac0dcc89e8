/* linear_floats_body.h - F32, F16 and BF16 weights, pack16: for each k a vector of 16 rows. Compiled once for each
 * instruction set, with the vectors that linear_blocks_body.h explains.
 *
 *     acc[token] = fmaf(w_k, x_k, acc[token]), k ascending; lane = row
 *
 * A panel does not copy the inputs; it only holds pointers to them. Sums are in registers, so there is a body for each
 * number of tokens. */
#ifndef KERNELS_LINEAR_FLOATS_BODY_H
#define KERNELS_LINEAR_FLOATS_BODY_H

#include "kernels/linear_common_body.h"

CM_INLINE void lay_floats(const struct activations *x, const size_t *rows, int n_tokens, size_t k,
                          size_t n_columns, uint8_t *panel)
{
    (void)n_columns;
    for (int t = 0; t < n_tokens; t++) {
        const float *values = x->values + rows[t] * (size_t)x->n_columns + k;
        memcpy(panel + (size_t)t * sizeof values, &values, sizeof values);
    }
}

/* The weights of column k, LANES rows. */
typedef vf load_fn(const uint8_t *tile, size_t k, int half);

CM_INLINE vf load_f32(const uint8_t *tile, size_t k, int half)
{
    return V(loadu_ps)((const float *)(const void *)(tile + 64 * k + 4 * LANES * (size_t)half));
}

CM_INLINE vf load_f16(const uint8_t *tile, size_t k, int half)
{
    return vf_of_halves(tile + 32 * k + 2 * LANES * (size_t)half);
}

CM_INLINE vf load_bf16(const uint8_t *tile, size_t k, int half)
{
    return vf_of_bits(V(slli_epi32)(vi_of_u16(tile + 32 * k + 2 * LANES * (size_t)half), 16));
}

CM_INLINE void add_some_floats(const uint8_t *tile, const uint8_t *panel, size_t n_columns, const int n_tokens,
                               struct read_ahead ahead, float sums[CM_GROUP][CM_TILE], load_fn *load,
                               size_t column_bytes)
{
    const float *x[FLOAT_TOKENS];
    vf           acc[FLOAT_TOKENS][HALVES];
    memcpy(x, panel, (size_t)n_tokens * sizeof x[0]);
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++)
        for (int half = 0; half < HALVES; half++) acc[t][half] = V(loadu_ps)(sums[t] + LANES * half);
    for (size_t k = 0; k < n_columns; k++) {
        vf w[HALVES];
        if (n_tokens > 2) cm_prefetch(tile + column_bytes * k, 1, ahead);
        for (int half = 0; half < HALVES; half++) w[half] = load(tile, k, half);
        CM_UNROLL
        for (int t = 0; t < n_tokens; t++) {
            const vf value = V(set1_ps)(x[t][k]);
            for (int half = 0; half < HALVES; half++)
                acc[t][half] = V(fmadd_ps)(w[half], value, acc[t][half]);
        }
    }
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++)
        for (int half = 0; half < HALVES; half++) V(storeu_ps)(sums[t] + LANES * half, acc[t][half]);
}

#define FLOATS_CASE(n) \
    case n: add_some_floats(tile, panel, n_columns, n, ahead, sums, load, column_bytes); break;

/* The number of tokens becomes a constant, except under a sanitizer, which would compile for minutes. */
CM_INLINE void add_floats(const uint8_t *tile, const uint8_t *panel, size_t n_columns, int n_tokens,
                          struct read_ahead ahead, float sums[CM_GROUP][CM_TILE], load_fn *load, size_t column_bytes)
{
    switch (n_tokens) {
#if !defined(CM_IS_SANITIZED)
        FLOATS_CASE(1)
        FLOATS_CASE(2)
        FLOATS_CASE(3)
        FLOATS_CASE(4)
        FLOATS_CASE(5)
        FLOATS_CASE(6)
#if CM_FLOAT_TOKENS > 6
        FLOATS_CASE(7)
        FLOATS_CASE(8)
#endif
#endif
    default:
#if defined(CM_IS_SANITIZED)
        add_some_floats(tile, panel, n_columns, n_tokens, ahead, sums, load, column_bytes);
#endif
        break;
    }
}

CM_LINEAR_KERNEL(f32, F32, FLOAT_TOKENS, 0, lay_floats, add_floats, load_f32, 64)
CM_LINEAR_KERNEL(f16, F16, FLOAT_TOKENS, 0, lay_floats, add_floats, load_f16, 32)
CM_LINEAR_KERNEL(bf16, BF16, FLOAT_TOKENS, 0, lay_floats, add_floats, load_bf16, 32)

#endif
