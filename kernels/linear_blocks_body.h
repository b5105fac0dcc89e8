/* linear_blocks_body.h - weight types with blocks of 32, pack16: lane = row. Compiled once for each
 * instruction set, on vectors from its linear_lanes_*.h:
 *
 *     vi, vf       LANES lanes of 4 bytes, LANES floats; a tile's 16 rows are HALVES vectors
 *     V(name)      the intrinsic of that width: V(add_epi32) is _mm512_add_epi32 or _mm256_add_epi32; on other
 *                  processors than x86, a function that does the same
 *     shift_count  the type of the count that V(slli_epi16) takes
 *     vi_dot4      sum + 4 products u * q of a lane (CM_HAS_DOT4), u unsigned or else (CM_DOT4_IS_SIGNED) signed as q;
 *                  without it see linear_common_body.h
 *     vi_dot2      sum + 2 products of int16
 *     vi_pair      (low, high) of int32 lanes as int16 pairs
 *     vi_copies    16 bytes again and again; shuffles look up within such 16
 *
 * A block of a tile becomes 8 vectors of unsigned codes u = w + offset, with 4 k-values in each lane. The sum starts
 * from -offset * asum, which the panel holds, to cancel the products that the offset adds:
 *
 *     idot = -offset * asum + sum_k u_k q_k          (exact int32)
 *     acc  = fmaf((float)idot, dw * da, acc)
 *     acc  = fmaf(m * da, (float)asum, acc)          where the type has a minimum
 *
 * For each block and token that makes 8 vi_dot4, one product, one fmaf and one conversion for 16 rows. On a CPU where
 * the first three share one multiplying pipe, at most 8 / 10 of the peak can be reached. */
#ifndef KERNELS_LINEAR_BLOCKS_BODY_H
#define KERNELS_LINEAR_BLOCKS_BODY_H

#include "kernels/linear_common_body.h"

struct form {
    size_t n_bytes; /* of a block of 16 rows             */
    struct dot dot;
    bool   has_minimum;
    vf (*scale)(const uint8_t *at);
    void (*codes)(const uint8_t *block, vi u[8]); /* block: + 32 for the second half of the rows */
};

/* A panel holds for each block: codes (n_tokens, 32), starts (n_tokens), scales (n_tokens). */
enum { PANEL_BLOCK = 32 + 4 + 4 };

CM_INLINE void lay_blocks(const struct activations *x, const size_t *rows, int n_tokens, size_t k,
                          size_t n_columns, uint8_t *panel, int offset, bool has_minimum)
{
    const size_t n = (size_t)n_tokens, n_blocks = (size_t)x->n_columns / 32, first = k / 32;
    for (size_t t = 0; t < n; t++) {
        const int8_t  *codes = x->q32.codes + rows[t] * (size_t)x->n_columns + k;
        const float   *scales = x->q32.scales + rows[t] * n_blocks + first;
        const int16_t *sums = x->q32.sums + 2 * (rows[t] * n_blocks + first);
        uint8_t       *to = panel;
        for (size_t b = 0; b < n_columns / 32; b++, to += n * PANEL_BLOCK) {
            const int32_t sum = sums[2 * b] + sums[2 * b + 1], start = -offset * sum;
            const float   sum_as_float = (float)sum;
            memcpy(to + 32 * t, codes + 32 * b, 32);
            memcpy(to + 32 * n + 4 * t, has_minimum ? (const void *)&sum_as_float : &start, 4);
            memcpy(to + 36 * n + 4 * t, scales + b, 4);
        }
    }
}

/* 4 x 64 bytes of nibbles: the low nibbles are k-groups 0 … 3, the high ones k-groups 4 … 7. */
CM_INLINE void split_nibbles(const uint8_t *at, vi u[8])
{
    CM_UNROLL
    for (int g = 0; g < 4; g++) {
        const vi v = vi_load(at + 64 * g);
        u[g] = mask8(v, 15);
        u[g + 4] = mask8(V(srli_epi16)(v, 4), 15);
    }
}

/* One u32 for each row: bit k becomes bit 4 of code k. */
CM_INLINE void add_fifth_bits(const uint8_t *at, vi u[8])
{
    const vi bits = vi_load(at);
    const vi lane_start = lane_starts();
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        /* the byte with bits 4 g … 4 g + 3 in all 4 bytes of the lane; byte i tests its own bit */
        const vi from = V(add_epi8)(lane_start, V(set1_epi8)((char)(g / 2)));
        const vi own = V(set1_epi32)(g % 2 == 0 ? 0x08040201 : (int)0x80402010);
        u[g] = vi_add_where(u[g], V(shuffle_epi8)(bits, from), own, V(set1_epi8)(16));
    }
}

CM_INLINE void look_up(vi book, vi u[8])
{
    CM_UNROLL
    for (int g = 0; g < 8; g++) u[g] = V(shuffle_epi8)(book, u[g]);
}

CM_INLINE void codes_q8_0(const uint8_t *block, vi u[8])
{
    CM_UNROLL
    for (int g = 0; g < 8; g++) u[g] = code_of_signed(vi_load(block + 32 + 64 * g));
}

CM_INLINE void codes_q4_0(const uint8_t *block, vi u[8])
{
    split_nibbles(block + 32, u);
}

CM_INLINE void codes_q4_1(const uint8_t *block, vi u[8])
{
    split_nibbles(block + 64, u);
}

CM_INLINE void codes_q5_0(const uint8_t *block, vi u[8])
{
    split_nibbles(block + 96, u);
    add_fifth_bits(block + 32, u);
}

CM_INLINE void codes_q5_1(const uint8_t *block, vi u[8])
{
    split_nibbles(block + 128, u);
    add_fifth_bits(block + 64, u);
}

CM_INLINE void codes_iq4_nl(const uint8_t *block, vi u[8])
{
    split_nibbles(block + 32, u);
    look_up(book_iq4_nl(), u);
}

/* the doubled values of quant/mxfp4.c, + 16 */
CM_INLINE void codes_mxfp4(const uint8_t *block, vi u[8])
{
    split_nibbles(block + 16, u);
    static const int8_t values[16] = { 16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4 };
    look_up(vi_copies(values), u);
}

/* 2^(e - 128): exponent field e - 1, or for e < 2 a subnormal fraction */
CM_INLINE vf scale_mxfp4(const uint8_t *at)
{
    const vi e = vi_of_u8(at);
    const vi normal = V(slli_epi32)(V(sub_epi32)(e, V(set1_epi32)(1)), 23);
    return vf_of_bits(vi_choose_greater1(e, normal, V(sllv_epi32)(V(set1_epi32)(0x200000), e)));
}

/* Multiplies half of the rows (or all) of a block with all tokens; `scales` points to the scales of these rows. Sums
 * stay in memory, which costs a load and a store that no other instruction waits for. So all registers are available
 * for codes, and one body serves any number of tokens. */
CM_INLINE void add_block(const uint8_t *block, const uint8_t *scales, const uint8_t *panel, size_t n_tokens,
                         float (*sums)[CM_TILE], const struct form form)
{
    const vf dw = form.scale(scales);
    const vf m = form.has_minimum ? vf_of_halves(scales + 32) : dw;
    vi       u[8];
    form.codes(block, u);
    for (size_t t = 0; t < n_tokens; t++) {
        const uint8_t *start = panel + 32 * n_tokens + 4 * t;
        const vf       da = vf_broadcast(panel + 36 * n_tokens + 4 * t);
        const vi       idot =
            dot_block(u, panel + 32 * t, form.has_minimum ? vi_zero() : vi_broadcast(start), form.dot);
        vf acc = V(fmadd_ps)(V(cvtepi32_ps)(idot), V(mul_ps)(dw, da), V(loadu_ps)(sums[t]));
        if (form.has_minimum) acc = V(fmadd_ps)(V(mul_ps)(m, da), vf_broadcast(start), acc);
        V(storeu_ps)(sums[t], acc);
    }
}

CM_INLINE void add_some_blocks(const uint8_t *tile, const uint8_t *panel, size_t n_columns, const size_t n_tokens,
                               struct read_ahead ahead, float sums[CM_GROUP][CM_TILE], const struct form form)
{
    const size_t scale_bytes = form.scale == scale_mxfp4 ? 1 : 2;
    for (size_t b = 0; b < n_columns / 32; b++) {
        cm_prefetch(tile, n_tokens > 2 || ahead.takes_all ? form.n_bytes : n_tokens == 1 ? CM_LINE : 0, ahead);
        for (size_t first = 0; first < CM_TILE; first += LANES) /* of the rows */
            add_block(tile + 4 * first, tile + scale_bytes * first, panel, n_tokens,
                      (float(*)[CM_TILE])(void *)(sums[0] + first), form);
        tile += form.n_bytes;
        panel += n_tokens * PANEL_BLOCK;
    }
}

/* A single token, as in generation, has a separate body for each way to prefetch; there the sum is in a register after
 * all. */
CM_INLINE void add_blocks(const uint8_t *tile, const uint8_t *panel, size_t n_columns, int n_tokens,
                          struct read_ahead ahead, float sums[CM_GROUP][CM_TILE], const struct form form)
{
    const struct read_ahead all = { ahead.distance, true }, some = { ahead.distance, false };
    if (n_tokens == 1 && ahead.takes_all) add_some_blocks(tile, panel, n_columns, 1, all, sums, form);
    else if (n_tokens == 1) add_some_blocks(tile, panel, n_columns, 1, some, sums, form);
    else add_some_blocks(tile, panel, n_columns, (size_t)n_tokens, ahead, sums, form);
}

#define BLOCK_KERNEL(type, TYPE, n_bytes, offset, chain, is_signed, has_minimum, scale)                 \
    static void lay_##type(const struct activations *x, const size_t *rows, int n_tokens, size_t k,     \
                           size_t n_columns, uint8_t *panel)                                            \
    {                                                                                                   \
        lay_blocks(x, rows, n_tokens, k, n_columns, panel, is_signed ? SIGNED_OFFSET : offset,          \
                   has_minimum);                                                                        \
    }                                                                                                   \
    CM_LINEAR_KERNEL(type, TYPE, TOKENS,   8 * PANEL_BLOCK, lay_##type, add_blocks,                       \
                     (struct form){ n_bytes, { chain, is_signed }, has_minimum, scale, codes_##type })

/*                         bytes offset chain signed min */
BLOCK_KERNEL(q4_0, Q4_0,     288,  8, 8, false, false, vf_of_halves)
BLOCK_KERNEL(q4_1, Q4_1,     320,  0, 8, false, true,  vf_of_halves)
BLOCK_KERNEL(q5_0, Q5_0,     352, 16, 4, false, false, vf_of_halves)
BLOCK_KERNEL(q5_1, Q5_1,     384,  0, 4, false, true,  vf_of_halves)
BLOCK_KERNEL(q8_0, Q8_0,     544,  0, 1, true,  false, vf_of_halves)
BLOCK_KERNEL(iq4_nl, IQ4_NL, 288,  0, 1, true,  false, vf_of_halves)
BLOCK_KERNEL(mxfp4, MXFP4,   272, 16, 4, false, false, scale_mxfp4)

#endif
