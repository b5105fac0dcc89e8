/* Barriers: what was written before is seen after, and waiting is counted. What workers find is
 * counted too, and asserted on the test's own thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/team_parts.h"
#include "tests/support/team_fixture.h"

enum { MAX_WORKERS = 20 };

static struct topology twenty; /* a described machine of two nodes with two caches each, round five cores */

static int open_machine(void **state)
{
    return open_machines(state) || cm_topology_open(NULL, "numa:2 l3:2 core:5 pu:1", &twenty) != CALMOE_OK;
}

static int close_machine(void **state)
{
    cm_topology_close(&twenty);
    return close_machines(state);
}

struct race {
    int        n_rounds;
    long       written[MAX_WORKERS]; /* plain: only the barriers order them */
    long       n_serial;
    atomic_int n_wrong;
};

static void serial_step(void *arg)
{
    struct race *race = arg;
    race->n_serial++;
}

static void race_through_barriers(void *arg, const struct worker *me)
{
    struct race *race = arg;
    int          n_wrong = 0;
    for (int round = 1; round <= race->n_rounds; round++) {
        race->written[me->index] = round;
        cm_barrier_with(me, serial_step, race);
        for (int other = 0; other < me->n_workers; other++) n_wrong += race->written[other] != round;
        n_wrong += race->n_serial != round;
        cm_barrier(me); /* nobody may write the next round while one still reads this */
    }
    atomic_fetch_add(&race->n_wrong, n_wrong);
}

static void barriers_order_what_is_written(void **state)
{
    (void)state;
    static const int n_workers[] = {1, 2, 3, 4, 8};
    static const int n_rounds[] = {1000, 5000, 1500, 1000, 400};
    for (size_t at = 0; at < sizeof n_workers / sizeof n_workers[0]; at++) {
        struct team *team = open_team(&eight, n_workers[at], false);
        struct race  race = {.n_rounds = n_rounds[at]};
        cm_team_run(team, race_through_barriers, &race);
        assert_int_equal(atomic_load(&race.n_wrong), 0);
        assert_int_equal(race.n_serial, n_rounds[at]);
        race.n_serial = 0;
        cm_team_run(team, race_through_barriers, &race); /* the barrier is as new after a run */
        assert_int_equal(atomic_load(&race.n_wrong), 0);
        cm_team_close(&team);
    }
}

/* Workers of several groups, of which later ones are called up and sent away again. */
static void groups_meet(void **state)
{
    (void)state;
    static const int called[] = {20, 2, 11, 20, 5};
    struct team     *team = open_team(&twenty, 20, false);
    for (size_t at = 0; at < sizeof called / sizeof called[0]; at++) {
        struct race race = {.n_rounds = 100};
        cm_team_call_up(team, called[at]);
        cm_team_run(team, race_through_barriers, &race);
        assert_int_equal(atomic_load(&race.n_wrong), 0);
        assert_int_equal(race.n_serial, 100);
    }
    cm_team_close(&team);
}

/* More groups than a node has: of eight workers each, since they share one cache. */
static void a_full_group_is_followed_by_another(void **state)
{
    (void)state;
    struct topology one;
    struct race     race = {.n_rounds = 100};
    assert_int_equal(cm_topology_open(NULL, "l3:1 core:20 pu:1", &one), CALMOE_OK);
    struct team *team = open_team(&one, 20, false);
    cm_team_run(team, race_through_barriers, &race);
    assert_int_equal(atomic_load(&race.n_wrong), 0);
    cm_team_close(&team);
    cm_topology_close(&one);
}

/* The second worker comes when the first has been asleep for a while, however late that one was itself. */
static void one_comes_late(void *arg, const struct worker *me)
{
    struct team *team = arg;
    if (me->index == 1) {
        while (atomic_load(&team->barrier.groups[team->seats[0].group].n_asleep) == 0) sched_yield();
        usleep(10000);
    }
    cm_barrier(me);
}

static void waiting_is_counted_where_it_happens(void **state)
{
    (void)state;
    struct team *team = open_team(&eight, 2, false);
    assert_int_equal(cm_team_waited_ns(team, 0), 0);
    cm_team_run(team, one_comes_late, team);
    assert_true(cm_team_waited_ns(team, 0) > 9000000u);
    assert_int_equal(cm_team_waited_ns(team, 1), 0);
    cm_team_close(&team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barriers_order_what_is_written),
        cmocka_unit_test(groups_meet),
        cmocka_unit_test(a_full_group_is_followed_by_another),
        cmocka_unit_test(waiting_is_counted_where_it_happens),
    };
    return cmocka_run_group_tests(tests, open_machine, close_machine);
}
