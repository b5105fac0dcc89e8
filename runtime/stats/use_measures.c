/* use_measures.c - see use_measures.h. */
#include "runtime/stats/use_measures.h"

#include <math.h>
#include <stdlib.h>

static double sum_of(const uint64_t *counts, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)counts[i];
    return sum;
}

double cm_use_peak(const uint64_t *counts, int n)
{
    const double sum = sum_of(counts, n);
    uint64_t     max = 0;
    for (int i = 0; i < n; i++)
        if (counts[i] > max) max = counts[i];
    return sum > 0 ? (double)max * n / sum : 0;
}

static int ascending(const void *left, const void *right)
{
    const uint64_t x = *(const uint64_t *)left, y = *(const uint64_t *)right;
    return (x > y) - (x < y);
}

double cm_use_gini(uint64_t *counts, int n)
{
    const double sum = sum_of(counts, n);
    double       weighted = 0;
    qsort(counts, (size_t)n, sizeof *counts, ascending);
    for (int i = 0; i < n; i++) weighted += (2.0 * i - n + 1) * (double)counts[i];
    return sum > 0 ? weighted / (n * sum) : 0;
}

double cm_use_entropy(const uint64_t *counts, int n)
{
    const double sum = sum_of(counts, n);
    double       bits = 0;
    for (int i = 0; i < n; i++)
        if (counts[i] > 0) bits -= (double)counts[i] / sum * log2((double)counts[i] / sum);
    return bits > 0 ? bits : 0; /* not -0 */
}

int cm_use_dead(const uint64_t *counts, int n)
{
    int n_dead = 0;
    for (int i = 0; i < n; i++) n_dead += counts[i] == 0;
    return n_dead;
}

double cm_use_cosine(const uint64_t *x, const uint64_t *y, int n)
{
    double xx = 0, yy = 0, xy = 0;
    for (int i = 0; i < n; i++) {
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
        xy += (double)x[i] * (double)y[i];
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}
