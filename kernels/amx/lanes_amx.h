/* lanes_amx.h - vectors of 16 lanes, one a row of a tile, beside the tiles. */
#ifndef KERNELS_AMX_LANES_H
#define KERNELS_AMX_LANES_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/unroll.h"

/* Hides from the compiler what a pointer was computed from. Else GCC 12 computes each element's address anew from
 * there, and what it keeps for that goes through vector registers, on the port that multiplies. */
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
