/* linear_superblocks_avx512vnni.c - weight types with superblocks of 256, pack16: lane = row.
 *
 * A superblock is taken in 4 steps of 2 x 32 weights that share bytes. Each 32 become 8 vectors of
 * unsigned codes u = w + offset, 16 lanes of 4 k-values each, for `vpdpbusd`; all sums are exact int32:
 *
 *     isum = sum_j sc_j * (sum_k u_k q_k) - offset * sum_j sc_j * asum_j
 *     acc  = fmaf((float)isum, d * da, acc)
 *     msum = sum_j m_j * asum_j
 *     acc  = fmaf(-(float)msum, dmin * da, acc)        where the type has a minimum
 *
 * Sums of the activations come for each 16: a pair of them, 2 x int16, is one lane of `vpdpwssd`
 * against the pair of scales (or minimums) that belongs to it. */
#include "kernels/avx512vnni/linear_avx512vnni.h"

/* Scales are given for each 32 weights (8 of them) or each 16 (16 of them); so are minimums. */
struct scales {
    __m512i of[16];       /* int32 */
    __m512i minimums[16]; /* int32; where the type has them */
};

struct form {
    size_t n_bytes; /* of a superblock of 16 rows */
    int    offset;
    bool   has_minimum; /* dmin follows d */
    int    n_scales;    /* 8 or 16        */
    void (*scales)(const uint8_t *block, struct scales *out);
    int    apart;       /* the two 32 of a step: neighbours (1) or not (2), see first_of() */
    void (*codes)(const uint8_t *block, int step, __m512i u[16]);
};

/* The first of the two 32 that a step takes; the other is `apart` later. */
CM_INLINE size_t first_of(int step, int apart)
{
    return apart == 1 ? 2 * (size_t)step : 4 * (size_t)(step / 2) + (size_t)(step % 2);
}

/* Shift by a count that is no constant. Bits come over from the neighbour byte: mask them. */
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
    CM_UNROLL
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
    CM_UNROLL
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
    CM_UNROLL
    for (int i = 0; i < 4; i++) widen_signed(load64(block + 32 + 64 * i), out->of + 4 * i);
}

/* A byte of nibbles has weights that are 64 apart. Pairs are read before nibbles, not by turns: reads that
 * go from front to back are what the hardware's prefetching expects. */
CM_INLINE void codes_q6_k(const uint8_t *block, int step, __m512i u[16])
{
    const uint8_t *pairs = block + 288 + 1536 * (step / 2);
    const uint8_t *nibbles = block + 800 + 1536 * (step / 2) + 512 * (step % 2);
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const __m512i pair_bits = shift_right(load64(pairs + 64 * g), 2 * (step % 2));
        u[g] = mask8(_mm512_slli_epi16(pair_bits, 4), 48);
        u[g + 8] = mask8(pair_bits, 48);
    }
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const __m512i v = load64(nibbles + 64 * g);
        u[g] = _mm512_or_si512(u[g], mask8(v, 15));
        u[g + 8] = _mm512_or_si512(u[g + 8], mask8(_mm512_srli_epi16(v, 4), 15));
    }
}

/* Q2_K: d, dmin, 4 words of scales (low nibble) and minimums (high), 16 of bit pairs */
CM_INLINE void scales_q2_k(const uint8_t *block, struct scales *out)
{
    CM_UNROLL
    for (int i = 0; i < 4; i++) {
        const __m512i both = load64(block + 64 + 64 * i);
        widen_unsigned(mask8(both, 15), out->of + 4 * i);
        widen_unsigned(mask8(_mm512_srli_epi16(both, 4), 15), out->minimums + 4 * i);
    }
}

CM_INLINE void codes_q2_k(const uint8_t *block, int step, __m512i u[16])
{
    const uint8_t *pairs = block + 320 + 512 * (step / 2);
    CM_UNROLL
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
    CM_UNROLL
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
    CM_UNROLL
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
    CM_UNROLL
    for (int j = 0; j < 8; j++) {
        const __m512i nibble = _mm512_srl_epi32(low, _mm_cvtsi32_si128(4 * j));
        const __m512i high = _mm512_srl_epi32(top, _mm_cvtsi32_si128(2 * j));
        const __m512i six_bits =
            _mm512_or_si512(_mm512_and_si512(nibble, _mm512_set1_epi32(15)),
                            _mm512_slli_epi32(_mm512_and_si512(high, _mm512_set1_epi32(3)), 4));
        out->of[j] = _mm512_sub_epi32(six_bits, _mm512_set1_epi32(32));
    }
}

/* the code book of quant/nibbles.c, + 128 */
CM_INLINE void codes_iq4_xs(const uint8_t *block, int step, __m512i u[16])
{
    const uint8_t *nibbles = block + 128 + 512 * step;
    const __m512i  book = _mm512_broadcast_i32x4(
        _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166,
                      (char)181, (char)197, (char)217, (char)241));
    CM_UNROLL
    for (int i = 0; i < 8; i++) {
        const int     at = i / 4 * 8 + i % 4; /* 4 vectors of nibbles for each 32 weights */
        const __m512i v = load64(nibbles + 64 * i);
        u[at] = _mm512_shuffle_epi8(book, mask8(v, 15));
        u[at + 4] = _mm512_shuffle_epi8(book, mask8(_mm512_srli_epi16(v, 4), 15));
    }
}

/* sum_j v_j * asum_j, v_j given for each 32 or each 16 weights */
CM_INLINE __m512i times_sums(const __m512i pairs[8], const int16_t *sums)
{
    __m512i sum = _mm512_setzero_si512();
    CM_UNROLL
    for (int j = 0; j < 8; j++) sum = _mm512_dpwssd_epi32(sum, pairs[j], broadcast(sums + 2 * j));
    return sum;
}

/* Products of the j-th 32 weights with q, times their scale; where there is one for each 16, times two. */
CM_INLINE __m512i scaled_dot(const __m512i *u, const int8_t *q, const __m512i *sc, size_t j, int n_scales)
{
    __m512i idot[2] = { _mm512_setzero_si512(), _mm512_setzero_si512() };
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const int i = n_scales == 16 ? g / 4 : 0;
        idot[i] = _mm512_dpbusd_epi32(idot[i], u[g], broadcast(q + 4 * g));
    }
    if (n_scales == 8) return _mm512_mullo_epi32(idot[0], sc[j]);
    return _mm512_add_epi32(_mm512_mullo_epi32(idot[0], sc[2 * j]),
                            _mm512_mullo_epi32(idot[1], sc[2 * j + 1]));
}

CM_INLINE void make_pairs(const __m512i *values, int n_scales, __m512i pairs[8])
{
    CM_UNROLL
    for (int j = 0; j < 8; j++)
        pairs[j] = n_scales == 8 ? pair(values[j], values[j]) : pair(values[2 * j], values[2 * j + 1]);
}

CM_INLINE void dot_superblocks(const uint8_t *tile, const struct token_group *x, size_t n_columns,
                               const int n_tokens, float out[CM_TOKENS][CM_TILE],
                               const struct form form)
{
    const size_t  n_blocks = n_columns / 256;
    const __m512i offset = _mm512_set1_epi32(form.offset);
    __m512        acc[CM_TOKENS];
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) acc[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *block = tile + b * form.n_bytes;
        const __m512   d = load_halves(block);
        struct scales  sc;
        __m512i        isum[CM_TOKENS], u[16], pairs[8];
        form.scales(block, &sc);
        CM_UNROLL
        for (int t = 0; t < n_tokens; t++) isum[t] = _mm512_setzero_si512();
        for (int step = 0; step < 4; step++) {
            const size_t j = first_of(step, form.apart), other = j + (size_t)form.apart;
            if (n_tokens > 2) cm_prefetch(block + (size_t)step * form.n_bytes / 4, form.n_bytes / 4);
            form.codes(block, step, u);
            CM_UNROLL
            for (int t = 0; t < n_tokens; t++) {
                const int8_t *q = x->codes[t] + 256 * b;
                const __m512i one = scaled_dot(u, q + 32 * j, sc.of, j, form.n_scales);
                const __m512i two = scaled_dot(u + 8, q + 32 * other, sc.of, other, form.n_scales);
                isum[t] = _mm512_add_epi32(isum[t], _mm512_add_epi32(one, two));
            }
        }
        if (form.offset != 0) make_pairs(sc.of, form.n_scales, pairs);
        if (form.has_minimum) make_pairs(sc.minimums, form.n_scales, pairs);
        CM_UNROLL
        for (int t = 0; t < n_tokens; t++) {
            const __m512  da = _mm512_set1_ps(x->scales[t][b]);
            const __m512i sum = times_sums(pairs, x->sums[t] + 16 * b);
            if (form.offset != 0)
                isum[t] = _mm512_sub_epi32(isum[t], _mm512_mullo_epi32(offset, sum));
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum[t]), _mm512_mul_ps(d, da), acc[t]);
            if (form.has_minimum) {
                const __m512 dmin = load_halves(block + 32);
                acc[t] = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(dmin, da), acc[t]);
            }
        }
    }
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) _mm512_store_ps(out[t], acc[t]);
}

/* A type has an offset or a minimum, not both: they share the pairs. */
#define SUPERBLOCK_KERNEL(type, TYPE, ...) \
    CM_LINEAR_KERNEL(type, TYPE, avx512vnni, dot_superblocks, (struct form){ __VA_ARGS__ })

SUPERBLOCK_KERNEL(q2_k, Q2_K, 1344, 0, true, 16, scales_q2_k, 1, codes_q2_k)
SUPERBLOCK_KERNEL(q3_k, Q3_K, 1760, 4, false, 16, scales_q3_k, 1, codes_q3_k)
SUPERBLOCK_KERNEL(q4_k, Q4_K, 2304, 0, true, 8, scales_q4_k, 1, codes_q4_k)
SUPERBLOCK_KERNEL(q5_k, Q5_K, 2816, 0, true, 8, scales_q4_k, 1, codes_q5_k)
SUPERBLOCK_KERNEL(q6_k, Q6_K, 3360, 32, false, 16, scales_q6_k, 2, codes_q6_k)
SUPERBLOCK_KERNEL(iq4_xs, IQ4_XS, 2176, 128, false, 8, scales_iq4_xs, 1, codes_iq4_xs)
