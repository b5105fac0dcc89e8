/* linear_blocks_avx2.c - weight types with blocks of 32, pack16: lane = row, two vectors of 8 rows.
 *
 * A block of a tile becomes 8 vectors of codes for each half, 8 lanes of 4 k-values each: unsigned
 * u = w + offset, or signed w where that would overflow (linear_avx2.h). The products that the offset adds
 * are taken off through the sums of the activations:
 *
 *     idot = sum_k u_k q_k - offset * asum          (exact int32)
 *     acc  = fmaf((float)idot, dw * da, acc)
 *     acc  = fmaf(m * da, (float)asum, acc)          where the type has a minimum */
#include "kernels/avx2/linear_avx2.h"

struct form {
    size_t n_bytes; /* of a block of 16 rows */
    int    offset;
    int    chain; /* see scaled_products() */
    bool   is_signed;
    bool   has_minimum;
    __m256 (*scale)(const uint8_t *block, int half);
    void (*codes)(const uint8_t *block, int half, __m256i w[8]);
};

/* 4 x 64 bytes of nibbles: the low ones are k-groups 0 … 3, the high ones 4 … 7. */
CM_INLINE void split_nibbles(const uint8_t *at, int half, __m256i w[8])
{
    CM_UNROLL
    for (int g = 0; g < 4; g++) {
        const __m256i v = load32(at + 64 * g + 32 * half);
        w[g] = mask8(v, 15);
        w[g + 4] = mask8(_mm256_srli_epi16(v, 4), 15);
    }
}

/* One u32 for each row: bit k becomes bit 4 of code k. */
CM_INLINE void add_fifth_bits(const uint8_t *at, int half, __m256i w[8])
{
    const __m256i bits = load32(at + 32 * half);
    const __m256i lane_start = _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0, 0x04040404,
                                                 0x08080808, 0x0c0c0c0c);
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        /* the byte with bits 4 g … 4 g + 3 in all 4 bytes of the lane; byte i tests its own bit */
        const __m256i from = _mm256_add_epi8(lane_start, _mm256_set1_epi8((char)(g / 2)));
        const __m256i own = _mm256_set1_epi32(g % 2 == 0 ? 0x08040201 : (int)0x80402010);
        const __m256i found = _mm256_and_si256(_mm256_shuffle_epi8(bits, from), own);
        w[g] = _mm256_or_si256(w[g], mask8(_mm256_cmpeq_epi8(found, own), 16));
    }
}

CM_INLINE void look_up(__m128i book, __m256i w[8])
{
    const __m256i both = _mm256_broadcastsi128_si256(book);
    CM_UNROLL
    for (int g = 0; g < 8; g++) w[g] = _mm256_shuffle_epi8(both, w[g]);
}

CM_INLINE void codes_q8_0(const uint8_t *block, int half, __m256i w[8])
{
    CM_UNROLL
    for (int g = 0; g < 8; g++) w[g] = load32(block + 32 + 64 * g + 32 * half);
}

CM_INLINE void codes_q4_0(const uint8_t *block, int half, __m256i w[8])
{
    split_nibbles(block + 32, half, w);
}

CM_INLINE void codes_q4_1(const uint8_t *block, int half, __m256i w[8])
{
    split_nibbles(block + 64, half, w);
}

CM_INLINE void codes_q5_0(const uint8_t *block, int half, __m256i w[8])
{
    split_nibbles(block + 96, half, w);
    add_fifth_bits(block + 32, half, w);
}

CM_INLINE void codes_q5_1(const uint8_t *block, int half, __m256i w[8])
{
    split_nibbles(block + 128, half, w);
    add_fifth_bits(block + 64, half, w);
}

/* the code book of quant/nibbles.c */
CM_INLINE void codes_iq4_nl(const uint8_t *block, int half, __m256i w[8])
{
    split_nibbles(block + 32, half, w);
    look_up(_mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113), w);
}

/* the doubled values of quant/mxfp4.c, + 12 */
CM_INLINE void codes_mxfp4(const uint8_t *block, int half, __m256i w[8])
{
    split_nibbles(block + 16, half, w);
    look_up(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0), w);
}

/* 2^(e - 128): exponent field e - 1, or for e < 2 a subnormal fraction */
CM_INLINE __m256 scale_mxfp4(const uint8_t *block, int half)
{
    const __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(block + 8 * half)));
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x200000), e);
    const __m256i is_normal = _mm256_cmpgt_epi32(e, _mm256_set1_epi32(1));
    return _mm256_castsi256_ps(_mm256_blendv_epi8(subnormal, normal, is_normal));
}

CM_INLINE void add_block(const uint8_t *block, const struct token_group *x, size_t b, int half,
                         const int n_tokens, __m256 acc[CM_TOKENS][2], const struct form form)
{
    const __m256i ones = _mm256_set1_epi16(1), offset = _mm256_set1_epi16((short)form.offset);
    const __m256  dw = form.scale(block, half);
    __m256i       w[8];
    form.codes(block, half, w);
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) {
        const int8_t  *q = x->codes[t] + 32 * b;
        const int16_t *sums = x->sums[t] + 2 * b;
        const __m256   da = _mm256_set1_ps(x->scales[t][b]);
        __m256i        idot = scaled_products(w, q, 0, 8, form.chain, form.is_signed, ones);
        if (form.offset != 0)
            idot = _mm256_sub_epi32(idot, _mm256_madd_epi16(offset, broadcast(sums)));
        acc[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(idot), _mm256_mul_ps(dw, da), acc[t][half]);
        if (form.has_minimum) {
            const __m256 m = load_halves(block + 32, half);
            const __m256 asum = _mm256_set1_ps((float)(sums[0] + sums[1]));
            acc[t][half] = _mm256_fmadd_ps(_mm256_mul_ps(m, da), asum, acc[t][half]);
        }
    }
}

CM_INLINE void dot_blocks(const uint8_t *tile, const struct token_group *x, size_t n_columns,
                          const int n_tokens, float out[CM_TOKENS][CM_TILE], const struct form form)
{
    const size_t n_blocks = n_columns / 32;
    __m256       acc[CM_TOKENS][2];
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++) {
        if (n_tokens > 2) cm_prefetch(tile + b * form.n_bytes, form.n_bytes);
        add_block(tile + b * form.n_bytes, x, b, 0, n_tokens, acc, form);
        add_block(tile + b * form.n_bytes, x, b, 1, n_tokens, acc, form);
    }
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) {
        _mm256_store_ps(out[t], acc[t][0]);
        _mm256_store_ps(out[t] + 8, acc[t][1]);
    }
}

#define BLOCK_KERNEL(type, TYPE, n_bytes, offset, chain, is_signed, has_minimum, scale)   \
    CM_LINEAR_KERNEL(type, TYPE, avx2, dot_blocks,                                        \
                     (struct form){ n_bytes, offset, chain, is_signed, has_minimum, scale, \
                                    codes_##type })

/*                         bytes offset chain signed min */
BLOCK_KERNEL(q4_0, Q4_0,     288,  8, 8, false, false, load_halves)
BLOCK_KERNEL(q4_1, Q4_1,     320,  0, 8, false, true,  load_halves)
BLOCK_KERNEL(q5_0, Q5_0,     352, 16, 4, false, false, load_halves)
BLOCK_KERNEL(q5_1, Q5_1,     384,  0, 4, false, true,  load_halves)
BLOCK_KERNEL(q8_0, Q8_0,     544,  0, 1, true,  false, load_halves)
BLOCK_KERNEL(iq4_nl, IQ4_NL, 288,  0, 1, true,  false, load_halves)
BLOCK_KERNEL(mxfp4, MXFP4,   272, 12, 4, false, false, scale_mxfp4)
