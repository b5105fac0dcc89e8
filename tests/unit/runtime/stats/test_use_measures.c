/* test_use_measures.c - what counts of experts say, on counts whose measures are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "runtime/stats/use_measures.h"

static void measures_of_known_counts(void **state)
{
    (void)state;
    uint64_t       one[4] = {0, 8, 0, 0}, even[4] = {5, 5, 5, 5}, none[4] = {0}, some[4] = {1, 3, 0, 4};
    const uint64_t x[2] = {3, 4}, y[2] = {4, 3};
    assert_true(cm_use_peak(one, 4) == 4 && cm_use_peak(even, 4) == 1 && cm_use_peak(none, 4) == 0);
    assert_true(cm_use_entropy(one, 4) == 0 && cm_use_entropy(even, 4) == 2 && cm_use_entropy(none, 4) == 0);
    assert_int_equal(cm_use_dead(one, 4), 3);
    assert_int_equal(cm_use_dead(even, 4), 0);
    assert_true(fabs(cm_use_cosine(x, y, 2) - 24.0 / 25) < 1e-12);
    assert_true(cm_use_cosine(none, even, 4) == 0);
    assert_true(cm_use_gini(one, 4) == 0.75 && cm_use_gini(even, 4) == 0 && cm_use_gini(none, 4) == 0);
    /* differences of all ordered pairs: 2 (2+1+3+3+1+4) = 28; / (2 * 4 * 8) */
    assert_true(cm_use_gini(some, 4) == 28.0 / 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(measures_of_known_counts)};
    return cmocka_run_group_tests_name("measures of use", tests, NULL, NULL);
}
