/* tile16.h - the loops that all kernels on pack16 matrices share. Each kernel has its own code for the inside of a
 * tile; this file defines the order in which tiles and tokens are combined:
 *
 *     for rows, as many tiles as stay in the second-level cache
 *         for tokens, in groups of up to max_tokens
 *             for columns, as many as a panel holds (nearly always all)
 *                 lay the group's inputs out as a panel, in the order in which the tiles read them
 *                 for each tile: add its products to the sums of the group
 *
 * So weights are read from memory once, the inner loop reads two streams from front to back, and whatever depends only
 * on the input (such as what an offset of the codes adds to a sum) is computed once for all rows.
 *
 * Everything here is static inline, so that code compiled for one instruction set cannot be linked into others. */
#ifndef KERNELS_TILE16_H
#define KERNELS_TILE16_H

#include <assert.h>
#include <stdalign.h>
#include <string.h>

#include "kernels/linear.h"
#include "kernels/pack16.h"
#include "kernels/read_ahead.h"
#include "kernels/unroll.h"

enum {
    CM_LINE = 64,                /* bytes of a cache line                                      */
    CM_GROUP = 16,               /* most tokens that any kernel takes at a time                */
    CM_PANEL_BYTES = 48 << 10,   /* on the stack: enough for 16 tokens of 2048 columns, or 1 of 32768 */
    CM_ROWS_BYTES = 384 << 10    /* of weights that stay in the cache while the groups of tokens pass */
};

/* Prefetches n_bytes at some distance after `at`, into the second-level cache. With many tokens, memory would idle
 * while a loop computes; with few, the core runs ahead by itself, but not into the next page of 4 KB. read_ahead.h says
 * what differs between processors. The first-level cache would be the wrong place: it has entries for two dozen lines
 * under way, half of what memory delivers. The distance is far enough for slow memory, and near enough for lines not to
 * be evicted again. It is a hint: nothing is read, so it may point past the end. */
CM_INLINE void cm_prefetch(const uint8_t *at, size_t n_bytes, struct read_ahead ahead)
{
    enum { READ = 0, SECOND_LEVEL = 2 };
    const uintptr_t begin = (uintptr_t)at + ahead.distance;
    for (size_t i = 0; i < n_bytes; i += CM_LINE) __builtin_prefetch((const void *)(begin + i), READ, SECOND_LEVEL);
}

/* Writes columns [k, k + n_columns) of n_tokens input rows into panel, in the order in which tiles read them. */
typedef void cm_panel_fn(const struct activations *x, const size_t *rows, int n_tokens, size_t k,
                         size_t n_columns, uint8_t *panel);

/* sums[token][row of the tile] += the tile's products with the panel, columns ascending */
typedef void cm_tile_fn(const uint8_t *tile, const uint8_t *panel, size_t n_columns, int n_tokens,
                        struct read_ahead ahead, float sums[CM_GROUP][CM_TILE]);

struct walk {
    enum weight_type type;
    int              max_tokens;   /* in a group                                              */
    size_t           column_bytes; /* of a panel, for 256 columns of a token; 0: a panel takes any number */
    cm_panel_fn     *lay_panel;
    cm_tile_fn      *add_tile;
};

CM_INLINE size_t cm_panel_columns(const struct walk *walk, int n_tokens, size_t n_columns)
{
    if (walk->column_bytes == 0) return n_columns;
    const size_t fits = CM_PANEL_BYTES / (walk->column_bytes * (size_t)n_tokens) * 256;
    return fits < n_columns ? fits : n_columns;
}

/* Copies n_rows floats: all 16 of a tile, fewer only in the last one. (With a length that it does not know, the
 * compiler would use a string move.) */
CM_INLINE void cm_copy_rows(float *to, const float *from, size_t n_rows)
{
    if (n_rows == CM_TILE) memcpy(to, from, CM_TILE * sizeof(float));
    else
        for (size_t row = 0; row < n_rows; row++) to[row] = from[row];
}

/* One tile, one group, one panel. y: of the group's first token and the tile's first row. */
CM_INLINE void cm_visit_tile(const struct walk *walk, const uint8_t *tile, const uint8_t *panel,
                             size_t n_columns, int n_tokens, struct read_ahead ahead, bool is_first, size_t n_rows,
                             float *y, size_t y_stride)
{
    alignas(64) float sums[CM_GROUP][CM_TILE];
    for (int t = 0; t < n_tokens; t++) {
        if (is_first) memset(sums[t], 0, sizeof sums[0]);
        else cm_copy_rows(sums[t], y + (size_t)t * y_stride, n_rows);
    }
    walk->add_tile(tile, panel, n_columns, n_tokens, ahead, sums);
    for (int t = 0; t < n_tokens; t++) cm_copy_rows(y + (size_t)t * y_stride, sums[t], n_rows);
}

/* Rows [row_begin, row_end) for one group of tokens. */
CM_INLINE void cm_visit_group(const struct walk *walk, const struct matrix *matrix, int row_begin,
                              int row_end, const struct activations *x, const size_t *rows,
                              int n_tokens, float *y, size_t y_stride)
{
    const size_t         n_columns = (size_t)matrix->n_columns;
    const size_t         row_bytes = cm_pack16_row_bytes(walk->type, n_columns);
    const size_t         step = cm_panel_columns(walk, n_tokens, n_columns);
    const struct read_ahead ahead = cm_read_ahead()->how;
    alignas(64) uint8_t  panel[CM_PANEL_BYTES];
    for (size_t k = 0; k < n_columns; k += step) {
        const size_t n = n_columns - k < step ? n_columns - k : step;
        walk->lay_panel(x, rows, n_tokens, k, n, panel);
        for (int row = row_begin; row < row_end; row += CM_TILE) {
            const uint8_t *tile =
                matrix->packed + (size_t)row * row_bytes + CM_TILE * cm_pack16_row_bytes(walk->type, k);
            const size_t n_rows = (size_t)(row_end - row < CM_TILE ? row_end - row : CM_TILE);
            cm_visit_tile(walk, tile, panel, n, n_tokens, ahead, k == 0, n_rows, y + (row - row_begin),
                          y_stride);
        }
    }
}

CM_INLINE void cm_walk_tiles(const struct walk *walk, const struct matrix *matrix, int row_begin,
                             int row_end, const struct activations *x, const int32_t *which,
                             int n_tokens, float *y, size_t y_stride)
{
    const size_t row_bytes = cm_pack16_row_bytes(walk->type, (size_t)matrix->n_columns);
    const size_t fits = row_bytes > 0 ? CM_ROWS_BYTES / row_bytes / CM_TILE : 0;
    const int    n_rows = fits > 0 ? (int)fits * CM_TILE : CM_TILE;
    assert(row_begin % CM_TILE == 0 && row_end <= matrix->n_rows && matrix->n_columns == x->n_columns);
    for (int row = row_begin, end; row < row_end; row = end) {
        end = row_end - row < n_rows ? row_end : row + n_rows;
        for (int first = 0, n; first < n_tokens; first += n) {
            size_t rows[CM_GROUP];
            n = n_tokens - first < walk->max_tokens ? n_tokens - first : walk->max_tokens;
            for (int t = 0; t < n; t++)
                rows[t] = (size_t)(which != NULL ? which[first + t] : first + t);
            cm_visit_group(walk, matrix, row, end, x, rows, n,
                           y + (size_t)first * y_stride + (row - row_begin), y_stride);
        }
    }
}

/* The name cm_linear_<type>_<level>; CM_LEVEL is the level of the file that includes this. */
#define CM_PASTE3(a, b, c) a##b##_##c
#define CM_NAME(type, level) CM_PASTE3(cm_linear_, type, level)

/* Defines cm_linear_<type>_<level>(), whose tiles are added by body(tile, panel, n_columns, n_tokens, ahead, sums, …).
 * */
#define CM_LINEAR_KERNEL(type, TYPE, max_tokens, column_bytes, lay_panel, body, ...)              \
    static void tile_##type(const uint8_t *tile, const uint8_t *panel, size_t n_columns,          \
                            int n_tokens, struct read_ahead ahead, float sums[CM_GROUP][CM_TILE]) \
    {                                                                                             \
        body(tile, panel, n_columns, n_tokens, ahead, sums, __VA_ARGS__);                         \
    }                                                                                             \
    void CM_NAME(type, CM_LEVEL)(const struct matrix *matrix, int row_begin, int row_end,         \
                                 const struct activations *x, const int32_t *which, int n_tokens, \
                                 float *y, size_t y_stride);                                      \
    void CM_NAME(type, CM_LEVEL)(const struct matrix *matrix, int row_begin, int row_end,         \
                                 const struct activations *x, const int32_t *which, int n_tokens, \
                                 float *y, size_t y_stride)                                       \
    {                                                                                             \
        static const struct walk walk = { WEIGHT_##TYPE, max_tokens, column_bytes, lay_panel,     \
                                          tile_##type };                                          \
        cm_walk_tiles(&walk, matrix, row_begin, row_end, x, which, n_tokens, y, y_stride);        \
    }

#endif
