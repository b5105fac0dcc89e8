/* linear_lanes_avx512vnni.h - the vectors of the matrix kernels with AVX-512 VNNI: 16 lanes, one for each
 * row of a tile. What these functions mean stands in linear_blocks_body.h. */
#ifndef KERNELS_AVX512VNNI_LINEAR_LANES_H
#define KERNELS_AVX512VNNI_LINEAR_LANES_H

#include <immintrin.h>

#include "kernels/tile16.h"

#define CM_LEVEL avx512vnni
#define CM_HAS_DOT4 1
#define CM_FLOAT_TOKENS 8
enum { LANES = 16, HALVES = 1, TOKENS = CM_GROUP, FLOAT_TOKENS = CM_FLOAT_TOKENS };

typedef __m512i vi;
typedef __m512  vf;
#if defined(__clang__)
typedef unsigned shift_count;
#else
typedef int shift_count;
#endif
#define V(operation) _mm512_##operation

CM_INLINE vi vi_load(const void *at) { return _mm512_loadu_si512(at); }
CM_INLINE void vi_store(void *at, vi v) { _mm512_storeu_si512(at, v); }
CM_INLINE vi vi_zero(void) { return _mm512_setzero_si512(); }
CM_INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
CM_INLINE vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
CM_INLINE vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
CM_INLINE vi vi_shift_right(vi v, int n) { return _mm512_srli_epi32(v, (unsigned)n); }

CM_INLINE vi vi_copies(const int8_t bytes[16])
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

CM_INLINE vi vi_of_u8(const uint8_t *at) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)at)); }
CM_INLINE __m256i half_words(const uint8_t *at) { return _mm256_loadu_si256((const __m256i *)at); }
CM_INLINE vi vi_of_u16(const uint8_t *at) { return _mm512_cvtepu16_epi32(half_words(at)); }
CM_INLINE vf vf_of_halves(const uint8_t *at) { return _mm512_cvtph_ps(half_words(at)); }
CM_INLINE vf vf_of_bits(vi v) { return _mm512_castsi512_ps(v); }

CM_INLINE vi vi_pair(vi low, vi high)
{
    return _mm512_mask_blend_epi16(0xaaaaaaaau, low, _mm512_slli_epi32(high, 16));
}

CM_INLINE vi vi_add_where(vi v, vi bits, vi own, vi addend)
{
    return _mm512_mask_add_epi8(v, _mm512_test_epi8_mask(bits, own), v, addend);
}

CM_INLINE vi vi_choose_greater1(vi v, vi yes, vi no)
{
    return _mm512_mask_mov_epi32(no, _mm512_cmpgt_epi32_mask(v, _mm512_set1_epi32(1)), yes);
}

CM_INLINE vi vi_dot4(vi sum, vi u, vi q) { return _mm512_dpbusd_epi32(sum, u, q); }
CM_INLINE vi vi_dot2(vi sum, vi a, vi b) { return _mm512_dpwssd_epi32(sum, a, b); }

#endif
