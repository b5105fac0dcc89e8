/* risk_bounds.c - see risk_bounds.h. Formulas and sources: docs/SPARSITY.md. */
#include "runtime/proof/risk_bounds.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/elementary.h"
#include "runtime/proof/binomial.h"

static const size_t MAX_SAMPLES = (size_t)1 << 24;

static double loss_of(const struct loss_sample *sample, size_t i)
{
    if (sample->losses) return sample->losses[i];
    const double risk = sample->planned_risk;
    return floor((double)(i + 1) * risk) - floor((double)i * risk);
}

/* Compensated (Neumaier), so that a million losses add up to the last bits of a double. */
static double sum_of(const struct loss_sample *sample)
{
    if (!sample->losses) return floor((double)sample->n * sample->planned_risk);
    double sum = 0.0, lost = 0.0;
    for (size_t i = 0; i < sample->n; i++) {
        const double loss = loss_of(sample, i), next = sum + loss;
        lost += sum >= loss ? (sum - next) + loss : (loss - next) + sum;
        sum = next;
    }
    return sum + lost;
}

/* ---- WSR: wealth K_m = prod over i <= m of (1 - nu_i (L_i - delta)), p = 1 / max_m K_m ----
 *
 * Under H no bet gains on average, so K is a nonnegative supermartingale and Ville's inequality bounds its
 * maximum. nu_i, the size of a bet, may only know losses before i:
 *   nu_i = min(1, sqrt(2 ln(1/epsilon) / (n v_{i-1}))),  v_i = (1/4 + sum_{j<=i} (L_j - m_j)^2) / (i + 1),
 *   m_i = (1/2 + sum_{j<=i} L_j) / (i + 1). */
static double ln_p_wsr(const struct loss_sample *sample, double delta, double epsilon)
{
    const double bet2 = -2.0 * cm_ln(epsilon) / (double)sample->n;
    double ln_wealth = 0.0, best = 0.0, sum = 0.5, squares = 0.25;
    for (size_t i = 0; i < sample->n; i++) {
        const double loss = loss_of(sample, i), variance = squares / (double)(i + 1);
        const double bet = fmin(1.0, sqrt(bet2 / variance));
        ln_wealth += cm_ln(1.0 - bet * (loss - delta));
        best = fmax(best, ln_wealth);
        sum += loss;
        const double mean = sum / (double)(i + 2);
        squares += (loss - mean) * (loss - mean);
    }
    return -best;
}

/* ---- Hoeffding-Bentkus: min(exp(-n h(min(r, delta), delta)), e P(Binomial(n, delta) <= ceil(n r))) ---- */

/* h(a, b) = a ln(a/b) + (1-a) ln((1-a)/(1-b)), 0 <= a <= b */
static double relative_entropy(double a, double b)
{
    const double head = a > 0.0 ? a * cm_ln(a / b) : 0.0;
    return head + (a < 1.0 ? (1.0 - a) * cm_ln((1.0 - a) / (1.0 - b)) : 0.0);
}

static double ln_p_hb(const struct loss_sample *sample, double delta, double epsilon)
{
    (void)epsilon;
    const double n = (double)sample->n, sum = sum_of(sample);
    const double hoeffding = -n * relative_entropy(fmin(sum / n, delta), delta);
    const double bentkus = 1.0 + cm_ln_binomial_cdf((int64_t)ceil(sum), (int64_t)sample->n, delta);
    return fmin(hoeffding, bentkus);
}

/* ---- exact binomial: P(Binomial(n, delta) <= number of losses) ---- */

static double ln_p_binomial(const struct loss_sample *sample, double delta, double epsilon)
{
    (void)epsilon;
    return cm_ln_binomial_cdf((int64_t)sum_of(sample), (int64_t)sample->n, delta);
}

const struct p_value_row cm_p_values[P_VALUE_KIND_COUNT] = {
    [P_WSR] = {"wsr", false, ln_p_wsr},
    [P_HOEFFDING_BENTKUS] = {"hoeffding_bentkus", false, ln_p_hb},
    [P_BINOMIAL] = {"binomial", true, ln_p_binomial},
};

/* ---- guards ---- */

static bool is_inside(double x) { return x > 0.0 && x < 1.0; } /* false for NaN */

static bool is_loss(double loss, bool is_binary)
{
    return is_binary ? loss == 0.0 || loss == 1.0 : loss >= 0.0 && loss <= 1.0;
}

double cm_ln_p_value(enum p_value_kind kind, const double *losses, size_t n, double delta, double epsilon)
{
    const struct p_value_row *row = &cm_p_values[kind];
    if (n == 0 || !is_inside(delta) || !is_inside(epsilon)) return 0.0;
    for (size_t i = 0; i < n; i++)
        if (!is_loss(losses[i], row->is_binary)) return 0.0;
    return fmin(row->ln_p(&(struct loss_sample){losses, n, 0.0}, delta, epsilon), 0.0);
}

calmoe_status cm_check_losses(struct calmoe_context *ctx, const char *where, enum p_value_kind kind,
                              const double *losses, size_t n)
{
    const bool is_binary = cm_p_values[kind].is_binary;
    for (size_t i = 0; i < n; i++)
        if (!is_loss(losses[i], is_binary))
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%s: loss %zu: found %g, wanted %s", where, i, losses[i],
                           is_binary ? "0 or 1" : "0 to 1");
    return CALMOE_OK;
}

/* ---- how many ---- */

static bool passes(enum p_value_kind kind, size_t n, double delta, double epsilon, double risk)
{
    const struct loss_sample plan = {NULL, n, risk};
    return cm_p_values[kind].ln_p(&plan, delta, epsilon) <= cm_ln(epsilon);
}

size_t cm_samples_needed(enum p_value_kind kind, double delta, double epsilon, double expected_risk)
{
    if (!is_inside(delta) || !is_inside(epsilon) || !(expected_risk >= 0.0 && expected_risk < delta)) return 0;
    size_t enough = 1;
    while (!passes(kind, enough, delta, epsilon, expected_risk)) {
        if (enough >= MAX_SAMPLES) return 0;
        enough *= 2;
    }
    size_t too_few = enough / 2; /* evidence grows with n, so halving finds the edge */
    while (enough - too_few > 1) {
        const size_t middle = too_few + (enough - too_few) / 2;
        if (passes(kind, middle, delta, epsilon, expected_risk)) enough = middle;
        else too_few = middle;
    }
    return enough;
}
