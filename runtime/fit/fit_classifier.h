/* runtime/fit/fit_classifier.h - the linear exit classifier (CALM §3.5): c = sigmoid(w · x + b), the chance
 * that the token chosen at the exit is the full model's. Logistic regression by Newton's method.
 *
 * Kinds are balanced as in CALM: a row with label 1 weighs 1 - n_1/n, one with label 0 weighs 1 - n_0/n. The
 * objective is the weighted mean of -ln P(label) plus ridge/2 |w|^2 over standardised columns (mean 0, variance 1),
 * so it has one minimum even where a plane separates the kinds. */
#ifndef RUNTIME_FIT_FIT_CLASSIFIER_H
#define RUNTIME_FIT_FIT_CLASSIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Rows come in blocks, some times over, so that a file of cached states need not fit into memory. */
struct labelled_rows {
    int    n_features;
    size_t n;
    /* Rows first … first + n - 1 into x (n, n_features) and labels (n), each 0 or 1; n is at most 256. */
    void (*read)(void *user, size_t first, size_t n, float *x, uint8_t *labels);
    void  *user;
};

struct classifier_fit {
    float *weights;        /* (n_features), the caller's: w in the features' own scale */
    float  bias;
    int    n_steps;
    bool   has_converged;  /* else the best of 50 steps                                */
    double objective;      /* at the end; ln 2 is what knows nothing                   */
    size_t n_positive;
};

/* out->weights is set by the caller. INVALID_ARGUMENT: no rows, labels all alike, a feature that is not finite, a
 * ridge that is not above 0. Memory: about 2 n_features^2 doubles. */
calmoe_status cm_fit_classifier(struct calmoe_context *ctx, const struct labelled_rows *rows, double ridge,
                                struct classifier_fit *out);

#endif
