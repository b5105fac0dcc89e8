/* pack16.c - interleaves 16 rows of a matrix, as pack16.h draws it. One table says for each type which
 * fields its blocks have; the rest is copying. */
#include "kernels/pack16.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "kernels/quant/block.h"
#include "kernels/quant/code_book.h"

enum {
    MAX_FIELDS = 6,
    MAX_STEP_BYTES = 256, /* of a row: no file's block is larger */
    FLOATS_OF_STEP = 32   /* float types have no blocks: columns taken together, 64 or 128 bytes of a row */
};

struct field {
    int offset;  /* in the block               */
    int size;    /* bytes of an element        */
    int count;   /* elements; 0 ends the list  */
};

/* In packed order: scales first, so that a kernel has them when the codes come. */
/* clang-format off */
static const struct field fields[WEIGHT_TYPE_COUNT][MAX_FIELDS] = {
    [WEIGHT_F32]    = { { 0, 4, 1 } },
    [WEIGHT_F16]    = { { 0, 2, 1 } },
    [WEIGHT_BF16]   = { { 0, 2, 1 } },
    /*                  d             m, dmin        scales          high bits       codes        */
    [WEIGHT_Q4_0]   = { { 0, 2, 1 },                                                 { 2, 4, 4 } },
    [WEIGHT_Q4_1]   = { { 0, 2, 1 },   { 2, 2, 1 },                                  { 4, 4, 4 } },
    [WEIGHT_Q5_0]   = { { 0, 2, 1 },                                 { 2, 4, 1 },    { 6, 4, 4 } },
    [WEIGHT_Q5_1]   = { { 0, 2, 1 },   { 2, 2, 1 },                  { 4, 4, 1 },    { 8, 4, 4 } },
    [WEIGHT_Q8_0]   = { { 0, 2, 1 },                                                 { 2, 4, 8 } },
    [WEIGHT_Q2_K]   = { { 80, 2, 1 },  { 82, 2, 1 }, { 0, 4, 4 },                    { 16, 4, 16 } },
    [WEIGHT_Q3_K]   = { { 108, 2, 1 },               { 96, 4, 3 },   { 0, 4, 8 },    { 32, 4, 16 } },
    [WEIGHT_Q4_K]   = { { 0, 2, 1 },   { 2, 2, 1 },  { 4, 4, 3 },                    { 16, 4, 32 } },
    [WEIGHT_Q5_K]   = { { 0, 2, 1 },   { 2, 2, 1 },  { 4, 4, 3 },    { 16, 4, 8 },   { 48, 4, 32 } },
    [WEIGHT_Q6_K]   = { { 208, 2, 1 },               { 192, 4, 4 },  { 128, 4, 8 },  { 0, 4, 16 },
                        /* the second 128 weights: */                { 160, 4, 8 },  { 64, 4, 16 } },
    [WEIGHT_IQ4_NL] = { { 0, 2, 1 },                                                 { 2, 4, 4 } },
    [WEIGHT_IQ4_XS] = { { 0, 2, 1 },                 { 2, 2, 1 },    { 4, 4, 1 },    { 8, 4, 32 } },
    [WEIGHT_MXFP4]  = { { 0, 1, 1 },                                                 { 1, 4, 4 } },
#define THREE_BITS    { { 0, 2, 1 },                 { 2, 4, 2 },    { 10, 4, 8 },   { 42, 4, 16 } }
#define FOUR_BITS     { { 0, 2, 1 },                 { 2, 4, 1 },                    { 6, 4, 32 } }
    [WEIGHT_IQ1_S]  = THREE_BITS, [WEIGHT_IQ1_M]   = THREE_BITS, [WEIGHT_IQ2_XXS] = THREE_BITS,
    [WEIGHT_IQ2_XS] = THREE_BITS, [WEIGHT_IQ2_S]   = THREE_BITS,
    [WEIGHT_TQ1_0]  = THREE_BITS, [WEIGHT_TQ2_0]   = THREE_BITS,
    [WEIGHT_IQ3_S]  = FOUR_BITS,  [WEIGHT_IQ3_XXS] = FOUR_BITS,
};
/* clang-format on */

size_t cm_pack1_bytes(enum weight_type type, size_t n_rows, size_t n_columns)
{
    return n_rows * cm_row_bytes(type, n_columns);
}

void cm_pack1(enum weight_type type, const void *rows, size_t n_rows, size_t n_columns, void *out)
{
    memcpy(out, rows, cm_pack1_bytes(type, n_rows, n_columns));
}

size_t cm_pack16_row_bytes(enum weight_type type, size_t n_columns)
{
    const size_t book_bytes = cm_book_bytes(type);
    return book_bytes > 0 ? n_columns / CM_SUPERBLOCK * book_bytes : cm_row_bytes(type, n_columns);
}

size_t cm_pack16_bytes(enum weight_type type, size_t n_rows, size_t n_columns)
{
    return (n_rows + CM_TILE - 1) / CM_TILE * CM_TILE * cm_pack16_row_bytes(type, n_columns);
}

/* out[element][row] = row[element] for elements begin … end. The size is a constant where this is called,
 * so that each copy is one move. A row's bytes are taken together: rows may lie a multiple of 4096 bytes
 * apart, and then all share a few lines of the cache. */
static inline void interleave(const uint8_t *rows, size_t stride, size_t size, size_t begin, size_t end,
                              uint8_t *out)
{
    for (size_t row = 0; row < CM_TILE; row++)
        for (size_t i = begin; i < end; i++)
            memcpy(out + (i * CM_TILE + row) * size, rows + row * stride + i * size, size);
}

#if defined(__SSE2__)
static inline __m128i load(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static inline void store(uint8_t *to, __m128i value)
{
    _mm_storeu_si128((__m128i *)(void *)to, value);
}

/* 4 elements of 4 bytes of 4 rows. */
static inline void interleave_4x4(const uint8_t *rows, size_t stride, uint8_t *out)
{
    const __m128i row0 = load(rows), row1 = load(rows + stride);
    const __m128i row2 = load(rows + 2 * stride), row3 = load(rows + 3 * stride);
    const __m128i low01 = _mm_unpacklo_epi32(row0, row1), high01 = _mm_unpackhi_epi32(row0, row1);
    const __m128i low23 = _mm_unpacklo_epi32(row2, row3), high23 = _mm_unpackhi_epi32(row2, row3);
    store(out, _mm_unpacklo_epi64(low01, low23));
    store(out + 4 * CM_TILE, _mm_unpackhi_epi64(low01, low23));
    store(out + 8 * CM_TILE, _mm_unpacklo_epi64(high01, high23));
    store(out + 12 * CM_TILE, _mm_unpackhi_epi64(high01, high23));
}

/* 8 elements of 2 bytes of 8 rows: pairs of rows, of pairs, of fours. */
static inline void interleave_8x8(const uint8_t *rows, size_t stride, uint8_t *out)
{
    __m128i two[8], four[8];
    for (size_t i = 0; i < 4; i++) {
        const __m128i even = load(rows + 2 * i * stride), odd = load(rows + (2 * i + 1) * stride);
        two[2 * i] = _mm_unpacklo_epi16(even, odd);
        two[2 * i + 1] = _mm_unpackhi_epi16(even, odd);
    }
    for (size_t i = 0; i < 8; i += 4) {
        four[i] = _mm_unpacklo_epi32(two[i], two[i + 2]);
        four[i + 1] = _mm_unpackhi_epi32(two[i], two[i + 2]);
        four[i + 2] = _mm_unpacklo_epi32(two[i + 1], two[i + 3]);
        four[i + 3] = _mm_unpackhi_epi32(two[i + 1], two[i + 3]);
    }
    for (size_t i = 0; i < 4; i++, out += 4 * CM_TILE) {
        store(out, _mm_unpacklo_epi64(four[i], four[i + 4]));
        store(out + 2 * CM_TILE, _mm_unpackhi_epi64(four[i], four[i + 4]));
    }
}

/* One element of 2 bytes of 8 rows. */
static inline void gather_8(const uint8_t *rows, size_t stride, uint8_t *out)
{
    short half[8];
    for (size_t i = 0; i < 8; i++) memcpy(&half[i], rows + i * stride, 2);
    store(out, _mm_setr_epi16(half[0], half[1], half[2], half[3], half[4], half[5], half[6], half[7]));
}
#endif

/* One byte of each row: the exponents of a block of MXFP4. */
static inline void interleave_byte(const uint8_t *rows, size_t stride, uint8_t *out)
{
#if defined(__SSE2__)
    uint16_t pairs[8]; /* byte i of row 2 i and of the next */
    for (size_t i = 0; i < 8; i++)
        pairs[i] = (uint16_t)(rows[2 * i * stride] | rows[(2 * i + 1) * stride] << 8);
    gather_8((const uint8_t *)pairs, 2, out);
#else
    interleave(rows, stride, 1, 0, 1, out);
#endif
}

/* Elements of 4 bytes, where nearly all bytes are: by vectors where every machine has them. */
static inline void interleave_words(const uint8_t *rows, size_t stride, size_t count, uint8_t *out)
{
    size_t done = 0;
#if defined(__SSE2__)
    done = count - count % 4;
    for (size_t row = 0; row < CM_TILE; row += 4)
        for (size_t i = 0; i < done; i += 4)
            interleave_4x4(rows + row * stride + i * 4, stride, out + (i * CM_TILE + row) * 4);
#endif
    interleave(rows, stride, 4, done, count, out);
}

/* Elements of 2 bytes: one of a block, or columns of a float type. */
static inline void interleave_halves(const uint8_t *rows, size_t stride, size_t count, uint8_t *out)
{
    size_t done = 0;
#if defined(__SSE2__)
    done = count == 1 ? 1 : count - count % 8;
    for (size_t row = 0; row < CM_TILE; row += 8) {
        if (count == 1) gather_8(rows + row * stride, stride, out + row * 2);
        for (size_t i = 0; i + 8 <= count; i += 8)
            interleave_8x8(rows + row * stride + i * 2, stride, out + (i * CM_TILE + row) * 2);
    }
#endif
    interleave(rows, stride, 2, done, count, out);
}

/* One step of 16 rows: a block of the file, or n_columns floats of a type that has no blocks. Returns
 * the end of out. */
static inline uint8_t *pack_step(const struct field *field, size_t n_columns, const uint8_t *rows,
                                 size_t stride, uint8_t *out)
{
    for (int i = 0; i < MAX_FIELDS && field[i].count != 0; i++) {
        const uint8_t *from = rows + field[i].offset;
        const size_t   size = (size_t)field[i].size, count = (size_t)field[i].count * n_columns;
        switch (size) {
        case 1: assert(count == 1); interleave_byte(from, stride, out); break;
        case 2: interleave_halves(from, stride, count, out); break;
        default: interleave_words(from, stride, count, out);
        }
        out += CM_TILE * size * count;
    }
    return out;
}

/* One step of n_rows rows, of n_bytes each, one beside the other; further ones stay as they are. */
static void copy_step(enum weight_type type, const uint8_t *rows, size_t n_rows, size_t row_bytes, size_t n_bytes,
                      uint8_t to[CM_TILE * MAX_STEP_BYTES])
{
    const bool is_book = cm_book_bytes(type) > 0;
    for (size_t i = 0; i < n_rows; i++) {
        if (is_book) cm_book_pack(type, rows + i * row_bytes, to + i * MAX_STEP_BYTES);
        else memcpy(to + i * MAX_STEP_BYTES, rows + i * row_bytes, n_bytes);
    }
}

/* Rows that a last tile lacks are zeros, and codes of a book are written anew: such rows are copied first, each step
 * of them. */
static uint8_t *pack_tile(enum weight_type type, const uint8_t *rows, size_t n_rows, size_t n_columns,
                          uint8_t *out)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    const size_t row_bytes = cm_row_bytes(type, n_columns);
    const size_t step_bytes = (size_t)row->n_bytes * (row->n_elements == 1 ? FLOATS_OF_STEP : 1);
    const bool   is_copied = n_rows < CM_TILE || cm_book_bytes(type) > 0;
    uint8_t      copies[CM_TILE * MAX_STEP_BYTES];
    assert(step_bytes <= MAX_STEP_BYTES);
    if (n_rows < CM_TILE) memset(copies, 0, sizeof copies);
    for (size_t at = 0; at < row_bytes; at += step_bytes) {
        const size_t   n_bytes = row_bytes - at < step_bytes ? row_bytes - at : step_bytes;
        const size_t   n_elements = n_bytes / (size_t)row->n_bytes;
        const uint8_t *from = rows + at;
        size_t         stride = row_bytes;
        if (is_copied) {
            copy_step(type, from, n_rows, row_bytes, n_bytes, copies);
            from = copies;
            stride = MAX_STEP_BYTES;
        }
        out = pack_step(fields[type], n_elements, from, stride, out);
    }
    return out;
}

void cm_pack16(enum weight_type type, const void *rows, size_t n_rows, size_t n_columns, void *out)
{
    const size_t row_bytes = cm_row_bytes(type, n_columns);
    uint8_t     *at = out;
    for (size_t first = 0; first < n_rows; first += CM_TILE) {
        const size_t n = n_rows - first < CM_TILE ? n_rows - first : CM_TILE;
        at = pack_tile(type, (const uint8_t *)rows + first * row_bytes, n, n_columns, at);
    }
}
