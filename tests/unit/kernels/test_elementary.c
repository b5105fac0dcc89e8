/* test_elementary.c - exp, log, sine and cosine of our own against the C library's, in units of the last place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/elementary.h"

static const double LIMIT = 4.0; /* units in the last place */

/* |found - wanted| in units of the last place of wanted; where wanted is below `floor`, of floor. */
static double ulps(double found, long double wanted, double floor)
{
    const double size = fmax(fabs((double)wanted), floor);
    const double unit = nextafter(size, INFINITY) - size;
    return (double)(fabsl((long double)found - wanted) / (long double)unit);
}

static double worst_exp, worst_ln, worst_sine;

static void check_exp(double x)
{
    const double error = ulps(cm_exp(x), expl((long double)x), 0x1p-1022);
    if (error > worst_exp) worst_exp = error;
    if (!(error <= LIMIT)) fail_msg("exp(%.17g) is off by %.1f units", x, error);
}

static void check_ln(double x)
{
    const double error = ulps(cm_ln(x), logl((long double)x), 0x1p-1022);
    if (error > worst_ln) worst_ln = error;
    if (!(error <= LIMIT)) fail_msg("ln(%.17g) is off by %.1f units", x, error);
}

/* Near a zero of sine or cosine the rest of the reduction shows: there units of 2^-20 are the measure. */
static void check_sine_cosine(double x)
{
    double sine, cosine;
    cm_sine_cosine(x, &sine, &cosine);
    const double s = ulps(sine, sinl((long double)x), 0x1p-20), c = ulps(cosine, cosl((long double)x), 0x1p-20);
    if (s > worst_sine) worst_sine = s;
    if (c > worst_sine) worst_sine = c;
    if (!(s <= LIMIT) || !(c <= LIMIT)) fail_msg("sine and cosine of %.17g are off by %.1f and %.1f units", x, s, c);
}

static void exponential(void **state)
{
    (void)state;
    struct random random = cm_random(1);
    const double edges[] = {0.0, -0.0, 1.0, -1.0, 0x1p-1074, -0x1p-1074, 0x1p-60, 708.9, 709.0, -707.9, -707.99999,
                            0.34657359027997264, 0.34657359027997270, -0.34657359027997264, 88.3762626647949};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) check_exp(edges[i]);
    for (int i = 0; i < 200000; i++) check_exp(1400.0 * cm_random_unit(&random) - 700.0);
    for (int i = 0; i < 100000; i++) check_exp(2.0 * cm_random_unit(&random) - 1.0);
    for (int n = -1021; n <= 1021; n++) { /* around the cuts of the reduction */
        check_exp(n * 0.34657359027997264 < 708.0 ? n * 0.34657359027997264 : 0.0);
        check_exp(nextafter(n * 0.34657359027997264, 1e9));
    }
}

static void exponential_out_of_range(void **state)
{
    (void)state;
    assert_true(cm_exp(0.0) == 1.0);
    assert_true(cm_exp(-708.0) == 0.0);
    assert_true(cm_exp(-1e300) == 0.0);
    assert_true(cm_exp(-INFINITY) == 0.0);
    assert_true(cm_exp((double)NAN) == 0.0);
    assert_true(isfinite(cm_exp(710.0)) && cm_exp(710.0) > 1e307);
    assert_true(cm_exp(INFINITY) == cm_exp(710.0));
}

static void logarithm(void **state)
{
    (void)state;
    struct random random = cm_random(2);
    const double edges[] = {1.0, 2.0, 0.5, 0x1p-1022, 0x1.fffffffffffffp+1023, 10000.0, 0.70710678118654746,
                            0.70710678118654757, 1.4142135623730949, 1.4142135623730951, 40.0, 0x1.0000000000001p+0,
                            0x1.fffffffffffffp-1, 10.0, 2.718281828459045};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) check_ln(edges[i]);
    for (int i = 0; i < 200000; i++)
        check_ln(ldexp(1.0 + cm_random_unit(&random), (int)cm_random_below(&random, 2044) - 1022));
    for (int i = 0; i < 100000; i++) check_ln(0.5 + 1.5 * cm_random_unit(&random));
    assert_true(cm_ln(1.0) == 0.0);
}

static void sine_and_cosine(void **state)
{
    (void)state;
    struct random random = cm_random(3);
    for (int i = 0; i < 200000; i++) check_sine_cosine(20.0 * cm_random_unit(&random) - 10.0);
    for (int i = 0; i < 200000; i++) check_sine_cosine(0x1p20 * (2.0 * cm_random_unit(&random) - 1.0));
    for (int i = 0; i < 100000; i++)
        check_sine_cosine(ldexp(1.0 + cm_random_unit(&random), -(int)cm_random_below(&random, 60)));
    for (int position = 0; position < 1 << 20; position += 7) check_sine_cosine(position);
    for (int n = -1000; n <= 1000; n++) {
        const double at = n * 0.78539816339744831;
        check_sine_cosine(at);
        check_sine_cosine(nextafter(at, 1e9));
        check_sine_cosine(nextafter(at, -1e9));
    }
    double sine, cosine;
    cm_sine_cosine(0.0, &sine, &cosine);
    assert_true(sine == 0.0 && cosine == 1.0);
}

/* A model file can ask for any angle. What comes back then need not be right, only finite. */
static void angles_that_no_model_has(void **state)
{
    (void)state;
    const double angles[] = {0x1p24, 0x1p31, -0x1p40, 0x1p52, 0x1p63, -0x1p64, 1e300, 0x1.fffffffffffffp+1023,
                             (double)INFINITY, -(double)INFINITY, (double)NAN};
    for (size_t i = 0; i < sizeof angles / sizeof *angles; i++) {
        double sine = 7.0, cosine = 7.0;
        cm_sine_cosine(angles[i], &sine, &cosine);
        if (!(fabs(sine) <= 1.0 + 1e-9) || !(fabs(cosine) <= 1.0 + 1e-9))
            fail_msg("the angle %g gives %g and %g", angles[i], sine, cosine);
    }
    double sine, cosine; /* the longest context that a session may have */
    for (int i = 0; i < 100000; i++) {
        const double x = (double)((1 << 24) - i);
        cm_sine_cosine(x, &sine, &cosine);
        assert_true(fabs(sine - sin(x)) < 1e-9 && fabs(cosine - cos(x)) < 1e-9);
    }
}

static int report(void **state)
{
    (void)state;
    printf("units in the last place: exp %.2f, ln %.2f, sine and cosine %.2f\n", worst_exp, worst_ln, worst_sine);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential),
        cmocka_unit_test(exponential_out_of_range),
        cmocka_unit_test(logarithm),
        cmocka_unit_test(sine_and_cosine),
        cmocka_unit_test(angles_that_no_model_has),
    };
    return cmocka_run_group_tests_name("elementary", tests, NULL, report);
}
