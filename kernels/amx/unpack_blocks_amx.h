/* unpack_blocks_amx.h - weight types with blocks of 32, pack16: a block of a tile as 8 vectors of codes
 * u = w + offset, 16 lanes (one a row) of 4 k-values each. */
#ifndef KERNELS_AMX_UNPACK_BLOCKS_H
#define KERNELS_AMX_UNPACK_BLOCKS_H

#include "kernels/amx/lanes_amx.h"

struct form {
    size_t n_bytes; /* of a block of 16 rows */
    int    offset;
    bool   has_minimum;
    __m512 (*scale)(const uint8_t *block);
    void (*codes)(const uint8_t *block, __m512i u[8]);
};

/* 4 x 64 bytes of nibbles: the low nibbles are k-groups 0 … 3, the high ones k-groups 4 … 7. */
CM_INLINE void split_nibbles(const uint8_t *at, __m512i u[8])
{
    CM_UNROLL_16
    for (int g = 0; g < 4; g++) {
        const __m512i v = load64(at + 64 * g);
        u[g] = mask8(v, 15);
        u[g + 4] = mask8(_mm512_srli_epi16(v, 4), 15);
    }
}

/* One u32 for each row: bit k becomes bit 4 of code k. */
CM_INLINE void add_fifth_bits(const uint8_t *at, __m512i u[8])
{
    const __m512i bits = load64(at);
    const __m512i lane_start = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    CM_UNROLL_16
    for (int g = 0; g < 8; g++) {
        /* the byte with bits 4 g … 4 g + 3 in all 4 bytes of the lane; byte i tests its own bit */
        const __m512i   from = _mm512_add_epi8(lane_start, _mm512_set1_epi8((char)(g / 2)));
        const __m512i   own = _mm512_set1_epi32(g % 2 == 0 ? 0x08040201 : (int)0x80402010);
        const __mmask64 is_set = _mm512_test_epi8_mask(_mm512_shuffle_epi8(bits, from), own);
        u[g] = _mm512_mask_add_epi8(u[g], is_set, u[g], _mm512_set1_epi8(16));
    }
}

CM_INLINE void look_up(__m512i book, __m512i u[8])
{
    CM_UNROLL_16
    for (int g = 0; g < 8; g++) u[g] = _mm512_shuffle_epi8(book, u[g]);
}

CM_INLINE void codes_q8_0(const uint8_t *block, __m512i u[8])
{
    CM_UNROLL_16
    for (int g = 0; g < 8; g++) u[g] = load64(block + 32 + 64 * g);
}

CM_INLINE void codes_q4_0(const uint8_t *block, __m512i u[8])
{
    split_nibbles(block + 32, u);
}

CM_INLINE void codes_q4_1(const uint8_t *block, __m512i u[8])
{
    split_nibbles(block + 64, u);
}

CM_INLINE void codes_q5_0(const uint8_t *block, __m512i u[8])
{
    split_nibbles(block + 96, u);
    add_fifth_bits(block + 32, u);
}

CM_INLINE void codes_q5_1(const uint8_t *block, __m512i u[8])
{
    split_nibbles(block + 128, u);
    add_fifth_bits(block + 64, u);
}

CM_INLINE void codes_iq4_nl(const uint8_t *block, __m512i u[8])
{
    split_nibbles(block + 32, u);
    look_up(book_iq4(), u);
}

/* the doubled values of quant/mxfp4.c */
CM_INLINE void codes_mxfp4(const uint8_t *block, __m512i u[8])
{
    const __m128i book = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    split_nibbles(block + 16, u);
    look_up(_mm512_broadcast_i32x4(book), u);
}

/* 2^(e - 128): exponent field e - 1, or for e < 2 a subnormal fraction */
CM_INLINE __m512 scale_mxfp4(const uint8_t *block)
{
    const __m512i   e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)block));
    const __m512i   one = _mm512_set1_epi32(1);
    const __m512i   normal = _mm512_slli_epi32(_mm512_sub_epi32(e, one), 23);
    const __m512i   subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x200000), e);
    const __mmask16 is_small = _mm512_cmple_epu32_mask(e, one);
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, is_small, subnormal));
}

#endif
