/* test_task_ranges.c - each task comes once: own ones from the front, others' from the back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "base/task_ranges.h"
#include "base/team.h"

enum { MAX_RANGES = 5, MAX_TASKS = 200, N_WORKERS = 4, N_ROUNDS = 200 };

static void own_from_the_front_others_from_the_back(void **state)
{
    (void)state;
    struct task_range ranges[2];
    cm_deal_tasks(ranges, 2, 6);
    const int of_0[] = {0, 1, 2, 5, 4}; /* own three, then the last of the other's */
    assert_int_equal(cm_take_task(ranges, 2, 1), 3);
    for (int i = 0; i < 5; i++) assert_int_equal(cm_take_task(ranges, 2, 0), of_0[i]);
    for (int i = 0; i < 2; i++) assert_int_equal(cm_take_task(ranges, 2, i), -1);
}

static void takes_where_most_is_left(void **state)
{
    (void)state;
    struct task_range ranges[3];
    cm_deal_tasks(ranges, 3, 9); /* 0 1 2, 3 4 5, 6 7 8 */
    for (int i = 0; i < 3; i++) assert_int_equal(cm_take_task(ranges, 3, 0), i);
    assert_int_equal(cm_take_task(ranges, 3, 1), 3);
    assert_int_equal(cm_take_task(ranges, 3, 0), 8); /* of 4 5 and 6 7 8 */
    assert_int_equal(cm_take_task(ranges, 3, 2), 6);
    assert_int_equal(cm_take_task(ranges, 3, 0), 5); /* of 4 5 and 7 */
}

static void assert_takes(struct task_range *ranges, int own, int at_least, int begin, int end)
{
    int first, last;
    assert_true(cm_take_tasks(ranges, 2, own, at_least, &first, &last));
    assert_int_equal(first, begin);
    assert_int_equal(last, end);
}

static void half_of_its_own_one_of_anothers(void **state)
{
    (void)state;
    struct task_range ranges[2];
    int               begin, end;
    cm_deal_tasks(ranges, 2, 16);
    assert_takes(ranges, 0, 1, 0, 4);
    assert_takes(ranges, 0, 1, 4, 6);
    assert_takes(ranges, 0, 1, 6, 7);
    assert_takes(ranges, 0, 1, 7, 8);
    assert_takes(ranges, 0, 1, 15, 16);
    assert_takes(ranges, 0, 5, 14, 15); /* at least five, of its own */
    assert_takes(ranges, 1, 5, 8, 13);
    assert_takes(ranges, 1, 5, 13, 14); /* that is all there is */
    for (int i = 0; i < 2; i++) assert_false(cm_take_tasks(ranges, 2, i, 1, &begin, &end));
}

static void every_number_of_tasks_and_ranges(void **state)
{
    (void)state;
    for (int n_ranges = 1; n_ranges <= MAX_RANGES; n_ranges++)
        for (int n_tasks = 0; n_tasks <= 3 * MAX_RANGES; n_tasks++) {
            struct task_range ranges[MAX_RANGES];
            int n_taken[3 * MAX_RANGES] = {0};
            cm_deal_tasks(ranges, n_ranges, n_tasks);
            for (int i = 0; i < n_tasks; i++) {
                const int task = cm_take_task(ranges, n_ranges, i % n_ranges);
                assert_in_range(task, 0, n_tasks - 1);
                assert_int_equal(n_taken[task]++, 0);
            }
            for (int i = 0; i < n_ranges; i++) assert_int_equal(cm_take_task(ranges, n_ranges, i), -1);
        }
}

struct contest {
    struct task_range ranges[N_WORKERS];
    atomic_int        n_taken[MAX_TASKS];
};

static void take_all(void *arg, const struct worker *me) /* some one by one, some by halves */
{
    struct contest *contest = arg;
    int begin, end;
    for (int i; me->index % 2 == 0 && (i = cm_take_task(contest->ranges, N_WORKERS, me->index)) >= 0;)
        atomic_fetch_add_explicit(&contest->n_taken[i], 1, memory_order_relaxed);
    while (cm_take_tasks(contest->ranges, N_WORKERS, me->index, 1, &begin, &end))
        for (int i = begin; i < end; i++)
            atomic_fetch_add_explicit(&contest->n_taken[i], 1, memory_order_relaxed);
}

static void workers_at_once(void **state)
{
    (void)state;
    static struct contest contest;
    struct topology       topology;
    struct team          *team;
    assert_int_equal(cm_topology_open(NULL, NULL, &topology), CALMOE_OK);
    assert_int_equal(cm_team_open(NULL, &topology, N_WORKERS, PIN_NO, &team), CALMOE_OK);
    for (int round = 0; round < N_ROUNDS; round++) {
        memset(contest.n_taken, 0, sizeof contest.n_taken);
        cm_deal_tasks(contest.ranges, N_WORKERS, round);
        cm_team_run(team, take_all, &contest);
        for (int i = 0; i < MAX_TASKS; i++) assert_int_equal(contest.n_taken[i], i < round);
    }
    cm_team_close(&team);
    cm_topology_close(&topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_from_the_front_others_from_the_back),
        cmocka_unit_test(takes_where_most_is_left),
        cmocka_unit_test(half_of_its_own_one_of_anothers),
        cmocka_unit_test(every_number_of_tasks_and_ranges),
        cmocka_unit_test(workers_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
