/* test_calibration_coverage.c - the promise itself, by simulation: over 10,000 synthetic calibrations for each
 * p-value, at most a share epsilon ends with a configuration whose true risk is above delta. Losses are drawn in
 * ways that are hard for bounds: rare and total, over-dispersed, risks right at delta. Each count may exceed its
 * expectation by 4 standard errors, so a sound program fails once in 30,000 seeds, and the seed is fixed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/proof/risk_tests.h"

enum { RUNS = 10000, PROMPTS = 300 };

static const double EPSILON = 0.05;

enum shape {
    ZERO_OR_ONE,  /* a prompt is all wrong or all right                 */
    FEW_TOKENS,   /* the share of 16 tokens, each wrong by itself       */
    SOME_HARD,    /* one prompt in four is hard, and then 4 times the risk is spread evenly from 0 to 8 times */
    SHAPES
};

static double draw(struct random *random, enum shape shape, double risk)
{
    double n_wrong = 0.0;
    switch (shape) {
    case ZERO_OR_ONE: return cm_random_unit(random) < risk ? 1.0 : 0.0;
    case FEW_TOKENS:
        for (int i = 0; i < 16; i++) n_wrong += cm_random_unit(random) < risk;
        return n_wrong / 16.0;
    default: return cm_random_below(random, 4) == 0 ? 8.0 * risk * cm_random_unit(random) : 0.0;
    }
}

static double losses[4 * PROMPTS];

static int limit_of(int n_runs)
{
    return (int)(n_runs * EPSILON + 4.0 * sqrt(n_runs * EPSILON * (1.0 - EPSILON)));
}

/* P(p <= epsilon) <= epsilon where the risk is a hair above delta: that is what a p-value is. And it does pass where
 * the risk is far below. */
static void p_values_are_valid(void **state)
{
    (void)state;
    struct random random = cm_random(61);
    for (int kind = 0; kind < P_VALUE_KIND_COUNT; kind++)
        for (int shape = 0; shape < SHAPES; shape++) {
            if (cm_p_values[kind].is_binary && shape != ZERO_OR_ONE) continue;
            const double delta = 0.1;
            int          n_wrong = 0, n_right = 0;
            for (int run = 0; run < RUNS; run++) {
                for (int i = 0; i < PROMPTS; i++) losses[i] = draw(&random, (enum shape)shape, delta);
                n_wrong += cm_ln_p_value((enum p_value_kind)kind, losses, PROMPTS, delta, EPSILON) <= log(EPSILON);
                if (run >= 500) continue;
                for (int i = 0; i < PROMPTS; i++) losses[i] = draw(&random, (enum shape)shape, 0.3 * delta);
                n_right += cm_ln_p_value((enum p_value_kind)kind, losses, PROMPTS, delta, EPSILON) <= log(EPSILON);
            }
            print_message("%s, shape %d: %d of %d wrongly proven, %d of 500 rightly\n", cm_p_values[kind].name, shape,
                          n_wrong, RUNS, n_right);
            if (n_wrong > limit_of(RUNS)) fail_msg("%s, shape %d", cm_p_values[kind].name, shape);
            assert_true(n_right >= 450);
        }
}

/* A ladder of configurations, two of them just above delta and cheaper: how often is one of those taken? */
static void calibration_keeps_its_promise(void **state)
{
    (void)state;
    const double risks[] = {0.02, 0.04, 0.1001, 0.11}, costs[] = {4.0, 3.0, 2.0, 1.0}, deltas[] = {0.1};
    const struct loss_table table = {4, PROMPTS, losses, costs};
    struct random random = cm_random(62);
    for (int kind = 0; kind < P_VALUE_KIND_COUNT; kind++) {
        int n_wrong = 0, n_off = 0;
        for (int run = 0; run < RUNS; run++) {
            const struct pareto_options options = {(enum p_value_kind)kind, EPSILON, PROMPTS / 3, (uint64_t)run};
            struct risk_finding         finding;
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < PROMPTS; j++) losses[i * PROMPTS + j] = draw(&random, ZERO_OR_ONE, risks[i]);
            assert_int_equal(cm_pareto_test(NULL, &table, &options, deltas, 1, &finding), CALMOE_OK);
            n_wrong += finding.configuration >= 2;
            n_off += finding.configuration < 0;
        }
        print_message("%s: %d of %d above delta, %d off\n", cm_p_values[kind].name, n_wrong, RUNS, n_off);
        assert_true(n_wrong <= limit_of(RUNS));
        assert_true(n_off < RUNS / 2);
    }
}

/* The test can fail: taking the smaller of two p-values, or the first that failed, breaks the promise. */
static void what_would_break_it(void **state)
{
    (void)state;
    struct random random = cm_random(63);
    int           n_first_failed = 0;
    for (int run = 0; run < 2000; run++) {
        struct sequence_test test;
        cm_sequence_begin(&test, P_BINOMIAL, 0.1, EPSILON, PROMPTS);
        for (int i = 0; i < PROMPTS; i++) losses[i] = draw(&random, ZERO_OR_ONE, 0.02);
        for (int i = 0; i < PROMPTS; i++) losses[PROMPTS + i] = draw(&random, ZERO_OR_ONE, 0.11);
        cm_sequence_add(&test, 0, losses, 2.0);
        cm_sequence_add(&test, 1, losses + PROMPTS, 1.0);
        n_first_failed += test.finding.n_tried == 2; /* the index that an off-by-one would return */
    }
    assert_true(n_first_failed > limit_of(2000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p_values_are_valid),
        cmocka_unit_test(calibration_keeps_its_promise),
        cmocka_unit_test(what_would_break_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
