/* panel_amx.h - the walk of the AMX kernels over a pack16 matrix.
 *
 *     for some tiles of 16 rows: for a panel of tokens: for each chunk of 256 columns:
 *         lay the panel's codes out as AMX tiles
 *         for each tile of rows: unpack its weights of the chunk to int8, and let all tokens pass over them
 *
 * So unpacked weights stay in the first-level cache, each weight is unpacked once for up to 64 tokens, and weights are
 * read from memory once. (Panels of 128 tokens were slower: their codes and sums do not fit into the cache beside the
 * weights.) Between chunks, the sums of all (tile of rows, token) are kept on the stack; together with the panel and a
 * kernel's scratch that takes about 100 KiB.
 *
 * Tokens are divided evenly into blocks of up to 16, which are the rows of a tile of tokens. All blocks of a panel have
 * the same shape, so the tiles are configured once for it: 33 tokens become 3 blocks of 12, not 16 + 16 + 1. */
#ifndef KERNELS_AMX_PANEL_AMX_H
#define KERNELS_AMX_PANEL_AMX_H

#include <assert.h>
#include <stdalign.h>

#include "kernels/amx/lanes_amx.h"
#include "kernels/amx/tiles.h"
#include "kernels/linear.h"
#include "kernels/pack16.h"

enum {
    CHUNK = 256,
    MAX_BLOCKS = 4,
    PANEL_TOKENS = 16 * MAX_BLOCKS,
    LEAST_TOKENS = 10, /* in a block: each even number from this to 16 has a body of its own  */
    SUM_ROWS = 1024,   /* sums[SUM_ROWS][16]: 64 tokens and 16 tiles of rows, 32 tokens and 32 tiles, … */
    TILE_STRIDE = 64, /* bytes between rows of everything that tiles load and store */
    TILE_BYTES = 1024
};

enum sums_form { /* form of the activations' sums, for types with minimums */
    SUMS_NONE,
    SUMS_FLOAT, /* (float) of each 32 codes */
    SUMS_32,    /* of each 32 codes as two bfloat16 */
    SUMS_16     /* of each 16 codes as two bfloat16 */
};

struct panel { /* the input of some tokens in one chunk; token t is row t % block_tokens of block t / block_tokens */
    int n_tokens;
    int n_blocks;
    int block_tokens; /* 10, 12, 14 or 16; the last block is filled up with zeros */
    int n_columns;    /* of this chunk */
    uintptr_t next;   /* address of the weights that will be read after these, see prefetch_share() */
    size_t    share;  /* bytes of them to prefetch with each block of tokens                    */
    alignas(64) int8_t codes[MAX_BLOCKS][CHUNK / 64][TILE_BYTES]; /* tiles: row = token, 64 columns */
    alignas(64) float scales[MAX_BLOCKS][8][16]; /* of each 32 columns and token; [0] where there is one for all 256 */
    union {
        alignas(64) float    as_floats[MAX_BLOCKS][8][16];
        alignas(64) uint32_t as_tiles[MAX_BLOCKS][16][16]; /* row = token, element = two bfloat16: split_sums() */
    } sums;
};

/* sums[t] += (weights of a tile of 16 rows in the panel's chunk) x (token t), for all t of all blocks */
typedef void cm_chunk_fn(const uint8_t *weights, const struct panel *panel, float sums[][CM_TILE]);

struct panel_form { /* what the walk must know about a kernel */
    enum weight_type type;
    enum sums_form   sums;
    cm_chunk_fn     *chunk;
};

CM_INLINE int divided_up(int a, int b)
{
    return (a + b - 1) / b;
}

CM_INLINE void share_tokens(struct panel *panel, int n_tokens)
{
    const int even = (divided_up(n_tokens, divided_up(n_tokens, 16)) + 1) / 2 * 2;
    panel->n_tokens = n_tokens;
    panel->n_blocks = divided_up(n_tokens, 16);
    panel->block_tokens = even < LEAST_TOKENS ? LEAST_TOKENS : even;
}

/* Tiles 0-3: sums, row = token, 16 int32 for the 16 rows of weights. 4 and 5: tokens, k int8 each.
 * 6 and 7: weights, row = 4 k-values of 16 rows. */
CM_INLINE void configure_tiles(int block_tokens, int k)
{
    struct tile_config config = { .palette = 1 };
    for (int t = 0; t < 8; t++) {
        config.rows[t] = (uint8_t)(t < 6 ? block_tokens : k / 4);
        config.row_bytes[t] = (uint16_t)(t == 4 || t == 5 ? k : 64);
    }
    tile_configure(&config);
}

CM_INLINE __mmask64 first_bytes(size_t n)
{
    return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
}

/* Copies n_columns codes of a token, padded with zeros to CHUNK, to its row of the tiles that start at out. */
CM_INLINE void lay_out_codes(const int8_t *codes, size_t n_columns, int8_t *out)
{
    CM_UNROLL
    for (size_t k = 0; k < CHUNK; k += 64) {
        const __mmask64 mask = first_bytes(k < n_columns ? n_columns - k : 0);
        _mm512_store_si512(out + k / 64 * TILE_BYTES, _mm512_maskz_loadu_epi8(mask, codes + k));
    }
}

/* Writes 8 floats to every 16th place. */
CM_INLINE void scatter(__m256 v, float *to)
{
    float each[8];
    _mm256_storeu_ps(each, v);
    CM_UNROLL
    for (int i = 0; i < 8; i++) to[16 * i] = each[i];
}

/* Splits sums of 16 or 32 codes, |sum| <= 128 * n_codes, into two bfloat16 each: sum mod n_codes, and the rest, which
 * is a multiple of n_codes. Both have at most 8 significant bits, so they are exact. */
CM_INLINE __m512i split_sums(__m512i sums, int n_codes)
{
    const __m512i low = _mm512_and_si512(sums, _mm512_set1_epi32(n_codes - 1)), rest = _mm512_sub_epi32(sums, low);
    const __m512i low_bits = _mm512_castps_si512(_mm512_cvtepi32_ps(low));
    return _mm512_or_si512(_mm512_srli_epi32(low_bits, 16), _mm512_castps_si512(_mm512_cvtepi32_ps(rest)));
}

/* Writes the sums of n groups of 16 codes, at most 16, of token r in block b; all zeros if n is 0. */
CM_INLINE void lay_out_sums(struct panel *panel, int b, int r, const int16_t *sums, size_t n, enum sums_form form)
{
    const __m256i each_16 = _mm256_maskz_loadu_epi16((__mmask16)first_bytes(n), sums);
    const __m256i each_32 = _mm256_madd_epi16(each_16, _mm256_set1_epi16(1));
    switch (form) {
    case SUMS_NONE: break;
    case SUMS_FLOAT: scatter(_mm256_cvtepi32_ps(each_32), &panel->sums.as_floats[b][0][r]); break;
    case SUMS_32:
        _mm512_store_si512(panel->sums.as_tiles[b][r], split_sums(_mm512_zextsi256_si512(each_32), 32));
        break;
    case SUMS_16: _mm512_store_si512(panel->sums.as_tiles[b][r], split_sums(_mm512_cvtepi16_epi32(each_16), 16));
    }
}

/* Fills in token r of block b from input row `row`, columns from `column` on; row < 0: zeros. */
CM_INLINE void lay_out_token(struct panel *panel, int b, int r, const struct quantized *q, size_t block,
                             enum sums_form form, size_t n_columns, size_t column, int row)
{
    const size_t    at = (row < 0 ? 0 : (size_t)row) * n_columns + column;
    const size_t    n_here = row < 0 ? 0 : (size_t)panel->n_columns;
    const __mmask8  mask = (__mmask8)first_bytes(n_here / block);
    const int16_t  *sums = form != SUMS_NONE ? q->sums + at / 16 : NULL;
    lay_out_codes(q->codes + at, n_here, panel->codes[b][0] + TILE_STRIDE * r);
    if (block == 256) panel->scales[b][0][r] = row < 0 ? 0 : q->scales[at / 256];
    else scatter(_mm256_maskz_loadu_ps(mask, q->scales + at / 32), &panel->scales[b][0][r]);
    if (form != SUMS_NONE) lay_out_sums(panel, b, r, sums, n_here / 16, form);
}

/* Fills in tokens first, first + 1, … of the call, columns from `column` on. */
CM_APART void fill_panel(struct panel *panel, enum activation_kind kind, enum sums_form form,
                         const struct activations *x, const int32_t *which, int first, size_t column)
{
    const struct quantized *q = kind == ACTIVATION_Q256 ? &x->q256 : &x->q32;
    const size_t n_columns = (size_t)x->n_columns, block = kind == ACTIVATION_Q256 ? 256 : 32;
    int          t = 0;
    panel->n_columns = (int)(n_columns - column < CHUNK ? n_columns - column : CHUNK);
    for (int b = 0; b < panel->n_blocks; b++) {
        for (int r = 0; r < panel->block_tokens; r++, t++) {
            const int row = t >= panel->n_tokens ? -1 : which != NULL ? which[first + t] : first + t;
            lay_out_token(panel, b, r, q, block, form, n_columns, column, row);
        }
    }
}

/* Prefetches, into the second-level cache, the share of the next weights that belongs to this block of tokens. This is
 * done little by little: a burst would fill the two dozen entries for cache lines under way, and every other load would
 * wait behind it. It is a hint, so the address may lie past the end of all weights. */
CM_INLINE void prefetch_share(const struct panel *panel, int block)
{
    enum { READ = 0, SECOND_LEVEL = 2 };
    const uintptr_t begin = panel->next + panel->share * (size_t)block;
    for (size_t i = 0; i < panel->share; i += 64) __builtin_prefetch((const void *)(begin + i), READ, SECOND_LEVEL);
}

/* Writes the first n_rows sums of each token to y, token by token, so that y is written from front to back. A masked
 * store is used, since copies whose length the compiler does not know become a call or a slow string move. */
CM_INLINE void copy_sums(const struct panel *panel, int n_rows, const float sums[][CM_TILE], float *y, size_t y_stride)
{
    const int n_padded = panel->n_blocks * panel->block_tokens;
    for (int t = 0; t < panel->n_tokens; t++) {
        for (int row = 0; row < n_rows; row += CM_TILE) {
            const int       n = n_rows - row < CM_TILE ? n_rows - row : CM_TILE;
            const __mmask16 mask = (__mmask16)((1u << n) - 1);
            _mm512_mask_storeu_ps(y + (size_t)t * y_stride + (size_t)row, mask,
                                  _mm512_load_ps(sums[row / CM_TILE * n_padded + t]));
        }
    }
}

/* Multiplies one panel with rows [row_begin, row_end), for which there is room in the sums. y belongs to the panel's
 * first token. */
CM_INLINE void walk_chunks(const struct panel_form *form, const struct matrix *matrix, int row_begin, int row_end,
                           const struct activations *x, const int32_t *which, int first, struct panel *panel,
                           float sums[][CM_TILE], float *y, size_t y_stride)
{
    const enum activation_kind kind = cm_weight_types[form->type].activation;
    const size_t n_columns = (size_t)matrix->n_columns, row_bytes = cm_pack16_row_bytes(form->type, n_columns);
    const size_t chunk_bytes = CM_TILE * cm_pack16_row_bytes(form->type, CHUNK);
    const int    n_padded = panel->n_blocks * panel->block_tokens;
    const uintptr_t first_chunk = (uintptr_t)matrix->packed + (size_t)row_begin * row_bytes;
    panel->share = (chunk_bytes / (size_t)panel->n_blocks + 63) / 64 * 64;
    configure_tiles(panel->block_tokens, kind == ACTIVATION_Q256 ? 64 : 32);
    memset(sums, 0, (size_t)(n_padded * divided_up(row_end - row_begin, CM_TILE)) * sizeof sums[0]);
    for (size_t column = 0; column < n_columns; column += CHUNK) {
        fill_panel(panel, kind, form->sums, x, which, first, column);
        for (int row = row_begin; row < row_end; row += CM_TILE) {
            const uint8_t *weights = matrix->packed + (size_t)row * row_bytes + column / CHUNK * chunk_bytes;
            panel->next = row + CM_TILE < row_end ? (uintptr_t)weights + CM_TILE * row_bytes
                                                  : first_chunk + (column / CHUNK + 1) * chunk_bytes;
            form->chunk(weights, panel, sums + (row - row_begin) / CM_TILE * n_padded);
        }
    }
    copy_sums(panel, row_end - row_begin, (const float(*)[CM_TILE])sums, y, y_stride);
}

CM_INLINE void walk_panels(const struct panel_form *form, const struct matrix *matrix, int row_begin, int row_end,
                           const struct activations *x, const int32_t *which, int n_tokens, float *y,
                           size_t y_stride)
{
    alignas(64) float sums[SUM_ROWS][CM_TILE];
    struct panel      panel;
    const int         n_at_once = divided_up(n_tokens, divided_up(n_tokens, PANEL_TOKENS));
    share_tokens(&panel, n_at_once);
    const int rows_at_once = SUM_ROWS / (panel.n_blocks * panel.block_tokens) * CM_TILE;
    assert(row_begin % CM_TILE == 0 && row_end <= matrix->n_rows && matrix->n_columns == x->n_columns);
    for (int row = row_begin; row < row_end; row += rows_at_once) {
        const int end = row_end - row < rows_at_once ? row_end : row + rows_at_once;
        for (int first = 0; first < n_tokens; first += n_at_once) {
            share_tokens(&panel, n_tokens - first < n_at_once ? n_tokens - first : n_at_once);
            walk_chunks(form, matrix, row, end, x, which, first, &panel, sums,
                        y + (size_t)first * y_stride + (size_t)(row - row_begin), y_stride);
        }
    }
    tile_release();
}

#if defined(CM_SOFTWARE_TILES)
#define AMX_NAME(type) cm_linear_##type##_software_amx
#else
#define AMX_NAME(type) cm_linear_##type##_amx
#endif

/* Defines cm_linear_<type>_amx(). For fewer than `from` tokens it uses the AVX-512 kernel, which reads the same
 * packing. */
#define AMX_KERNEL(type, TYPE, from, sums_form)                                                             \
    void cm_linear_##type##_avx512vnni(const struct matrix *matrix, int row_begin, int row_end,             \
                                       const struct activations *x, const int32_t *which, int n_tokens,     \
                                       float *y, size_t y_stride);                                          \
    void AMX_NAME(type)(const struct matrix *matrix, int row_begin, int row_end, const struct activations *x, \
                        const int32_t *which, int n_tokens, float *y, size_t y_stride);                     \
    void AMX_NAME(type)(const struct matrix *matrix, int row_begin, int row_end, const struct activations *x, \
                        const int32_t *which, int n_tokens, float *y, size_t y_stride)                      \
    {                                                                                                       \
        const struct panel_form form = { WEIGHT_##TYPE, sums_form, chunk_##type };                          \
        if (n_tokens < (from))                                                                              \
            cm_linear_##type##_avx512vnni(matrix, row_begin, row_end, x, which, n_tokens, y, y_stride);     \
        else                                                                                                \
            walk_panels(&form, matrix, row_begin, row_end, x, which, n_tokens, y, y_stride);                \
    }

#endif
