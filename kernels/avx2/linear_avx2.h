/* linear_avx2.h - what the AVX2 kernels on pack16 matrices share. 16 rows are two vectors of 8 lanes:
 * half 0 has rows 0-7, half 1 rows 8-15. */
#ifndef KERNELS_AVX2_LINEAR_H
#define KERNELS_AVX2_LINEAR_H

#include <immintrin.h>

#define CM_TOKENS 4
#include "kernels/tile16.h"

CM_INLINE __m256i load32(const uint8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

/* 8 float16 of 16: rows of a half */
CM_INLINE __m256 load_halves(const uint8_t *at, int half)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(at + 16 * half)));
}

/* 4 bytes to all lanes */
CM_INLINE __m256i broadcast(const void *at)
{
    int32_t four;
    memcpy(&four, at, sizeof four);
    return _mm256_set1_epi32(four);
}

CM_INLINE __m256i mask8(__m256i v, int mask)
{
    return _mm256_and_si256(v, _mm256_set1_epi8((char)mask));
}

/* The products of 32 weights with q in each lane, as int16 pairs whose sum is meant, times the int16
 * pair `scale` of the lane, exact in int32.
 *
 * `vpmaddubsw` adds two products u * q in int16, where u is unsigned; `chain` of its results may be added
 * before they must be widened: chain * 2 * max(u) * 127 <= 32767. For is_signed, codes reach -128 … 127:
 * then |w| times q with w's sign, 2 * 128 * 127 = 32512, and chain is 1. */
CM_INLINE __m256i scaled_products(const __m256i *codes, const int8_t *q, int first, int last, int chain,
                                  bool is_signed, __m256i scale)
{
    __m256i sum = _mm256_setzero_si256(), part = _mm256_setzero_si256();
    CM_UNROLL
    for (int g = first; g < last; g++) {
        const __m256i four = broadcast(q + 4 * g), w = codes[g];
        const __m256i products =
            is_signed ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(four, w))
                      : _mm256_maddubs_epi16(w, four);
        part = g % chain == 0 ? products : _mm256_add_epi16(part, products);
        if (g % chain == chain - 1 || g == last - 1)
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(part, scale));
    }
    return sum;
}

#endif
