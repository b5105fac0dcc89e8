/* runtime/proof/binomial.h - the binomial distribution in logarithms, for n up to millions and any k. */
#ifndef RUNTIME_PROOF_BINOMIAL_H
#define RUNTIME_PROOF_BINOMIAL_H

#include <stdint.h>

/* ln P(X = k) and ln P(X <= k), X ~ Binomial(n, p); 0 < p < 1, 0 <= k <= n. About 13 digits of the logarithm's
 * value, or of 1 where that is smaller. */
double cm_ln_binomial(int64_t k, int64_t n, double p);
double cm_ln_binomial_cdf(int64_t k, int64_t n, double p);

#endif
