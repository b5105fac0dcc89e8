/* kernels/linear.h - y = W x for packed weight matrices: the contract of every matrix kernel.
 *
 * A kernel is a row of the table in kernel_list.inc: weight type, instruction set, packing. A matrix is packed once, by
 * its kernel's own pack(), and read by the same kernel's multiply().
 *
 * The arithmetic gives the same bits in every kernel of a type: one lane per output, terms in ascending order, all in
 * float32, fmaf with its single rounding, and acc = 0 at the beginning:
 *   32-element types, block b ascending:  idot_b = sum_k w_k * q_k (exact int32)
 *       acc = fmaf((float)idot_b, dw_b * da_b, acc)
 *       types with a minimum (Q4_1, Q5_1; y = d q + m) then: acc = fmaf(m_b * da_b, (float)asum_b, acc)
 *       w_k are the integers before scaling: Q4_0 code - 8, Q5_0 code - 16, IQ4_NL code book,
 *       MXFP4 doubled values 0,1,2,3,4,6,8,12,-0,... with dw_b = 2^(e - 128) (e < 2 subnormal; exact)
 *   K types, IQ1 to IQ4_XS, superblock b of 256:  isum = sum_j sc_j * idot_j, msum = sum_j m_j * asum_j (exact int32)
 *       acc = fmaf((float)isum, d_b * da_b, acc)
 *       types with minimum (Q2_K, Q4_K, Q5_K) then: acc = fmaf(-(float)msum, dmin_b * da_b, acc)
 *       sc_j: Q6_K int8, Q3_K sc6 - 32, IQ4_XS ls - 32, Q2_K low nibble, Q4_K/Q5_K 6-bit
 *       IQ1 to IQ3, TQ1, TQ2: w_k from a small table, sc_j = 2 s_j + 1, d_b in units of a power of two
 *       (quant/code_book.h)
 *   F32, F16, BF16:  acc = fmaf(w_k, x_k, acc), k ascending, w_k widened to float32 exactly. */
#ifndef KERNELS_LINEAR_H
#define KERNELS_LINEAR_H

#include "kernels/activations.h"
#include "kernels/cpu.h"
#include "kernels/weight_type.h"

struct matrix;

struct linear_kernel {
    const char      *name;      /* "linear_q4k_avx512vnni"                                          */
    enum weight_type type;
    enum isa         isa;       /* the lowest level that can run it                                 */
    int              tile_rows; /* rows that are packed together: 16, or 1 for rows as in the file  */
    /* Bytes of n_rows x n_columns packed (n_rows is rounded up to whole tiles). */
    size_t (*packed_bytes)(size_t n_rows, size_t n_columns);
    /* rows: n_rows file rows in order, cm_row_bytes() each, unaligned. out: packed_bytes(), 64-byte
     * aligned. Rows that fill up the last tile give zeros. Packing a range of rows that starts at a
     * multiple of tile_rows gives the same bytes as packing all: tiles are independent. */
    void (*pack)(const void *rows, size_t n_rows, size_t n_columns, void *out);
    /* y[t * y_stride + r - row_begin] = sum_k W[r][k] x[which[t]][k] for r in [row_begin, row_end), t in
     * [0, n_tokens). row_begin is a multiple of tile_rows; row_end <= n_rows. which NULL: x row t.
     * Weights are read once for up to 8 tokens at a time. Nothing outside y's elements is written. */
    void (*multiply)(const struct matrix *matrix, int row_begin, int row_end,
                     const struct activations *x, const int32_t *which, int n_tokens,
                     float *y, size_t y_stride);
};

struct matrix {
    const struct linear_kernel *kernel;
    int            n_rows;
    int            n_columns;
    const uint8_t *packed;
    int            id;        /* among an engine's matrices, from 1 on; 0 = it has none (experts/packing.h) */
};

/* The form in which a matrix reads its input, as a bit (cm_kind_bit). */
static inline unsigned cm_matrix_kind(const struct matrix *matrix)
{
    return cm_kind_bit(cm_weight_types[matrix->kernel->type].activation);
}

/* The best kernel for a type at a level; never NULL, since plain C has a kernel for every type. */
const struct linear_kernel *cm_linear_kernel(enum weight_type type, enum isa isa);
/* The whole table, for tests and benchmarks: the i-th kernel, or NULL past the end. */
const struct linear_kernel *cm_linear_kernel_at(int i);

#endif
