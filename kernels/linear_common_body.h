/* linear_common_body.h - what the bodies of the matrix kernels have in common. linear_blocks_body.h explains the
 * vectors that it uses. */
#ifndef KERNELS_LINEAR_COMMON_BODY_H
#define KERNELS_LINEAR_COMMON_BODY_H

/* 4 bytes to all lanes */
CM_INLINE vi vi_broadcast(const void *at)
{
    int32_t four;
    memcpy(&four, at, sizeof four);
    return V(set1_epi32)(four);
}

CM_INLINE vf vf_broadcast(const void *at)
{
    float four;
    memcpy(&four, at, sizeof four);
    return V(set1_ps)(four);
}

CM_INLINE vi mask8(vi v, int mask)
{
    return vi_and(v, V(set1_epi8)((char)mask));
}

/* Moves bit `from` of each byte to bit `to`, and keeps the bits of `mask`. All of these are constants once loops are
 * unrolled. */
CM_INLINE vi move_bits(vi v, int from, int to, int mask)
{
    if (from > to) v = V(srli_epi16)(v, (shift_count)(from - to));
    if (from < to) v = V(slli_epi16)(v, (shift_count)(to - from));
    return mask8(v, mask);
}

struct dot {
    int  chain;     /* for dot products without vi_dot4, see scaled_dot() */
    bool is_signed; /* codes reach -128 … 127                               */
};

/* The index, for a shuffle within 4 lanes, of a lane's four bytes of a table. */
CM_INLINE vi lane_starts(void)
{
    static const int8_t starts[16] = { 0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12 };
    return vi_copies(starts);
}

#if CM_HAS_DOT4
#if defined(CM_DOT4_IS_SIGNED)
enum { SIGNED_OFFSET = 0 };
#else
enum { SIGNED_OFFSET = 128 };
#endif

/* Signed codes in the form that the dot product needs. */
CM_INLINE vi code_of_signed(vi w)
{
    return SIGNED_OFFSET == 0 ? w : vi_xor(w, V(set1_epi8)((char)SIGNED_OFFSET));
}

/* factor * sum, where sum is the sum of the 16 codes; the start value for scaled_dot() */
CM_INLINE int32_t start_of(const int8_t *codes, int sum, int factor)
{
    (void)codes;
    return factor * sum;
}

/* start + products of n vectors of codes with q */
CM_INLINE vi dot(const vi *u, int n, const void *q, vi start, struct dot how)
{
    (void)how;
    CM_UNROLL
    for (int g = 0; g < n; g++) start = vi_dot4(start, u[g], vi_broadcast((const uint8_t *)q + 4 * g));
    return start;
}

/* dot() of a whole block. A dot product waits about 4 cycles for the one whose result it adds to. In a single chain of
 * 8, waiting ones would fill the scheduler before enough tokens are under way, so there are four short chains. */
CM_INLINE vi dot_block(const vi u[8], const void *q, vi start, struct dot how)
{
    vi sums[4] = { start, vi_zero(), vi_zero(), vi_zero() };
    (void)how;
    CM_UNROLL
    for (int g = 0; g < 8; g++)
        sums[g % 4] = vi_dot4(sums[g % 4], u[g], vi_broadcast((const uint8_t *)q + 4 * g));
    return V(add_epi32)(V(add_epi32)(sums[0], sums[1]), V(add_epi32)(sums[2], sums[3]));
}

/* A scale (int32 lanes in the range of int16) in the form that scaled_dot() needs. */
CM_INLINE vi scale_of(vi scale)
{
    return scale;
}

/* scale * (start + products of n vectors of codes with q) */
CM_INLINE vi scaled_dot(const vi *u, int n, const void *q, vi start, vi scale, struct dot how)
{
    return V(mullo_epi32)(dot(u, n, q, start, how), scale);
}
#else
enum { SIGNED_OFFSET = 0 };

CM_INLINE vi code_of_signed(vi w)
{
    return w;
}

/* factor * (sum of codes 0, 1, 4, 5, 8, … of 16) and the same of the others, as an int16 pair */
CM_INLINE int32_t start_of(const int8_t *codes, int sum, int factor)
{
    const __m128i all = _mm_loadu_si128((const __m128i *)(const void *)codes);
    const __m128i sums = _mm_maddubs_epi16(_mm_set1_epi8(1), all);
    const __m128i half = _mm_add_epi16(sums, _mm_srli_si128(sums, 8));
    const __m128i pair = _mm_add_epi16(half, _mm_srli_si128(half, 4));
    (void)sum;
    return _mm_cvtsi128_si32(_mm_mullo_epi16(pair, _mm_set1_epi16((short)factor)));
}

CM_INLINE vi scale_of(vi scale)
{
    return vi_pair(scale, scale);
}

/* The products of n vectors of codes with q, in each lane, as pairs of int16 that are to be added up; multiplied by the
 * lane's int16 pair `scale`, exactly in int32. start is also such a pair, from which the sum begins.
 *
 * `vpmaddubsw` adds two products u * q in int16, where u is unsigned. `chain` of its results may be added before they
 * must be widened: chain * 2 * max(|w|) * 127 <= 32767, where w is u minus what start subtracts. (Intermediate sums may
 * wrap around; only the last one counts.) With is_signed, codes are -128 … 127: then |w| is multiplied by q with w's
 * sign, 2 * 128 * 127 = 32512, and chain is 1. */
CM_INLINE vi scaled_dot(const vi *u, int n, const void *q, vi start, vi scale, struct dot how)
{
    vi sum = vi_zero(), part = start;
    CM_UNROLL
    for (int g = 0; g < n; g++) {
        const vi four = vi_broadcast((const uint8_t *)q + 4 * g);
        const vi products = how.is_signed
                                ? V(maddubs_epi16)(V(abs_epi8)(u[g]), V(sign_epi8)(four, u[g]))
                                : V(maddubs_epi16)(u[g], four);
        part = g > 0 && g % how.chain == 0 ? products : V(add_epi16)(part, products);
        if (g % how.chain == how.chain - 1 || g == n - 1)
            sum = V(add_epi32)(sum, V(madd_epi16)(part, scale));
    }
    return sum;
}

/* start + products of n vectors of codes with q; start is int32 */
CM_INLINE vi dot(const vi *u, int n, const void *q, vi start, struct dot how)
{
    return V(add_epi32)(start, scaled_dot(u, n, q, vi_zero(), V(set1_epi16)(1), how));
}

CM_INLINE vi dot_block(const vi u[8], const void *q, vi start, struct dot how)
{
    return dot(u, 8, q, start, how);
}
#endif

/* the code book of quant/nibbles.c */
CM_INLINE vi book_iq4_nl(void)
{
    static const int8_t values[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
    return code_of_signed(vi_copies(values));
}

#endif
