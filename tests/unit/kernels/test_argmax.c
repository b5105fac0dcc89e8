/* test_argmax.c - against the plain loop, at all lengths round the lanes, with ties, infinities and NaN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/argmax.h"

enum { MAX = 100 };

static int32_t plain(const float *x, int32_t n)
{
    int32_t best = -1;
    for (int32_t i = 0; i < n; i++)
        if (x[i] > -INFINITY && (best < 0 || x[i] > x[best])) best = i;
    return best < 0 ? 0 : best;
}

static void random_numbers(void **state)
{
    (void)state;
    struct random random = cm_random(1);
    for (int trial = 0; trial < 20000; trial++) {
        float x[MAX];
        const int32_t n = 1 + (int32_t)cm_random_below(&random, MAX);
        const uint64_t n_values = 1 + cm_random_below(&random, 12); /* few: many ties */
        for (int32_t i = 0; i < n; i++) {
            const uint64_t value = cm_random_below(&random, n_values);
            x[i] = value == 0 ? NAN : value == 1 ? -INFINITY : value == 11 ? INFINITY : (float)value - 5.0f;
        }
        assert_int_equal(cm_argmax(x, n), plain(x, n));
    }
}

static void nothing_to_choose(void **state)
{
    (void)state;
    float x[40];
    for (int i = 0; i < 40; i++) x[i] = i % 2 ? NAN : -INFINITY;
    assert_int_equal(cm_argmax(x, 40), 0);
    assert_int_equal(cm_argmax(x, 0), 0);
    x[39] = -3e38f;
    assert_int_equal(cm_argmax(x, 40), 39);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_numbers), cmocka_unit_test(nothing_to_choose)};
    return cmocka_run_group_tests_name("argmax", tests, NULL, NULL);
}
