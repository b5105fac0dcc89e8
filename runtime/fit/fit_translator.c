/* fit_translator.c - see fit_translator.h. States are floats: their squares are exact in double, which leaves room for
 * columns whose mean is some thousand times their spread. */
#include "runtime/fit/fit_translator.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/blas.h"

enum { BLOCK_ROWS = 256 };

struct translator_fit {
    int      dim;
    int      n_waiting;       /* rows of the block                                                      */
    double  *block_x, *block_y; /* (BLOCK_ROWS, dim), times the root of the row's weight                */
    double   roots[BLOCK_ROWS];
    double  *sums;            /* (3 + 2 dim + 2 dim^2): all the following, weighted                     */
    double  *n_rows;          /* but these                                                              */
    double  *n;               /* the weights                                                            */
    double  *squares;         /* of all y                                                               */
    double  *sum_x, *sum_y;   /* (dim)                                                                  */
    double  *gram, *cross;    /* (dim, dim): X'X, upper; X'Y                                            */
};

/* ---- translators ---- */

void cm_translator_close(struct translator *translator)
{
    cm_free(translator->down);
    cm_free(translator->up);
    cm_free(translator->bias);
    *translator = (struct translator){0};
}

void cm_translate(const struct translator *t, const float *from, float *out)
{
    for (int i = 0; i < t->dim; i++) out[i] = from[i] + t->bias[i];
    for (int r = 0; r < t->rank; r++) {
        const float *down = t->down + (size_t)r * (size_t)t->dim, *up = t->up + (size_t)r * (size_t)t->dim;
        double       sum = 0.0;
        for (int i = 0; i < t->dim; i++) sum += (double)down[i] * (double)from[i];
        for (int i = 0; i < t->dim; i++) out[i] = fmaf((float)sum, up[i], out[i]);
    }
}

/* ---- gathering ---- */

static size_t n_sums(int dim) { return 3 + 2 * (size_t)dim * ((size_t)dim + 1); }

calmoe_status cm_translator_fit_open(struct calmoe_context *ctx, int dim, struct translator_fit **out)
{
    *out = NULL;
    if (dim < 1 || dim > 65536)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "hidden states of %d numbers; 1 to 65536 can be fitted", dim);
    CM_TRY(cm_blas_open(ctx));
    struct translator_fit *fit = cm_alloc(ctx, 1, sizeof *fit, "a fit");
    if (!fit) return CALMOE_NO_MEMORY;
    const size_t  n = (size_t)dim;
    fit->dim = dim;
    fit->block_x = cm_alloc(ctx, BLOCK_ROWS * n, sizeof(double), "a fit");
    fit->block_y = cm_alloc(ctx, BLOCK_ROWS * n, sizeof(double), "a fit");
    fit->sums = cm_alloc(ctx, n_sums(dim), sizeof(double), "a fit");
    if (!fit->block_x || !fit->block_y || !fit->sums) {
        cm_translator_fit_close(&fit);
        return CALMOE_NO_MEMORY;
    }
    fit->n_rows = fit->sums;
    fit->n = fit->sums + 1;
    fit->squares = fit->sums + 2;
    fit->sum_x = fit->sums + 3;
    fit->sum_y = fit->sum_x + n;
    fit->gram = fit->sum_y + n;
    fit->cross = fit->gram + n * n;
    *out = fit;
    return CALMOE_OK;
}

void cm_translator_fit_close(struct translator_fit **fit_pointer)
{
    struct translator_fit *fit = *fit_pointer;
    if (!fit) return;
    cm_free(fit->block_x);
    cm_free(fit->block_y);
    cm_free(fit->sums);
    cm_free(fit);
    *fit_pointer = NULL;
}

static void add_rows(const double *block, const double *roots, int n, int dim, double *sum)
{
    for (int row = 0; row < n; row++)
        for (int i = 0; i < dim; i++) sum[i] += roots[row] * block[(size_t)row * (size_t)dim + (size_t)i];
}

/* The rows that wait go into the sums. */
static void flush(struct translator_fit *fit)
{
    const int n = fit->n_waiting, dim = fit->dim;
    if (n == 0) return;
    add_rows(fit->block_x, fit->roots, n, dim, fit->sum_x);
    add_rows(fit->block_y, fit->roots, n, dim, fit->sum_y);
    for (int row = 0; row < n; row++) *fit->n += fit->roots[row] * fit->roots[row];
    for (size_t i = 0; i < (size_t)n * (size_t)dim; i++) *fit->squares += fit->block_y[i] * fit->block_y[i];
    cm_blas_add_gram(n, dim, fit->block_x, fit->gram);
    cm_blas_add_product(n, dim, dim, fit->block_x, fit->block_y, fit->cross);
    *fit->n_rows += n;
    fit->n_waiting = 0;
}

static bool is_finite_row(const float *row, int n)
{
    for (int i = 0; i < n; i++)
        if (!isfinite(row[i])) return false;
    return true;
}

void cm_translator_fit_add(struct translator_fit *fit, const float *from, const float *to, const float *weights, int n)
{
    const size_t dim = (size_t)fit->dim;
    for (int row = 0; row < n; row++, from += dim, to += dim) {
        if (!is_finite_row(from, fit->dim) || !is_finite_row(to, fit->dim)) continue;
        const double root = fit->roots[fit->n_waiting] = weights ? sqrt((double)weights[row]) : 1.0;
        double *x = fit->block_x + (size_t)fit->n_waiting * dim, *y = fit->block_y + (size_t)fit->n_waiting * dim;
        for (size_t i = 0; i < dim; i++) {
            x[i] = root * (double)from[i];
            y[i] = root * ((double)to[i] - (double)from[i]);
        }
        if (++fit->n_waiting == BLOCK_ROWS) flush(fit);
    }
}

uint64_t cm_translator_fit_rows(const struct translator_fit *fit)
{
    return (uint64_t)*fit->n_rows + (uint64_t)fit->n_waiting;
}

double *cm_translator_fit_sums(struct translator_fit *fit, size_t *n)
{
    flush(fit);
    *n = n_sums(fit->dim);
    return fit->sums;
}

/* ---- solving ---- */

struct solving {
    double *gram;    /* (dim, dim), later B' C            */
    double *b;       /* (dim, dim): C, then B; by rows of x */
    double *vectors; /* (rank, dim)                       */
    double *down;    /* (rank, dim)                       */
    double *values;  /* (dim), descending                 */
    void   *work;
};

static void close_solving(struct solving *s)
{
    cm_free(s->gram);
    cm_free(s->b);
    cm_free(s->vectors);
    cm_free(s->down);
    cm_free(s->values);
    cm_free(s->work);
}

static calmoe_status open_solving(struct calmoe_context *ctx, int dim, int rank, struct solving *s,
                                  struct translator *out)
{
    const size_t n = (size_t)dim, n_factor = n * (size_t)rank;
    s->gram = cm_alloc(ctx, n * n, sizeof(double), "a fit");
    s->b = cm_alloc(ctx, n * n, sizeof(double), "a fit");
    s->vectors = cm_alloc(ctx, n_factor, sizeof(double), "a fit");
    s->down = cm_alloc(ctx, n_factor, sizeof(double), "a fit");
    s->values = cm_alloc(ctx, n, sizeof(double), "a fit");
    s->work = cm_alloc(ctx, cm_blas_eigen_bytes(dim), 1, "a fit");
    *out = (struct translator){.dim = dim, .rank = rank};
    out->down = cm_alloc(ctx, n_factor, sizeof(float), "a translator");
    out->up = cm_alloc(ctx, n_factor, sizeof(float), "a translator");
    out->bias = cm_alloc(ctx, n, sizeof(float), "a translator");
    return s->gram && s->b && s->vectors && s->down && s->values && s->work && out->down && out->up && out->bias
               ? CALMOE_OK : CALMOE_NO_MEMORY;
}

/* Centres the sums; *variance = trace of the centred gram / dim. */
static void centre(const struct translator_fit *fit, struct solving *s, double *variance)
{
    const size_t dim = (size_t)fit->dim;
    const double n = *fit->n;
    double       trace = 0.0;
    for (size_t i = 0; i < dim; i++) {
        for (size_t j = 0; j < dim; j++) {
            s->gram[i * dim + j] = j < i ? 0.0 : fit->gram[i * dim + j] - fit->sum_x[i] * fit->sum_x[j] / n;
            s->b[i * dim + j] = fit->cross[i * dim + j] - fit->sum_x[i] * fit->sum_y[j] / n;
        }
        trace += s->gram[i * dim + i];
    }
    *variance = trace / (double)dim;
}

/* B' C into s->gram; C, overwritten by B, is centred once more, some rows at a time, in `rows` (BLOCK_ROWS, dim). */
static void multiply_b_c(const struct translator_fit *fit, struct solving *s, double *rows)
{
    const size_t dim = (size_t)fit->dim;
    memset(s->gram, 0, dim * dim * sizeof(double));
    for (size_t first = 0; first < dim; first += BLOCK_ROWS) {
        const size_t n = dim - first < BLOCK_ROWS ? dim - first : BLOCK_ROWS;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < dim; j++)
                rows[i * dim + j] = fit->cross[(first + i) * dim + j] -
                                    fit->sum_x[first + i] * fit->sum_y[j] / *fit->n;
        cm_blas_add_product((int)n, fit->dim, fit->dim, s->b + first * dim, rows, s->gram);
    }
}

/* bias = mean of y - (mean of x) B V' V, and the factors as floats. */
static void write_out(const struct translator_fit *fit, const struct solving *s, struct translator *out)
{
    const size_t dim = (size_t)fit->dim, rank = (size_t)out->rank;
    const double n = *fit->n;
    double       explained = 0.0, variance = *fit->squares, *bias = s->work;
    for (size_t i = 0; i < dim; i++) {
        variance -= fit->sum_y[i] * fit->sum_y[i] / n;
        bias[i] = fit->sum_y[i] / n;
    }
    for (size_t r = 0; r < rank; r++) {
        const double *down = s->down + r * dim, *up = s->vectors + r * dim;
        double        at_mean = 0.0;
        for (size_t i = 0; i < dim; i++) at_mean += down[i] * fit->sum_x[i] / n;
        for (size_t i = 0; i < dim; i++) {
            bias[i] -= at_mean * up[i];
            out->down[r * dim + i] = (float)down[i];
            out->up[r * dim + i] = (float)up[i];
        }
        explained += fmax(s->values[r], 0.0);
    }
    for (size_t i = 0; i < dim; i++) out->bias[i] = (float)bias[i];
    out->explained = variance > 0.0 ? fmin(explained / variance, 1.0) : 0.0;
}

static calmoe_status solve(struct calmoe_context *ctx, struct translator_fit *fit, double ridge, struct solving *s,
                           struct translator *out)
{
    const int dim = fit->dim;
    double    variance;
    centre(fit, s, &variance);
    if (!(variance >= 0.0 && variance < (double)INFINITY))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "hidden states so large that their squares overflow");
    for (size_t i = 0; i < (size_t)dim; i++) s->gram[i * (size_t)dim + i] += ridge * (variance > 0.0 ? variance : 1.0);
    if (!cm_blas_solve(dim, s->gram, dim, s->b))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "a ridge of %g is too small for these hidden states", ridge);
    multiply_b_c(fit, s, fit->block_x);
    if (!cm_blas_eigen(dim, s->gram, out->rank, s->values, s->vectors, s->work))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the eigenvectors of these hidden states were not found");
    /* down (rank, dim) = V B': a column of B V' is one row */
    cm_blas_multiply_transposed(out->rank, dim, dim, s->vectors, s->b, s->down);
    write_out(fit, s, out);
    return CALMOE_OK;
}

calmoe_status cm_translator_fit_solve(struct calmoe_context *ctx, struct translator_fit *fit, int rank, double ridge,
                                      struct translator *out)
{
    *out = (struct translator){0};
    if (rank < 1 || rank > fit->dim || !(ridge > 0.0 && ridge < (double)INFINITY))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "a translator of rank %d and ridge %g; the rank must be 1 to %d, the "
                       "ridge above 0", rank, ridge, fit->dim);
    flush(fit);
    if (*fit->n_rows < 2.0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%d hidden states; at least 2 are wanted for a fit",
                       (int)*fit->n_rows);
    struct solving s = {0};
    calmoe_status  status = open_solving(ctx, fit->dim, rank, &s, out);
    if (status == CALMOE_OK) status = solve(ctx, fit, ridge, &s, out);
    if (status != CALMOE_OK) cm_translator_close(out);
    close_solving(&s);
    return status;
}
