/* blas.c - see blas.h. LAPACK knows columns only: a matrix stored by rows is its transpose there, so our upper
 * triangle is its lower one.
 *
 * OpenBLAS is loaded when the first fit begins, not linked: it takes 5 to 10 ms and starts its own threads, and
 * of a hundred programs that use this library ninety-nine never fit anything. */
#include "kernels/blas.h"

#include <cblas.h>
#include <dlfcn.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* Fortran's LAPACK, as OpenBLAS contains it; the last arguments are the lengths of the texts. */
typedef void potrf_fn(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t length);
typedef void syevr_fn(const char *jobz, const char *range, const char *uplo, const int *n, double *a, const int *lda,
                      const double *vl, const double *vu, const int *il, const int *iu, const double *abstol, int *m,
                      double *w, double *z, const int *ldz, int *isuppz, double *work, const int *lwork, int *iwork,
                      const int *liwork, int *info, size_t length_1, size_t length_2, size_t length_3);

static struct {
    __typeof__(cblas_dsyrk) *syrk;
    __typeof__(cblas_dgemm) *gemm;
    __typeof__(cblas_dtrsm) *trsm;
    __typeof__(cblas_dswap) *swap;
    potrf_fn                *potrf;
    syevr_fn                *syevr;
} blas;

calmoe_status cm_blas_open(struct calmoe_context *ctx)
{
    static atomic_bool is_open; /* two threads that both load get the same addresses */
    static const char *const names[] = {"cblas_dsyrk", "cblas_dgemm", "cblas_dtrsm", "cblas_dswap", "dpotrf_",
                                        "dsyevr_"};
    if (atomic_load(&is_open)) return CALMOE_OK;
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) return cm_fail(ctx, CALMOE_UNSUPPORTED, "fitting needs OpenBLAS: %s", dlerror());
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *symbol = dlsym(library, names[i]);
        if (!symbol)
            return cm_fail(ctx, CALMOE_UNSUPPORTED, "fitting needs %s, which libopenblas.so.0 lacks", names[i]);
        memcpy((char *)&blas + i * sizeof symbol, &symbol, sizeof symbol); /* data to function pointer */
    }
    atomic_store(&is_open, true);
    return CALMOE_OK;
}

void cm_blas_add_gram(int n_rows, int n, const double *x, double *gram)
{
    blas.syrk(CblasRowMajor, CblasUpper, CblasTrans, n, n_rows, 1.0, x, n, 1.0, gram, n);
}

void cm_blas_add_product(int n_rows, int n_a, int n_b, const double *a, const double *b, double *c)
{
    blas.gemm(CblasRowMajor, CblasTrans, CblasNoTrans, n_a, n_b, n_rows, 1.0, a, n_a, b, n_b, 1.0, c, n_b);
}

void cm_blas_multiply_transposed(int n, int k, int m, const double *a, const double *b, double *c)
{
    blas.gemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, m, k, 1.0, a, k, b, k, 0.0, c, m);
}

bool cm_blas_solve(int n, double *a, int n_right, double *b)
{
    int info = 0;
    blas.potrf("L", &n, a, &n, &info, 1); /* a = u' u */
    if (info != 0) return false;
    blas.trsm(CblasRowMajor, CblasLeft, CblasUpper, CblasTrans, CblasNonUnit, n, n_right, 1.0, a, n, b, n_right);
    blas.trsm(CblasRowMajor, CblasLeft, CblasUpper, CblasNoTrans, CblasNonUnit, n, n_right, 1.0, a, n, b, n_right);
    return true;
}

/* ---- eigenvectors ---- */

enum { DOUBLES_A_ROW = 32, INTS_A_ROW = 12 }; /* dsyevr asks for 26 and 10, and 2 integers for isuppz */

size_t cm_blas_eigen_bytes(int n)
{
    return (size_t)n * (DOUBLES_A_ROW * sizeof(double) + INTS_A_ROW * sizeof(int));
}

/* LAPACK's order is ascending. */
static void turn_round(int n_wanted, int n, double *values, double *vectors)
{
    for (int i = 0, j = n_wanted - 1; i < j; i++, j--) {
        const double value = values[i];
        values[i] = values[j];
        values[j] = value;
        blas.swap(n, vectors + (size_t)i * (size_t)n, 1, vectors + (size_t)j * (size_t)n, 1);
    }
}

bool cm_blas_eigen(int n, double *a, int n_wanted, double *values, double *vectors, void *work)
{
    const int    first = n - n_wanted + 1, n_work = n * DOUBLES_A_ROW, n_integers = n * (INTS_A_ROW - 2);
    const double none = 0.0;
    double      *doubles = work;
    int         *integers = (int *)(doubles + n_work), *support = integers + n_integers;
    int          n_found = 0, info = 0;
    for (size_t i = 0; i < (size_t)n * (size_t)n; i++)
        if (!isfinite(a[i])) return false;
    blas.syevr("V", "I", "L", &n, a, &n, &none, &none, &first, &n, &none, &n_found, values, vectors, &n, support,
               doubles, &n_work, integers, &n_integers, &info, 1, 1, 1);
    if (info != 0 || n_found != n_wanted) return false;
    turn_round(n_wanted, n, values, vectors);
    return true;
}
