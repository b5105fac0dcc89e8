/* linear_floats_avx2.c - F32, F16 and BF16 weights, pack16: for each k two vectors of 8 rows.
 *
 *     acc[token] = fmaf(w_k, x_k, acc[token]), k ascending; lane = row */
#include "kernels/avx2/linear_avx2.h"

typedef __m256 load_fn(const uint8_t *tile, size_t k, int half);

CM_INLINE __m256 load_f32(const uint8_t *tile, size_t k, int half)
{
    return _mm256_loadu_ps((const float *)(tile + 64 * k + 32 * (size_t)half));
}

CM_INLINE __m256 load_f16(const uint8_t *tile, size_t k, int half)
{
    return load_halves(tile + 32 * k, half);
}

CM_INLINE __m256 load_bf16(const uint8_t *tile, size_t k, int half)
{
    const __m128i halves = _mm_loadu_si128((const __m128i *)(tile + 32 * k + 16 * (size_t)half));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

CM_INLINE void dot_floats(const uint8_t *tile, const struct token_group *x, size_t n_columns,
                          const int n_tokens, float out[CM_TOKENS][CM_TILE], load_fn *load)
{
    __m256 acc[CM_TOKENS][2];
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (size_t k = 0; k < n_columns; k++) {
        const __m256 w0 = load(tile, k, 0), w1 = load(tile, k, 1);
        CM_UNROLL
        for (int t = 0; t < n_tokens; t++) {
            const __m256 value = _mm256_set1_ps(x->values[t][k]);
            acc[t][0] = _mm256_fmadd_ps(w0, value, acc[t][0]);
            acc[t][1] = _mm256_fmadd_ps(w1, value, acc[t][1]);
        }
    }
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) {
        _mm256_store_ps(out[t], acc[t][0]);
        _mm256_store_ps(out[t] + 8, acc[t][1]);
    }
}

CM_LINEAR_KERNEL(f32, F32, avx2, dot_floats, load_f32)
CM_LINEAR_KERNEL(f16, F16, avx2, dot_floats, load_f16)
CM_LINEAR_KERNEL(bf16, BF16, avx2, dot_floats, load_bf16)
