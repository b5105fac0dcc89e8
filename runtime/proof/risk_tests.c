/* risk_tests.c - see risk_tests.h. */
#include "runtime/proof/risk_tests.h"

#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "kernels/elementary.h"
#include "runtime/proof/deal.h"

void cm_risk_sentence(const struct risk_finding *finding, char *text, size_t n_bytes)
{
    const double percent = 100.0 * finding->delta, sure = 100.0 * (1.0 - finding->epsilon);
    switch (finding->answer) {
    case RISK_PROVEN:
        snprintf(text, n_bytes, "risk at most %g %%, %g %% sure: p = %.3g from %zu prompts with a mean loss of %.3g %%",
                 percent, sure, finding->p, finding->n, 100.0 * finding->mean_loss);
        break;
    case RISK_TOO_FEW_PROMPTS:
        if (finding->n_needed > 0)
            snprintf(text, n_bytes, "too few prompts: %zu, but a risk of at most %g %%, %g %% sure, takes at least %zu",
                     finding->n, percent, sure, finding->n_needed);
        else
            snprintf(text, n_bytes, "too few prompts: a risk of at most %g %%, %g %% sure, is out of reach", percent,
                     sure);
        break;
    default:
        if (finding->n_tried == 0)
            snprintf(text, n_bytes, "nothing that saves time comes near a risk of at most %g %%", percent);
        else
            snprintf(text, n_bytes, "nothing saves time at a risk of at most %g %%, %g %% sure: the first of %d had "
                     "p = %.3g from %zu prompts with a mean loss of %.3g %%", percent, sure, finding->n_tried,
                     finding->p, finding->n, 100.0 * finding->mean_loss);
        break;
    }
}

/* ---- fixed-sequence testing ---- */

void cm_sequence_begin(struct sequence_test *test, enum p_value_kind kind, double delta, double epsilon,
                       size_t n_prompts)
{
    const size_t n_needed = cm_samples_needed(kind, delta, epsilon, 0.0);
    const bool can_pass = n_needed > 0 && n_prompts >= n_needed;
    *test = (struct sequence_test){
        .finding = {.answer = can_pass ? RISK_NONE_PASSES : RISK_TOO_FEW_PROMPTS, .configuration = -1,
                    .delta = delta, .epsilon = epsilon, .kind = kind, .p = 1.0, .mean_loss = (double)NAN,
                    .cost = (double)NAN, .n = n_prompts, .n_needed = n_needed},
        .is_over = !can_pass,
    };
}

static double mean_of(const double *losses, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += losses[i];
    return sum / (double)n;
}

bool cm_sequence_add(struct sequence_test *test, int configuration, const double *losses, double cost)
{
    struct risk_finding *finding = &test->finding;
    if (test->is_over) return false;
    const double ln_p = cm_ln_p_value(finding->kind, losses, finding->n, finding->delta, finding->epsilon);
    const bool   is_proven = ln_p <= cm_ln(finding->epsilon);
    test->p = cm_exp(ln_p);
    test->mean_loss = mean_of(losses, finding->n);
    if (is_proven ? finding->configuration < 0 || cost < finding->cost : finding->n_tried == 0) {
        finding->p = test->p;
        finding->mean_loss = test->mean_loss;
    }
    finding->n_tried++;
    test->is_over = !is_proven;
    if (is_proven && (finding->configuration < 0 || cost < finding->cost)) {
        finding->answer = RISK_PROVEN;
        finding->configuration = configuration;
        finding->cost = cost;
    }
    return is_proven;
}

/* ---- tables ---- */

static const double *losses_of(const struct loss_table *table, int configuration)
{
    return table->losses + (size_t)configuration * (size_t)table->n_prompts;
}

calmoe_status cm_check_loss_table(struct calmoe_context *ctx, enum p_value_kind kind, const struct loss_table *table)
{
    if (table->n_configurations < 1 || table->n_prompts < 1)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "losses of %d configurations on %d prompts; at least one of each "
                       "is wanted", table->n_configurations, table->n_prompts);
    for (int i = 0; i < table->n_configurations; i++) {
        char where[32];
        snprintf(where, sizeof where, "configuration %d", i);
        CM_TRY(cm_check_losses(ctx, where, kind, losses_of(table, i), (size_t)table->n_prompts));
        if (!isfinite(table->costs[i]))
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%s: found a cost of %g, wanted a finite number", where,
                           table->costs[i]);
    }
    return CALMOE_OK;
}

struct risk_finding cm_fixed_sequence(const struct loss_table *table, const int *order, int n_order,
                                      enum p_value_kind kind, double delta, double epsilon)
{
    struct sequence_test test;
    cm_sequence_begin(&test, kind, delta, epsilon, (size_t)table->n_prompts);
    for (int i = 0; i < n_order; i++)
        if (!cm_sequence_add(&test, order[i], losses_of(table, order[i]), table->costs[order[i]])) break;
    return test.finding;
}

/* Is b at least as good as a in both, and better in one (or the same, and earlier)? */
static bool beats(double loss_b, double cost_b, int b, double loss_a, double cost_a, int a)
{
    if (loss_b > loss_a || cost_b > cost_a) return false;
    return loss_b < loss_a || cost_b < cost_a || b < a;
}

static bool is_on_front(const struct loss_table *table, const double *means, int a)
{
    for (int b = 0; b < table->n_configurations; b++)
        if (b != a && beats(means[b], table->costs[b], b, means[a], table->costs[a], a)) return false;
    return true;
}

static bool goes_before(const struct loss_table *table, const double *ln_p, const double *means, int a, int b)
{
    if (ln_p[a] != ln_p[b]) return ln_p[a] < ln_p[b];
    if (means[a] != means[b]) return means[a] < means[b];
    if (table->costs[a] != table->costs[b]) return table->costs[a] > table->costs[b];
    return a < b;
}

int cm_pareto_order(const struct loss_table *table, enum p_value_kind kind, double delta, double epsilon,
                    double *scratch, int *order)
{
    double *ln_p = scratch, *means = scratch + table->n_configurations;
    int     n = 0;
    for (int i = 0; i < table->n_configurations; i++) {
        means[i] = mean_of(losses_of(table, i), (size_t)table->n_prompts);
        ln_p[i] = cm_ln_p_value(kind, losses_of(table, i), (size_t)table->n_prompts, delta, epsilon);
    }
    for (int i = 0; i < table->n_configurations; i++) {
        if (!is_on_front(table, means, i)) continue;
        int at = n++; /* insertion: fronts are some dozens long */
        for (; at > 0 && goes_before(table, ln_p, means, i, order[at - 1]); at--) order[at] = order[at - 1];
        order[at] = i;
    }
    return n;
}

int cm_thin_order(const double *means, double delta, int *order, int n_order)
{
    enum { MANY_SAFE = 4 };
    int n_safe = 0, n_above = 0, n = 0, safe = 0;
    for (int i = 0; i < n_order; i++) n_safe += means[order[i]] < 0.4 * delta;
    for (int i = 0; i < n_order && n_above < 2; i++) {
        const double mean = means[order[i]];
        n_above += mean > delta;
        if (mean < 0.4 * delta && n_safe > MANY_SAFE) {
            const int rank = safe++; /* the first of each quarter */
            if (rank > 0 && rank * MANY_SAFE / n_safe == (rank - 1) * MANY_SAFE / n_safe) continue;
        }
        order[n++] = order[i];
    }
    return n;
}

/* ---- Pareto testing ---- */

struct parts { /* the table's losses dealt to two */
    struct loss_table first, second;
    double           *losses[2];
    double           *scratch; /* (2, n_configurations)      */
    int              *order;   /* (n_configurations)         */
    int              *prompts; /* (n_prompts), in new order  */
};

static void close_parts(struct parts *parts)
{
    cm_free(parts->losses[0]);
    cm_free(parts->losses[1]);
    cm_free(parts->scratch);
    cm_free(parts->order);
    cm_free(parts->prompts);
}

static calmoe_status open_parts(struct calmoe_context *ctx, const struct loss_table *table,
                                const struct pareto_options *options, struct parts *parts)
{
    const size_t n = (size_t)table->n_configurations, n_prompts = (size_t)table->n_prompts;
    const size_t n_of[2] = {(size_t)options->n_first, n_prompts - (size_t)options->n_first};
    for (int part = 0; part < 2; part++) {
        size_t n_losses;
        if (!cm_multiply(n, n_of[part], &n_losses)) n_losses = SIZE_MAX;
        parts->losses[part] = cm_alloc(ctx, n_losses, sizeof(double), "losses");
        if (!parts->losses[part]) return CALMOE_NO_MEMORY;
    }
    parts->scratch = cm_alloc(ctx, 2 * n, sizeof(double), "p-values");
    parts->order = cm_alloc(ctx, n, sizeof(int), "the order of tests");
    parts->prompts = cm_alloc(ctx, n_prompts, sizeof(int), "the order of prompts");
    if (!parts->scratch || !parts->order || !parts->prompts) return CALMOE_NO_MEMORY;
    cm_deal(parts->prompts, table->n_prompts, options->seed);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n_prompts; j++) {
            const int    part = j >= n_of[0];
            const size_t at = part ? j - n_of[0] : j;
            parts->losses[part][i * n_of[part] + at] = table->losses[i * n_prompts + (size_t)parts->prompts[j]];
        }
    parts->first = (struct loss_table){(int)n, (int)n_of[0], parts->losses[0], table->costs};
    parts->second = (struct loss_table){(int)n, (int)n_of[1], parts->losses[1], table->costs};
    return CALMOE_OK;
}

calmoe_status cm_pareto_test(struct calmoe_context *ctx, const struct loss_table *table,
                             const struct pareto_options *options, const double *deltas, int n_deltas,
                             struct risk_finding *findings)
{
    CM_TRY(cm_check_loss_table(ctx, options->kind, table));
    if (options->n_first < 1 || options->n_first >= table->n_prompts)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%d of %d prompts for the first part; each part needs at least 1",
                       options->n_first, table->n_prompts);
    struct parts  parts = {0};
    calmoe_status status = open_parts(ctx, table, options, &parts);
    for (int i = 0; i < n_deltas && status == CALMOE_OK; i++) {
        const int n_order = cm_pareto_order(&parts.first, options->kind, deltas[i], options->epsilon, parts.scratch,
                                            parts.order);
        findings[i] = cm_fixed_sequence(&parts.second, parts.order, n_order, options->kind, deltas[i],
                                        options->epsilon);
    }
    close_parts(&parts);
    return status;
}
