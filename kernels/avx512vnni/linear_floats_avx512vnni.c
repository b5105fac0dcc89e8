/* linear_floats_avx512vnni.c - F32, F16 and BF16 weights, pack16: for each k a vector of 16 rows.
 *
 *     acc[token] = fmaf(w_k, x_k, acc[token]), k ascending; lane = row */
#include "kernels/avx512vnni/linear_avx512vnni.h"

typedef __m512 load_fn(const uint8_t *tile, size_t k);

CM_INLINE __m512 load_f32(const uint8_t *tile, size_t k)
{
    return _mm512_loadu_ps(tile + 64 * k);
}

CM_INLINE __m512 load_f16(const uint8_t *tile, size_t k)
{
    return load_halves(tile + 32 * k);
}

CM_INLINE __m512 load_bf16(const uint8_t *tile, size_t k)
{
    const __m256i halves = _mm256_loadu_si256((const __m256i *)(tile + 32 * k));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

CM_INLINE void dot_floats(const uint8_t *tile, const struct token_group *x, size_t n_columns,
                          const int n_tokens, float out[CM_TOKENS][CM_TILE], load_fn *load)
{
    __m512 acc[CM_TOKENS];
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) acc[t] = _mm512_setzero_ps();
    for (size_t k = 0; k < n_columns; k++) {
        const __m512 w = load(tile, k);
        CM_UNROLL
        for (int t = 0; t < n_tokens; t++)
            acc[t] = _mm512_fmadd_ps(w, _mm512_set1_ps(x->values[t][k]), acc[t]);
    }
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) _mm512_store_ps(out[t], acc[t]);
}

CM_LINEAR_KERNEL(f32, F32, avx512vnni, dot_floats, load_f32)
CM_LINEAR_KERNEL(f16, F16, avx512vnni, dot_floats, load_f16)
CM_LINEAR_KERNEL(bf16, BF16, avx512vnni, dot_floats, load_bf16)
