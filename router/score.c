/* router/score.c - see score.h. */
#include "router/score.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "kernels/elementary.h"

static void softmax_all(const struct vector_ops *ops, float *logits, int n) { ops->softmax(logits, n); }

/* sigmoid(NaN) would be 1 and win; as -inf it is chosen last. */
static void sigmoid_each(const struct vector_ops *ops, float *logits, int n)
{
    for (int i = 0; i < n; i++)
        if (isnan(logits[i])) logits[i] = -INFINITY;
    ops->sigmoid(logits, n);
}

static void keep_logits(const struct vector_ops *ops, float *logits, int n)
{
    (void)ops;
    (void)logits;
    (void)n;
}

/* sqrt(ln(1 + e^z)), with e^z factored out for large z so that nothing overflows */
static void sqrt_softplus(const struct vector_ops *ops, float *logits, int n)
{
    (void)ops;
    for (int i = 0; i < n; i++) {
        const double z = logits[i];
        const double positive = z > 0.0 ? z : 0.0;
        logits[i] = (float)sqrt(positive + cm_ln(1.0 + cm_exp(-fabs(z))));
    }
}

static bool is_among(const int32_t *experts, int n, int expert)
{
    for (int i = 0; i < n; i++)
        if (experts[i] == expert) return true;
    return false;
}

/* Of slot s: 1 / the sum of e^(z - largest) over experts that are not in slots before and lie near enough. */
static void share_near(const float *logits, int n, const int32_t *experts, int k, float *weights)
{
    const float most_behind = 0.02f; /* twice the noise of training */
    for (int slot = 0; slot < k; slot++) {
        const float largest = logits[experts[slot]];
        double sum = 0.0;
        for (int i = 0; i < n; i++) {
            const float size = fabsf(logits[i]) > largest ? fabsf(logits[i]) : largest;
            if (!(largest - logits[i] <= most_behind * size) || is_among(experts, slot, i)) continue; /* or NaN */
            sum += cm_exp((double)logits[i] - (double)largest);
        }
        weights[slot] = sum > 0.0 ? (float)(1.0 / sum) : NAN; /* of infinities, not even the largest is near itself */
    }
}

const struct score_row cm_scores[SCORE_KIND_COUNT] = {
    [SCORE_SOFTMAX] = {"softmax", softmax_all, NULL, NULL},
    [SCORE_SIGMOID] = {"sigmoid", sigmoid_each, NULL, NULL},
    [SCORE_SOFTMAX_SELECTED] = {"softmax_selected", keep_logits, softmax_all, NULL},
    [SCORE_SQRT_SOFTPLUS] = {"sqrt_softplus", sqrt_softplus, NULL, NULL},
    [SCORE_SIGMOID_SELECTED] = {"sigmoid_selected", keep_logits, sigmoid_each, NULL},
    [SCORE_SPARSEMIXER] = {"sparsemixer", keep_logits, NULL, share_near},
};
