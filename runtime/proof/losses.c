/* losses.c - see losses.h. */
#include "runtime/proof/losses.h"

#include <math.h>
#include <string.h>

const struct loss_row cm_loss_kinds[LOSS_KIND_COUNT] = {
    [LOSS_TOKEN_DISAGREEMENT] = {"token_disagreement", "of tokens differ", false, false},
    [LOSS_TOTAL_VARIATION] = {"total_variation", "of probability differs", false, false},
    [LOSS_ROUGE_L] = {"rouge_l", "of ROUGE-L is lost", false, true},
    [LOSS_EXACT_MATCH] = {"exact_match", "of answers differ", true, true},
};

double cm_token_disagreement(const int32_t *early, const int32_t *full, int n)
{
    int n_different = 0;
    if (n == 0) return (double)NAN;
    for (int i = 0; i < n; i++) n_different += early[i] != full[i];
    return (double)n_different / n;
}

double cm_total_variation(const struct vector_ops *ops, float *early, float *full, int n)
{
    double sum = 0.0;
    bool   is_fault = n == 0;
    for (int i = 0; i < n; i++) is_fault |= !(early[i] < INFINITY && full[i] < INFINITY); /* softmax may hide a NaN */
    if (is_fault) return (double)NAN;
    ops->softmax(early, n);
    ops->softmax(full, n);
    for (int i = 0; i < n; i++) sum += fabs((double)early[i] - (double)full[i]);
    return fmin(0.5 * sum, 1.0);
}

/* Length of the longest common subsequence: one row of the table, row[j] for the first j of b. */
static int common_length(const int32_t *a, int n_a, const int32_t *b, int n_b, int32_t *row)
{
    memset(row, 0, ((size_t)n_b + 1) * sizeof *row);
    for (int i = 0; i < n_a; i++) {
        int32_t diagonal = 0; /* of the row before, at j - 1 */
        for (int j = 1; j <= n_b; j++) {
            const int32_t above = row[j];
            if (a[i] == b[j - 1]) row[j] = diagonal + 1;
            else if (row[j - 1] > above) row[j] = row[j - 1];
            diagonal = above;
        }
    }
    return row[n_b];
}

double cm_rouge_l_loss(const int32_t *early, int n_early, const int32_t *full, int n_full, double b, int32_t *scratch)
{
    if (n_early == 0 || n_full == 0) return n_early == n_full ? 0.0 : 1.0;
    const int length = common_length(early, n_early, full, n_full, scratch);
    if (length == 0) return 1.0;
    /* With R and P put in: F = (1 + b^2) lcs / (n_early + b^2 n_full). */
    return 1.0 - (1.0 + b * b) * length / (n_early + b * b * n_full);
}

double cm_exact_match_loss(const int32_t *early, int n_early, const int32_t *full, int n_full)
{
    if (n_early != n_full) return 1.0;
    return n_full == 0 || memcmp(early, full, (size_t)n_full * sizeof *full) == 0 ? 0.0 : 1.0;
}

double cm_excess_loss(double early_loss, double full_loss)
{
    const double excess = early_loss - full_loss;
    return excess < 0.0 ? 0.0 : excess;
}
