/* pack16.h - the order in which matrix kernels read weights, the same for every instruction set.
 *
 * pack1: rows as in the file.
 *
 * pack16: tiles of 16 rows. A tile holds its blocks in order. A block of a tile holds the fields of the file's block in
 * an order of its own. Each field consists of elements of 1, 2 or 4 bytes, and each element is stored for row 0, row 1,
 * … row 15 before the next element follows:
 *
 *     Q8_0, block b of a tile:   | d r0 … d r15 | codes 0-3 r0 … codes 0-3 r15 | codes 4-7 r0 … | … |
 *                                  16 x 2 bytes   64 bytes: lane r = row r, 4 k   64 bytes         8 in all
 *
 * So one 64-byte load gives 16 lanes of 4 k-values. Nothing is added to the file's bytes except rows of zeros that fill
 * the last tile. A float type has one element for each k: vectors of 16 rows, k-major. Superblocks of IQ1 to IQ3 are
 * first rewritten as quant/code_book.h explains, which makes them larger. */
#ifndef KERNELS_PACK16_H
#define KERNELS_PACK16_H

#include "kernels/weight_type.h"

enum { CM_TILE = 16 };

/* Bytes of one row of n_columns weights in a tile. */
size_t cm_pack16_row_bytes(enum weight_type type, size_t n_columns);

size_t cm_pack1_bytes(enum weight_type type, size_t n_rows, size_t n_columns);
void   cm_pack1(enum weight_type type, const void *rows, size_t n_rows, size_t n_columns, void *out);

size_t cm_pack16_bytes(enum weight_type type, size_t n_rows, size_t n_columns);
void   cm_pack16(enum weight_type type, const void *rows, size_t n_rows, size_t n_columns, void *out);

#endif
