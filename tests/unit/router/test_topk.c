/* test_topk.c - the k largest: order, ties, NaN and infinities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "base/random.h"
#include "router/topk.h"

enum { MAX = 70 };

/* NaN is below every number, equal values stand in the order of their indices: a total order. */
static int stands_before(const float *values, int a, int b)
{
    const int a_is_nan = isnan(values[a]) != 0, b_is_nan = isnan(values[b]) != 0;
    if (a_is_nan != b_is_nan) return b_is_nan;
    if (!a_is_nan && values[a] != values[b]) return values[a] > values[b];
    return a < b;
}

/* Against the whole order: element i's rank is the number of those that stand before it. */
static void check(const float *values, int n, int k)
{
    int32_t found[MAX + 1];
    found[k] = 12345;
    cm_top_k(values, n, k, found);
    assert_int_equal(found[k], 12345);
    for (int i = 0; i < n; i++) {
        int rank = 0;
        for (int j = 0; j < n; j++) rank += j != i && stands_before(values, j, i);
        if (rank < k) assert_int_equal(found[rank], i);
    }
}

static void check_all_k(const float *values, int n)
{
    for (int k = 1; k <= n; k++) check(values, n, k);
}

static void by_hand(void **state)
{
    (void)state;
    const float values[] = {0.1f, 0.5f, 0.3f, 0.5f, -1.0f};
    int32_t found[3];
    cm_top_k(values, 5, 3, found);
    assert_int_equal(found[0], 1);
    assert_int_equal(found[1], 3);
    assert_int_equal(found[2], 2);
}

static void ties_go_to_the_lower_index(void **state)
{
    (void)state;
    const float equal[] = {2, 2, 2, 2, 2, 2, 2}, zeros[] = {-0.0f, 0.0f, -0.0f, 0.0f};
    check_all_k(equal, 7);
    check_all_k(zeros, 4);
}

static void nan_and_infinities(void **state)
{
    (void)state;
    const float none[] = {-INFINITY, -INFINITY, -INFINITY}, nans[] = {NAN, NAN, NAN, NAN};
    const float mixed[] = {NAN, -INFINITY, 1.0f, NAN, INFINITY, -1.0f, INFINITY, NAN, 0.0f};
    check_all_k(none, 3);
    check_all_k(nans, 4);
    check_all_k(mixed, 9);
}

static void random_values(void **state)
{
    (void)state;
    struct random random = cm_random(5);
    const float special[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 0x1p-149f};
    float values[MAX];
    for (int run = 0; run < 400; run++) {
        const int n = 1 + (int)cm_random_below(&random, MAX);
        const uint64_t n_kinds = 1 + cm_random_below(&random, 40); /* few kinds: many ties */
        for (int i = 0; i < n; i++) {
            const uint64_t kind = cm_random_below(&random, n_kinds);
            values[i] = kind < 6 && run % 2 ? special[kind] : (float)kind - 20.0f;
        }
        check(values, n, 1 + (int)cm_random_below(&random, (uint64_t)n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(ties_go_to_the_lower_index),
        cmocka_unit_test(nan_and_infinities),
        cmocka_unit_test(random_values),
    };
    return cmocka_run_group_tests_name("top k", tests, NULL, NULL);
}
