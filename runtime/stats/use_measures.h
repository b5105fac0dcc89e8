/* runtime/stats/use_measures.h - what counts of experts say: pure functions over n counts. */
#ifndef RUNTIME_STATS_USE_MEASURES_H
#define RUNTIME_STATS_USE_MEASURES_H

#include <stdint.h>

/* max / mean; 1 = even, 0 where nothing was counted. */
double cm_use_peak(const uint64_t *counts, int n);
/* sum over i, j of |x_i - x_j| / (2 n sum x): 0 = even, 1 - 1/n = one expert has all. Sorts the counts. */
double cm_use_gini(uint64_t *counts, int n);
/* - sum p log2 p, bits; log2 n = even. */
double cm_use_entropy(const uint64_t *counts, int n);
int    cm_use_dead(const uint64_t *counts, int n); /* counts that are 0 */
/* x . y / (|x| |y|); 0 where one has no counts. */
double cm_use_cosine(const uint64_t *x, const uint64_t *y, int n);

#endif
