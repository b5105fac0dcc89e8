/* runtime/fit/fit_translator.h - a low-rank affine map from the hidden state at an exit to the last one,
 * fitted by ridge regression on cached states:
 *
 *     to ~ from + up' (down from) + bias        down, up (rank, dim)
 *
 * The identity stays outside the low rank, since most of a state is carried on unchanged. Of all maps of this
 * rank it is the one with the least squared error plus ridge (reduced-rank ridge regression, Mukherjee & Zhu 2011):
 * with G = X'X + ridge I, C = X'(Y - X), both centred, and B = G^-1 C, it is B projected on the leading eigenvectors of
 * B' G B = B' C, which are the right singular vectors of the fitted values.
 *
 * States may be weighted. They stream through; what is kept is 2 dim^2 doubles, solving takes as many again. */
#ifndef RUNTIME_FIT_FIT_TRANSLATOR_H
#define RUNTIME_FIT_FIT_TRANSLATOR_H

#include <stdint.h>

#include "base/status.h"

struct translator {
    int    dim, rank;
    float *down, *up;     /* (rank, dim)                                                            */
    float *bias;          /* (dim)                                                                  */
    double explained;     /* share of the variance of to - from that it takes away on what it was fitted to, at least */
};
void cm_translator_close(struct translator *translator); /* zeroes it; a zeroed one is fine */

/* out (dim) = what `from` (dim) becomes, not in place. For checks: the engine runs the same as matrices. */
void cm_translate(const struct translator *translator, const float *from, float *out);

struct translator_fit;
calmoe_status cm_translator_fit_open(struct calmoe_context *ctx, int dim, struct translator_fit **out);
void          cm_translator_fit_close(struct translator_fit **fit);

/* n rows, (n, dim) each; a row with a number that is not finite in either is left out. Row i's squared error counts
 * weights[i] times (NULL: once); weights are above 0. */
void     cm_translator_fit_add(struct translator_fit *fit, const float *from, const float *to, const float *weights,
                               int n);
uint64_t cm_translator_fit_rows(const struct translator_fit *fit); /* so far, without those left out */

/* All that the fit knows, as one array of *n doubles, the fit's own: to be saved, or overwritten by what was saved of a
 * fit of the same width. */
double *cm_translator_fit_sums(struct translator_fit *fit, size_t *n);

/* The map of this rank (1 … dim) and ridge (> 0, a share of the mean variance of a column). The fit stays as it is,
 * for another rank or more rows. INVALID_ARGUMENT: fewer than 2 rows, a rank or ridge out of range, numbers that
 * overflow. */
calmoe_status cm_translator_fit_solve(struct calmoe_context *ctx, struct translator_fit *fit, int rank, double ridge,
                                      struct translator *out);

#endif
