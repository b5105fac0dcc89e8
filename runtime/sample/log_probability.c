/* log_probability.c - see log_probability.h. */
#include "runtime/sample/log_probability.h"

#include <math.h>
#include <string.h>

#include "kernels/elementary.h"

/* e^x for -50 <= x <= 0: x = n ln 2 + r with |r| <= ln 2 / 2, the Taylor series of e^r to r^13 / 13!, whose rest is
 * below the last bit, and n added to the exponent. Without divisions, since a vocabulary has many tokens: cm_exp()
 * would take some five times as long. */
static double exponential(double x)
{
    const double n = floor(x * 1.4426950408889634 + 0.5);
    const double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double       sum = 1;
    sum = 1 + sum * r * (1.0 / 13);
    sum = 1 + sum * r * (1.0 / 12);
    sum = 1 + sum * r * (1.0 / 11);
    sum = 1 + sum * r * (1.0 / 10);
    sum = 1 + sum * r * (1.0 / 9);
    sum = 1 + sum * r * (1.0 / 8);
    sum = 1 + sum * r * (1.0 / 7);
    sum = 1 + sum * r * (1.0 / 6);
    sum = 1 + sum * r * (1.0 / 5);
    sum = 1 + sum * r * (1.0 / 4);
    sum = 1 + sum * r * (1.0 / 3);
    sum = 1 + sum * r * (1.0 / 2);
    sum = 1 + sum * r;
    const uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
    double         scale;
    memcpy(&scale, &bits, sizeof scale);
    return sum * scale;
}

double cm_log_sum(const float *logits, int32_t n)
{
    float  best = logits[0];
    double sum = 0;
    for (int32_t id = 1; id < n; id++) best = logits[id] > best ? logits[id] : best;
    for (int32_t id = 0; id < n; id++) {
        const double below = (double)logits[id] - (double)best;
        if (below >= -50) sum += exponential(below);
    }
    return (double)best + cm_ln(sum);
}

void cm_log_top(const float *logits, int32_t n, double log_sum, int n_top, int32_t *tokens, float *logprobs)
{
    int n_found = 0; /* tokens (n_found) is sorted */
    for (int32_t id = 0; id < n && n_top > 0; id++) {
        if (n_found == n_top && !(logits[id] > logits[tokens[n_top - 1]])) continue;
        int at = n_found < n_top ? n_found++ : n_top - 1;
        for (; at > 0 && logits[id] > logits[tokens[at - 1]]; at--) tokens[at] = tokens[at - 1];
        tokens[at] = id;
    }
    for (int i = 0; i < n_top; i++) logprobs[i] = (float)((double)logits[tokens[i]] - log_sum);
}
