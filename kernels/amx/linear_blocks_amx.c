/* linear_blocks_amx.c - weight types with blocks of 32 on AMX, from 8 tokens on. Each block has a scale of its own,
 * so a tile product covers K = 32 and its 16 x 16 sums (token, row) leave the tile at once:
 *
 *     idot = tile_dot(tokens, weights)               weights signed, as they are before scaling: no correction
 *     acc  = fmaf((float)idot, dw * da, acc)
 *     acc  = fmaf(m * da, (float)asum, acc)          where the type has a minimum
 *
 * Product, store and conversion take about as long as each other (16 … 24 cycles for 16 tokens). They overlap
 * because four products go to four tiles, and are converted while the next four are on their way. */
#include "kernels/amx/panel_amx.h"
#include "kernels/amx/unpack_blocks_amx.h"

enum { MAX_K = CHUNK / 32 }; /* blocks of 32 in a chunk */

struct weights { /* of 16 rows in a chunk, unpacked */
    alignas(64) int8_t codes[MAX_K][512]; /* 8 x 64: 4 k-values of 16 rows each */
    alignas(64) float  scales[MAX_K][CM_TILE];
    alignas(64) float  minimums[MAX_K][CM_TILE];
};

CM_INLINE void unpack(const uint8_t *packed, int n_k, const struct form form, struct weights *out)
{
    const __m512i offset = _mm512_set1_epi8((char)form.offset);
    for (int b = 0; b < n_k; b++) {
        const uint8_t *block = packed + (size_t)b * form.n_bytes;
        __m512i        u[8];
        form.codes(block, u);
        _mm512_store_ps(out->scales[b], form.scale(block));
        if (form.has_minimum) _mm512_store_ps(out->minimums[b], load_halves(block + 32));
        CM_UNROLL_16
        for (int g = 0; g < 8; g++)
            _mm512_store_si512(out->codes[b] + 64 * g, _mm512_sub_epi8(u[g], offset));
    }
}

/* acc[t] += block b of weights x token first + t, whose integer sums are in idot[t] */
CM_INLINE void convert(const int32_t idot[16][CM_TILE], const struct weights *w, const struct panel *panel, int first,
                       int b, const int n_tokens, const bool has_minimum, __m512 acc[16])
{
    const __m512 dw = _mm512_load_ps(w->scales[b]);
    CM_UNROLL_16
    for (int t = 0; t < n_tokens; t++) {
        const __m512 da = _mm512_set1_ps(panel->scales[first + t][b]);
        const __m512 dot = _mm512_cvtepi32_ps(_mm512_load_si512(idot[t]));
        acc[t] = _mm512_fmadd_ps(dot, _mm512_mul_ps(dw, da), acc[t]);
        if (has_minimum) {
            const __m512 m = _mm512_load_ps(w->minimums[b]);
            const __m512 asum = _mm512_set1_ps(panel->sums.as_floats[first + t][b]);
            acc[t] = _mm512_fmadd_ps(_mm512_mul_ps(m, da), asum, acc[t]);
        }
    }
}

/* Block b of the weights with a block of tokens, through tiles c, a, w (digits). */
#define PRODUCT(c, a, w, b)                                                                     \
    do {                                                                                        \
        tile_zero(c);                                                                           \
        tile_load(a, panel->codes[block][(b) / 2] + 32 * ((b) % 2), TILE_STRIDE);               \
        tile_load(w, weights->codes[b], TILE_STRIDE);                                           \
        tile_dot(c, a, w);                                                                      \
        tile_store(c, idot[b], TILE_STRIDE);                                                    \
    } while (0)

/* Products of four blocks of weights from `begin` on with the tokens of `block`; between them four conversions, from
 * `other` on, of what an earlier call left in idot. n_k and n_other: how far there are any. */
CM_INLINE void four(const struct weights *weights, const struct panel *panel, int block, int begin, int n_k,
                    int first, int other, int n_other, const int n_tokens, const bool has_minimum,
                    int32_t idot[MAX_K][16][CM_TILE], __m512 acc[16])
{
    if (begin < n_k) PRODUCT(0, 4, 6, begin);
    if (other < n_other) convert(idot[other], weights, panel, first, other, n_tokens, has_minimum, acc);
    if (begin + 1 < n_k) PRODUCT(1, 5, 7, begin + 1);
    if (other + 1 < n_other) convert(idot[other + 1], weights, panel, first, other + 1, n_tokens, has_minimum, acc);
    if (begin + 2 < n_k) PRODUCT(2, 4, 6, begin + 2);
    if (other + 2 < n_other) convert(idot[other + 2], weights, panel, first, other + 2, n_tokens, has_minimum, acc);
    if (begin + 3 < n_k) PRODUCT(3, 5, 7, begin + 3);
    if (other + 3 < n_other) convert(idot[other + 3], weights, panel, first, other + 3, n_tokens, has_minimum, acc);
}

/* All blocks of tokens, each with the chunk's blocks 0-3, then 4-7. Conversion is one half behind. */
CM_INLINE void pass(const struct weights *weights, const struct panel *panel, float sums[][CM_TILE],
                    const int n_tokens, const bool has_minimum)
{
    alignas(64) int32_t idot[MAX_K][16][CM_TILE];
    const int           n_k = panel->n_columns / 32;
    four(weights, panel, 0, 0, n_k, 0, 0, 0, n_tokens, has_minimum, idot, NULL);
    for (int block = 0; block < panel->n_blocks; block++) {
        const int first = block * n_tokens;
        __m512    acc[16];
        CM_UNROLL_16
        for (int t = 0; t < n_tokens; t++) acc[t] = _mm512_load_ps(sums[first + t]);
        four(weights, panel, block, 4, n_k, first, 0, n_k, n_tokens, has_minimum, idot, acc);
        four(weights, panel, block + 1, 0, block + 1 < panel->n_blocks ? n_k : 0, first, 4, n_k, n_tokens,
             has_minimum, idot, acc);
        CM_UNROLL_16
        for (int t = 0; t < n_tokens; t++) _mm512_store_ps(sums[first + t], acc[t]);
    }
}

/* One body for each number of tokens, so that acc is registers (lanes_amx.h tells of sanitizers). */
#if defined(CM_IS_SANITIZED)
#define PASSES(has_minimum) default: pass(weights, panel, sums, panel->block_tokens, has_minimum);
#else
#define PASS(n, has_minimum) case n: pass(weights, panel, sums, n, has_minimum); break;
#define PASSES(has_minimum)                                                                     \
    PASS(8, has_minimum) PASS(10, has_minimum) PASS(12, has_minimum) PASS(14, has_minimum)      \
    PASS(16, has_minimum)
#endif

static void pass_plain(const struct weights *weights, const struct panel *panel, float sums[][CM_TILE])
{
    switch (panel->block_tokens) { PASSES(false) }
}

static void pass_minimum(const struct weights *weights, const struct panel *panel, float sums[][CM_TILE])
{
    switch (panel->block_tokens) { PASSES(true) }
}

#define BLOCK_KERNEL(type, TYPE, n_bytes, offset, has_minimum, scale)                                   \
    static void chunk_##type(const uint8_t *packed, const struct panel *panel, float sums[][CM_TILE])   \
    {                                                                                                   \
        const struct form form = { n_bytes, offset, has_minimum, scale, codes_##type };                 \
        struct weights    weights;                                                                      \
        unpack(packed, panel->n_columns / 32, form, &weights);                                          \
        (has_minimum ? pass_minimum : pass_plain)(&weights, panel, sums);                               \
    }                                                                                                   \
    AMX_KERNEL(type, TYPE, 8, has_minimum ? SUMS_FLOAT : SUMS_NONE)

/* clang-format off */
/*                         bytes offset minimum */
BLOCK_KERNEL(q4_0, Q4_0,     288,  8, false, load_halves)
BLOCK_KERNEL(q4_1, Q4_1,     320,  0, true,  load_halves)
BLOCK_KERNEL(q5_0, Q5_0,     352, 16, false, load_halves)
BLOCK_KERNEL(q5_1, Q5_1,     384,  0, true,  load_halves)
BLOCK_KERNEL(q8_0, Q8_0,     544,  0, false, load_halves)
BLOCK_KERNEL(iq4_nl, IQ4_NL, 288,  0, false, load_halves)
BLOCK_KERNEL(mxfp4, MXFP4,   272,  0, false, scale_mxfp4)
/* clang-format on */
