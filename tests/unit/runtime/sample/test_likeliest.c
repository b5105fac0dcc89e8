/* test_likeliest.c - the likeliest token against a plain loop over its definition, on numbers with many ties, faults
 * and tokens that may not be sampled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdbool.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/sample/likeliest.h"

enum { MAX = 70 };

static bool may(const uint8_t *usable, int32_t id) { return !usable || usable[id]; }

/* Is id at least as good as every other token, and better than those before it? */
static bool is_likeliest(const float *logits, int32_t n, const uint8_t *usable, int32_t id)
{
    if (!may(usable, id) || isnan(logits[id])) return false;
    for (int32_t other = 0; other < n; other++) {
        if (other == id || !may(usable, other) || isnan(logits[other])) continue;
        if (logits[other] > logits[id] || (logits[other] == logits[id] && other < id)) return false;
    }
    return true;
}

static int32_t plain(const float *logits, int32_t n, const uint8_t *usable)
{
    for (int32_t id = 0; id < n; id++)
        if (is_likeliest(logits, n, usable, id)) return id;
    for (int32_t id = 0; id < n; id++)
        if (may(usable, id)) return id;
    return 0;
}

static void random_numbers(void **state)
{
    (void)state;
    struct random random = cm_random(1);
    for (int trial = 0; trial < 20000; trial++) {
        float   logits[MAX];
        uint8_t usable[MAX];
        const int32_t  n = 1 + (int32_t)cm_random_below(&random, MAX);
        const uint64_t n_values = 1 + cm_random_below(&random, 12), one_in = 1 + cm_random_below(&random, 8);
        for (int32_t i = 0; i < n; i++) {
            const uint64_t value = cm_random_below(&random, n_values);
            logits[i] = value == 0 ? NAN : value == 1 ? -INFINITY : value == 11 ? INFINITY : (float)value - 5.0f;
            usable[i] = cm_random_below(&random, one_in) == 0;
        }
        assert_int_equal(cm_likeliest_token(logits, n, usable), plain(logits, n, usable));
        assert_int_equal(cm_likeliest_token(logits, n, NULL), plain(logits, n, NULL));
    }
}

static void by_example(void **state)
{
    (void)state;
    const float   logits[] = {1, 7, 7, 9, NAN, 2}, none[] = {NAN, NAN, NAN, NAN, NAN, NAN};
    const float   low[] = {-INFINITY, -INFINITY, -INFINITY, NAN, -INFINITY, -INFINITY};
    const uint8_t usable[] = {0, 1, 1, 0, 1, 1}, nothing[6] = {0};
    assert_int_equal(cm_likeliest_token(logits, 6, NULL), 3);
    assert_int_equal(cm_likeliest_token(logits, 6, usable), 1); /* the lower of equals; 3 may not be sampled */
    assert_int_equal(cm_likeliest_token(logits, 3, usable), 1); /* of a shortlist */
    assert_int_equal(cm_likeliest_token(none, 6, usable), 1);
    assert_int_equal(cm_likeliest_token(low, 6, usable), 1);
    assert_int_equal(cm_likeliest_token(none, 6, NULL), 0);
    assert_int_equal(cm_likeliest_token(logits, 6, nothing), 0);
    assert_int_equal(cm_likeliest_token(logits, 0, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_numbers), cmocka_unit_test(by_example)};
    return cmocka_run_group_tests_name("the likeliest token", tests, NULL, NULL);
}
