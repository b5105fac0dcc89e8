/* The numbers themselves (computed apart from the algorithms' papers), and their distributions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"

static void gives_the_published_numbers(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed, state[4], first[4];
    } rows[] = {
        {0,
         {0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f, 0xf88bb8a8724c81ec},
         {0x99ec5f36cb75f2b4, 0xbf6e1f784956452a, 0x1a5f849d4933e6e0, 0x6aa594f1262d2d2c}},
        {42,
         {0xbdd732262feb6e95, 0x28efe333b266f103, 0x47526757130f9f52, 0x581ce1ff0e4ae394},
         {0x15780b2e0c2ec716, 0x6104d9866d113a7e, 0xae17533239e499a1, 0xecb8ad4703b360a1}},
        {UINT64_MAX,
         {0xe4d971771b652c20, 0xe99ff867dbf682c9, 0x382ff84cb27281e9, 0x6d1db36ccba982d2},
         {0x8f5520d52a7ead08, 0xc476a018caa1802d, 0x81de31c0d260469e, 0xbf658d7e065f3c2f}},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct random random = cm_random(rows[row].seed);
        assert_memory_equal(random.state, rows[row].state, sizeof random.state);
        for (int at = 0; at < 4; at++)
            assert_true(cm_random_u64(&random) == rows[row].first[at]);
    }
}

static void units_lie_in_their_range(void **state)
{
    (void)state;
    struct random random = cm_random(1);
    double        sum = 0;
    for (int at = 0; at < 100000; at++) {
        const double unit = cm_random_unit(&random);
        assert_true(unit >= 0 && unit < 1);
        sum += unit;
    }
    assert_true(fabs(sum / 100000 - 0.5) < 0.01);

    struct random stuck = {{0}}; /* the generator's fixed point gives the lowest bits */
    assert_true(cm_random_unit(&stuck) == 0);
}

static void below_is_even_and_in_range(void **state)
{
    (void)state;
    struct random random = cm_random(2);
    int           counts[7] = {0};
    for (int at = 0; at < 70000; at++) {
        const uint64_t number = cm_random_below(&random, 7);
        assert_true(number < 7);
        counts[number]++;
    }
    for (int number = 0; number < 7; number++) assert_true(abs(counts[number] - 10000) < 500);

    const uint64_t bounds[] = {1, 2, (uint64_t)1 << 63, ((uint64_t)1 << 63) + 1, UINT64_MAX};
    for (size_t bound = 0; bound < sizeof bounds / sizeof bounds[0]; bound++)
        for (int at = 0; at < 100; at++)
            assert_true(cm_random_below(&random, bounds[bound]) < bounds[bound]);
}

static void normals_are_fixed_and_normal(void **state)
{
    (void)state;
    static const float expected[] = {-0x1.73d2fep-1f, 0x1.c5e220p-3f, 0x1.db514cp-2f,
                                     0x1.79eb7cp+0f,  0x1.02007cp+0f, 0x1.06f74cp+0f};
    struct random      random = cm_random(42);
    for (size_t at = 0; at < sizeof expected / sizeof expected[0]; at++)
        assert_true(cm_random_normal(&random) == expected[at]);

    double sum = 0, squares = 0, fourth = 0;
    int    n_far = 0;
    enum { N = 200000 };
    for (int at = 0; at < N; at++) {
        const double x = (double)cm_random_normal(&random);
        assert_true(isfinite(x));
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
        n_far += fabs(x) > 1.959964;
    }
    assert_true(fabs(sum / N) < 0.01);
    assert_true(fabs(squares / N - 1) < 0.02);
    assert_true(fabs(fourth / N - 3) < 0.1);
    assert_true(fabs((double)n_far / N - 0.05) < 0.003);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_published_numbers),
        cmocka_unit_test(units_lie_in_their_range),
        cmocka_unit_test(below_is_even_and_in_range),
        cmocka_unit_test(normals_are_fixed_and_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
