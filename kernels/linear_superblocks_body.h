/* linear_superblocks_body.h - weight types with superblocks of 256, pack16: lane = row. Compiled once for each
 * instruction set, with the vectors that linear_blocks_body.h explains.
 *
 * A superblock is taken in 4 steps of 2 x 32 weights that share bytes. Each 32 become 8 vectors of
 * codes u = w + offset, 4 k-values a lane; all sums are exact int32:
 *
 *     isum = sum_j sc_j * (-offset * asum_j + sum_k u_k q_k)
 *     acc  = fmaf((float)isum, d * da, acc)
 *     msum = sum_j m_j * asum_j
 *     acc  = fmaf(-(float)msum, dmin * da, acc)        where the type has a minimum
 *
 * What depends only on the input is computed once and held in the panel: -offset * asum_j, from which a sum starts, or
 * the asum_j as int16 pairs, for minimums. If the level has a dot product of four unsigned bytes, and if there are
 * enough tokens to make it worthwhile, the scales of Q2_K and Q3_K are multiplied into the codes beforehand (folded, sc
 * * u < 256); that saves all products with scales. */
#ifndef KERNELS_LINEAR_SUPERBLOCKS_BODY_H
#define KERNELS_LINEAR_SUPERBLOCKS_BODY_H

#include "kernels/linear_common_body.h"
#include "kernels/quant/code_book.h"

/* There is a scale for each 32 weights (8 scales) or for each 16 (16 scales); likewise minimums. */
struct scales {
    vi of[16];    /* in the form that scaled_dot() needs; folded: tables for the codes */
    vi other[16]; /* minimums as int32; Q3_K folded: 4 sc in each byte        */
};

/* What the panel holds for each token besides codes and scale, in 17 words of 4 bytes. */
enum panel_sums {
    SUMS_NONE,
    SUMS_STARTS32, /* for each 32: -offset * asum                                       */
    SUMS_STARTS16, /* for each 16; without vi_dot4 as an int16 pair for scaled_dot(). And
                    * one for all, as Q3_K wants it folded                               */
    SUMS_PAIRS32,  /* the asum of each 32 as int16                                  */
    SUMS_PAIRS16   /* of each 16                                                    */
};

struct form {
    size_t          n_bytes; /* of a superblock of 16 rows */
    struct dot      dot;
    enum panel_sums sums; /* pairs: the type has minimums, and dmin follows d */
    bool            is_folded;
    int             n_scales; /* 8 or 16 */
    bool            has_planes; /* codes lie in two planes: two streams to read */
    int             apart;    /* the two 32 of a step: neighbours (1) or not (2), see index_of() */
    float           unit;     /* d is in units of it: a power of two                             */
    /* block: + 32 for the second half of the rows; halves: what float16 or u16 fields want beside that */
    void (*scales)(const uint8_t *block, const uint8_t *halves, bool is_folded, struct scales *out);
    void (*codes)(const uint8_t *block, int step, int side, bool is_folded, const struct scales *sc, vi u[8]);
};

/* Which 32 weights of the superblock are side 0 or 1 of a step. */
CM_INLINE int index_of(int step, int side, int apart)
{
    return apart == 1 ? 2 * step + side : 4 * (step / 2) + step % 2 + 2 * side;
}

/* Lane words of four bytes each to four vectors of int32. */
CM_INLINE void widen_unsigned(vi bytes, vi *out)
{
    const vi low = V(set1_epi32)(255);
    out[0] = vi_and(bytes, low);
    out[1] = vi_and(V(srli_epi32)(bytes, 8), low);
    out[2] = vi_and(V(srli_epi32)(bytes, 16), low);
    out[3] = V(srli_epi32)(bytes, 24);
}

CM_INLINE void widen_signed(vi bytes, vi *out)
{
    out[0] = V(srai_epi32)(V(slli_epi32)(bytes, 24), 24);
    out[1] = V(srai_epi32)(V(slli_epi32)(bytes, 16), 24);
    out[2] = V(srai_epi32)(V(slli_epi32)(bytes, 8), 24);
    out[3] = V(srai_epi32)(bytes, 24);
}

/* The low or (side 1) the high nibbles, or more bits, of each byte. */
CM_INLINE vi nibbles(const uint8_t *at, int side)
{
    const vi v = vi_load(at);
    return mask8(side == 0 ? v : V(srli_epi16)(v, 4), 15);
}

/* Q4_K, Q5_K: d, dmin, 3 words of scales. The bit layout is told in quant/nibbles.c. */
CM_INLINE void scales_q4_k(const uint8_t *block, const uint8_t *halves, bool is_folded, struct scales *out)
{
    const vi s0 = vi_load(block + 64), s1 = vi_load(block + 128), s2 = vi_load(block + 192);
    const vi top_scales = mask8(V(srli_epi16)(s0, 2), 0x30);
    const vi top_minimums = mask8(V(srli_epi16)(s1, 2), 0x30);
    (void)halves;
    (void)is_folded;
    widen_unsigned(mask8(s0, 63), out->of);
    widen_unsigned(vi_or(mask8(s2, 15), top_scales), out->of + 4);
    widen_unsigned(mask8(s1, 63), out->other);
    widen_unsigned(vi_or(mask8(V(srli_epi16)(s2, 4), 15), top_minimums), out->other + 4);
    CM_UNROLL
    for (int j = 0; j < 8; j++) out->of[j] = scale_of(out->of[j]);
}

CM_INLINE void codes_q4_k(const uint8_t *block, int step, int side, bool is_folded, const struct scales *sc,
                          vi u[8])
{
    (void)sc;
    (void)is_folded;
    CM_UNROLL
    for (int g = 0; g < 8; g++) u[g] = nibbles(block + 256 + 512 * step + 64 * g, side);
}

CM_INLINE void codes_q5_k(const uint8_t *block, int step, int side, bool is_folded, const struct scales *sc,
                          vi u[8])
{
    (void)sc;
    (void)is_folded;
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const vi fifth = move_bits(vi_load(block + 256 + 64 * g), 2 * step + side, 4, 16);
        u[g] = vi_or(nibbles(block + 768 + 512 * step + 64 * g, side), fifth);
    }
}

/* Q6_K: d, 4 words of scales, then for each 128 weights 8 words of bit pairs and 16 of nibbles */
CM_INLINE void scales_q6_k(const uint8_t *block, const uint8_t *halves, bool is_folded, struct scales *out)
{
    (void)halves;
    (void)is_folded;
    CM_UNROLL
    for (int i = 0; i < 4; i++) widen_signed(vi_load(block + 32 + 64 * i), out->of + 4 * i);
    CM_UNROLL
    for (int j = 0; j < 16; j++) out->of[j] = scale_of(out->of[j]);
}

/* A byte of nibbles has weights that are 64 apart. */
CM_INLINE void codes_q6_k(const uint8_t *block, int step, int side, bool is_folded, const struct scales *sc,
                          vi u[8])
{
    const uint8_t *pairs = block + 288 + 1536 * (step / 2);
    const uint8_t *low = block + 800 + 1536 * (step / 2) + 512 * (step % 2);
    (void)sc;
    (void)is_folded;
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const vi pair_bits = move_bits(vi_load(pairs + 64 * g), 2 * (step % 2) + 4 * side, 4, 48);
        u[g] = vi_or(nibbles(low + 64 * g, side), pair_bits);
    }
}

/* Q2_K: d, dmin, 4 words of scales (low nibble) and minimums (high), 16 of bit pairs. Folded, a lane of `of`
 * is the table 0, sc, 2 sc, 3 sc. */
CM_INLINE void scales_q2_k(const uint8_t *block, const uint8_t *halves, bool is_folded, struct scales *out)
{
    (void)halves;
    CM_UNROLL
    for (int i = 0; i < 4; i++) {
        const vi both = vi_load(block + 64 + 64 * i);
        widen_unsigned(mask8(both, 15), out->of + 4 * i);
        widen_unsigned(mask8(V(srli_epi16)(both, 4), 15), out->other + 4 * i);
    }
    CM_UNROLL
    for (int j = 0; j < 16; j++)
        out->of[j] = is_folded ? V(mullo_epi32)(out->of[j], V(set1_epi32)(0x03020100))
                               : scale_of(out->of[j]);
}

CM_INLINE void codes_q2_k(const uint8_t *block, int step, int side, bool is_folded, const struct scales *sc,
                          vi u[8])
{
    const uint8_t *pairs = block + 320 + 512 * (step / 2);
    const vi      *tables = sc->of + 4 * step + 2 * side;
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const vi bits = move_bits(vi_load(pairs + 64 * g), 4 * (step % 2) + 2 * side, 0, 3);
        u[g] = is_folded ? V(shuffle_epi8)(tables[g / 4], vi_or(bits, lane_starts())) : bits;
    }
}

/* Q3_K: d, 3 words of scales, 8 of third bits, 16 of bit pairs. Scale bytes: the low nibbles of words 0
 * and 1 are scales 0-7, their high nibbles 8-15; word 2 has the top two bits, 4 scales in each step.
 * Folded, a lane of `of` is the table 124 - 4 sc, 124 - 3 sc, 124 - 2 sc, 124 - sc in bytes. */
CM_INLINE void tables_q3_k(vi *of, vi *other)
{
    const vi one = V(mullo_epi32)(vi_and(*of, V(set1_epi32)(255)), V(set1_epi32)(0x01010101));
    const vi two = mask8(V(slli_epi16)(one, 1), 0xfe), four = mask8(V(slli_epi16)(one, 2), 0xfc);
    const vi first = V(sub_epi8)(V(set1_epi8)(124), four);
    const vi odd = vi_and(one, V(set1_epi32)((int)0xff00ff00)), top = vi_and(two, V(set1_epi32)((int)0xffff0000));
    *of = V(add_epi8)(first, V(add_epi8)(odd, top));
    *other = four;
}

CM_INLINE void scales_q3_k(const uint8_t *block, const uint8_t *halves, bool is_folded, struct scales *out)
{
    const vi top = vi_load(block + 160);
    (void)halves;
    CM_UNROLL
    for (int i = 0; i < 4; i++) {
        const vi low = move_bits(vi_load(block + 32 + 64 * (i % 2)), 4 * (i / 2), 0, 15);
        const vi six_bits = vi_or(low, move_bits(top, 2 * i, 4, 48));
        widen_signed(V(sub_epi8)(six_bits, V(set1_epi8)(32)), out->of + 4 * i);
    }
    CM_UNROLL
    for (int j = 0; j < 16; j++) {
        if (is_folded) tables_q3_k(&out->of[j], &out->other[j]);
        else out->of[j] = scale_of(out->of[j]);
    }
}

CM_INLINE void codes_q3_k(const uint8_t *block, int step, int side, bool is_folded, const struct scales *sc,
                          vi u[8])
{
    const uint8_t *thirds = block + 224, *pairs = block + 736 + 512 * (step / 2);
    const vi      *tables = sc->of + 4 * step + 2 * side;
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const vi bits = move_bits(vi_load(pairs + 64 * g), 4 * (step % 2) + 2 * side, 0, 3);
        const vi thirds_of_8 = vi_load(thirds + 64 * g);
        if (is_folded)
            u[g] = vi_add_where(V(shuffle_epi8)(tables[g / 4], vi_or(bits, lane_starts())), thirds_of_8,
                                V(set1_epi8)((char)(1 << (2 * step + side))),
                                sc->other[4 * step + 2 * side + g / 4]);
        else
            u[g] = vi_or(bits, move_bits(thirds_of_8, 2 * step + side, 2, 4));
    }
}

/* IQ4_XS: d, top scale bits (u16), 1 word of low scale nibbles, 32 of nibbles */
CM_INLINE void scales_iq4_xs(const uint8_t *block, const uint8_t *halves, bool is_folded, struct scales *out)
{
    const vi top = vi_of_u16(halves + 32), low = vi_load(block + 64);
    (void)is_folded;
    CM_UNROLL
    for (int j = 0; j < 8; j++) {
        const vi nibble = vi_shift_right(low, 4 * j), high = vi_shift_right(top, 2 * j);
        const vi six_bits = vi_or(vi_and(nibble, V(set1_epi32)(15)),
                                  V(slli_epi32)(vi_and(high, V(set1_epi32)(3)), 4));
        out->of[j] = scale_of(V(sub_epi32)(six_bits, V(set1_epi32)(32)));
    }
}

CM_INLINE void codes_iq4_xs(const uint8_t *block, int step, int side, bool is_folded, const struct scales *sc,
                          vi u[8])
{
    const vi book = book_iq4_nl();
    (void)sc;
    (void)is_folded;
    CM_UNROLL
    for (int g = 0; g < 8; g++) { /* 4 vectors of nibbles for each 32 weights */
        const uint8_t *at = block + 128 + 512 * step + 256 * side + 64 * (g % 4);
        u[g] = V(shuffle_epi8)(book, nibbles(at, g / 4));
    }
}

/* Twice a nibble of each byte, the low or (side 1) the high one. */
CM_INLINE vi twice(vi bytes, int side)
{
    return side == 0 ? move_bits(bytes, 0, 1, 30) : move_bits(bytes, 4, 1, 30);
}

/* IQ1, IQ2: d, 2 words of nibbles s (as Q3_K's, of which 2 s + 1 is the scale), 8 of third bits, 16 of bit pairs */
CM_INLINE void scales_book_3(const uint8_t *block, const uint8_t *halves, bool is_folded, struct scales *out)
{
    (void)halves;
    (void)is_folded;
    CM_UNROLL
    for (int i = 0; i < 4; i++)
        widen_unsigned(vi_or(twice(vi_load(block + 32 + 64 * (i % 2)), i / 2), V(set1_epi8)(1)), out->of + 4 * i);
    CM_UNROLL
    for (int j = 0; j < 16; j++) out->of[j] = scale_of(out->of[j]);
}

CM_INLINE void codes_book_3(const uint8_t *block, int step, int side, vi book, vi u[8])
{
    const uint8_t *thirds = block + 160, *pairs = block + 672 + 512 * (step / 2);
    CM_UNROLL
    for (int g = 0; g < 8; g++) {
        const vi bits = move_bits(vi_load(pairs + 64 * g), 4 * (step % 2) + 2 * side, 0, 3);
        const vi third = move_bits(vi_load(thirds + 64 * g), 2 * step + side, 2, 4);
        u[g] = V(shuffle_epi8)(book, vi_or(bits, third));
    }
}

/* IQ3: d, 1 word of nibbles s, 32 of nibbles as IQ4_XS's */
CM_INLINE void scales_book_4(const uint8_t *block, const uint8_t *halves, bool is_folded, struct scales *out)
{
    (void)halves;
    (void)is_folded;
    CM_UNROLL
    for (int i = 0; i < 2; i++)
        widen_unsigned(vi_or(twice(vi_load(block + 32), i), V(set1_epi8)(1)), out->of + 4 * i);
    CM_UNROLL
    for (int j = 0; j < 8; j++) out->of[j] = scale_of(out->of[j]);
}

CM_INLINE void codes_book_4(const uint8_t *block, int step, int side, vi book, vi u[8])
{
    CM_UNROLL
    for (int g = 0; g < 8; g++)
        u[g] = V(shuffle_epi8)(book, nibbles(block + 96 + 512 * step + 256 * side + 64 * (g % 4), g / 4));
}

/* A panel holds for each superblock: codes (n_tokens, 256), sums (n_tokens, 17), scales (n_tokens). */
enum { PANEL_SUMS = 17 * 4, PANEL_SUPERBLOCK = 256 + PANEL_SUMS + 4, FOLDED_Q3_K = 124 / 4 };

/* Turns the sums of each 16 codes of a superblock into what the form needs. */
CM_INLINE void lay_sums(const int8_t *codes, const int16_t *sums, enum panel_sums form, int offset, uint8_t *to)
{
    int32_t starts[17] = { 0 };
    int16_t pairs[8];
    switch (form) {
    case SUMS_NONE: return;
    case SUMS_STARTS32:
        for (int j = 0; j < 8; j++) starts[j] = -offset * (sums[2 * j] + sums[2 * j + 1]);
        break;
    case SUMS_STARTS16:
        for (int j = 0; j < 16; j++) {
            starts[j] = start_of(codes + 16 * j, sums[j], -offset);
            starts[16] -= FOLDED_Q3_K * offset * sums[j];
        }
        break;
    case SUMS_PAIRS32:
        for (int j = 0; j < 8; j++) pairs[j] = (int16_t)(sums[2 * j] + sums[2 * j + 1]);
        memcpy(to, pairs, sizeof pairs);
        return;
    case SUMS_PAIRS16: memcpy(to, sums, 16 * sizeof sums[0]); return;
    }
    memcpy(to, starts, sizeof starts);
}

CM_INLINE void lay_superblocks(const struct activations *x, const size_t *rows, int n_tokens, size_t k,
                               size_t n_columns, uint8_t *panel, enum panel_sums form, int offset)
{
    const size_t n = (size_t)n_tokens, n_blocks = (size_t)x->n_columns / 256, first = k / 256;
    for (size_t t = 0; t < n; t++) {
        const int8_t  *codes = x->q256.codes + rows[t] * (size_t)x->n_columns + k;
        const float   *scales = x->q256.scales + rows[t] * n_blocks + first;
        const int16_t *sums = x->q256.sums + 16 * (rows[t] * n_blocks + first);
        uint8_t       *to = panel;
        for (size_t b = 0; b < n_columns / 256; b++, to += n * PANEL_SUPERBLOCK) {
            memcpy(to + 256 * t, codes + 256 * b, 256);
            lay_sums(codes + 256 * b, sums + 16 * b, form, offset, to + 256 * n + PANEL_SUMS * t);
            memcpy(to + (256 + PANEL_SUMS) * n + 4 * t, scales + b, 4);
        }
    }
}

/* isums[t] += scales * (products of the j-th 32 weights with token t), for all tokens */
CM_INLINE void add_products(const vi u[8], const uint8_t *panel, size_t n_tokens, int j, const struct scales *sc,
                            int32_t isums[CM_GROUP][LANES], const struct form form)
{
    const bool is_halved = form.n_scales == 16 && !form.is_folded;
    const bool has_starts = !form.is_folded && (form.sums == SUMS_STARTS32 || form.sums == SUMS_STARTS16);
    for (size_t t = 0; t < n_tokens; t++) {
        const uint8_t *q = panel + 256 * t + 32 * (size_t)j;
        const uint8_t *starts = panel + 256 * n_tokens + PANEL_SUMS * t + (is_halved ? 8 : 4) * (size_t)j;
        const vi       start = has_starts ? vi_broadcast(starts) : vi_zero();
        vi             isum = vi_load(isums[t]);
        if (form.is_folded) {
            isum = V(add_epi32)(isum, dot(u, 8, q, start, form.dot));
        } else if (!is_halved) {
            isum = V(add_epi32)(isum, scaled_dot(u, 8, q, start, sc->of[j], form.dot));
        } else {
            const vi second = has_starts ? vi_broadcast(starts + 4) : vi_zero();
            isum = V(add_epi32)(isum, scaled_dot(u, 4, q, start, sc->of[2 * j], form.dot));
            isum = V(add_epi32)(isum, scaled_dot(u + 4, 4, q + 16, second, sc->of[2 * j + 1], form.dot));
        }
        vi_store(isums[t], isum);
    }
}

/* acc = fmaf((float)isum, d * da, acc), and with a minimum acc = fmaf(-(float)msum, dmin * da, acc) */
CM_INLINE void add_scaled(const uint8_t *halves, const uint8_t *panel, size_t n_tokens, const struct scales *sc,
                          int32_t isums[CM_GROUP][LANES], float (*sums)[CM_TILE], const struct form form)
{
    const bool has_minimum = form.sums == SUMS_PAIRS32 || form.sums == SUMS_PAIRS16;
    const int  n_pairs = form.sums == SUMS_PAIRS32 ? 4 : 8;
    const vf   stored = vf_of_halves(halves), dmin = has_minimum ? vf_of_halves(halves + 32) : stored;
    const vf   d = form.unit == 1.0f ? stored : V(mul_ps)(stored, V(set1_ps)(form.unit));
    vi         pairs[8];
    if (has_minimum) {
        CM_UNROLL
        for (int i = 0; i < n_pairs; i++) pairs[i] = vi_pair(sc->other[2 * i], sc->other[2 * i + 1]);
    }
    for (size_t t = 0; t < n_tokens; t++) {
        const vf da = vf_broadcast(panel + (256 + PANEL_SUMS) * n_tokens + 4 * t);
        vf       acc = V(fmadd_ps)(V(cvtepi32_ps)(vi_load(isums[t])), V(mul_ps)(d, da), V(loadu_ps)(sums[t]));
        if (has_minimum) {
            vi msum = vi_zero();
            CM_UNROLL
            for (int i = 0; i < n_pairs; i++)
                msum = vi_dot2(msum, pairs[i], vi_broadcast(panel + 256 * n_tokens + PANEL_SUMS * t + 4 * (size_t)i));
            acc = V(fnmadd_ps)(V(cvtepi32_ps)(msum), V(mul_ps)(dmin, da), acc);
        }
        V(storeu_ps)(sums[t], acc);
    }
}

/* Multiplies half of the rows (or all) of a superblock with all tokens. With one token some cores can nearly follow a
 * single stream by themselves, but not two streams, and not halves: the first half would find each superblock uncached,
 * and memory would be idle during the second. */
CM_INLINE void add_superblock(const uint8_t *block, const uint8_t *halves, const uint8_t *panel, size_t n_tokens,
                              struct read_ahead ahead, float (*sums)[CM_TILE], const struct form form)
{
    alignas(64) int32_t isums[CM_GROUP][LANES];
    struct scales       sc;
    const bool          is_followed = n_tokens == 1 && HALVES == 1 && !form.has_planes && !ahead.takes_all;
    form.scales(block, halves, form.is_folded, &sc);
    for (size_t t = 0; t < n_tokens; t++) {
        const uint8_t *start = panel + 256 * n_tokens + PANEL_SUMS * t + 64;
        vi_store(isums[t], form.is_folded && form.sums == SUMS_STARTS16 ? vi_broadcast(start) : vi_zero());
    }
    CM_UNROLL /* so that shifts are by constants */
    for (int step = 0; step < 4; step++) {
        /* With one token the compiler would load and prefetch for all four steps first, which is more than the
         * registers hold. */
        if (__builtin_constant_p(n_tokens) && n_tokens == 1) __asm__ volatile("" ::: "memory");
        cm_prefetch(block + (size_t)step * form.n_bytes / 4, is_followed ? CM_LINE : form.n_bytes / 4, ahead);
        CM_UNROLL
        for (int side = 0; side < 2; side++) {
            vi u[8];
            form.codes(block, step, side, form.is_folded, &sc, u);
            add_products(u, panel, n_tokens, index_of(step, side, form.apart), &sc, isums, form);
        }
    }
    add_scaled(halves, panel, n_tokens, &sc, isums, sums, form);
}

CM_INLINE void add_some_superblocks(const uint8_t *tile, const uint8_t *panel, size_t n_columns,
                                    const size_t n_tokens, struct read_ahead ahead, float sums[CM_GROUP][CM_TILE],
                                    const struct form form)
{
    for (size_t b = 0; b < n_columns / 256; b++) {
        for (size_t first = 0; first < CM_TILE; first += LANES) /* of the rows */
            add_superblock(tile + 4 * first, tile + 2 * first, panel, n_tokens, ahead,
                           (float(*)[CM_TILE])(void *)(sums[0] + first), form);
        tile += form.n_bytes;
        panel += n_tokens * PANEL_SUPERBLOCK;
    }
}

/* A single token, as in generation, has a separate body for each way to prefetch; there sums are in registers after
 * all. */
CM_INLINE void add_superblocks(const uint8_t *tile, const uint8_t *panel, size_t n_columns, int n_tokens,
                               struct read_ahead ahead, float sums[CM_GROUP][CM_TILE], const struct form form)
{
    const struct read_ahead all = { ahead.distance, true }, some = { ahead.distance, false };
    const size_t            n = (size_t)n_tokens;
    struct form             plain = form;
    plain.is_folded = false;
    if (n == 1 && ahead.takes_all) add_some_superblocks(tile, panel, n_columns, 1, all, sums, plain);
    else if (n == 1) add_some_superblocks(tile, panel, n_columns, 1, some, sums, plain);
    else if (form.is_folded && n > 8) add_some_superblocks(tile, panel, n_columns, n, ahead, sums, form);
    else add_some_superblocks(tile, panel, n_columns, n, ahead, sums, plain);
}

#define SUPERBLOCK_KERNEL(type, TYPE, n_bytes, offset, chain, sums, is_folded, n_scales, planes, apart, unit, scales) \
    static void lay_##type(const struct activations *x, const size_t *rows, int n_tokens, size_t k,          \
                           size_t n_columns, uint8_t *panel)                                                 \
    {                                                                                                        \
        lay_superblocks(x, rows, n_tokens, k, n_columns, panel, sums, offset);                               \
    }                                                                                                        \
    CM_LINEAR_KERNEL(type, TYPE, TOKENS,   PANEL_SUPERBLOCK, lay_##type, add_superblocks,                      \
                     (struct form){ n_bytes, { chain, offset == 128 }, sums, is_folded, n_scales, planes, apart, \
                                    unit, scales, codes_##type })

#define SUMS_SIGNED32 (SIGNED_OFFSET != 0 ? SUMS_STARTS32 : SUMS_NONE)
#define SUMS_SIGNED16 (SIGNED_OFFSET != 0 ? SUMS_STARTS16 : SUMS_NONE)
/* Tables of products reach 248. */
#if CM_HAS_DOT4 && !defined(CM_DOT4_IS_SIGNED)
#define IS_FOLDED true
#else
#define IS_FOLDED false
#endif
/*                         bytes  offset       chain   sums     folded n_scales planes apart unit scales */
SUPERBLOCK_KERNEL(q2_k, Q2_K, 1344, 0, 4, SUMS_PAIRS16, IS_FOLDED, 16, true, 1, 1.0f, scales_q2_k)
SUPERBLOCK_KERNEL(q3_k, Q3_K, 1760, 4, 4, SUMS_STARTS16, IS_FOLDED, 16, true, 1, 1.0f, scales_q3_k)
SUPERBLOCK_KERNEL(q4_k, Q4_K, 2304, 0, 8, SUMS_PAIRS32, false, 8, false, 1, 1.0f, scales_q4_k)
SUPERBLOCK_KERNEL(q5_k, Q5_K, 2816, 0, 4, SUMS_PAIRS32, false, 8, true, 1, 1.0f, scales_q4_k)
SUPERBLOCK_KERNEL(q6_k, Q6_K, 3360, 32, 4, SUMS_STARTS16, false, 16, true, 2, 1.0f, scales_q6_k)
SUPERBLOCK_KERNEL(iq4_xs, IQ4_XS, 2176, 128, 1, SUMS_SIGNED32, false, 8, false, 1, 1.0f, scales_iq4_xs)

/* The types whose codes are indices into a code book; `bits` of a code says how they are packed. */
#define BOOK_KERNEL(type, TYPE, BOOK, bits, n_bytes, chain, sums, n_scales, planes)                                 \
    CM_INLINE void codes_##type(const uint8_t *block, int step, int side, bool is_folded, const struct scales *sc,  \
                                vi u[8])                                                                            \
    {                                                                                                               \
        static const int8_t values[16] = CM_VALUES_##BOOK;                                                          \
        (void)is_folded;                                                                                            \
        (void)sc;                                                                                                   \
        codes_book_##bits(block, step, side, code_of_signed(vi_copies(values)), u);                                 \
    }                                                                                                               \
    SUPERBLOCK_KERNEL(type, TYPE, n_bytes, 128, chain, sums, false, n_scales, planes, 1, CM_UNIT_##BOOK,            \
                      scales_book_##bits)

/*                            book  bits bytes chain sums      n_scales planes */
BOOK_KERNEL(iq1_s, IQ1_S, IQ1, 3, 1696, 8, SUMS_SIGNED16, 16, true)
BOOK_KERNEL(iq1_m, IQ1_M, IQ1, 3, 1696, 8, SUMS_SIGNED16, 16, true)
BOOK_KERNEL(iq2_xxs, IQ2_XXS, IQ2, 3, 1696, 2, SUMS_SIGNED16, 16, true)
BOOK_KERNEL(iq2_xs, IQ2_XS, IQ2, 3, 1696, 2, SUMS_SIGNED16, 16, true)
BOOK_KERNEL(iq2_s, IQ2_S, IQ2, 3, 1696, 2, SUMS_SIGNED16, 16, true)
BOOK_KERNEL(iq3_xxs, IQ3_XXS, IQ3_XXS, 4, 2144, 2, SUMS_SIGNED32, 8, false)
BOOK_KERNEL(iq3_s, IQ3_S, IQ3_S, 4, 2144, 8, SUMS_SIGNED32, 8, false)
BOOK_KERNEL(tq1_0, TQ1_0, TQ, 3, 1696, 8, SUMS_SIGNED16, 16, true)
BOOK_KERNEL(tq2_0, TQ2_0, TQ, 3, 1696, 8, SUMS_SIGNED16, 16, true)

#endif
