/* linear_avx512vnni.h - loads that the AVX-512 kernels on pack16 matrices share: 16 lanes, one a row. */
#ifndef KERNELS_AVX512VNNI_LINEAR_H
#define KERNELS_AVX512VNNI_LINEAR_H

#include <immintrin.h>

#define CM_TOKENS 8
#include "kernels/tile16.h"

CM_INLINE __m512i load64(const uint8_t *at)
{
    return _mm512_loadu_si512(at);
}

/* 16 float16 */
CM_INLINE __m512 load_halves(const uint8_t *at)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)at));
}

/* 4 bytes to all lanes */
CM_INLINE __m512i broadcast(const void *at)
{
    int32_t four;
    memcpy(&four, at, sizeof four);
    return _mm512_set1_epi32(four);
}

CM_INLINE __m512i mask8(__m512i v, int mask)
{
    return _mm512_and_si512(v, _mm512_set1_epi8((char)mask));
}

#endif
