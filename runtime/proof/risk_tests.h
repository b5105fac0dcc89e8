/* runtime/proof/risk_tests.h - which configuration may be used: testing one after the other in an order
 * fixed beforehand, and Pareto testing, which finds such an order on data of its own.
 *
 * A configuration is anything that trades risk for cost; here it is an index. Losses of all prompts under all
 * configurations come as a matrix, or, where each takes minutes, one configuration after the other. */
#ifndef RUNTIME_PROOF_RISK_TESTS_H
#define RUNTIME_PROOF_RISK_TESTS_H

#include <stdint.h>

#include "runtime/proof/risk_bounds.h"

enum risk_answer {
    RISK_PROVEN,
    RISK_TOO_FEW_PROMPTS, /* not even losses of 0 would be evidence enough */
    RISK_NONE_PASSES
};

struct risk_finding {
    enum risk_answer  answer;
    int               configuration; /* -1: OFF; else the cheapest that is proven                 */
    double            delta, epsilon;
    enum p_value_kind kind;
    double            p;             /* of that configuration; of the first tried where it is OFF */
    double            mean_loss;     /* the same one's                                            */
    double            cost;          /* its cost; NaN where it is OFF                             */
    size_t            n;             /* prompts of the proof                                      */
    size_t            n_needed;      /* prompts that losses of 0 would take                       */
    int               n_tried;       /* configurations, the one that failed included              */
};

/* Writes the reason in one sentence, "too few prompts: 120 of at least 299 that …" (at most n_bytes). */
void cm_risk_sentence(const struct risk_finding *finding, char *text, size_t n_bytes);

/* ---- fixed-sequence testing ----
 *
 * Configurations in an order that does not depend on these losses, each tested at epsilon, until the first that
 * does not pass: the chance that any one proven has a risk above delta is at most epsilon, without any correction
 * for how many were tried. The finding is the cheapest of those proven, but the chance is that of all of them at once:
 * whoever takes another one, for whatever reason, has the same proof.
 *
 * Several sequences are one family where each of k is tested at epsilon / k: what any of them proves is proven at
 * epsilon, all of it at once. */

struct sequence_test {
    struct risk_finding finding;
    double              p, mean_loss; /* of the last one tested         */
    bool                is_over;      /* one did not pass, or none can */
};

void cm_sequence_begin(struct sequence_test *test, enum p_value_kind kind, double delta, double epsilon,
                       size_t n_prompts);
/* The next in order; losses (n_prompts). False: it did not pass, or the sequence was over before. */
bool cm_sequence_add(struct sequence_test *test, int configuration, const double *losses, double cost);

/* ---- with all losses at hand ---- */

struct loss_table {
    int           n_configurations;
    int           n_prompts;
    const double *losses; /* (n_configurations, n_prompts), in [0, 1] */
    const double *costs;  /* (n_configurations), finite               */
};

/* INVALID_ARGUMENT for an empty table, a loss out of [0, 1], a cost that is not finite: which one. */
calmoe_status cm_check_loss_table(struct calmoe_context *ctx, enum p_value_kind kind,
                                  const struct loss_table *table);

struct risk_finding cm_fixed_sequence(const struct loss_table *table, const int *order, int n_order,
                                      enum p_value_kind kind, double delta, double epsilon);

/* The configurations that no other one beats in mean loss and cost at once, from the smallest p-value on (then the
 * smaller mean loss, the higher cost, the lower index). scratch (2, n_configurations), order (n_configurations);
 * returns how many. */
int cm_pareto_order(const struct loss_table *table, enum p_value_kind kind, double delta, double epsilon,
                    double *scratch, int *order);

/* Leaves out of an order what is hardly worth a test: of configurations whose mean loss is below 0.4 delta all but
 * some, spread evenly, and all after the second one above delta. means (n_configurations) are from the data of the
 * order. Returns how many are left. */
int cm_thin_order(const double *means, double delta, int *order, int n_order);

/* ---- Pareto testing (Laufer-Goldshtein et al., ICLR 2023): the order from a first part of the prompts, the proof
 * from the others. ---- */

struct pareto_options {
    enum p_value_kind kind;
    double            epsilon;
    int               n_first; /* prompts of the first part, 1 … n_prompts - 1          */
    uint64_t          seed;    /* of the shuffle that deals prompts to the two parts    */
};

/* One finding for each of deltas (n_deltas), each at epsilon by itself. */
calmoe_status cm_pareto_test(struct calmoe_context *ctx, const struct loss_table *table,
                             const struct pareto_options *options, const double *deltas, int n_deltas,
                             struct risk_finding *findings);

#endif
