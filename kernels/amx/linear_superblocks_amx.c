/* linear_superblocks_amx.c - weight types with superblocks of 256 on AMX, from 9 tokens on. The scales of the parts of
 * a superblock are integers, so they go into the weights: w_k = sc_j * code_k, and one tile product after the
 * other (K = 64) sums up a whole superblock in int32; there is one conversion for 256 columns:
 *
 *     isum = sum_k w_k q_k
 *     acc  = fmaf((float)isum, d * da, acc)
 *     msum = sum_j m_j * asum_j
 *     acc  = fmaf(-(float)msum, dmin * da, acc)        where the type has a minimum
 *
 * Tiles multiply int8. Where w_k does not fit, it is cut into two planes, w = low + 128 * high with low in 0 … 127
 * and high = floor(w / 128), and isum = lows + 128 * highs. The ranges, for any bytes in a file:
 *
 *     type     sc           code          w = sc * code                              planes
 *     Q2_K     0 … 15       0 … 3         0 … 45                                     1
 *     Q3_K     -32 … 31     -4 … 3        -124 (31 * -4) … 128 (-32 * -4)            1, of -w: -128 … 124
 *     Q4_K     0 … 63       0 … 15        0 … 945                                    2, high 0 … 7
 *     Q5_K     0 … 63       0 … 31        0 … 1953                                   2, high 0 … 15
 *     Q6_K     -128 … 127   -32 … 31      -4064 (127 * -32) … 4096 (-128 * -32)      2, high -32 … 32
 *     IQ4_XS   -32 … 31     -127 … 113    -3937 (31 * -127) … 4064 (-32 * -127)      2, high -31 … 31
 *
 * w fits int16 always. With |q| <= 128 the sums are exact: |lows| <= 256 * 128 * 128 < 2^23 (one plane too),
 * |128 * highs| <= 128 * 256 * 32 * 128 = 2^27. |msum| <= 256 * 63 * 128 < 2^21; asum of 32 fits int16. */
#include "kernels/amx/panel_amx.h"
#include "kernels/amx/unpack_superblocks_amx.h"

struct plan { /* how a type goes through tiles */
    int  n_planes;
    bool is_negated; /* the plane holds -w */
};

enum { /* blocks of tokens that pass together: four accumulating tiles hide each other's latency */
    BLOCKS_1 = 4, /* with one plane  */
    BLOCKS_2 = 2, /* with two planes */
    GROUP = 16 * BLOCKS_1
};

struct weights { /* of 16 rows in a superblock, unpacked */
    alignas(64) int8_t low[4][TILE_BYTES]; /* for each 64 columns: 16 x 64, 4 k-values of 16 rows each */
    alignas(64) int8_t high[4][TILE_BYTES];
    __m512  d;
    __m512  dmin;
    __m512i pairs[8]; /* minimums, two int16 in a lane: of 2 x 32 columns (4 of them) or 2 x 16 */
};

/* 4 x int8 in each lane from the low bytes of even and odd: bytes 0 and 2, 1 and 3 */
CM_INLINE __m512i weave(__m512i even, __m512i odd_above)
{
    return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaau, even, odd_above);
}

/* w = sc * code mod 256, for one plane. sc: int16 in both halves of a lane */
CM_INLINE __m512i fold_one(__m512i code, __m512i sc)
{
    const __m512i odd = _mm512_and_si512(code, _mm512_set1_epi16((short)0xff00));
    return weave(_mm512_mullo_epi16(code, sc), _mm512_mullo_epi16(odd, sc));
}

/* w = sc * code = low + 128 * high */
CM_INLINE void fold_two(__m512i code, __m512i sc, bool is_signed, int8_t *low, int8_t *high)
{
    __m512i even = is_signed ? _mm512_srai_epi16(_mm512_slli_epi16(code, 8), 8)
                             : _mm512_and_si512(code, _mm512_set1_epi16(255));
    __m512i odd = is_signed ? _mm512_srai_epi16(code, 8) : _mm512_srli_epi16(code, 8);
    even = _mm512_mullo_epi16(even, sc);
    odd = _mm512_mullo_epi16(odd, sc);
    _mm512_store_si512(low, mask8(weave(even, _mm512_slli_epi16(odd, 8)), 127));
    _mm512_store_si512(high, weave(_mm512_srli_epi16(even, 7), _mm512_slli_epi16(odd, 1)));
}

/* 8 vectors of codes, the j-th 32 columns of the superblock, to their place in the planes */
CM_INLINE void fold(const __m512i *u, size_t j, const __m512i sc[16], const struct form form,
                    const struct plan plan, struct weights *out)
{
    int8_t *low = out->low[j / 2] + 512 * (j % 2), *high = out->high[j / 2] + 512 * (j % 2);
    CM_UNROLL_16
    for (size_t g = 0; g < 8; g++) {
        const __m512i scale = sc[form.n_scales == 16 ? 2 * j + g / 4 : j];
        const __m512i code = form.offset == 0 ? u[g] : _mm512_sub_epi8(u[g], _mm512_set1_epi8((char)form.offset));
        if (plan.n_planes == 1) _mm512_store_si512(low + 64 * g, fold_one(code, scale));
        else fold_two(code, scale, form.is_signed, low + 64 * g, high + 64 * g);
    }
}

CM_INLINE void unpack(const uint8_t *block, const struct form form, const struct plan plan, struct weights *out)
{
    struct scales scales;
    __m512i       sc[16], u[16];
    form.scales(block, &scales);
    out->d = load_halves(block);
    if (form.has_minimum) {
        out->dmin = load_halves(block + 32);
        CM_UNROLL_16
        for (int i = 0; i < form.n_scales / 2; i++)
            out->pairs[i] = pair(scales.minimums[2 * i], scales.minimums[2 * i + 1]);
    }
    for (int j = 0; j < form.n_scales; j++) {
        const __m512i of = plan.is_negated ? _mm512_sub_epi32(_mm512_setzero_si512(), scales.of[j]) : scales.of[j];
        sc[j] = pair(of, of);
    }
    for (int step = 0; step < 4; step++) {
        const size_t j = first_of(step, form.apart), other = j + (size_t)form.apart;
        form.codes(block, step, u);
        fold(u, j, sc, form, plan, out);
        fold(u + 8, other, sc, form, plan, out);
    }
}

struct integer_sums { /* of a group of token blocks: row = token */
    alignas(64) int32_t low[GROUP][CM_TILE];
    alignas(64) int32_t high[16 * BLOCKS_2][CM_TILE];
};

/* Columns 64 kt … of the superblock, two planes: blocks `first` and first + 1 of the tokens, n of them. */
CM_INLINE void multiply_two(const struct weights *weights, const struct panel *panel, int first, int n, int kt)
{
    tile_load(6, weights->low[kt], TILE_STRIDE);
    tile_load(7, weights->high[kt], TILE_STRIDE);
    tile_load(4, panel->codes[first][kt], TILE_STRIDE);
    tile_dot(0, 4, 6);
    tile_dot(1, 4, 7);
    if (n == 1) return;
    tile_load(5, panel->codes[first + 1][kt], TILE_STRIDE);
    tile_dot(2, 5, 6);
    tile_dot(3, 5, 7);
}

/* The same with one plane and up to four blocks. */
CM_INLINE void multiply_one(const struct weights *weights, const struct panel *panel, int first, int n, int kt)
{
    tile_load(6, weights->low[kt], TILE_STRIDE);
    tile_load(4, panel->codes[first][kt], TILE_STRIDE);
    tile_dot(0, 4, 6);
    if (n > 1) {
        tile_load(5, panel->codes[first + 1][kt], TILE_STRIDE);
        tile_dot(1, 5, 6);
    }
    if (n > 2) {
        tile_load(4, panel->codes[first + 2][kt], TILE_STRIDE);
        tile_dot(2, 4, 6);
    }
    if (n > 3) {
        tile_load(5, panel->codes[first + 3][kt], TILE_STRIDE);
        tile_dot(3, 5, 6);
    }
}

CM_INLINE void zero_sums(void)
{
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
}

CM_INLINE void store_sums(int n_planes, int n, int block_tokens, struct integer_sums *out)
{
    if (n_planes == 2) {
        tile_store(0, out->low[0], TILE_STRIDE);
        tile_store(1, out->high[0], TILE_STRIDE);
        if (n == 1) return;
        tile_store(2, out->low[block_tokens], TILE_STRIDE);
        tile_store(3, out->high[block_tokens], TILE_STRIDE);
        return;
    }
    tile_store(0, out->low[0], TILE_STRIDE);
    if (n > 1) tile_store(1, out->low[block_tokens], TILE_STRIDE);
    if (n > 2) tile_store(2, out->low[2 * block_tokens], TILE_STRIDE);
    if (n > 3) tile_store(3, out->low[3 * block_tokens], TILE_STRIDE);
}

/* sums[t] += tokens `begin` to `end` of a group, the first of which is token `first` of the panel */
CM_INLINE void convert(const struct weights *w, const struct panel *panel, const struct integer_sums *in, int first,
                       int begin, int end, const struct form form, const struct plan plan, float sums[][CM_TILE])
{
    for (int i = begin; i < end; i++) {
        const int    t = first + i;
        const __m512 da = _mm512_set1_ps(panel->scales[t][0]);
        __m512       acc = _mm512_load_ps(sums[t]);
        __m512i      isum = _mm512_load_si512(in->low[i]);
        if (plan.n_planes == 2)
            isum = _mm512_add_epi32(isum, _mm512_slli_epi32(_mm512_load_si512(in->high[i]), 7));
        if (plan.is_negated) isum = _mm512_sub_epi32(_mm512_setzero_si512(), isum);
        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), _mm512_mul_ps(w->d, da), acc);
        if (form.has_minimum) {
            const int16_t *asums = panel->sums.as_ints[t];
            __m512i        msum = _mm512_setzero_si512();
            CM_UNROLL_16
            for (int j = 0; j < form.n_scales / 2; j++)
                msum = _mm512_dpwssd_epi32(msum, w->pairs[j], broadcast(asums + 2 * j));
            acc = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(msum), _mm512_mul_ps(w->dmin, da), acc);
        }
        _mm512_store_ps(sums[t], acc);
    }
}

/* All blocks of tokens in groups of four accumulating tiles. While a group's products run, the group before it is
 * converted, a quarter of it after each 64 columns. */
CM_INLINE void pass(const struct weights *weights, const struct panel *panel, const struct form form,
                    const struct plan plan, float sums[][CM_TILE])
{
    struct integer_sums between[2];
    const int           step = plan.n_planes == 2 ? BLOCKS_2 : BLOCKS_1, m = panel->block_tokens;
    int                 n_before = 0; /* token blocks of the group before */
    for (int first = 0, turn = 0; first < panel->n_blocks || n_before > 0; first += step, turn = 1 - turn) {
        const int left = panel->n_blocks - first, n = left <= 0 ? 0 : left < step ? left : step;
        if (n > 0) zero_sums();
        for (int kt = 0; kt < 4; kt++) {
            if (n > 0 && plan.n_planes == 2) multiply_two(weights, panel, first, n, kt);
            if (n > 0 && plan.n_planes == 1) multiply_one(weights, panel, first, n, kt);
            convert(weights, panel, &between[1 - turn], (first - step) * m, n_before * m * kt / 4,
                    n_before * m * (kt + 1) / 4, form, plan, sums);
        }
        if (n > 0) store_sums(plan.n_planes, n, m, &between[turn]);
        n_before = n;
    }
}

#define SUPERBLOCK_KERNEL(type, TYPE, n_planes, is_negated, sums_form, ...)                             \
    static void chunk_##type(const uint8_t *block, const struct panel *panel, float sums[][CM_TILE])    \
    {                                                                                                   \
        const struct plan plan = { n_planes, is_negated };                                              \
        const struct form form = { (sums_form) != SUMS_NONE, __VA_ARGS__, codes_##type };               \
        struct weights    weights;                                                                      \
        unpack(block, form, plan, &weights);                                                            \
        pass(&weights, panel, form, plan, sums);                                                        \
    }                                                                                                   \
    AMX_KERNEL(type, TYPE, 9, sums_form)

/* clang-format off */
/*                              planes negated minimums  offset signed scales             apart */
SUPERBLOCK_KERNEL(q2_k, Q2_K,     1,   false, SUMS_16,     0,   false, 16, scales_q2_k,     1)
SUPERBLOCK_KERNEL(q3_k, Q3_K,     1,   true,  SUMS_NONE,   4,   true,  16, scales_q3_k,     1)
SUPERBLOCK_KERNEL(q4_k, Q4_K,     2,   false, SUMS_32,     0,   false, 8,  scales_q4_k,     1)
SUPERBLOCK_KERNEL(q5_k, Q5_K,     2,   false, SUMS_32,     0,   false, 8,  scales_q4_k,     1)
SUPERBLOCK_KERNEL(q6_k, Q6_K,     2,   false, SUMS_NONE,   32,  true,  16, scales_q6_k,     2)
SUPERBLOCK_KERNEL(iq4_xs, IQ4_XS, 2,   false, SUMS_NONE,   0,   true,  8,  scales_iq4_xs,   1)
/* clang-format on */
