/* linear_superblocks_amx.c - weight types with superblocks of 256 on AMX, from a dozen tokens on. The scales of the
 * parts of a superblock are integers, so they go into the weights: w_k = sc_j * code_k, and one tile product after the
 * other (K = 64) sums up a whole superblock in int32; there is one conversion for 256 columns:
 *
 *     isum = sum_k w_k q_k
 *     acc  = fmaf((float)isum, d * da, acc)
 *     msum = sum_j m_j * asum_j
 *     acc  = fmaf(-(float)msum, dmin * da, acc)        where the type has a minimum
 *
 * Tiles multiply bytes. Where w_k does not fit one, it is cut into two planes, and isum = lows + 2^shift * highs:
 *
 *     type     sc           code          w = sc * code                            planes
 *     Q2_K     0 … 15       0 … 3         0 … 45                                   one, unsigned
 *     Q3_K     -32 … 31     -4 … 3        -124 (31 * -4) … 128 (-32 * -4)          one of -w: -128 … 124
 *     Q4_K     0 … 63       0 … 15        0 … 945                                  code * (sc mod 8), code * (sc / 8):
 *     Q5_K     0 … 63       0 … 31        0 … 1953                                   unsigned, up to 31 * 7 = 217
 *     Q6_K     -128 … 127   -32 … 31      -4064 (127 * -32) … 4096 (-128 * -32)    w mod 128, w / 128: -32 … 32
 *     IQ4_XS   -32 … 31     -127 … 113    -3937 (31 * -127) … 4064 (-32 * -127)    w mod 128, w / 128: -31 … 31
 *     IQ1      1 … 15       -9 … 9        -135 … 135                               w mod 128, w / 128: -2 … 1
 *     IQ2      1 … 31       -43 … 43      -1333 … 1333                             w mod 128, w / 128: -11 … 10
 *     IQ3      1 … 31       -62 … 62      -1922 … 1922                             w mod 128, w / 128: -16 … 15
 *
 * Unsigned products of a code and a small factor stay below 256, so one 16-bit multiplication makes two of them: no
 * byte carries into its neighbour. w fits int16 always. With |q| <= 128 the sums are exact: |lows| <= 256 * 217 * 128 <
 * 2^23, |2^shift * highs| <= 8 * 256 * 217 * 128 < 2^26 or 128 * 256 * 32 * 128 = 2^27.
 *
 * Minimums are a tile product as well, of bfloat16: m_j <= 63 is exact, asum_j is the sum of two that are exact
 * (split_sums()), and all that is added on the way is a whole number below 256 * 63 * 128 * 2 < 2^24, so any order
 * gives (float)msum exactly. */
#include "kernels/amx/panel_amx.h"
#include "kernels/amx/unpack_superblocks_amx.h"

enum planes { /* how w goes through tiles */
    ONE_UNSIGNED,
    ONE_NEGATED, /* -w                                        */
    TWO_FACTORS, /* code * (sc mod 8), code * (sc / 8): shift 3 */
    TWO_DIGITS   /* w mod 128, w / 128: shift 7               */
};

enum { PAIR = 2 }; /* blocks of tokens that pass together */

struct weights { /* of 16 rows in a superblock, unpacked */
    alignas(64) int8_t   planes[2][4][TILE_BYTES]; /* for each 64 columns: 16 x 64, 4 k-values of 16 rows each */
    alignas(64) uint32_t minimums[16][CM_TILE];    /* a tile: the minimum of 32 or 16 columns, twice as bfloat16 */
    __m512 d;
    __m512 dmin;
};

CM_INLINE bool has_two(enum planes planes)
{
    return planes == TWO_FACTORS || planes == TWO_DIGITS;
}

/* 4 x int8 in each lane from the low bytes of even and odd: bytes 0 and 2, 1 and 3 */
CM_INLINE __m512i weave(__m512i even, __m512i odd_above)
{
    return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaau, even, odd_above);
}

/* sc * code mod 256. sc: int16 in both halves of a lane */
CM_INLINE __m512i fold_one(__m512i code, __m512i sc)
{
    const __m512i odd = _mm512_and_si512(code, _mm512_set1_epi16((short)0xff00));
    return weave(_mm512_mullo_epi16(code, sc), _mm512_mullo_epi16(odd, sc));
}

/* w = sc * code = low + 128 * high */
CM_INLINE void fold_two(__m512i code, __m512i sc, int8_t *low, int8_t *high)
{
    const __m512i even = _mm512_mullo_epi16(_mm512_srai_epi16(_mm512_slli_epi16(code, 8), 8), sc);
    const __m512i odd = _mm512_mullo_epi16(_mm512_srai_epi16(code, 8), sc);
    _mm512_store_si512(low, mask8(weave(even, _mm512_slli_epi16(odd, 8)), 127));
    _mm512_store_si512(high, weave(_mm512_srli_epi16(even, 7), _mm512_slli_epi16(odd, 1)));
}

/* 8 vectors of codes, the j-th 32 columns of the superblock, to their place in the planes */
CM_INLINE void fold(const __m512i *u, size_t j, const __m512i sc[16], const struct form form,
                    const enum planes planes, struct weights *out)
{
    int8_t *low = out->planes[0][j / 2] + 512 * (j % 2), *high = out->planes[1][j / 2] + 512 * (j % 2);
    CM_UNROLL_16
    for (size_t g = 0; g < 8; g++, low += 64, high += 64) {
        const __m512i scale = sc[form.n_scales == 16 ? 2 * j + g / 4 : j];
        const __m512i code = form.offset == 0 ? u[g] : _mm512_sub_epi8(u[g], _mm512_set1_epi8((char)form.offset));
        switch (planes) {
        case ONE_UNSIGNED: _mm512_store_si512(low, _mm512_mullo_epi16(code, scale)); break;
        case ONE_NEGATED: _mm512_store_si512(low, fold_one(code, scale)); break;
        case TWO_FACTORS:
            _mm512_store_si512(low, _mm512_mullo_epi16(code, _mm512_and_si512(scale, _mm512_set1_epi16(7))));
            _mm512_store_si512(high, _mm512_mullo_epi16(code, _mm512_srli_epi16(scale, 3)));
            break;
        case TWO_DIGITS: fold_two(code, scale, low, high);
        }
    }
}

/* d, and where the type has minimums dmin and a tile of them */
CM_INLINE void unpack_floats(const uint8_t *block, const struct scales *scales, const struct form form,
                             struct weights *out)
{
    out->d = load_halves(block);
    if (form.unit != 1.0f) out->d = _mm512_mul_ps(out->d, _mm512_set1_ps(form.unit));
    if (!form.has_minimum) return;
    out->dmin = load_halves(block + 32);
    CM_UNROLL_16
    for (int i = 0; i < 16; i++) {
        const __m512i bits = i < form.n_scales ? _mm512_castps_si512(_mm512_cvtepi32_ps(scales->minimums[i]))
                                               : _mm512_setzero_si512();
        _mm512_store_si512(out->minimums[i], _mm512_or_si512(bits, _mm512_srli_epi32(bits, 16)));
    }
}

CM_INLINE void unpack_planes(const uint8_t *block, const struct scales *scales, const struct form form,
                             const enum planes planes, struct weights *out)
{
    __m512i sc[16], u[16];
    CM_UNROLL_16
    for (int j = 0; j < form.n_scales; j++) {
        const __m512i of = scales->of[j];
        sc[j] = planes == ONE_NEGATED ? _mm512_sub_epi32(_mm512_setzero_si512(), of) : of;
        sc[j] = pair(sc[j], sc[j]);
    }
    for (int step = 0; step < 4; step++) {
        const size_t j = first_of(step, form.apart), other = j + (size_t)form.apart;
        form.codes(block, step, u);
        fold(u, j, sc, form, planes, out);
        fold(u + 8, other, sc, form, planes, out);
    }
}

/* (float)msum of token block `block + c` through tiles c and a (digits) */
#define MINIMUMS_OF(c, a)                                                                        \
    if (block + (c) < panel->n_blocks) {                                                         \
        tile_zero(c);                                                                            \
        tile_load(a, panel->sums.as_tiles[block], TILE_BYTES * (c), TILE_STRIDE);                \
        tile_dot_bfloat(c, a, 6);                                                                \
        tile_store(c, msums[(block + (c)) * panel->block_tokens], 0, TILE_STRIDE);               \
    }

/* of all tokens */
CM_INLINE void sum_minimums(const struct weights *weights, const struct panel *panel, float msums[][CM_TILE])
{
    tile_load(6, weights->minimums, 0, TILE_STRIDE);
    for (int block = 0; block < panel->n_blocks; block += PAIR) {
        MINIMUMS_OF(0, 4)
        MINIMUMS_OF(1, 5)
    }
}

struct integer_sums { /* of a pair of token blocks: [0] of the first plane, row = token */
    alignas(64) int32_t of[2][PAIR][16][CM_TILE];
};

/* sums[t] += tokens [begin, end) of a block; isums, msums, scales: of the same block */
CM_INLINE void convert(const struct weights *w, const float *scales, const int32_t low[][CM_TILE],
                       const int32_t high[][CM_TILE], const float msums[][CM_TILE], const int begin, const int end,
                       const struct form form, const enum planes planes, float sums[][CM_TILE])
{
    CM_UNROLL_16
    for (int t = begin; t < end; t++) {
        const __m512 da = _mm512_set1_ps(scales[t]);
        __m512       acc = _mm512_load_ps(sums[t]);
        __m512i      isum = _mm512_load_si512(low[t]);
        if (has_two(planes)) {
            const int shift = planes == TWO_FACTORS ? 3 : 7;
            isum = _mm512_add_epi32(isum, _mm512_slli_epi32(_mm512_load_si512(high[t]), (unsigned)shift));
        }
        if (planes == ONE_NEGATED) isum = _mm512_sub_epi32(_mm512_setzero_si512(), isum);
        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), _mm512_mul_ps(w->d, da), acc);
        if (form.has_minimum) acc = _mm512_fnmadd_ps(_mm512_load_ps(msums[t]), _mm512_mul_ps(w->dmin, da), acc);
        _mm512_store_ps(sums[t], acc);
    }
}

struct pair { /* of token blocks */
    int n;     /* 0, 1 or 2 */
    int first; /* block     */
};

/* The part-th third of a pair's tokens, whose integer sums are complete */
CM_INLINE void convert_third(const struct weights *weights, const struct panel *panel, const struct pair *pair,
                             const struct integer_sums *isums, const float msums[][CM_TILE], const int m,
                             const int part, const struct form form, const enum planes planes, float sums[][CM_TILE])
{
    const int begin = m * part / 3, end = m * (part + 1) / 3;
    for (int i = 0; i < pair->n; i++) {
        const int    block = pair->first + i;
        const float *scales = panel->scales[block][0];
        const float(*own_msums)[CM_TILE] = msums + block * m;
        float(*own_sums)[CM_TILE] = sums + block * m;
        KEEP_IN_REGISTER(own_msums);
        KEEP_IN_REGISTER(own_sums);
        convert(weights, scales, isums->of[0][i], isums->of[1][i], own_msums, begin, end, form, planes, own_sums);
    }
}

#define PRODUCT(c, a, w)                                                                        \
    do {                                                                                        \
        if (planes == TWO_FACTORS || planes == ONE_UNSIGNED) tile_dot_unsigned(c, a, w);        \
        else tile_dot(c, a, w);                                                                 \
    } while (0)

/* Product of columns 64 kt … of block i of the pair `now` with a plane, through tiles c, a, w (digits). With kt = 0
 * tile c gives up what it holds of the pair `before`: a tile is stored as late as it can be, so that nothing waits for
 * it. */
#define MULTIPLY(kt, i, plane, c, a, w)                                                         \
    do {                                                                                        \
        if ((kt) == 0 && before.n > (i))                                                        \
            tile_store(c, isums.of, (PAIR * (plane) + (i)) * TILE_BYTES, TILE_STRIDE);          \
        if (now.n > (i)) {                                                                      \
            if ((kt) == 0) tile_zero(c);                                                        \
            if ((plane) == 0) tile_load(a, codes, (4 * (i) + (kt)) * TILE_BYTES, TILE_STRIDE);  \
            if ((i) == 0) tile_load(w, weights->planes, (4 * (plane) + (kt)) * TILE_BYTES, TILE_STRIDE); \
            PRODUCT(c, a, w);                                                                   \
        }                                                                                       \
    } while (0)
#define MULTIPLY_PAIR(kt)                                                                       \
    do {                                                                                        \
        MULTIPLY(kt, 0, 0, 0, 4, 6);                                                            \
        if (has_two(planes)) MULTIPLY(kt, 0, 1, 1, 4, 7);                                       \
        MULTIPLY(kt, 1, 0, 2, 5, 6);                                                            \
        if (has_two(planes)) MULTIPLY(kt, 1, 1, 3, 5, 7);                                       \
    } while (0)

/* All blocks of m tokens, in pairs. While a pair's products run, the pair before it is converted. */
CM_INLINE void pass_of(const struct weights *weights, const struct panel *panel, const float msums[][CM_TILE],
                       const struct form form, const enum planes planes, float sums[][CM_TILE], const int m)
{
    struct integer_sums isums;
    struct pair         before = { 0, 0 };
    for (int first = 0; first < panel->n_blocks || before.n > 0; first += PAIR) {
        const int         left = panel->n_blocks - first;
        const struct pair now = { left <= 0 ? 0 : left < PAIR ? left : PAIR, first };
        const int8_t     *codes = panel->codes[now.n > 0 ? first : 0][0];
        for (int i = 0; i < now.n; i++) prefetch_share(panel, first + i);
        MULTIPLY_PAIR(0);
        MULTIPLY_PAIR(1);
        convert_third(weights, panel, &before, &isums, msums, m, 0, form, planes, sums);
        MULTIPLY_PAIR(2);
        convert_third(weights, panel, &before, &isums, msums, m, 1, form, planes, sums);
        MULTIPLY_PAIR(3);
        convert_third(weights, panel, &before, &isums, msums, m, 2, form, planes, sums);
        before = now;
    }
}

/* A body for each number of tokens, so that conversion is written out (unroll.h tells of sanitizers). */
CM_INLINE void pass(const struct weights *weights, const struct panel *panel, const float msums[][CM_TILE],
                    const struct form form, const enum planes planes, float sums[][CM_TILE])
{
#if defined(CM_IS_SANITIZED)
    pass_of(weights, panel, msums, form, planes, sums, panel->block_tokens);
#else
    switch (panel->block_tokens) {
    case LEAST_TOKENS: pass_of(weights, panel, msums, form, planes, sums, LEAST_TOKENS); break;
    case 12: pass_of(weights, panel, msums, form, planes, sums, 12); break;
    case 14: pass_of(weights, panel, msums, form, planes, sums, 14); break;
    default: pass_of(weights, panel, msums, form, planes, sums, 16);
    }
#endif
}

#define SUPERBLOCK_KERNEL(type, TYPE, from, planes, sums_form, ...)                                     \
    static void chunk_##type(const uint8_t *block, const struct panel *panel, float sums[][CM_TILE])    \
    {                                                                                                   \
        const struct form form = { (sums_form) != SUMS_NONE, __VA_ARGS__, codes_##type };               \
        struct weights    weights;                                                                      \
        struct scales     scales;                                                                       \
        alignas(64) float msums[PANEL_TOKENS][CM_TILE];                                                 \
        form.scales(block, &scales);                                                                    \
        unpack_floats(block, &scales, form, &weights);                                                  \
        if (form.has_minimum) sum_minimums(&weights, panel, msums);                                     \
        unpack_planes(block, &scales, form, planes, &weights);                                          \
        pass(&weights, panel, (const float(*)[CM_TILE])msums, form, planes, sums);                      \
    }                                                                                                   \
    AMX_KERNEL(type, TYPE, from, sums_form)

/* clang-format off */
/* from: tokens from which on tiles are quicker than AVX-512 alone; see docs/PERFORMANCE.md, "AMX" */
/*                              from planes        minimums  offset scales             apart unit */
SUPERBLOCK_KERNEL(q2_k, Q2_K,     11, ONE_UNSIGNED, SUMS_16,     0, 16, scales_q2_k,     1, 1.0f)
SUPERBLOCK_KERNEL(q3_k, Q3_K,     11, ONE_NEGATED,  SUMS_NONE,   4, 16, scales_q3_k,     1, 1.0f)
SUPERBLOCK_KERNEL(q4_k, Q4_K,     11, TWO_FACTORS,  SUMS_32,     0, 8,  scales_q4_k,     1, 1.0f)
SUPERBLOCK_KERNEL(q5_k, Q5_K,     11, TWO_FACTORS,  SUMS_32,     0, 8,  scales_q4_k,     1, 1.0f)
SUPERBLOCK_KERNEL(q6_k, Q6_K,     11, TWO_DIGITS,   SUMS_NONE,  32, 16, scales_q6_k,     2, 1.0f)
SUPERBLOCK_KERNEL(iq4_xs, IQ4_XS, 11, TWO_DIGITS,   SUMS_NONE,   0, 8,  scales_iq4_xs,   1, 1.0f)
/* clang-format on */

/* The types whose codes are places in a book of values; `bits` of a code tell how they are packed. */
#define BOOK_KERNEL(type, TYPE, BOOK, bits, n_scales)                                                            \
    CM_INLINE void codes_##type(const uint8_t *block, int step, __m512i u[16])                                   \
    {                                                                                                            \
        static const int8_t values[16] = CM_VALUES_##BOOK;                                                       \
        const __m128i       book = _mm_loadu_si128((const __m128i *)(const void *)values);                       \
        codes_book_##bits(block, step, _mm512_broadcast_i32x4(book), u);                                         \
    }                                                                                                            \
    SUPERBLOCK_KERNEL(type, TYPE, 11, TWO_DIGITS, SUMS_NONE, 0, n_scales, scales_book_##bits, 1, CM_UNIT_##BOOK)

/*                        book bits n_scales */
BOOK_KERNEL(iq1_s, IQ1_S, IQ1, 3, 16)
BOOK_KERNEL(iq1_m, IQ1_M, IQ1, 3, 16)
BOOK_KERNEL(iq2_xxs, IQ2_XXS, IQ2, 3, 16)
BOOK_KERNEL(iq2_xs, IQ2_XS, IQ2, 3, 16)
BOOK_KERNEL(iq2_s, IQ2_S, IQ2, 3, 16)
BOOK_KERNEL(iq3_xxs, IQ3_XXS, IQ3_XXS, 4, 8)
BOOK_KERNEL(iq3_s, IQ3_S, IQ3_S, 4, 8)
BOOK_KERNEL(tq1_0, TQ1_0, TQ, 3, 16)
BOOK_KERNEL(tq2_0, TQ2_0, TQ, 3, 16)
