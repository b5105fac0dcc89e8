/* linear_blocks_avx512vnni.c - weight types with blocks of 32, pack16: lane = row.
 *
 * A block of a tile becomes 8 vectors of unsigned codes u = w + offset, 16 lanes of 4 k-values each, for
 * `vpdpbusd`; the products that the offset adds are taken off through the sums of the activations:
 *
 *     idot = sum_k u_k q_k - offset * asum          (exact int32)
 *     acc  = fmaf((float)idot, dw * da, acc)
 *     acc  = fmaf(m * da, (float)asum, acc)          where the type has a minimum */
#include "kernels/avx512vnni/linear_avx512vnni.h"

struct form {
    size_t n_bytes; /* of a block of 16 rows */
    int    offset;
    bool   has_minimum;
    __m512 (*scale)(const uint8_t *block);
    void (*codes)(const uint8_t *block, __m512i u[8]);
};

/* 4 x 64 bytes of nibbles: the low ones are k-groups 0 … 3, the high ones 4 … 7. */
CM_INLINE void split_nibbles(const uint8_t *at, __m512i u[8])
{
    CM_UNROLL
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
    CM_UNROLL
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
    CM_UNROLL
    for (int g = 0; g < 8; g++) u[g] = _mm512_shuffle_epi8(book, u[g]);
}

CM_INLINE void codes_q8_0(const uint8_t *block, __m512i u[8])
{
    CM_UNROLL
    for (int g = 0; g < 8; g++)
        u[g] = _mm512_xor_si512(load64(block + 32 + 64 * g), _mm512_set1_epi8((char)0x80));
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

/* the code book of quant/nibbles.c, + 128 */
CM_INLINE void codes_iq4_nl(const uint8_t *block, __m512i u[8])
{
    const __m128i book = _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153,
                                       (char)166, (char)181, (char)197, (char)217, (char)241);
    split_nibbles(block + 32, u);
    look_up(_mm512_broadcast_i32x4(book), u);
}

/* the doubled values of quant/mxfp4.c, + 12 */
CM_INLINE void codes_mxfp4(const uint8_t *block, __m512i u[8])
{
    const __m128i book = _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
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

CM_INLINE void dot_blocks(const uint8_t *tile, const struct token_group *x, size_t n_columns,
                          const int n_tokens, float out[CM_TOKENS][CM_TILE], const struct form form)
{
    const __m512i offset = _mm512_set1_epi16((short)-form.offset);
    const size_t  n_blocks = n_columns / 32;
    __m512        acc[CM_TOKENS];
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) acc[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *block = tile + b * form.n_bytes;
        const __m512   dw = form.scale(block);
        __m512i        u[8];
        if (n_tokens > 2) cm_prefetch(block, form.n_bytes);
        form.codes(block, u);
        CM_UNROLL
        for (int t = 0; t < n_tokens; t++) {
            const int16_t *sums = x->sums[t] + 2 * b;
            const __m512   da = _mm512_set1_ps(x->scales[t][b]);
            __m512i        idot = _mm512_setzero_si512();
            if (form.offset != 0) idot = _mm512_dpwssd_epi32(idot, offset, broadcast(sums));
            CM_UNROLL
            for (int g = 0; g < 8; g++)
                idot = _mm512_dpbusd_epi32(idot, u[g], broadcast(x->codes[t] + 32 * b + 4 * g));
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(idot), _mm512_mul_ps(dw, da), acc[t]);
            if (form.has_minimum) {
                const __m512 m = load_halves(block + 32);
                const __m512 asum = _mm512_set1_ps((float)(sums[0] + sums[1]));
                acc[t] = _mm512_fmadd_ps(_mm512_mul_ps(m, da), asum, acc[t]);
            }
        }
    }
    CM_UNROLL
    for (int t = 0; t < n_tokens; t++) _mm512_store_ps(out[t], acc[t]);
}

#define BLOCK_KERNEL(type, TYPE, n_bytes, offset, has_minimum, scale)    \
    CM_LINEAR_KERNEL(type, TYPE, avx512vnni, dot_blocks,                 \
                     (struct form){ n_bytes, offset, has_minimum, scale, codes_##type })

BLOCK_KERNEL(q4_0, Q4_0, 288, 8, false, load_halves)
BLOCK_KERNEL(q4_1, Q4_1, 320, 0, true, load_halves)
BLOCK_KERNEL(q5_0, Q5_0, 352, 16, false, load_halves)
BLOCK_KERNEL(q5_1, Q5_1, 384, 0, true, load_halves)
BLOCK_KERNEL(q8_0, Q8_0, 544, 128, false, load_halves)
BLOCK_KERNEL(iq4_nl, IQ4_NL, 288, 128, false, load_halves)
BLOCK_KERNEL(mxfp4, MXFP4, 272, 12, false, scale_mxfp4)
