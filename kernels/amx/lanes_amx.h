/* lanes_amx.h - vector operations that AMX kernels use besides tiles: 16 lanes, one for each row of a tile. */
#ifndef KERNELS_AMX_LANES_H
#define KERNELS_AMX_LANES_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/unroll.h"

/* Hides from the compiler how a pointer was computed. Otherwise GCC 12 computes each element's address anew from the
 * beginning, and keeps values for that in vector registers, whose moves occupy the port that multiplies. */
#define KEEP_IN_REGISTER(pointer) __asm__("" : "+r"(pointer))

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

/* the code book of quant/nibbles.c */
CM_INLINE __m512i book_iq4(void)
{
    return _mm512_broadcast_i32x4(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
}

#endif
