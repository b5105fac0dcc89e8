/* kernels/blas.h - dense linear algebra in double precision, for fitting. Only blas.c uses OpenBLAS. No step of an
 * engine uses it, since the bits of its results depend on the library's version and number of threads.
 *
 * Matrices are stored by rows. Of a symmetric matrix only the upper triangle (column >= row) is read or written.
 * No function allocates through base/memory.h. */
#ifndef KERNELS_BLAS_H
#define KERNELS_BLAS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Loads the library; to be called before the others. UNSUPPORTED: it is not installed. */
calmoe_status cm_blas_open(struct calmoe_context *ctx);

/* gram (n, n), upper += x' x; x (n_rows, n) */
void cm_blas_add_gram(int n_rows, int n, const double *x, double *gram);
/* c (n_a, n_b) += a' b; a (n_rows, n_a), b (n_rows, n_b) */
void cm_blas_add_product(int n_rows, int n_a, int n_b, const double *a, const double *b, double *c);
/* c (n, m) = a b'; a (n, k), b (m, k) */
void cm_blas_multiply_transposed(int n, int k, int m, const double *a, const double *b, double *c);

/* Solves a x = b by Cholesky: a (n, n) symmetric, overwritten; b (n, n_right) becomes x. False: a is not positive
 * definite, b is as it was. */
bool cm_blas_solve(int n, double *a, int n_right, double *b);

/* The n_wanted largest eigenvalues, in descending order, of a symmetric matrix a (n, n), which is overwritten, and
 * their eigenvectors of length 1. values has room for n, of which the first n_wanted are set; vectors (n_wanted, n).
 * work: cm_blas_eigen_bytes(n) bytes, 64-byte aligned. False: it did not converge, or a contains NaN. */
size_t cm_blas_eigen_bytes(int n);
bool   cm_blas_eigen(int n, double *a, int n_wanted, double *values, double *vectors, void *work);

#endif
