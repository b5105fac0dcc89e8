/* test_risk_bounds.c - the binomial distribution and the p-values against mpmath and scipy (make_risk_cases.py), closed
 * forms, and on what is no evidence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/names.h"
#include "runtime/proof/binomial.h"
#include "runtime/proof/risk_bounds.h"

#include "risk_cases.inc"

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Absolute below 1, relative above: a logarithm's error is the probability's relative error. */
static void near_as(double found, double wanted, double tolerance, const char *what, int index)
{
    if (!(fabs(found - wanted) <= tolerance * fmax(1.0, fabs(wanted))))
        fail_msg("%s of case %d: %.17g, not %.17g", what, index, found, wanted);
}

static void binomial_to_the_last_digits(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT_OF(binomial_cases); i++) {
        const int64_t k = binomial_cases[i].k, n = binomial_cases[i].n;
        near_as(cm_ln_binomial(k, n, binomial_cases[i].p), binomial_cases[i].ln_pmf, 2e-12, "pmf", i);
        near_as(cm_ln_binomial_cdf(k, n, binomial_cases[i].p), binomial_cases[i].ln_cdf, 2e-12, "cdf", i);
    }
}

static void binomial_adds_up(void **state)
{
    (void)state;
    for (int n = 1; n <= 60; n += 7) {
        double sum = 0.0;
        for (int k = 0; k <= n; k++) {
            sum += exp(cm_ln_binomial(k, n, 0.37));
            assert_true(fabs(sum - exp(cm_ln_binomial_cdf(k, n, 0.37))) < 1e-13);
        }
        assert_true(fabs(sum - 1.0) < 1e-13);
    }
}

static double *losses_of(int index)
{
    const int n = risk_cases[index].n;
    double   *losses = malloc((size_t)n * sizeof *losses);
    assert_non_null(losses);
    for (int64_t i = 0; i < n; i++) {
        const double value = risk_cases[index].is_binary
                                 ? 1.0 : (double)((i * 104729) % 101) / 100 * risk_cases[index].scale;
        losses[i] = (i * 7919) % risk_cases[index].modulus < risk_cases[index].kept ? value : 0.0;
    }
    return losses;
}

static void p_values_as_scipy(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT_OF(risk_cases); i++) {
        double *losses = losses_of(i);
        for (int kind = 0; kind < P_VALUE_KIND_COUNT; kind++) {
            const double found = cm_ln_p_value((enum p_value_kind)kind, losses, (size_t)risk_cases[i].n,
                                               risk_cases[i].delta, risk_cases[i].epsilon);
            near_as(found, risk_cases[i].ln_p[kind], 1e-9, cm_p_values[kind].name, i);
        }
        free(losses);
    }
}

/* No losses at all: (1 - delta)^n, exactly what every prompt's silence is worth. */
static void closed_forms(void **state)
{
    (void)state;
    static double losses[5000];
    for (int n = 1; n <= 5000; n += 611) {
        const double wanted = n * log1p(-0.02);
        near_as(cm_ln_p_value(P_BINOMIAL, losses, (size_t)n, 0.02, 0.05), wanted, 1e-12, "binomial", n);
        near_as(cm_ln_p_value(P_HOEFFDING_BENTKUS, losses, (size_t)n, 0.02, 0.05), wanted, 1e-12, "HB", n);
        assert_true(cm_ln_p_value(P_WSR, losses, (size_t)n, 0.02, 0.05) > wanted);
    }
    /* One bet: v_0 = 1/4, so nu = min(1, sqrt(8 ln(1/epsilon))) = 1. */
    const double one[] = {0.25};
    near_as(cm_ln_p_value(P_WSR, one, 1, 0.5, 0.05), -log(1.25), 1e-14, "one bet", 0);
    const double lost[] = {0.75}; /* a lost bet is no evidence, and never against */
    assert_true(cm_ln_p_value(P_WSR, lost, 1, 0.5, 0.05) == 0.0);
}

static void what_is_no_evidence(void **state)
{
    (void)state;
    static double losses[2000];
    const double  wrong[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, -1e-9, 1.0 + 1e-9};
    const double  outside[] = {0.0, 1.0, -1.0, 2.0, (double)NAN};
    struct calmoe_context ctx = {.log = NULL};
    for (int kind = 0; kind < P_VALUE_KIND_COUNT; kind++) {
        const enum p_value_kind row = (enum p_value_kind)kind;
        assert_true(cm_ln_p_value(row, losses, 2000, 0.01, 0.05) < log(0.05));
        assert_true(cm_ln_p_value(row, losses, 0, 0.01, 0.05) == 0.0);
        for (int i = 0; i < COUNT_OF(outside); i++) {
            assert_true(cm_ln_p_value(row, losses, 2000, outside[i], 0.05) == 0.0);
            assert_true(cm_ln_p_value(row, losses, 2000, 0.01, outside[i]) == 0.0);
            assert_int_equal(cm_samples_needed(row, outside[i], 0.05, 0.0), 0);
        }
        for (int i = 0; i < COUNT_OF(wrong); i++) {
            losses[1999] = wrong[i];
            assert_true(cm_ln_p_value(row, losses, 2000, 0.01, 0.05) == 0.0);
            assert_int_equal(cm_check_losses(&ctx, "here", row, losses, 2000), CALMOE_INVALID_ARGUMENT);
            losses[1999] = 0.0;
        }
        for (int i = 0; i < 2000; i++) losses[i] = 1.0;
        assert_true(cm_ln_p_value(row, losses, 2000, 0.01, 0.05) == 0.0);
        memset(losses, 0, sizeof losses);
        assert_int_equal(cm_check_losses(&ctx, "here", row, losses, 2000), CALMOE_OK);
        assert_int_equal(cm_name_find(CM_NAMES(cm_p_values, name), cm_p_values[kind].name), kind);
    }
    losses[3] = 0.5;
    assert_true(cm_ln_p_value(P_BINOMIAL, losses, 2000, 0.01, 0.05) == 0.0);
    assert_int_equal(cm_check_losses(&ctx, "x", P_BINOMIAL, losses, 4), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "x: loss 3: found 0.5, wanted 0 or 1");
    losses[3] = (double)NAN;
    assert_int_equal(cm_check_losses(&ctx, "x", P_WSR, losses, 4), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "x: loss 3: found nan, wanted 0 to 1");
    assert_int_equal(cm_name_find(CM_NAMES(cm_p_values, name), "student"), P_VALUE_KIND_COUNT);
}

static void how_many_prompts(void **state)
{
    (void)state;
    const struct {
        double delta;
        size_t n;
    } zero_loss[] = {{0.01, 299}, {0.02, 149}, {0.05, 59}, {0.1, 29}};
    static double losses[20000];
    for (int i = 0; i < COUNT_OF(zero_loss); i++) {
        assert_int_equal(cm_samples_needed(P_BINOMIAL, zero_loss[i].delta, 0.05, 0.0), zero_loss[i].n);
        assert_int_equal(cm_samples_needed(P_HOEFFDING_BENTKUS, zero_loss[i].delta, 0.05, 0.0), zero_loss[i].n);
    }
    for (int kind = 0; kind < P_VALUE_KIND_COUNT; kind++) { /* enough, one less not, none smaller */
        const enum p_value_kind row = (enum p_value_kind)kind;
        for (double delta = 0.001; delta < 0.9; delta *= 3.0) {
            const size_t n = cm_samples_needed(row, delta, 0.05, 0.0);
            assert_in_range(n, 1, 20000);
            assert_true(cm_ln_p_value(row, losses, n, delta, 0.05) <= log(0.05));
            for (size_t fewer = n > 40 ? n - 40 : 1; fewer < n; fewer++)
                assert_true(cm_ln_p_value(row, losses, fewer, delta, 0.05) > log(0.05));
        }
        const size_t best = cm_samples_needed(row, 0.01, 0.05, 0.0);
        const size_t planned = cm_samples_needed(row, 0.01, 0.05, 0.005);
        assert_true(planned > 2 * best && planned < 20 * best);
        assert_true(cm_samples_needed(row, 0.01, 0.05, 0.007) > planned);
        assert_int_equal(cm_samples_needed(row, 0.01, 0.05, 0.01), 0);
        assert_int_equal(cm_samples_needed(row, 1e-9, 0.05, 0.0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binomial_to_the_last_digits), cmocka_unit_test(binomial_adds_up),
        cmocka_unit_test(p_values_as_scipy),           cmocka_unit_test(closed_forms),
        cmocka_unit_test(what_is_no_evidence),
        cmocka_unit_test(how_many_prompts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
