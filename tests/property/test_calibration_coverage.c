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

/* ---- fronts: whoever chooses among what several sequences prove ---- */

enum { CHAINS = 3, LINKS = 4 };

/* Losses of a policy on prompts that all of them share: how hard a prompt is counts for each. */
static void draw_together(struct random *random, const double *hardness, double risk, double *out)
{
    for (int i = 0; i < PROMPTS; i++) {
        double n_wrong = 0.0;
        for (int t = 0; t < 8; t++) n_wrong += cm_random_unit(random) < risk * hardness[i];
        out[i] = n_wrong / 8.0;
    }
}

/* How many of the runs prove something of which the risk is above delta, in any of the sequences: an adversary takes
 * that one. *n_any: how many prove anything. */
static int n_wrong_fronts(enum p_value_kind kind, double epsilon, int n_runs, bool are_hard, int *n_any)
{
    static const double risks[CHAINS][LINKS] = {
        {0.03, 0.1001, 0.06, 0.2}, {0.1002, 0.02, 0.13, 0.5}, {0.05, 0.07, 0.1001, 0.3}};
    struct random random = cm_random(64);
    double        hardness[PROMPTS], own[PROMPTS];
    int           n_wrong = 0;
    *n_any = 0;
    for (int run = 0; run < n_runs; run++) {
        bool is_wrong = false, is_any = false;
        for (int i = 0; i < PROMPTS; i++) hardness[i] = are_hard ? 2.0 * cm_random_unit(&random) : 1.0;
        for (int chain = 0; chain < CHAINS; chain++) {
            struct sequence_test test;
            cm_sequence_begin(&test, kind, 0.1, epsilon, PROMPTS);
            for (int link = 0; link < LINKS && !test.is_over; link++) {
                draw_together(&random, hardness, risks[chain][link], own);
                if (cm_p_values[kind].is_binary)
                    for (int i = 0; i < PROMPTS; i++) own[i] = cm_random_unit(&random) < risks[chain][link];
                const bool is_proven = cm_sequence_add(&test, link, own, 1.0);
                is_any |= is_proven;
                is_wrong |= is_proven && risks[chain][link] > 0.1;
            }
        }
        n_wrong += is_wrong;
        *n_any += is_any;
    }
    return n_wrong;
}

/* Each sequence at epsilon / k: with any choice among all that was proven the promise holds. */
static void fronts_keep_their_promise(void **state)
{
    (void)state;
    for (int kind = 0; kind < P_VALUE_KIND_COUNT; kind++)
        for (int are_hard = 0; are_hard < 2; are_hard++) {
            int          n_any;
            const int    n_runs = RUNS / 4;
            const double share = EPSILON / CHAINS;
            const int    n_wrong = n_wrong_fronts((enum p_value_kind)kind, share, n_runs, are_hard != 0, &n_any);
            print_message("%s: of %d fronts %d have one above delta, %d are empty\n", cm_p_values[kind].name, n_runs,
                          n_wrong, n_runs - n_any);
            if (n_wrong > limit_of(n_runs)) fail_msg("%s", cm_p_values[kind].name);
            assert_true(n_any > n_runs / 2);
        }
}

/* And it does not, where each has the whole epsilon: the exact test is wrong in one sequence or another. */
static void fronts_want_their_share(void **state)
{
    (void)state;
    int n_any;
    assert_true(n_wrong_fronts(P_BINOMIAL, EPSILON, RUNS / 4, false, &n_any) > limit_of(RUNS / 4));
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
        cmocka_unit_test(fronts_keep_their_promise),
        cmocka_unit_test(fronts_want_their_share),
        cmocka_unit_test(what_would_break_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
