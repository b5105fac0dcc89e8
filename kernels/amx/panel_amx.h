/* panel_amx.h - the walk of the AMX kernels over a pack16 matrix.
 *
 *     for some tiles of 16 rows: for a panel of tokens: for each chunk of 256 columns:
 *         lay the panel's codes out as AMX tiles
 *         for each tile of rows: unpack its weights of the chunk to int8, and let all tokens pass over them
 *
 * So unpacked weights stay in the first-level cache, each is unpacked once for up to 128 tokens, and weights come
 * from memory once. The sums of all (row tile, token) wait between chunks in memory on the stack: with the panel
 * and a kernel's own scratch some 125 KiB.
 *
 * Tokens are shared out evenly to blocks of up to 16, the rows of a tile of tokens: one shape suits all blocks of a
 * panel, so tiles are configured once for it. 33 tokens are 3 blocks of 12, not 16 + 16 + 1. */
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
    MAX_BLOCKS = 8,
    PANEL_TOKENS = 16 * MAX_BLOCKS,
    SUM_ROWS = 1024,  /* sums[SUM_ROWS][16]: 128 tokens and 8 tiles of rows, 32 tokens and 32 tiles, … */
    TILE_STRIDE = 64, /* bytes from row to row in all that tiles load and store */
    TILE_BYTES = 1024
};

enum sums_form { /* of the activations' sums, where a type has minimums */
    SUMS_NONE,
    SUMS_FLOAT, /* (float) of each 32 codes */
    SUMS_32,    /* int16 of each 32 codes   */
    SUMS_16     /* int16 of each 16 codes   */
};

struct panel { /* the input of some tokens in one chunk; token t is row t % block_tokens of block t / block_tokens */
    int n_tokens;
    int n_blocks;
    int block_tokens; /* 8, 10, … 16; the last block is filled up with zeros */
    int n_columns;    /* of this chunk */
    alignas(64) int8_t codes[MAX_BLOCKS][CHUNK / 64][TILE_BYTES]; /* tiles: row = token, 64 columns */
    alignas(64) float scales[PANEL_TOKENS][8]; /* of each 32 columns; [0] where there is one for all 256 */
    union {
        alignas(64) float   as_floats[PANEL_TOKENS][8];
        alignas(64) int16_t as_ints[PANEL_TOKENS][16];
    } sums;
};

/* sums[t] += (weights of a tile of 16 rows in the panel's chunk) x (token t), for all t of all blocks */
typedef void cm_chunk_fn(const uint8_t *weights, const struct panel *panel, float sums[][CM_TILE]);

struct panel_form { /* what the walk must know of a kernel */
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
    panel->block_tokens = even < 8 ? 8 : even;
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

/* n_columns codes of a token (NULL: zeros) to its row of the tiles that start at out */
CM_INLINE void lay_out_codes(const int8_t *codes, size_t n_columns, int8_t *out)
{
    for (size_t k = 0; k < n_columns; k += 64) {
        const __m512i v = codes != NULL ? _mm512_maskz_loadu_epi8(first_bytes(n_columns - k), codes + k)
                                        : _mm512_setzero_si512();
        _mm512_store_si512(out + k / 64 * TILE_BYTES, v);
    }
}

/* The sums of n 16s, 16 at most, of token t; all zeros where n is 0. */
CM_INLINE void lay_out_sums(struct panel *panel, int t, const int16_t *sums, size_t n, enum sums_form form)
{
    const __m256i each_16 = _mm256_maskz_loadu_epi16((__mmask16)first_bytes(n), sums);
    const __m256i each_32 = _mm256_madd_epi16(each_16, _mm256_set1_epi16(1));
    if (form == SUMS_FLOAT) _mm256_store_ps(panel->sums.as_floats[t], _mm256_cvtepi32_ps(each_32));
    if (form == SUMS_32)
        _mm_store_si128((__m128i *)(void *)panel->sums.as_ints[t], _mm256_cvtepi32_epi16(each_32));
    if (form == SUMS_16) _mm256_store_si256((__m256i *)(void *)panel->sums.as_ints[t], each_16);
}

/* Tokens first, first + 1, … of the call, columns from `column` on. */
CM_INLINE void fill_panel(struct panel *panel, enum activation_kind kind, enum sums_form form,
                          const struct activations *x, const int32_t *which, int first, size_t column)
{
    const struct quantized *q = kind == ACTIVATION_Q256 ? &x->q256 : &x->q32;
    const size_t n_columns = (size_t)x->n_columns, block = kind == ACTIVATION_Q256 ? 256 : 32;
    const size_t n_here = n_columns - column < CHUNK ? n_columns - column : CHUNK;
    int          t = 0;
    panel->n_columns = (int)n_here;
    for (int b = 0; b < panel->n_blocks; b++) {
        for (int r = 0; r < panel->block_tokens; r++, t++) {
            const bool    is_one = t < panel->n_tokens;
            const size_t  row = !is_one ? 0 : (size_t)(which != NULL ? which[first + t] : first + t);
            const float  *scales = q->scales + (row * n_columns + column) / block;
            const int16_t *sums = form != SUMS_NONE ? q->sums + (row * n_columns + column) / 16 : NULL;
            const __mmask8 mask = (__mmask8)first_bytes(is_one ? n_here / block : 0);
            lay_out_codes(is_one ? q->codes + row * n_columns + column : NULL, n_here,
                          panel->codes[b][0] + TILE_STRIDE * r);
            _mm256_store_ps(panel->scales[t], _mm256_maskz_loadu_ps(mask, scales));
            if (form != SUMS_NONE) lay_out_sums(panel, t, sums, is_one ? n_here / 16 : 0, form);
        }
    }
}

/* Asks for a tile's next chunk, while all tokens pass over this one. A hint: it may point past the end. */
CM_INLINE void prefetch_next(const uint8_t *chunk, size_t n_bytes)
{
    const uintptr_t next = (uintptr_t)chunk + n_bytes;
    for (size_t i = 0; i < n_bytes; i += 64) __builtin_prefetch((const void *)(next + i));
}

/* One panel over rows [row_begin, row_end), which fit the sums. y: that of the panel's first token. */
CM_INLINE void walk_chunks(const struct panel_form *form, const struct matrix *matrix, int row_begin, int row_end,
                           const struct activations *x, const int32_t *which, int first, struct panel *panel,
                           float sums[][CM_TILE], float *y, size_t y_stride)
{
    const enum activation_kind kind = cm_weight_types[form->type].activation;
    const size_t n_columns = (size_t)matrix->n_columns, row_bytes = cm_row_bytes(form->type, n_columns);
    const size_t chunk_bytes = CM_TILE * cm_row_bytes(form->type, CHUNK);
    const int    n_padded = panel->n_blocks * panel->block_tokens;
    configure_tiles(panel->block_tokens, kind == ACTIVATION_Q256 ? 64 : 32);
    memset(sums, 0, (size_t)(n_padded * divided_up(row_end - row_begin, CM_TILE)) * sizeof sums[0]);
    for (size_t column = 0; column < n_columns; column += CHUNK) {
        fill_panel(panel, kind, form->sums, x, which, first, column);
        for (int row = row_begin; row < row_end; row += CM_TILE) {
            const uint8_t *weights = matrix->packed + (size_t)row * row_bytes + column / CHUNK * chunk_bytes;
            prefetch_next(weights, chunk_bytes);
            form->chunk(weights, panel, sums + (row - row_begin) / CM_TILE * n_padded);
        }
    }
    for (int row = row_begin; row < row_end; row += CM_TILE) {
        const size_t n_rows = (size_t)(row_end - row < CM_TILE ? row_end - row : CM_TILE);
        for (int t = 0; t < panel->n_tokens; t++)
            memcpy(y + (size_t)t * y_stride + (size_t)(row - row_begin),
                   sums[(row - row_begin) / CM_TILE * n_padded + t], n_rows * sizeof(float));
    }
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

/* Defines cm_linear_<type>_amx(): below `from` tokens the AVX-512 kernel, which reads the same packing. */
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
