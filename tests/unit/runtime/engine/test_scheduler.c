/* test_scheduler.c - who gets rows of the next step: nobody starves, nobody gets more than asked, the order holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/engine/scheduler.h"

enum { MAX_SESSIONS = 40 };

static int order[MAX_SESSIONS];

static void check(struct demand *demands, int n, int max_rows, int n_rows, const int *granted)
{
    assert_int_equal(cm_schedule(demands, n, max_rows, max_rows, order), n_rows);
    for (int i = 0; i < n; i++) assert_int_equal(demands[i].n_granted, granted[i]);
}

static void by_hand(void **state)
{
    (void)state;
    /* one generates, two have prompts; the third has waited longest */
    struct demand three[] = {{1, 9, 0}, {100, 8, 0}, {50, 3, 0}};
    check(three, 3, 64, 64, (int[]){1, 13, 50});
    check(three, 3, 200, 151, (int[]){1, 100, 50});
    check(three, 3, 2, 2, (int[]){0, 1, 1});
    check(three, 3, 1, 1, (int[]){0, 0, 1});
    /* equal waits: in the order in which they stand */
    struct demand equal[] = {{5, 7, 0}, {5, 7, 0}, {5, 7, 0}};
    check(equal, 3, 8, 8, (int[]){5, 2, 1});
    /* nothing to do */
    struct demand idle[] = {{0, 1, 5}, {0, 2, 5}};
    check(idle, 2, 8, 0, (int[]){0, 0});
    check(idle, 0, 8, 0, NULL);
    /* one that wants nothing takes nothing, though it has waited longest */
    struct demand mixed[] = {{0, 1, 0}, {3, 5, 0}};
    check(mixed, 2, 2, 2, (int[]){0, 2});
}

/* Rows of prompts are limited, those of answers come on top. */
static void prompts_are_limited(void **state)
{
    (void)state;
    struct demand four[] = {{1, 9, 0}, {100, 8, 0}, {50, 3, 0}, {1, 7, 0}};
    assert_int_equal(cm_schedule(four, 4, 64, 20, order), 22);
    assert_int_equal(four[0].n_granted, 1);
    assert_int_equal(four[1].n_granted, 1);
    assert_int_equal(four[2].n_granted, 19); /* the longest waiting */
    assert_int_equal(four[3].n_granted, 1);
    assert_int_equal(cm_schedule(four, 4, 64, 1, order), 3);
    assert_int_equal(four[1].n_granted, 0);
    assert_int_equal(four[2].n_granted, 1);
    assert_int_equal(cm_schedule(four, 4, 2, 20, order), 2); /* the rows of the step are the limit still */
    struct random random = cm_random(3);
    for (int run = 0; run < 3000; run++) {
        struct demand demands[MAX_SESSIONS];
        const int n = (int)cm_random_below(&random, MAX_SESSIONS + 1), most = 1 + (int)cm_random_below(&random, 60);
        int n_answers = 0, n_wanted = 0, n_of_prompts = 0;
        for (int i = 0; i < n; i++) {
            demands[i] = (struct demand){(int)cm_random_below(&random, 20), cm_random_below(&random, 9), 77};
            if (demands[i].n_pending == 1) n_answers++;
            else n_wanted += demands[i].n_pending;
        }
        cm_schedule(demands, n, MAX_SESSIONS + most, most, order);
        for (int i = 0; i < n; i++) {
            if (demands[i].n_pending == 1) n_answers -= demands[i].n_granted;
            else n_of_prompts += demands[i].n_granted;
        }
        assert_int_equal(n_answers, 0);
        assert_int_equal(n_of_prompts, n_wanted < most ? n_wanted : most);
    }
}

/* What must hold for any demands. */
static void check_rules(const struct demand *demands, int n, int max_rows, int n_rows)
{
    int sum = 0, wanted = 0;
    for (int i = 0; i < n; i++) {
        assert_in_range(demands[i].n_granted, 0, (uintmax_t)demands[i].n_pending);
        sum += demands[i].n_granted;
        wanted += demands[i].n_pending;
    }
    assert_int_equal(sum, n_rows);
    assert_int_equal(n_rows, wanted < max_rows ? wanted : max_rows); /* no row is wasted */
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            const struct demand *a = &demands[i], *b = &demands[j];
            const int a_is_first = a->last_step < b->last_step || (a->last_step == b->last_step && i < j);
            if (!a_is_first || a->n_pending == 0) continue;
            if (b->n_granted > 0) assert_true(a->n_granted > 0);                      /* one row each, in order */
            if (b->n_granted > 1) assert_int_equal(a->n_granted, a->n_pending);       /* then all, in order     */
        }
}

static void random_demands(void **state)
{
    (void)state;
    struct random random = cm_random(1);
    for (int run = 0; run < 3000; run++) {
        struct demand demands[MAX_SESSIONS];
        const int n = (int)cm_random_below(&random, MAX_SESSIONS + 1);
        const int max_rows = 1 + (int)cm_random_below(&random, 100);
        for (int i = 0; i < n; i++) {
            const int n_pending = (int)cm_random_below(&random, run % 2 ? 3 : 60);
            demands[i] = (struct demand){n_pending, cm_random_below(&random, 9), 77};
        }
        check_rules(demands, n, max_rows, cm_schedule(demands, n, max_rows, max_rows, order));
        for (int i = 0; i < n; i++) /* order names each session once */
            for (int j = 0; j < i; j++) assert_int_not_equal(order[i], order[j]);
    }
}

/* Sessions that always want rows: each gets one at least every ceil(n / max_rows) steps, however greedy the
 * others are. */
static void nobody_starves(void **state)
{
    (void)state;
    struct random random = cm_random(2);
    for (int run = 0; run < 200; run++) {
        struct demand demands[MAX_SESSIONS] = {{0}};
        const int n = 1 + (int)cm_random_below(&random, MAX_SESSIONS), max_rows = 1 + (int)cm_random_below(&random, 12);
        const uint64_t longest = (uint64_t)((n + max_rows - 1) / max_rows);
        for (uint64_t step = 1; step <= 60; step++) {
            for (int i = 0; i < n; i++) demands[i].n_pending = 1 + (int)cm_random_below(&random, 50);
            cm_schedule(demands, n, max_rows, max_rows, order);
            for (int i = 0; i < n; i++) {
                if (demands[i].n_granted > 0) demands[i].last_step = step;
                assert_true(step - demands[i].last_step < longest);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(prompts_are_limited),
        cmocka_unit_test(random_demands),
        cmocka_unit_test(nobody_starves),
    };
    return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}
