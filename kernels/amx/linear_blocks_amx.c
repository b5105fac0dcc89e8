/* linear_blocks_amx.c - weight types with blocks of 32 on AMX, from a dozen tokens on. Each block has a scale of its
 * own, so a tile product covers K = 32 and its 16 x 16 sums (token, row) leave the tile at once:
 *
 *     idot = tile_dot(tokens, weights)               weights signed, as they are before scaling: no correction
 *     acc  = fmaf((float)idot, dw * da, acc)
 *     acc  = fmaf(m * da, (float)asum, acc)          where the type has a minimum
 *
 * What a processor of the Sapphire Rapids kind does, as measured there, decides the order of things. Product and store
 * take 16 cycles each, and while one of them is under way all multiplying, fusing and converting of 512 bits
 * is left to one port, one operation a cycle; adding, loading and whole numbers are not held up. So
 *
 * - a sum becomes a float by an addition, not by a conversion: see magic_bits;
 * - products, stores and conversions go on side by side: see TURN();
 * - the sums of a block of tokens stay in registers for all 256 columns of a chunk.
 *
 * In the first-level cache 16 tokens x 16 rows x 32 columns then take 14 ns, where the order product, store, conversion
 * took 19. */
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

/* A tile does not start from zero but from these bits in every element: those of the float MAGIC = 1.5 * 2^23, whose
 * last bit is worth 1. After the product they are the bits of the float MAGIC + idot, since |idot| <= 32 * 128 * 128 <
 * 2^22, and subtracting MAGIC gives (float)idot exactly. Loading a line with a stride of 0 fills a tile with it. */
static const alignas(64) int32_t magic_bits[16] = {
    0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000,
    0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000
};

/* acc[t] += block b of the weights x token t of a block, whose sums, MAGIC included, are in sums[t] */
CM_INLINE void convert(const float sums[16][CM_TILE], const struct weights *w, const float *scales, const float *asums,
                       int b, const int n_tokens, const bool has_minimum, __m512 acc[16])
{
    const __m512 dw = _mm512_load_ps(w->scales[b]);
    const __m512 magic = _mm512_castsi512_ps(_mm512_load_si512(magic_bits));
    CM_UNROLL_16
    for (int t = 0; t < n_tokens; t++) {
        const __m512 da = _mm512_set1_ps(scales[16 * b + t]);
        const __m512 idot = _mm512_sub_ps(_mm512_load_ps(sums[t]), magic);
        acc[t] = _mm512_fmadd_ps(idot, _mm512_mul_ps(dw, da), acc[t]);
        if (has_minimum) {
            const __m512 m = _mm512_load_ps(w->minimums[b]);
            const __m512 asum = _mm512_set1_ps(asums[16 * b + t]);
            acc[t] = _mm512_fmadd_ps(_mm512_mul_ps(m, da), asum, acc[t]);
        }
    }
}

enum { SLOTS = 4 }; /* tiles that sum up, and buffers for what they held */

/* Turn b of a block of tokens, one block of weights, through tiles c, a, w (digits). What was multiplied eight turns
 * ago, block b of the tokens before, is converted; what was multiplied four turns ago leaves its tile for the buffer
 * that has become free; the tile takes the next product. has_before, has_now: whether there are such tokens. */
#define TURN(b, c, a, w)                                                                        \
    do {                                                                                        \
        const bool is_stored = (b) < 4 ? has_before && (b) + 4 < n_k : has_now && (b) - 4 < n_k; \
        if (has_before && (b) < n_k)                                                            \
            convert(buffers[c], weights, scales, asums, b, n_tokens, has_minimum, acc);         \
        if (is_stored) tile_store(c, buffers, TILE_BYTES * (c), TILE_STRIDE);                   \
        if (has_now && (b) < n_k) {                                                             \
            tile_load(c, magic_bits, 0, 0);                                                     \
            tile_load(a, codes, (b) / 2 * TILE_BYTES + 32 * ((b) % 2), TILE_STRIDE);            \
            tile_load(w, weights, 512 * (b), TILE_STRIDE);                                      \
            tile_dot(c, a, w);                                                                  \
        }                                                                                       \
    } while (0)

/* Products of token block `block` with all n_k blocks of weights, between conversions of the token block before it. */
CM_INLINE void take_turns(const struct weights *weights, const struct panel *panel, int block, const int n_k,
                          const int n_tokens, const bool has_before, const bool has_now, const bool has_minimum,
                          float buffers[SLOTS][16][CM_TILE], __m512 acc[16])
{
    const int8_t *codes = panel->codes[block - !has_now][0];
    const float  *scales = panel->scales[block - has_before][0];
    const float  *asums = panel->sums.as_floats[block - has_before][0];
    TURN(0, 0, 4, 6);
    TURN(1, 1, 5, 7);
    TURN(2, 2, 4, 6);
    TURN(3, 3, 5, 7);
    TURN(4, 0, 4, 6);
    TURN(5, 1, 5, 7);
    TURN(6, 2, 4, 6);
    TURN(7, 3, 5, 7);
}

/* sums += products of the token block before `block`; products of `block` begin, where there is one. */
CM_INLINE void finish_block(const struct weights *weights, const struct panel *panel, int block, const int n_k,
                            const int n_tokens, const bool has_now, const bool has_minimum,
                            float buffers[SLOTS][16][CM_TILE], float sums[][CM_TILE])
{
    __m512 acc[16];
    prefetch_share(panel, block - 1);
    CM_UNROLL_16
    for (int t = 0; t < n_tokens; t++) acc[t] = _mm512_load_ps(sums[t]);
    take_turns(weights, panel, block, n_k, n_tokens, true, has_now, has_minimum, buffers, acc);
    CM_UNROLL_16
    for (int t = 0; t < n_tokens; t++) _mm512_store_ps(sums[t], acc[t]);
}

/* All blocks of tokens, each with the chunk's n_k blocks of weights. Conversion is one block of tokens behind. */
CM_INLINE void pass(const struct weights *weights, const struct panel *panel, float sums[][CM_TILE], const int n_k,
                    const int n_tokens, const bool has_minimum)
{
    alignas(64) float buffers[SLOTS][16][CM_TILE];
    int               block = 1;
    take_turns(weights, panel, 0, n_k, n_tokens, false, true, has_minimum, buffers, NULL);
    for (; block < panel->n_blocks; block++, sums += n_tokens)
        finish_block(weights, panel, block, n_k, n_tokens, true, has_minimum, buffers, sums);
    finish_block(weights, panel, block, n_k, n_tokens, false, has_minimum, buffers, sums);
}

/* A body for each number of tokens, so that acc is registers (unroll.h tells of sanitizers), and once more for chunks
 * that are not full. */
#if defined(CM_IS_SANITIZED)
#define PASSES(n_k, has_minimum) pass(weights, panel, sums, n_k, panel->block_tokens, has_minimum)
#else
#define PASSES(n_k, has_minimum)                                              \
    switch (panel->block_tokens) {                                            \
    case LEAST_TOKENS: pass(weights, panel, sums, n_k, LEAST_TOKENS, has_minimum); break; \
    case 12: pass(weights, panel, sums, n_k, 12, has_minimum); break;         \
    case 14: pass(weights, panel, sums, n_k, 14, has_minimum); break;         \
    default: pass(weights, panel, sums, n_k, 16, has_minimum);                \
    }
#endif
#define PASS(name, n_k, has_minimum)                                                                       \
    CM_APART void name(const struct weights *weights, const struct panel *panel, float sums[][CM_TILE])    \
    {                                                                                                      \
        PASSES(n_k, has_minimum);                                                                          \
    }
PASS(pass_plain, MAX_K, false)
PASS(pass_minimum, MAX_K, true)
PASS(pass_plain_rest, panel->n_columns / 32, false)
PASS(pass_minimum_rest, panel->n_columns / 32, true)

#define BLOCK_KERNEL(type, TYPE, from, n_bytes, offset, has_minimum, scale)                             \
    static void chunk_##type(const uint8_t *packed, const struct panel *panel, float sums[][CM_TILE])   \
    {                                                                                                   \
        const struct form form = { n_bytes, offset, has_minimum, scale, codes_##type };                 \
        const bool        is_full = panel->n_columns == CHUNK;                                          \
        struct weights    weights;                                                                      \
        unpack(packed, panel->n_columns / 32, form, &weights);                                          \
        if (is_full) (has_minimum ? pass_minimum : pass_plain)(&weights, panel, sums);                  \
        else (has_minimum ? pass_minimum_rest : pass_plain_rest)(&weights, panel, sums);                \
    }                                                                                                   \
    AMX_KERNEL(type, TYPE, from, has_minimum ? SUMS_FLOAT : SUMS_NONE)

/* clang-format off */
/* from: tokens from which on tiles are quicker than AVX-512 alone; see docs/PERFORMANCE.md, "AMX" */
/*                         from bytes offset minimum */
BLOCK_KERNEL(q4_0, Q4_0,     12, 288,  8, false, load_halves)
BLOCK_KERNEL(q4_1, Q4_1,     12, 320,  0, true,  load_halves)
BLOCK_KERNEL(q5_0, Q5_0,     12, 352, 16, false, load_halves)
BLOCK_KERNEL(q5_1, Q5_1,     12, 384,  0, true,  load_halves)
BLOCK_KERNEL(q8_0, Q8_0,     11, 544,  0, false, load_halves)
BLOCK_KERNEL(iq4_nl, IQ4_NL, 12, 288,  0, false, load_halves)
BLOCK_KERNEL(mxfp4, MXFP4,   12, 272,  0, false, scale_mxfp4)
/* clang-format on */
