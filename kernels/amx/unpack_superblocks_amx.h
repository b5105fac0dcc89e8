/* unpack_superblocks_amx.h - weight types with superblocks of 256, pack16: lane = row. A superblock is taken in 4
 * steps of 2 x 32 weights that share bytes; each 32 become 8 vectors of codes u = w + offset, 16 lanes of 4 k-values
 * each. Beside them scales and minimums as integers. */
#ifndef KERNELS_AMX_UNPACK_SUPERBLOCKS_H
#define KERNELS_AMX_UNPACK_SUPERBLOCKS_H

#include "kernels/amx/lanes_amx.h"
#include "kernels/quant/code_book.h"

/* There is a scale for each 32 weights (8 scales) or for each 16 (16 scales); likewise minimums. */
struct scales {
    __m512i of[16];       /* int32 */
    __m512i minimums[16]; /* int32; where the type has them */
};

struct form {
    bool has_minimum; /* dmin follows d */
    int  offset;
    int  n_scales;    /* 8 or 16 */
    void (*scales)(const uint8_t *block, struct scales *out);
    int  apart;       /* the two 32 of a step: neighbours (1) or not (2), see first_of() */
    float unit;       /* d is in units of it: a power of two */
    void (*codes)(const uint8_t *block, int step, __m512i u[16]);
};

/* The first of the two groups of 32 weights that a step takes; the other one is `apart` groups later. */
CM_INLINE size_t first_of(int step, int apart)
{
    return apart == 1 ? 2 * (size_t)step : 4 * (size_t)(step / 2) + (size_t)(step % 2);
}

/* Shifts by a count that is not a constant. Bits of the neighbouring byte are shifted in, so they must be masked. */
CM_INLINE __m512i shift_right(__m512i v, int count)
{
    return _mm512_srlv_epi16(v, _mm512_set1_epi16((short)count));
}

/* Lane words of four bytes each to four vectors of int32. */
CM_INLINE void widen_unsigned(__m512i bytes, __m512i *out)
{
    const __m512i low = _mm512_set1_epi32(255);
    out[0] = _mm512_and_si512(bytes, low);
    out[1] = _mm512_and_si512(_mm512_srli_epi32(bytes, 8), low);
    out[2] = _mm512_and_si512(_mm512_srli_epi32(bytes, 16), low);
    out[3] = _mm512_srli_epi32(bytes, 24);
}

CM_INLINE void widen_signed(__m512i bytes, __m512i *out)
{
    out[0] = _mm512_srai_epi32(_mm512_slli_epi32(bytes, 24), 24);
    out[1] = _mm512_srai_epi32(_mm512_slli_epi32(bytes, 16), 24);
    out[2] = _mm512_srai_epi32(_mm512_slli_epi32(bytes, 8), 24);
    out[3] = _mm512_srai_epi32(bytes, 24);
}

/* int32 lanes that fit int16: (low, high) as a pair in each lane */
CM_INLINE __m512i pair(__m512i low, __m512i high)
{
    return _mm512_mask_blend_epi16(0xaaaaaaaau, low, _mm512_slli_epi32(high, 16));
}

/* Q4_K, Q5_K: d, dmin, 3 words of scales. The bit layout is told in quant/nibbles.c. */
CM_INLINE void scales_q4_k(const uint8_t *block, struct scales *out)
{
    const __m512i s0 = load64(block + 64), s1 = load64(block + 128), s2 = load64(block + 192);
    const __m512i top_scales = mask8(_mm512_srli_epi16(s0, 2), 0x30);
    const __m512i top_minimums = mask8(_mm512_srli_epi16(s1, 2), 0x30);
    widen_unsigned(mask8(s0, 63), out->of);
    widen_unsigned(_mm512_or_si512(mask8(s2, 15), top_scales), out->of + 4);
    widen_unsigned(mask8(s1, 63), out->minimums);
    widen_unsigned(_mm512_or_si512(mask8(_mm512_srli_epi16(s2, 4), 15), top_minimums),
                   out->minimums + 4);
}

CM_INLINE void codes_q4_k(const uint8_t *block, int step, __m512i u[16])
{
    const uint8_t *nibbles = block + 256 + 512 * step;
    CM_UNROLL_16
    for (int g = 0; g < 8; g++) {
        const __m512i v = load64(nibbles + 64 * g);
        u[g] = mask8(v, 15);
        u[g + 8] = mask8(_mm512_srli_epi16(v, 4), 15);
    }
}

CM_INLINE void codes_q5_k(const uint8_t *block, int step, __m512i u[16])
{
    const uint8_t *fifths = block + 256;
    const uint8_t *nibbles = block + 768 + 512 * step;
    CM_UNROLL_16
    for (int g = 0; g < 8; g++) {
        const __m512i v = load64(nibbles + 64 * g);
        const __m512i fifth = shift_right(load64(fifths + 64 * g), 2 * step);
        u[g] = _mm512_or_si512(mask8(v, 15), mask8(_mm512_slli_epi16(fifth, 4), 16));
        u[g + 8] = _mm512_or_si512(mask8(_mm512_srli_epi16(v, 4), 15),
                                   mask8(_mm512_slli_epi16(fifth, 3), 16));
    }
}

/* Q6_K: d, 4 words of scales, then for each 128 weights 8 words of bit pairs and 16 of nibbles */
CM_INLINE void scales_q6_k(const uint8_t *block, struct scales *out)
{
    CM_UNROLL_16
    for (int i = 0; i < 4; i++) widen_signed(load64(block + 32 + 64 * i), out->of + 4 * i);
}

/* A byte of nibbles holds weights that are 64 apart. All pairs are read before the nibbles, since the hardware's
 * prefetcher expects reads from front to back. */
CM_INLINE void codes_q6_k(const uint8_t *block, int step, __m512i u[16])
{
    const uint8_t *pairs = block + 288 + 1536 * (step / 2);
    const uint8_t *nibbles = block + 800 + 1536 * (step / 2) + 512 * (step % 2);
    CM_UNROLL_16
    for (int g = 0; g < 8; g++) {
        const __m512i pair_bits = shift_right(load64(pairs + 64 * g), 2 * (step % 2));
        u[g] = mask8(_mm512_slli_epi16(pair_bits, 4), 48);
        u[g + 8] = mask8(pair_bits, 48);
    }
    CM_UNROLL_16
    for (int g = 0; g < 8; g++) {
        const __m512i v = load64(nibbles + 64 * g);
        u[g] = _mm512_or_si512(u[g], mask8(v, 15));
        u[g + 8] = _mm512_or_si512(u[g + 8], mask8(_mm512_srli_epi16(v, 4), 15));
    }
}

/* Q2_K: d, dmin, 4 words of scales (low nibble) and minimums (high), 16 of bit pairs */
CM_INLINE void scales_q2_k(const uint8_t *block, struct scales *out)
{
    CM_UNROLL_16
    for (int i = 0; i < 4; i++) {
        const __m512i both = load64(block + 64 + 64 * i);
        widen_unsigned(mask8(both, 15), out->of + 4 * i);
        widen_unsigned(mask8(_mm512_srli_epi16(both, 4), 15), out->minimums + 4 * i);
    }
}

CM_INLINE void codes_q2_k(const uint8_t *block, int step, __m512i u[16])
{
    const uint8_t *pairs = block + 320 + 512 * (step / 2);
    CM_UNROLL_16
    for (int g = 0; g < 8; g++) {
        const __m512i v = shift_right(load64(pairs + 64 * g), 4 * (step % 2));
        u[g] = mask8(v, 3);
        u[g + 8] = mask8(_mm512_srli_epi16(v, 2), 3);
    }
}

/* Q3_K: d, 3 words of scales, 8 of third bits, 16 of bit pairs. Scale bytes: the low nibbles of words 0
 * and 1 are scales 0-7, their high nibbles 8-15; word 2 has the top two bits, 4 scales in each step. */
CM_INLINE void scales_q3_k(const uint8_t *block, struct scales *out)
{
    const __m512i top = load64(block + 160);
    CM_UNROLL_16
    for (int i = 0; i < 4; i++) {
        const __m512i nibbles = shift_right(load64(block + 32 + 64 * (i % 2)), 4 * (i / 2));
        const __m512i high = _mm512_slli_epi16(mask8(shift_right(top, 2 * i), 3), 4);
        const __m512i six_bits = _mm512_or_si512(mask8(nibbles, 15), high);
        widen_signed(_mm512_sub_epi8(six_bits, _mm512_set1_epi8(32)), out->of + 4 * i);
    }
}

CM_INLINE void codes_q3_k(const uint8_t *block, int step, __m512i u[16])
{
    const uint8_t *thirds = block + 224;
    const uint8_t *pairs = block + 736 + 512 * (step / 2);
    CM_UNROLL_16
    for (int g = 0; g < 8; g++) {
        const __m512i v = shift_right(load64(pairs + 64 * g), 4 * (step % 2));
        const __m512i third = shift_right(load64(thirds + 64 * g), 2 * step);
        u[g] = _mm512_or_si512(mask8(v, 3), mask8(_mm512_slli_epi16(third, 2), 4));
        u[g + 8] = _mm512_or_si512(mask8(_mm512_srli_epi16(v, 2), 3),
                                   mask8(_mm512_slli_epi16(third, 1), 4));
    }
}

/* IQ4_XS: d, top scale bits (u16), 1 word of low scale nibbles, 32 of nibbles */
CM_INLINE void scales_iq4_xs(const uint8_t *block, struct scales *out)
{
    const __m512i top = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(block + 32)));
    const __m512i low = load64(block + 64);
    CM_UNROLL_16
    for (int j = 0; j < 8; j++) {
        const __m512i nibble = _mm512_srl_epi32(low, _mm_cvtsi32_si128(4 * j));
        const __m512i high = _mm512_srl_epi32(top, _mm_cvtsi32_si128(2 * j));
        const __m512i six_bits =
            _mm512_or_si512(_mm512_and_si512(nibble, _mm512_set1_epi32(15)),
                            _mm512_slli_epi32(_mm512_and_si512(high, _mm512_set1_epi32(3)), 4));
        out->of[j] = _mm512_sub_epi32(six_bits, _mm512_set1_epi32(32));
    }
}

CM_INLINE void codes_of_nibbles(const uint8_t *nibbles, __m512i book, __m512i u[16])
{
    CM_UNROLL_16
    for (int i = 0; i < 8; i++) {
        const int     at = i / 4 * 8 + i % 4; /* 4 vectors of nibbles for each 32 weights */
        const __m512i v = load64(nibbles + 64 * i);
        u[at] = _mm512_shuffle_epi8(book, mask8(v, 15));
        u[at + 4] = _mm512_shuffle_epi8(book, mask8(_mm512_srli_epi16(v, 4), 15));
    }
}

CM_INLINE void codes_iq4_xs(const uint8_t *block, int step, __m512i u[16])
{
    codes_of_nibbles(block + 128 + 512 * step, book_iq4(), u);
}

/* 2 s + 1 for the nibble s of each byte, the low or (side 1) the high one */
CM_INLINE __m512i odd_scales(__m512i nibbles, int side)
{
    const __m512i twice = side == 0 ? _mm512_slli_epi16(nibbles, 1) : _mm512_srli_epi16(nibbles, 3);
    return _mm512_or_si512(mask8(twice, 30), _mm512_set1_epi8(1));
}

/* IQ1, IQ2: d, 2 words of nibbles s, 8 of third bits, 16 of bit pairs */
CM_INLINE void scales_book_3(const uint8_t *block, struct scales *out)
{
    CM_UNROLL_16
    for (int i = 0; i < 4; i++) widen_unsigned(odd_scales(load64(block + 32 + 64 * (i % 2)), i / 2), out->of + 4 * i);
}

CM_INLINE void codes_book_3(const uint8_t *block, int step, __m512i book, __m512i u[16])
{
    const uint8_t *thirds = block + 160;
    const uint8_t *pairs = block + 672 + 512 * (step / 2);
    CM_UNROLL_16
    for (int g = 0; g < 8; g++) {
        const __m512i v = shift_right(load64(pairs + 64 * g), 4 * (step % 2));
        const __m512i third = shift_right(load64(thirds + 64 * g), 2 * step);
        const __m512i low = _mm512_or_si512(mask8(v, 3), mask8(_mm512_slli_epi16(third, 2), 4));
        const __m512i high = _mm512_or_si512(mask8(_mm512_srli_epi16(v, 2), 3), mask8(_mm512_slli_epi16(third, 1), 4));
        u[g] = _mm512_shuffle_epi8(book, low);
        u[g + 8] = _mm512_shuffle_epi8(book, high);
    }
}

/* IQ3: d, 1 word of nibbles s, 32 of nibbles */
CM_INLINE void scales_book_4(const uint8_t *block, struct scales *out)
{
    const __m512i nibbles = load64(block + 32);
    CM_UNROLL_16
    for (int i = 0; i < 2; i++) widen_unsigned(odd_scales(nibbles, i), out->of + 4 * i);
}

/* As IQ4_XS's, which stand 32 bytes later. */
CM_INLINE void codes_book_4(const uint8_t *block, int step, __m512i book, __m512i u[16])
{
    codes_of_nibbles(block + 96 + 512 * step, book, u);
}

#endif
