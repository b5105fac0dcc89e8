/* test_risk_tests.c - fixed-sequence and Pareto testing on tables whose right answer is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "runtime/proof/risk_tests.h"

enum { PROMPTS = 2000, CONFIGURATIONS = 8 };

static double losses[CONFIGURATIONS * PROMPTS];
static double costs[CONFIGURATIONS];

/* 0 and 1 at the given rates, spread evenly; cheaper from one configuration to the next. */
static struct loss_table table_of(const double *rates, int n, int n_prompts)
{
    for (int i = 0; i < n; i++) {
        costs[i] = 10.0 - i;
        for (int j = 0; j < n_prompts; j++)
            losses[i * n_prompts + j] = floor((j + 1) * rates[i]) - floor(j * rates[i]);
    }
    return (struct loss_table){n, n_prompts, losses, costs};
}

static const int forward[] = {0, 1, 2, 3, 4, 5, 6, 7};

static void stops_at_the_first_failure(void **state)
{
    (void)state;
    const double rates[] = {0.0, 0.002, 0.01, 0.06, 0.001};
    const struct loss_table table = table_of(rates, 5, PROMPTS);
    for (int kind = 0; kind < P_VALUE_KIND_COUNT; kind++) {
        const enum p_value_kind row = (enum p_value_kind)kind;
        const struct risk_finding found = cm_fixed_sequence(&table, forward, 5, row, 0.05, 0.05);
        assert_int_equal(found.answer, RISK_PROVEN);
        assert_int_equal(found.configuration, 2); /* the last that passed, not the first that failed */
        assert_int_equal(found.n_tried, 4);       /* 4 is good again, but is never looked at */
        assert_true(found.p <= 0.05 && found.p > 0.0);
        assert_true(fabs(found.mean_loss - 0.01) < 1e-9 && found.cost == 8.0);
        assert_int_equal(found.n, PROMPTS);
        assert_true(fabs(found.p - exp(cm_ln_p_value(row, losses + 2 * PROMPTS, PROMPTS, 0.05, 0.05))) < 1e-12);
    }
    /* The order is the caller's; the answer is the cheapest proven, not the last. */
    const int order[] = {4, 0, 3};
    const struct risk_finding found = cm_fixed_sequence(&table, order, 3, P_WSR, 0.05, 0.05);
    assert_int_equal(found.configuration, 4);
    assert_true(found.cost == 6.0);
}

static void off_and_why(void **state)
{
    (void)state;
    const double rates[] = {0.04, 0.0};
    char         text[256];
    struct loss_table   table = table_of(rates, 2, 1000);
    struct risk_finding found = cm_fixed_sequence(&table, forward, 2, P_BINOMIAL, 0.01, 0.05);
    assert_int_equal(found.answer, RISK_NONE_PASSES);
    assert_int_equal(found.configuration, -1);
    assert_int_equal(found.n_tried, 1);
    assert_true(found.p > 0.99 && isnan(found.cost));
    cm_risk_sentence(&found, text, sizeof text);
    assert_string_equal(text, "nothing saves time at a risk of at most 1 %, 95 % sure: the first of 1 had p = 1 from "
                              "1000 prompts with a mean loss of 4 %");

    table = table_of(rates + 1, 1, 298);
    found = cm_fixed_sequence(&table, forward, 1, P_BINOMIAL, 0.01, 0.05);
    assert_int_equal(found.answer, RISK_TOO_FEW_PROMPTS);
    assert_int_equal(found.configuration, -1);
    assert_int_equal(found.n_needed, 299);
    assert_int_equal(found.n_tried, 0);
    cm_risk_sentence(&found, text, sizeof text);
    assert_string_equal(text, "too few prompts: 298, but a risk of at most 1 %, 95 % sure, takes at least 299");
    table = table_of(rates + 1, 1, 299);
    found = cm_fixed_sequence(&table, forward, 1, P_BINOMIAL, 0.01, 0.05);
    assert_int_equal(found.answer, RISK_PROVEN);
    cm_risk_sentence(&found, text, sizeof text);
    assert_string_equal(text, "risk at most 1 %, 95 % sure: p = 0.0495 from 299 prompts with a mean loss of 0 %");

    found = cm_fixed_sequence(&table, forward, 0, P_BINOMIAL, 0.01, 0.05);
    assert_int_equal(found.answer, RISK_NONE_PASSES);
    found = cm_fixed_sequence(&table, forward, 1, P_BINOMIAL, 1e-12, 0.05);
    assert_int_equal(found.answer, RISK_TOO_FEW_PROMPTS);
    cm_risk_sentence(&found, text, sizeof text);
    assert_string_equal(text, "too few prompts: a risk of at most 1e-10 %, 95 % sure, is out of reach");
}

/* Every member; there is padding between them. */
static void assert_same_finding(const struct risk_finding *a, const struct risk_finding *b)
{
    assert_int_equal(a->answer, b->answer);
    assert_int_equal(a->configuration, b->configuration);
    assert_int_equal(a->kind, b->kind);
    assert_true(a->delta == b->delta && a->epsilon == b->epsilon && a->p == b->p);
    assert_true(a->mean_loss == b->mean_loss && a->cost == b->cost);
    assert_true(a->n == b->n && a->n_needed == b->n_needed);
    assert_int_equal(a->n_tried, b->n_tried);
}

static void one_by_one_is_the_same(void **state)
{
    (void)state;
    const double rates[] = {0.0, 0.004, 0.03, 0.2};
    const struct loss_table table = table_of(rates, 4, PROMPTS);
    struct sequence_test test;
    cm_sequence_begin(&test, P_WSR, 0.05, 0.05, PROMPTS);
    assert_true(cm_sequence_add(&test, 0, losses, costs[0]));
    assert_true(cm_sequence_add(&test, 1, losses + PROMPTS, costs[1]));
    assert_true(cm_sequence_add(&test, 2, losses + 2 * PROMPTS, costs[2]));
    assert_false(cm_sequence_add(&test, 3, losses + 3 * PROMPTS, costs[3]));
    assert_false(cm_sequence_add(&test, 0, losses, -1.0)); /* over is over */
    const struct risk_finding whole = cm_fixed_sequence(&table, forward, 4, P_WSR, 0.05, 0.05);
    assert_same_finding(&whole, &test.finding);
}

static void front_and_order(void **state)
{
    (void)state;
    const double rates[] = {0.02, 0.01, 0.03, 0.01, 0.05, 0.0};
    const struct loss_table table = table_of(rates, 6, 1000);
    int    order[6];
    double scratch[12];
    costs[0] = 5.0, costs[1] = 5.0, costs[2] = 4.0, costs[3] = 5.0, costs[4] = 4.5, costs[5] = 9.0;
    /* 0 loses to 1, 3 is 1 again, 4 loses to 2 */
    assert_int_equal(cm_pareto_order(&table, P_HOEFFDING_BENTKUS, 0.06, 0.05, scratch, order), 3);
    assert_int_equal(order[0], 5);
    assert_int_equal(order[1], 1);
    assert_int_equal(order[2], 2);
    /* At a bound below all of them p is 1 everywhere: the order is by risk. */
    assert_int_equal(cm_pareto_order(&table, P_HOEFFDING_BENTKUS, 1e-6, 0.05, scratch, order), 3);
    assert_int_equal(order[0], 5);
    assert_int_equal(order[2], 2);
}

static void ladder(void **state)
{
    (void)state;
    const double  rates[] = {0.0, 0.003, 0.008, 0.02, 0.03, 0.07, 0.15, 0.4};
    const double  deltas[] = {0.001, 0.01, 0.02, 0.05, 0.1, 0.25};
    const int     wanted[] = {-1, 1, 2, 4, 5, 6}; /* the last with a risk below delta: losses vary little here */
    const struct pareto_options options = {P_WSR, 0.05, 500, 7};
    struct loss_table   table = table_of(rates, CONFIGURATIONS, PROMPTS);
    struct risk_finding findings[6], again[6];
    for (int i = 0; i < CONFIGURATIONS * PROMPTS; i++) losses[i] = rates[i / PROMPTS] * (0.75 + 0.5 * (i % 2));
    assert_int_equal(cm_pareto_test(NULL, &table, &options, deltas, 6, findings), CALMOE_OK);
    for (int i = 0; i < 6; i++) {
        assert_true(findings[i].delta == deltas[i] && findings[i].n == 1500);
        if (findings[i].configuration != wanted[i])
            fail_msg("delta %g: configuration %d", deltas[i], findings[i].configuration);
    }
    assert_int_equal(findings[0].answer, RISK_TOO_FEW_PROMPTS);
    assert_int_equal(cm_pareto_test(NULL, &table, &options, deltas, 6, again), CALMOE_OK);
    for (int i = 1; i < 6; i++) assert_true(again[i].p == findings[i].p);
    assert_int_equal(cm_live_blocks(), 0);
}

static void faults(void **state)
{
    (void)state;
    const double  rates[] = {0.0, 0.1}, deltas[] = {0.05};
    struct calmoe_context ctx = {.log = NULL};
    struct pareto_options options = {P_WSR, 0.05, 0, 7};
    struct risk_finding   finding;
    struct loss_table     table = table_of(rates, 2, 100);
    assert_int_equal(cm_pareto_test(&ctx, &table, &options, deltas, 1, &finding), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "0 of 100 prompts for the first part; each part needs at least 1");
    options.n_first = 100;
    assert_int_equal(cm_pareto_test(&ctx, &table, &options, deltas, 1, &finding), CALMOE_INVALID_ARGUMENT);
    options.n_first = 50;
    losses[107] = (double)NAN;
    assert_int_equal(cm_pareto_test(&ctx, &table, &options, deltas, 1, &finding), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "configuration 1: loss 7: found nan, wanted 0 to 1");
    losses[107] = 0.0;
    costs[1] = (double)INFINITY;
    assert_int_equal(cm_pareto_test(&ctx, &table, &options, deltas, 1, &finding), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "configuration 1: found a cost of inf, wanted a finite number");
    costs[1] = 1.0;
    table.n_prompts = 0;
    assert_int_equal(cm_pareto_test(&ctx, &table, &options, deltas, 1, &finding), CALMOE_INVALID_ARGUMENT);
    table.n_prompts = 100;
    for (long nth = 1; nth <= 5; nth++) {
        cm_fail_request(nth);
        assert_int_equal(cm_pareto_test(&ctx, &table, &options, deltas, 1, &finding), CALMOE_NO_MEMORY);
        assert_int_equal(cm_live_blocks(), 0);
    }
    cm_fail_request(0);
    assert_int_equal(cm_pareto_test(&ctx, &table, &options, deltas, 1, &finding), CALMOE_OK);
}

static void thinned(void **state)
{
    (void)state;
    double means[40];
    int    wanted[40];
    for (int i = 0; i < 40; i++) means[i] = 0.0005 * i, wanted[i] = i;
    /* below 0.4 %: 0 … 7, four of them stay; 0.4 to 1 %: 8 … 20; and two above */
    assert_int_equal(cm_thin_order(means, 0.01, wanted, 40), 4 + 13 + 2);
    assert_int_equal(wanted[0], 0);
    assert_true(wanted[3] <= 7);
    assert_int_equal(wanted[4], 8);
    assert_int_equal(wanted[18], 22);
    assert_int_equal(cm_thin_order(means, 0.01, wanted, 0), 0);
    wanted[0] = 30;
    assert_int_equal(cm_thin_order(means, 0.01, wanted, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_at_the_first_failure), cmocka_unit_test(off_and_why),
        cmocka_unit_test(one_by_one_is_the_same),     cmocka_unit_test(front_and_order),
        cmocka_unit_test(ladder),                     cmocka_unit_test(faults),
        cmocka_unit_test(thinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
