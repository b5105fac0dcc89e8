/* split_tests.c - see split_tests.h. */
#include "runtime/proof/split_tests.h"

#include <math.h>

#include "base/memory.h"
#include "runtime/proof/deal.h"

struct halves {
    int    *prompts; /* (n_prompts), dealt                     */
    double *losses;  /* (n_proof) of one configuration         */
    int     n_proof;
};

static struct risk_finding prove_one(const struct loss_table *table, const struct split_order *order, double epsilon,
                                     const struct split_options *options, const struct halves *halves)
{
    struct sequence_test test;
    cm_sequence_begin(&test, options->kind, options->delta, epsilon, (size_t)halves->n_proof);
    for (int i = 0; i < order->n && !test.is_over; i++) {
        const int     which = order->order[i];
        const double *losses = table->losses + (size_t)which * (size_t)table->n_prompts;
        for (int j = 0; j < halves->n_proof; j++) halves->losses[j] = losses[halves->prompts[j]];
        if (!cm_sequence_add(&test, which, halves->losses, table->costs[which])) break;
    }
    return test.finding;
}

static struct risk_finding prove(const struct loss_table *table, const struct split_order *orders, int n_orders,
                                 const struct split_options *options, const struct halves *halves)
{
    struct risk_finding best = {.answer = RISK_NONE_PASSES, .configuration = -1};
    for (int i = 0; i < n_orders; i++) {
        const struct risk_finding found = prove_one(table, &orders[i], options->epsilon / n_orders, options, halves);
        if (found.answer == RISK_PROVEN && (best.answer != RISK_PROVEN || found.cost < best.cost)) best = found;
    }
    return best;
}

static double mean_of_rest(const struct loss_table *table, int configuration, const struct halves *halves)
{
    const double *losses = table->losses + (size_t)configuration * (size_t)table->n_prompts;
    double        sum = 0.0;
    for (int j = halves->n_proof; j < table->n_prompts; j++) sum += losses[halves->prompts[j]];
    return sum / (table->n_prompts - halves->n_proof);
}

calmoe_status cm_split_test(struct calmoe_context *ctx, const struct loss_table *table,
                            const struct split_order *orders, int n_orders, const struct split_options *options,
                            struct split_finding *out)
{
    const int     n = table->n_prompts;
    struct halves halves = {.n_proof = n / 2};
    *out = (struct split_finding){.n_splits = options->n_splits, .mean_cost = options->off_cost};
    if (n < 2) return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%d prompts cannot be divided; 2 are needed", n);
    halves.prompts = cm_alloc(ctx, (size_t)n, sizeof *halves.prompts, "divisions");
    halves.losses = cm_alloc(ctx, (size_t)n, sizeof *halves.losses, "divisions");
    double risks = 0.0, costs = 0.0;
    for (int split = 0; halves.prompts && halves.losses && split < options->n_splits; split++) {
        cm_deal(halves.prompts, n, options->seed + (uint64_t)split);
        const struct risk_finding finding = prove(table, orders, n_orders, options, &halves);
        costs += finding.answer == RISK_PROVEN ? finding.cost : options->off_cost;
        if (finding.answer != RISK_PROVEN) continue;
        const double risk = mean_of_rest(table, finding.configuration, &halves);
        out->n_proven++;
        out->n_violated += risk > options->delta;
        risks += risk;
    }
    const calmoe_status status = halves.prompts && halves.losses ? CALMOE_OK : CALMOE_NO_MEMORY;
    if (options->n_splits > 0) out->mean_cost = costs / options->n_splits;
    out->mean_risk = out->n_proven > 0 ? risks / out->n_proven : (double)NAN;
    cm_free(halves.prompts);
    cm_free(halves.losses);
    return status;
}
