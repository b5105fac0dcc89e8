/* test_split_tests.c - calibration on stubs whose risk is known: it is valid, it is tight, and it stops where theory
 * says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "runtime/proof/split_tests.h"

enum { N_STUBS = 8, N_PROMPTS = 4000, N_TOKENS = 64 };

static double losses[N_STUBS * N_PROMPTS];
static const int order[N_STUBS] = {0, 1, 2, 3, 4, 5, 6, 7};

/* Stub i differs in each of 64 tokens with chance risks[i], prompts being harder or easier by up to a half. */
static struct loss_table stubs(const double *risks, const double *costs, uint64_t seed)
{
    struct random random = cm_random(seed);
    for (int i = 0; i < N_STUBS; i++)
        for (int p = 0; p < N_PROMPTS; p++) {
            const double rate = risks[i] * (0.5 + cm_random_unit(&random));
            int          n = 0;
            for (int t = 0; t < N_TOKENS; t++) n += cm_random_unit(&random) < rate;
            losses[i * N_PROMPTS + p] = (double)n / N_TOKENS;
        }
    return (struct loss_table){N_STUBS, N_PROMPTS, losses, costs};
}

static const struct split_order all = {order, N_STUBS}, first = {order, 1};
static const double costs[N_STUBS] = {8, 7, 6, 5, 4, 3, 2, 1};

static void valid_and_tight(void **state)
{
    (void)state;
    static const double risks[N_STUBS] = {0.001, 0.003, 0.005, 0.007, 0.0085, 0.0102, 0.013, 0.02};
    const struct loss_table    table = stubs(risks, costs, 1);
    const struct split_options options = {P_WSR, 0.01, 0.05, 10.0, 1000, 3};
    struct split_finding       found;
    assert_int_equal(cm_split_test(NULL, &table, &all, 1, &options, &found), CALMOE_OK);
    assert_int_equal(found.n_splits, 1000);
    assert_int_equal(found.n_proven, 1000);
    assert_true(found.n_violated <= 50 + 21); /* 5 % and three standard errors */
    assert_true(found.mean_risk > 0.006 && found.mean_risk < 0.01);
    assert_true(found.mean_cost >= 4.0 && found.mean_cost <= 5.0); /* the stub of 0.7 % or the one of 0.85 % */
    struct split_finding again;
    assert_int_equal(cm_split_test(NULL, &table, &all, 1, &options, &again), CALMOE_OK);
    assert_int_equal(found.n_splits, again.n_splits);
    assert_int_equal(found.n_proven, again.n_proven);
    assert_int_equal(found.n_violated, again.n_violated);
    assert_true(found.mean_risk == again.mean_risk && found.mean_cost == again.mean_cost);
}

static void stops_where_theory_says(void **state)
{
    (void)state;
    /* A dangerous stub stands before safe ones: the sequence must not go past it. */
    static const double risks[N_STUBS] = {0.002, 0.05, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001};
    const struct loss_table table = stubs(risks, costs, 2);
    struct risk_finding     found = cm_fixed_sequence(&table, order, N_STUBS, P_WSR, 0.01, 0.05);
    assert_int_equal(found.answer, RISK_PROVEN);
    assert_int_equal(found.configuration, 0);
    assert_int_equal(found.n_tried, 2);

    static const double all_bad[N_STUBS] = {0.011, 0.012, 0.013, 0.02, 0.02, 0.02, 0.02, 0.02};
    const struct loss_table    bad = stubs(all_bad, costs, 3);
    const struct split_options options = {P_WSR, 0.01, 0.05, 10.0, 1000, 3};
    struct split_finding       split;
    assert_int_equal(cm_split_test(NULL, &bad, &all, 1, &options, &split), CALMOE_OK);
    assert_true(split.n_proven <= 50); /* each one is a wrong proof */

    struct loss_table few = bad; /* 61 prompts: a proof of 1 % is out of reach, of 10 % it is not */
    few.n_prompts = 122;
    few.n_configurations = 1;
    assert_int_equal(cm_split_test(NULL, &few, &first, 1, &options, &split), CALMOE_OK);
    assert_int_equal(split.n_proven, 0);
    assert_true(split.mean_cost == 10.0 && isnan(split.mean_risk));
    few.n_prompts = 1;
    assert_int_equal(cm_split_test(NULL, &few, &first, 1, &options, &split), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(cm_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_and_tight),
        cmocka_unit_test(stops_where_theory_says),
    };
    return cmocka_run_group_tests_name("divisions", tests, NULL, NULL);
}
