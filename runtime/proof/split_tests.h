/* runtime/proof/split_tests.h - is what was proven also true on prompts that took no part in the proof?
 *
 * The prompts of a loss table are divided at random into a half that proves and a half that checks. Fixed-sequence
 * testing (risk_tests.h) runs on the first half, and the mean loss of the configuration that it finds is taken on the
 * second. This is done n_splits times. */
#ifndef RUNTIME_PROOF_SPLIT_TESTS_H
#define RUNTIME_PROOF_SPLIT_TESTS_H

#include "runtime/proof/risk_tests.h"

struct split_finding {
    int    n_splits, n_proven, n_violated; /* violated: proven, and the half that checks has a mean above delta */
    double mean_risk;                      /* of those proven, on the half that checks                          */
    double mean_cost;                      /* of all; off_cost where nothing is proven                          */
};

struct split_options {
    enum p_value_kind kind;
    double            delta, epsilon, off_cost;
    int               n_splits;
    uint64_t          seed;
};

/* One family of sequences, each at epsilon / n_orders; what is found is the cheapest that any of them proves. */
struct split_order {
    const int *order;
    int        n;
};
calmoe_status cm_split_test(struct calmoe_context *ctx, const struct loss_table *table,
                            const struct split_order *orders, int n_orders, const struct split_options *options,
                            struct split_finding *out);

#endif
