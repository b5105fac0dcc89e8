/* binomial.c - see binomial.h.
 *
 * ln P(X = k) by Loader's saddle-point form (C. Loader, "Fast and accurate computation of binomial
 * probabilities", 2000), which never subtracts the large logarithms of factorials from one another:
 *   ln P = S(n) - S(k) - S(n-k) - D(k, np) - D(n-k, nq) + 1/2 ln(n / (2 pi k (n-k)))
 * with S(n) = ln n! - ln(sqrt(2 pi n) (n/e)^n) and D(x, m) = x ln(x/m) + m - x. */
#include "runtime/proof/binomial.h"

#include <math.h>

#include "kernels/elementary.h"

static const double LN_2_PI = 1.8378770664093454836;

/* S(n), n >= 1: from the factorial where it is exact in a double, else Stirling's series. */
static double stirling_error(int64_t n)
{
    const double x = (double)n;
    if (n <= 15) {
        double factorial = 1.0;
        for (int64_t i = 2; i <= n; i++) factorial *= (double)i;
        return cm_ln(factorial) - (0.5 * (LN_2_PI + cm_ln(x)) + x * cm_ln(x) - x);
    }
    const double r = 1.0 / (x * x); /* 1/(12 n) - 1/(360 n^3) + 1/(1260 n^5) - 1/(1680 n^7) + 1/(1188 n^9) */
    return (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - r / 1188.0) * r) * r) * r) / x;
}

/* D(x, m), x and m > 0; near x = m by its series in v = (x - m) / (x + m), where the plain form cancels. */
static double deviance(double x, double m)
{
    if (fabs(x - m) >= 0.1 * (x + m)) return x * cm_ln(x / m) + m - x;
    const double v = (x - m) / (x + m), v2 = v * v;
    double sum = (x - m) * v, power = 2.0 * x * v;
    for (int j = 1; j < 30; j++) {
        power *= v2;
        sum += power / (2 * j + 1);
    }
    return sum;
}

double cm_ln_binomial(int64_t k, int64_t n, double p)
{
    const double x = (double)k, rest = (double)(n - k), all = (double)n, q = 1.0 - p;
    if (n == 0) return 0.0;
    if (k == 0) return all * (p < 0.1 ? -deviance(all, all * q) / all - p : cm_ln(q));
    if (k == n) return all * cm_ln(p);
    return stirling_error(n) - stirling_error(k) - stirling_error(n - k) - deviance(x, all * p) -
           deviance(rest, all * q) + 0.5 * (cm_ln(all / x / rest) - LN_2_PI);
}

/* ln(P(X = k) + P(X = k - 1) + ... + P(X = 0)), k below the mean: the ratios of neighbours only fall, so
 * it ends after some sqrt(n) terms. */
static double ln_lower_tail(int64_t k, int64_t n, double p)
{
    double sum = 1.0, term = 1.0;
    for (int64_t j = k; j > 0; j--) {
        term *= (double)j / (double)(n - j + 1) * ((1.0 - p) / p);
        sum += term;
        if (term < 1e-17 * sum) break;
    }
    return cm_ln_binomial(k, n, p) + cm_ln(sum);
}

double cm_ln_binomial_cdf(int64_t k, int64_t n, double p)
{
    if (k >= n) return 0.0;
    if ((double)k <= (double)n * p) return fmin(ln_lower_tail(k, n, p), 0.0);
    /* Above the mean: what is missing to 1, which is the lower tail of n - X. */
    const double missing = cm_exp(ln_lower_tail(n - k - 1, n, 1.0 - p));
    return missing < 1e-5 ? -missing - 0.5 * missing * missing : cm_ln(1.0 - missing);
}
