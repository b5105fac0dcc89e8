/* fit_classifier.c - see fit_classifier.h. */
#include "runtime/fit/fit_classifier.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/blas.h"
#include "kernels/elementary.h"

enum { BLOCK_ROWS = 256, MAX_STEPS = 50 };

static const double TOLERANCE = 1e-10; /* of the gain that the next step promises */

struct fit {
    const struct labelled_rows *rows;
    int      n;                     /* unknowns: w, then b                                           */
    double   ridge;
    double   weight_of[2];          /* of a row by its label; all rows' sum to 1                     */
    float   *x;                     /* (BLOCK_ROWS, n_features)                                      */
    uint8_t *labels;                /* (BLOCK_ROWS)                                                  */
    double  *z;                     /* (BLOCK_ROWS, n): standardised, and a column of 1s             */
    double  *mean, *scale;          /* (n_features): z = (x - mean) scale                            */
    double  *theta, *best, *step;   /* (n)                                                           */
    double  *gradient;              /* (n)                                                           */
    double  *hessian;               /* (n, n), upper                                                 */
};

static void close_fit(struct fit *fit)
{
    void *const parts[] = {fit->x,    fit->labels, fit->z,        fit->mean,   fit->scale, fit->theta,
                           fit->best, fit->step,   fit->gradient, fit->hessian};
    for (int i = 0; i < 10; i++) cm_free(parts[i]);
}

static calmoe_status open_fit(struct calmoe_context *ctx, struct fit *fit)
{
    const size_t n = (size_t)fit->n;
    double     **parts[] = {&fit->z, &fit->mean, &fit->scale, &fit->theta, &fit->best, &fit->step, &fit->gradient,
                            &fit->hessian};
    const size_t sizes[] = {BLOCK_ROWS * n, n, n, n, n, n, n, n * n};
    fit->x = cm_alloc(ctx, BLOCK_ROWS * n, sizeof(float), "a fit");
    fit->labels = cm_alloc(ctx, BLOCK_ROWS, 1, "a fit");
    if (!fit->x || !fit->labels) return CALMOE_NO_MEMORY;
    for (int i = 0; i < 8; i++) {
        *parts[i] = cm_alloc(ctx, sizes[i], sizeof(double), "a fit");
        if (!*parts[i]) return CALMOE_NO_MEMORY;
    }
    return CALMOE_OK;
}

/* ---- one pass for means, spreads and labels ---- */

/* Welford's update, which does not subtract large sums; step holds the sums of squares meanwhile. */
static calmoe_status measure_row(struct calmoe_context *ctx, struct fit *fit, size_t row, const float *x)
{
    for (int i = 0; i < fit->rows->n_features; i++) {
        if (!isfinite(x[i]))
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                           "row %zu: feature %d: found %g, wanted a finite number", row, i,
                           (double)x[i]);
        const double off = (double)x[i] - fit->mean[i];
        fit->mean[i] += off / (double)(row + 1);
        fit->step[i] += off * ((double)x[i] - fit->mean[i]);
    }
    return CALMOE_OK;
}

static calmoe_status measure(struct calmoe_context *ctx, struct fit *fit, size_t *n_positive)
{
    const size_t n_rows = fit->rows->n, n_features = (size_t)fit->rows->n_features;
    *n_positive = 0;
    for (size_t first = 0; first < n_rows; first += BLOCK_ROWS) {
        const size_t n = n_rows - first < BLOCK_ROWS ? n_rows - first : BLOCK_ROWS;
        fit->rows->read(fit->rows->user, first, n, fit->x, fit->labels);
        for (size_t i = 0; i < n; i++) {
            CM_TRY(measure_row(ctx, fit, first + i, fit->x + i * n_features));
            *n_positive += fit->labels[i] != 0;
        }
    }
    if (*n_positive == 0 || *n_positive == n_rows)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "all %zu labels are %d; a classifier needs both kinds", n_rows,
                       *n_positive > 0);
    for (size_t i = 0; i < n_features; i++) { /* a column that never changes says nothing: scale 0 */
        const double variance = fit->step[i] / (double)n_rows;
        fit->scale[i] = variance > 1e-30 * fit->mean[i] * fit->mean[i] && variance > 0.0 ? 1.0 / sqrt(variance) : 0.0;
        fit->step[i] = 0.0;
    }
    /* The weights of all positives sum to n_1 (1 - n_1/n) = n_1 n_0 / n, and so do those of the negatives. */
    fit->weight_of[1] = 0.5 / (double)*n_positive;
    fit->weight_of[0] = 0.5 / (double)(n_rows - *n_positive);
    return CALMOE_OK;
}

/* ---- one pass for objective, gradient, Hessian at theta ---- */

static void standardise(const struct fit *fit, size_t n_rows)
{
    const size_t n_features = (size_t)fit->rows->n_features;
    for (size_t row = 0; row < n_rows; row++) {
        double *z = fit->z + row * (n_features + 1);
        for (size_t i = 0; i < n_features; i++)
            z[i] = ((double)fit->x[row * n_features + i] - fit->mean[i]) * fit->scale[i];
        z[n_features] = 1.0;
    }
}

/* With m = theta · z, s = sigmoid(m), weight u: adds u (ln(1 + e^m) - label m), u (s - label) z, and scales z by
 * sqrt(u s (1 - s)), whose gram is the Hessian's part. */
static double add_row(struct fit *fit, double *z, int label)
{
    double m = 0.0;
    for (int i = 0; i < fit->n; i++) m += fit->theta[i] * z[i];
    const double small = cm_exp(-fabs(m)), weight = fit->weight_of[label];
    const double s = m < 0.0 ? small / (1.0 + small) : 1.0 / (1.0 + small);
    const double slope = weight * (s - label), spread = sqrt(weight * small) / (1.0 + small);
    for (int i = 0; i < fit->n; i++) {
        fit->gradient[i] += slope * z[i];
        z[i] *= spread;
    }
    return weight * (cm_ln(1.0 + small) + (m > 0.0 ? m : 0.0) - label * m);
}

static double evaluate(struct fit *fit)
{
    const size_t n_rows = fit->rows->n, n = (size_t)fit->n;
    double       objective = 0.0;
    memset(fit->gradient, 0, n * sizeof(double));
    memset(fit->hessian, 0, n * n * sizeof(double));
    for (size_t first = 0; first < n_rows; first += BLOCK_ROWS) {
        const size_t n_block = n_rows - first < BLOCK_ROWS ? n_rows - first : BLOCK_ROWS;
        fit->rows->read(fit->rows->user, first, n_block, fit->x, fit->labels);
        standardise(fit, n_block);
        for (size_t row = 0; row < n_block; row++) objective += add_row(fit, fit->z + row * n, fit->labels[row] != 0);
        cm_blas_add_gram((int)n_block, fit->n, fit->z, fit->hessian);
    }
    for (size_t i = 0; i + 1 < n; i++) {
        objective += 0.5 * fit->ridge * fit->theta[i] * fit->theta[i];
        fit->gradient[i] += fit->ridge * fit->theta[i];
        fit->hessian[i * n + i] += fit->ridge;
    }
    fit->hessian[n * n - 1] += 1e-12; /* b alone has no ridge: where all rows are certain its curvature vanishes */
    return objective;
}

/* ---- Newton's method; a step that makes it worse is halved ---- */

/* step = -H^-1 gradient; returns the gain that the quadratic model promises, NaN where there is no step. */
static double find_step(struct fit *fit)
{
    double gain = 0.0;
    for (int i = 0; i < fit->n; i++) fit->step[i] = -fit->gradient[i];
    if (!cm_blas_solve(fit->n, fit->hessian, 1, fit->step)) return (double)NAN;
    for (int i = 0; i < fit->n; i++) gain -= 0.5 * fit->gradient[i] * fit->step[i];
    return gain;
}

static void minimise(struct fit *fit, struct classifier_fit *out)
{
    const size_t n_bytes = (size_t)fit->n * sizeof(double);
    double       best = evaluate(fit), gain = find_step(fit);
    for (out->n_steps = 0; out->n_steps < MAX_STEPS && gain > TOLERANCE; out->n_steps++) {
        for (int i = 0; i < fit->n; i++) fit->theta[i] = fit->best[i] + fit->step[i];
        const double objective = evaluate(fit);
        if (objective <= best) {
            best = objective;
            memcpy(fit->best, fit->theta, n_bytes);
            gain = find_step(fit);
        } else {
            for (int i = 0; i < fit->n; i++) fit->step[i] *= 0.5;
            gain *= 0.5;
        }
    }
    out->has_converged = gain <= TOLERANCE;
    out->objective = best;
}

calmoe_status cm_fit_classifier(struct calmoe_context *ctx, const struct labelled_rows *rows, double ridge,
                                struct classifier_fit *out)
{
    if (rows->n < 1 || rows->n_features < 1 || rows->n_features > 65536)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%zu rows of %d features; a classifier needs rows, and 1 to 65536 "
                       "features", rows->n, rows->n_features);
    if (!(ridge > 0.0 && ridge < (double)INFINITY))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "a ridge of %g; it must be above 0", ridge);
    CM_TRY(cm_blas_open(ctx));
    struct fit    fit = {.rows = rows, .n = rows->n_features + 1, .ridge = ridge};
    calmoe_status status = open_fit(ctx, &fit);
    if (status == CALMOE_OK) status = measure(ctx, &fit, &out->n_positive);
    if (status == CALMOE_OK) {
        minimise(&fit, out);
        double bias = fit.best[rows->n_features];
        for (int i = 0; i < rows->n_features; i++) {
            const double weight = fit.best[i] * fit.scale[i];
            bias -= weight * fit.mean[i];
            out->weights[i] = (float)weight;
        }
        out->bias = (float)bias;
    }
    close_fit(&fit);
    return status;
}
