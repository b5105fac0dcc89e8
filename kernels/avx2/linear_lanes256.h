/* linear_lanes256.h - the vectors that the levels with 256 bits share: 8 lanes, half of a tile's rows.
 * What these functions mean stands in linear_blocks_body.h. */
#ifndef KERNELS_AVX2_LINEAR_LANES256_H
#define KERNELS_AVX2_LINEAR_LANES256_H

#include <immintrin.h>

#include "kernels/tile16.h"

#define CM_FLOAT_TOKENS 6
enum { LANES = 8, HALVES = 2, TOKENS = CM_GROUP, FLOAT_TOKENS = CM_FLOAT_TOKENS };

typedef __m256i vi;
typedef __m256  vf;
typedef int     shift_count;
#define V(operation) _mm256_##operation

CM_INLINE vi vi_load(const void *at) { return _mm256_loadu_si256(at); }
CM_INLINE void vi_store(void *at, vi v) { _mm256_storeu_si256(at, v); }
CM_INLINE vi vi_zero(void) { return _mm256_setzero_si256(); }
CM_INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
CM_INLINE vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
CM_INLINE vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
CM_INLINE vi vi_shift_right(vi v, int n) { return _mm256_srli_epi32(v, n); }

CM_INLINE vi vi_copies(const int8_t bytes[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

CM_INLINE vi vi_of_u8(const uint8_t *at) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)at)); }
CM_INLINE __m128i half_words(const uint8_t *at) { return _mm_loadu_si128((const __m128i *)at); }
CM_INLINE vi vi_of_u16(const uint8_t *at) { return _mm256_cvtepu16_epi32(half_words(at)); }
CM_INLINE vf vf_of_halves(const uint8_t *at) { return _mm256_cvtph_ps(half_words(at)); }
CM_INLINE vf vf_of_bits(vi v) { return _mm256_castsi256_ps(v); }

CM_INLINE vi vi_pair(vi low, vi high)
{
    return _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa);
}

CM_INLINE vi vi_add_where(vi v, vi bits, vi own, vi addend)
{
    const vi is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, own), own);
    return _mm256_add_epi8(v, _mm256_and_si256(is_set, addend));
}

CM_INLINE vi vi_choose_greater1(vi v, vi yes, vi no)
{
    return _mm256_blendv_epi8(no, yes, _mm256_cmpgt_epi32(v, _mm256_set1_epi32(1)));
}

#endif
