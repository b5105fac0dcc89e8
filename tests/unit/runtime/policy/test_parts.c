/* test_parts.c - costs in parts: added up by hand, and who is cheaper whatever parts cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/policy/parts.h"

static void by_hand(void **state)
{
    (void)state;
    const struct parts counts = {{[PART_LAYER] = 6.5, [PART_EXPERT] = 20.0, [PART_HEAD] = 1.25}};
    struct parts prices = {
        {[PART_LAYER] = 2.0, [PART_EXPERT] = 0.5, [PART_HEAD] = 8.0, [PART_LAZY_FILL] = (double)NAN}};
    assert_true(cm_parts_cost(&counts, &prices) == 33.0); /* what is not there needs no price */
    prices.of[PART_HEAD] = (double)NAN;
    assert_true(isnan(cm_parts_cost(&counts, &prices)));
    for (int measure = 0; measure < MEASURE_COUNT; measure++) {
        assert_non_null(cm_part_names[PART_CHECK + measure]); /* a new measure's name is missing in parts.c */
        assert_string_equal(cm_part_names[PART_CHECK + measure], cm_exit_measures[measure].name);
    }
}

static struct parts random_counts(struct random *random)
{
    struct parts counts = {{0.0}};
    const double n_layers = 10.0, run = (double)cm_random_below(random, 6);
    counts.of[PART_LAYER] = run;
    counts.of[cm_random_below(random, 2) ? PART_FILL : PART_LAZY_FILL] = n_layers - run;
    counts.of[PART_EXPERT] = (double)cm_random_below(random, 4);
    counts.of[PART_CHECK] = (double)cm_random_below(random, 3);
    return counts;
}

static struct parts random_prices(struct random *random)
{
    struct parts prices;
    for (int part = 0; part < PART_COUNT; part++) prices.of[part] = cm_random_unit(random);
    prices.of[PART_FILL] *= prices.of[PART_LAYER];
    prices.of[PART_LAZY_FILL] *= prices.of[PART_LAYER];
    return prices;
}

/* b beats a just where no prices make a the cheaper one: hundreds of random ones must not, where it does not some
 * must. */
static void beaten_whatever_parts_cost(void **state)
{
    (void)state;
    struct random random = cm_random(7);
    int           n_beaten = 0, n_same = 0;
    for (int trial = 0; trial < 2000; trial++) {
        const struct parts a = random_counts(&random), b = random_counts(&random);
        const bool         beats = cm_parts_beat(&b, &a);
        bool               is_ever_dearer = false;
        for (int i = 0; i < 300; i++) {
            const struct parts prices = random_prices(&random);
            const double       of_a = cm_parts_cost(&a, &prices), of_b = cm_parts_cost(&b, &prices);
            is_ever_dearer |= of_b > of_a + 1e-9;
        }
        if (beats && is_ever_dearer) fail_msg("trial %d: beaten, and yet cheaper at some prices", trial);
        n_beaten += beats;
        n_same += !beats && !is_ever_dearer;
        assert_false(cm_parts_beat(&a, &a));
        assert_false(beats && cm_parts_beat(&a, &b));
    }
    assert_true(n_beaten > 200 && n_same < 200); /* the same parts, or prices that were not drawn */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(beaten_whatever_parts_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
