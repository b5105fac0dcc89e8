/* pack16.c - interleaves 16 rows of a matrix, as pack16.h draws it. One table says for each type which
 * fields its blocks have; the rest is copying. */
#include "kernels/pack16.h"

#include <string.h>

enum { MAX_FIELDS = 6 };

struct field {
    int offset;  /* in the file's block        */
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

size_t cm_pack16_bytes(enum weight_type type, size_t n_rows, size_t n_columns)
{
    return (n_rows + CM_TILE - 1) / CM_TILE * CM_TILE * cm_row_bytes(type, n_columns);
}

/* out[element][row] = source[row][element]; a NULL row gives zeros. Returns the end of out. The size is
 * a constant where this is called, so that each copy is one move. */
static inline uint8_t *interleave(const uint8_t *const source[CM_TILE], size_t offset, size_t size,
                                  size_t count, uint8_t *out)
{
    for (size_t row = 0; row < CM_TILE; row++) {
        const uint8_t *from = source[row];
        uint8_t       *to = out + row * size;
        for (size_t i = 0; i < count; i++) {
            if (from != NULL)
                memcpy(to + i * CM_TILE * size, from + offset + i * size, size);
            else
                memset(to + i * CM_TILE * size, 0, size);
        }
    }
    return out + CM_TILE * size * count;
}

static uint8_t *pack_field(const struct field *field, const uint8_t *const source[CM_TILE], size_t at,
                           size_t count, uint8_t *out)
{
    const size_t offset = at + (size_t)field->offset;
    switch (field->size) {
    case 1: return interleave(source, offset, 1, count, out);
    case 2: return interleave(source, offset, 2, count, out);
    default: return interleave(source, offset, 4, count, out);
    }
}

static uint8_t *pack_tile(enum weight_type type, const uint8_t *const source[CM_TILE], size_t n_columns,
                          uint8_t *out)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    if (row->n_elements == 1) return pack_field(fields[type], source, 0, n_columns, out);
    const size_t n_blocks = n_columns / (size_t)row->n_elements;
    for (size_t block = 0; block < n_blocks; block++) {
        const size_t at = block * (size_t)row->n_bytes;
        for (int i = 0; i < MAX_FIELDS && fields[type][i].count != 0; i++)
            out = pack_field(&fields[type][i], source, at, (size_t)fields[type][i].count, out);
    }
    return out;
}

void cm_pack16(enum weight_type type, const void *rows, size_t n_rows, size_t n_columns, void *out)
{
    const size_t row_bytes = cm_row_bytes(type, n_columns);
    uint8_t     *at = out;
    for (size_t first = 0; first < n_rows; first += CM_TILE) {
        const uint8_t *source[CM_TILE];
        for (size_t i = 0; i < CM_TILE; i++)
            source[i] = first + i < n_rows ? (const uint8_t *)rows + (first + i) * row_bytes : NULL;
        at = pack_tile(type, source, n_columns, at);
    }
}
