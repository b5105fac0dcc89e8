/* linear_superblocks_avx2.c - weight types with superblocks of 256, pack16: lane = row, two vectors of
 * 8 rows.
 *
 * A superblock is taken in 4 steps of 2 x 32 weights that share bytes. Each 32 become 8 vectors of codes
 * for each half, 8 lanes of 4 k-values each:
 * unsigned u = w + offset, or signed w where that would overflow (linear_avx2.h); all sums are exact:
 *
 *     isum = sum_j sc_j * (sum_k u_k q_k) - offset * sum_j sc_j * asum_j
 *     acc  = fmaf((float)isum, d * da, acc)
 *     msum = sum_j m_j * asum_j
 *     acc  = fmaf(-(float)msum, dmin * da, acc)        where the type has a minimum
 *
 * Scales and minimums are held as int16 pairs for `vpmaddwd`: products come as two int16 in a lane, which
 * both want the same scale; sums of the activations come for each 16, two in a lane. */
#include "kernels/avx2/linear_avx2.h"

/* Scales are given for each 32 weights (8 of them) or each 16 (16 of them); so are minimums. */
struct scales {
    __m256i of[16];       /* int32, in the range of int16 */
    __m256i minimums[16]; /* where the type has them      */
};

struct form {
    size_t n_bytes; /* of a superblock of 16 rows */
    int    offset;
    int    chain; /* see scaled_products() */
    bool   is_signed;
    bool   has_minimum; /* dmin follows d */
    int    n_scales;    /* 8 or 16        */
    void (*scales)(const uint8_t *block, int half, struct scales *out);
    int    apart;       /* the two 32 of a step: neighbours (1) or not (2), see first_of() */
    void (*codes)(const uint8_t *block, int half, int step, __m256i w[16]);
};

/* The first of the two 32 that a step takes; the other is `apart` later. */
CM_INLINE size_t first_of(int step, int apart)
{
    return apart == 1 ? 2 * (size_t)step : 4 * (size_t)(step / 2) + (size_t)(step % 2);
}

/* Shift by a count that is no constant. Bits come over from the neighbour byte: mask them. */
CM_INLINE __m256i shift_right(__m256i v, int count)
{
    return _mm256_srl_epi16(v, _mm_cvtsi32_si128(count));
}

/* Lane words of four bytes each to four vectors of int32. */
CM_INLINE void widen_unsigned(__m256i bytes, __m256i *out)
{
    const __m256i low = _mm256_set1_epi32(255);
    out[0] = _mm256_and_si256(bytes, low);
    out[1] = _mm256_and_si256(_mm256_srli_epi32(bytes, 8), low);
    out[2] = _mm256_and_si256(_mm256_srli_epi32(bytes, 16), low);
    out[3] = _mm256_srli_epi32(bytes, 24);
}

CM_INLINE void widen_signed(__m256i bytes, __m256i *out)
{
    out[0] = _mm256_srai_epi32(_mm256_slli_epi32(bytes, 24), 24);
    out[1] = _mm256_srai_epi32(_mm256_slli_epi32(bytes, 16), 24);
    out[2] = _mm256_srai_epi32(_mm256_slli_epi32(bytes, 8), 24);
    out[3] = _mm256_srai_epi32(bytes, 24);
}

/* (low, high) as an int16 pair in each lane */
CM_INLINE __m256i pair(__m256i low, __m256i high)
{
    return _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa);
}

/* Q4_K, Q5_K: d, dmin, 3 words of scales. The bit layout is told in quant/nibbles.c. */
CM_INLINE void scales_q4_k(const uint8_t *block, int half, struct scales *out)
{
    const uint8_t *words = block + 64 + 32 * half;
    const __m256i  s0 = load32(words), s1 = load32(words + 64), s2 = load32(words + 128);
    const __m256i  top_scales = mask8(_mm256_srli_epi16(s0, 2), 0x30);
    const __m256i  top_minimums = mask8(_mm256_srli_epi16(s1, 2), 0x30);
    widen_unsigned(mask8(s0, 63), out->of);
    widen_unsigned(_mm256_or_si256(mask8(s2, 15), top_scales), out->of + 4);
    widen_unsigned(mask8(s1, 63), out->minimums);
    widen_unsigned(_mm256_or_si256(mask8(_mm256_srli_epi16(s2, 4), 15), top_minimums),
                   out->minimums + 4);
}

CM_INLINE void codes_q4_k(const uint8_t *block, int half, int step, __m256i w[16])
{
    const uint8_t *nibbles = block + 256 + 512 * step + 32 * half;
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const __m256i v = load32(nibbles + 64 * g);
        w[g] = mask8(v, 15);
        w[g + 8] = mask8(_mm256_srli_epi16(v, 4), 15);
    }
}

CM_INLINE void codes_q5_k(const uint8_t *block, int half, int step, __m256i w[16])
{
    const uint8_t *fifths = block + 256 + 32 * half;
    const uint8_t *nibbles = block + 768 + 512 * step + 32 * half;
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const __m256i v = load32(nibbles + 64 * g);
        const __m256i fifth = shift_right(load32(fifths + 64 * g), 2 * step);
        w[g] = _mm256_or_si256(mask8(v, 15), mask8(_mm256_slli_epi16(fifth, 4), 16));
        w[g + 8] = _mm256_or_si256(mask8(_mm256_srli_epi16(v, 4), 15),
                                   mask8(_mm256_slli_epi16(fifth, 3), 16));
    }
}

/* Q6_K: d, 4 words of scales, then for each 128 weights 8 words of bit pairs and 16 of nibbles */
CM_INLINE void scales_q6_k(const uint8_t *block, int half, struct scales *out)
{
    CM_UNROLL
    for (int i = 0; i < 4; i++) widen_signed(load32(block + 32 + 64 * i + 32 * half), out->of + 4 * i);
}

/* A byte of nibbles has weights that are 64 apart. */
CM_INLINE void codes_q6_k(const uint8_t *block, int half, int step, __m256i w[16])
{
    const uint8_t *pairs = block + 288 + 1536 * (step / 2) + 32 * half;
    const uint8_t *nibbles = block + 800 + 1536 * (step / 2) + 512 * (step % 2) + 32 * half;
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const __m256i v = load32(nibbles + 64 * g);
        const __m256i pair_bits = shift_right(load32(pairs + 64 * g), 2 * (step % 2));
        w[g] = _mm256_or_si256(mask8(v, 15), mask8(_mm256_slli_epi16(pair_bits, 4), 48));
        w[g + 8] = _mm256_or_si256(mask8(_mm256_srli_epi16(v, 4), 15), mask8(pair_bits, 48));
    }
}

/* Q2_K: d, dmin, 4 words of scales (low nibble) and minimums (high), 16 of bit pairs */
CM_INLINE void scales_q2_k(const uint8_t *block, int half, struct scales *out)
{
    CM_UNROLL
    for (int i = 0; i < 4; i++) {
        const __m256i both = load32(block + 64 + 64 * i + 32 * half);
        widen_unsigned(mask8(both, 15), out->of + 4 * i);
        widen_unsigned(mask8(_mm256_srli_epi16(both, 4), 15), out->minimums + 4 * i);
    }
}

CM_INLINE void codes_q2_k(const uint8_t *block, int half, int step, __m256i w[16])
{
    const uint8_t *pairs = block + 320 + 512 * (step / 2) + 32 * half;
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const __m256i v = shift_right(load32(pairs + 64 * g), 4 * (step % 2));
        w[g] = mask8(v, 3);
        w[g + 8] = mask8(_mm256_srli_epi16(v, 2), 3);
    }
}

/* Q3_K: d, 3 words of scales, 8 of third bits, 16 of bit pairs. Scale bytes: the low nibbles of words 0
 * and 1 are scales 0-7, their high nibbles 8-15; word 2 has the top two bits, 4 scales in each step. */
CM_INLINE void scales_q3_k(const uint8_t *block, int half, struct scales *out)
{
    const uint8_t *words = block + 32 + 32 * half;
    const __m256i  top = load32(words + 128);
    CM_UNROLL
    for (int i = 0; i < 4; i++) {
        const __m256i nibbles = shift_right(load32(words + 64 * (i % 2)), 4 * (i / 2));
        const __m256i high = _mm256_slli_epi16(mask8(shift_right(top, 2 * i), 3), 4);
        const __m256i six_bits = _mm256_or_si256(mask8(nibbles, 15), high);
        widen_signed(_mm256_sub_epi8(six_bits, _mm256_set1_epi8(32)), out->of + 4 * i);
    }
}

CM_INLINE void codes_q3_k(const uint8_t *block, int half, int step, __m256i w[16])
{
    const uint8_t *thirds = block + 224 + 32 * half;
    const uint8_t *pairs = block + 736 + 512 * (step / 2) + 32 * half;
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const __m256i v = shift_right(load32(pairs + 64 * g), 4 * (step % 2));
        const __m256i third = shift_right(load32(thirds + 64 * g), 2 * step);
        w[g] = _mm256_or_si256(mask8(v, 3), mask8(_mm256_slli_epi16(third, 2), 4));
        w[g + 8] = _mm256_or_si256(mask8(_mm256_srli_epi16(v, 2), 3),
                                   mask8(_mm256_slli_epi16(third, 1), 4));
    }
}

/* IQ4_XS: d, top scale bits (u16), 1 word of low scale nibbles, 32 of nibbles */
CM_INLINE void scales_iq4_xs(const uint8_t *block, int half, struct scales *out)
{
    const __m128i  halves = _mm_loadu_si128((const __m128i *)(block + 32 + 16 * half));
    const __m256i  top = _mm256_cvtepu16_epi32(halves), low = load32(block + 64 + 32 * half);
    CM_UNROLL
    for (int j = 0; j < 8; j++) {
        const __m256i nibble = _mm256_srl_epi32(low, _mm_cvtsi32_si128(4 * j));
        const __m256i high = _mm256_srl_epi32(top, _mm_cvtsi32_si128(2 * j));
        const __m256i six_bits =
            _mm256_or_si256(_mm256_and_si256(nibble, _mm256_set1_epi32(15)),
                            _mm256_slli_epi32(_mm256_and_si256(high, _mm256_set1_epi32(3)), 4));
        out->of[j] = _mm256_sub_epi32(six_bits, _mm256_set1_epi32(32));
    }
}

/* the code book of quant/nibbles.c */
CM_INLINE void codes_iq4_xs(const uint8_t *block, int half, int step, __m256i w[16])
{
    const uint8_t *nibbles = block + 128 + 512 * step + 32 * half;
    const __m256i  book = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    CM_UNROLL
    for (int i = 0; i < 8; i++) {
        const int     at = i / 4 * 8 + i % 4; /* 4 vectors of nibbles for each 32 weights */
        const __m256i v = load32(nibbles + 64 * i);
        w[at] = _mm256_shuffle_epi8(book, mask8(v, 15));
        w[at + 4] = _mm256_shuffle_epi8(book, mask8(_mm256_srli_epi16(v, 4), 15));
    }
}

/* sum_j v_j * asum_j, v_j given for each 32 or each 16 weights */
CM_INLINE __m256i times_sums(const __m256i *values, int n_scales, const int16_t *sums)
{
    __m256i sum = _mm256_setzero_si256();
    CM_UNROLL
    for (int j = 0; j < 8; j++) {
        const __m256i low = n_scales == 8 ? values[j] : values[2 * j];
        const __m256i high = n_scales == 8 ? values[j] : values[2 * j + 1];
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pair(low, high), broadcast(sums + 2 * j)));
    }
    return sum;
}

/* isum[t] += scale(s) * (products of the j-th 32 weights with token t) */
CM_INLINE void add_products(const __m256i *w, const struct token_group *x, size_t b, size_t j,
                            const int n_tokens, const struct scales *sc, __m256i isum[CM_TOKENS],
                            const struct form form)
{
    const bool    is_halved = form.n_scales == 16; /* one scale for each 16 */
    const __m256i first = is_halved ? pair(sc->of[2 * j], sc->of[2 * j]) : pair(sc->of[j], sc->of[j]);
    const __m256i second = is_halved ? pair(sc->of[2 * j + 1], sc->of[2 * j + 1]) : first;
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) {
        const int8_t *q = x->codes[t] + 256 * b + 32 * j;
        const __m256i one =
            scaled_products(w, q, 0, is_halved ? 4 : 8, form.chain, form.is_signed, first);
        isum[t] = _mm256_add_epi32(isum[t], one);
        if (!is_halved) continue;
        const __m256i two = scaled_products(w, q, 4, 8, form.chain, form.is_signed, second);
        isum[t] = _mm256_add_epi32(isum[t], two);
    }
}

CM_INLINE void add_superblock(const uint8_t *block, const struct token_group *x, size_t b, int half,
                              const int n_tokens, __m256 acc[CM_TOKENS], const struct form form)
{
    const __m256  d = load_halves(block, half);
    const __m256i offset = _mm256_set1_epi32(form.offset);
    struct scales sc;
    __m256i       isum[CM_TOKENS], w[16];
    form.scales(block, half, &sc);
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) isum[t] = _mm256_setzero_si256();
    for (int step = 0; step < 4; step++) {
        const size_t j = first_of(step, form.apart), other = j + (size_t)form.apart;
        cm_prefetch(block + (size_t)(4 * half + step) * form.n_bytes / 8, form.n_bytes / 8);
        form.codes(block, half, step, w);
        add_products(w, x, b, j, n_tokens, &sc, isum, form);
        add_products(w + 8, x, b, other, n_tokens, &sc, isum, form);
    }
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) {
        const __m256   da = _mm256_set1_ps(x->scales[t][b]);
        const int16_t *sums = x->sums[t] + 16 * b;
        if (form.offset != 0) {
            const __m256i sum = times_sums(sc.of, form.n_scales, sums);
            isum[t] = _mm256_sub_epi32(isum[t], _mm256_mullo_epi32(offset, sum));
        }
        acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(isum[t]), _mm256_mul_ps(d, da), acc[t]);
        if (form.has_minimum) {
            const __m256i msum = times_sums(sc.minimums, form.n_scales, sums);
            const __m256  dmin = load_halves(block + 32, half);
            acc[t] = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(msum), _mm256_mul_ps(dmin, da), acc[t]);
        }
    }
}

/* One half after the other within a superblock. The first meets it cold and the second finds it in the
 * cache: so even with one token it is asked for ahead, lest memory idle during the second. */
CM_INLINE void dot_superblocks(const uint8_t *tile, const struct token_group *x, size_t n_columns,
                               const int n_tokens, float out[CM_TOKENS][CM_TILE],
                               const struct form form)
{
    const size_t n_blocks = n_columns / 256;
    __m256       acc[2][CM_TOKENS];
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) acc[0][t] = acc[1][t] = _mm256_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++)
        for (int half = 0; half < 2; half++)
            add_superblock(tile + b * form.n_bytes, x, b, half, n_tokens, acc[half], form);
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) {
        _mm256_store_ps(out[t], acc[0][t]);
        _mm256_store_ps(out[t] + 8, acc[1][t]);
    }
}

#define SUPERBLOCK_KERNEL(type, TYPE, ...) \
    CM_LINEAR_KERNEL(type, TYPE, avx2, dot_superblocks, (struct form){ __VA_ARGS__ })

/*                                bytes offset chain signed min n_scales scales apart codes */
SUPERBLOCK_KERNEL(q2_k, Q2_K,     1344, 0, 8, false, true,  16, scales_q2_k, 1, codes_q2_k)
SUPERBLOCK_KERNEL(q3_k, Q3_K,     1760, 4, 8, false, false, 16, scales_q3_k, 1, codes_q3_k)
SUPERBLOCK_KERNEL(q4_k, Q4_K,     2304, 0, 8, false, true,  8,  scales_q4_k, 1, codes_q4_k)
SUPERBLOCK_KERNEL(q5_k, Q5_K,     2816, 0, 4, false, true,  8,  scales_q4_k, 1, codes_q5_k)
SUPERBLOCK_KERNEL(q6_k, Q6_K,     3360, 32, 2, false, false, 16, scales_q6_k, 2, codes_q6_k)
SUPERBLOCK_KERNEL(iq4_xs, IQ4_XS, 2176, 0, 1, true,  false, 8,  scales_iq4_xs, 1, codes_iq4_xs)
