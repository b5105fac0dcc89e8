/* Where workers run: on their cores, or, where that makes no sense or is refused, anywhere; and the
 * caller gets its own mask back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/team_fixture.h"

enum { MAX_WORKERS = 8 };

struct places {
    cpu_set_t mask[MAX_WORKERS];
};

static void note_mask(void *arg, const struct worker *me)
{
    struct places *places = arg;
    sched_getaffinity(0, sizeof places->mask[0], &places->mask[me->index]);
}

static void workers_are_pinned_and_the_caller_is_freed(void **state)
{
    (void)state;
    const int n_workers = here.n_cores < MAX_WORKERS ? here.n_cores : MAX_WORKERS;
    if (n_workers < 2) skip();

    cpu_set_t     before, after;
    struct places places;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    struct team *team = open_team(&here, n_workers, true);
    struct team *loose = open_team(&here, n_workers, false);
    for (int round = 0; round < 3; round++) { /* both use the same threads, in turn */
        cm_team_run(team, note_mask, &places);
        for (int worker = 0; worker < n_workers; worker++) {
            assert_int_equal(CPU_COUNT(&places.mask[worker]), 1);
            const struct worker *me = cm_team_worker(team, worker);
            const int            core = here.nodes[me->node].first_core + me->rank_on_node;
            assert_true(CPU_ISSET(here.cores[core].os_pu, &places.mask[worker]));
        }
        assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
        assert_true(CPU_EQUAL(&before, &after));

        cm_team_run(loose, note_mask, &places);
        for (int worker = 0; worker < n_workers; worker++)
            assert_true(CPU_EQUAL(&before, &places.mask[worker]));
    }
    cm_team_close(&loose);
    cm_team_close(&team);
}

static void nothing_is_pinned_where_it_makes_no_sense(void **state)
{
    (void)state;
    cpu_set_t before;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    const struct {
        const struct topology *topology;
        int                    n_workers;
    } rows[] = {{&here, 1}, {&here, here.n_cores + 1}, {&eight, 4}};
    for (int row = 0; row < 3; row++) {
        if (rows[row].n_workers > MAX_WORKERS) continue;
        struct places places;
        struct team  *team = open_team(rows[row].topology, rows[row].n_workers, true);
        cm_team_run(team, note_mask, &places);
        for (int worker = 0; worker < rows[row].n_workers; worker++)
            assert_true(CPU_EQUAL(&before, &places.mask[worker]));
        cm_team_close(&team);
    }
}

static void count_log(void *user, const char *sentence)
{
    if (strstr(sentence, "does not pin threads")) ++*(int *)user;
}

/* hwloc is made to believe that this machine's hardware threads are numbers 3000 and up, to which the
 * system cannot bind: the team must run all the same, and the log must say so once. */
static void a_refused_pin_is_told_once(void **state)
{
    (void)state;
    int                   n_logged = 0;
    struct calmoe_context ctx = {.log = count_log, .log_user = &n_logged};
    struct topology       strange;
    setenv("HWLOC_THISSYSTEM", "1", 1);
    const calmoe_status status =
        cm_topology_open(&ctx, "numa:1 core:2 pu:1(indexes=3000,3001)", &strange);
    unsetenv("HWLOC_THISSYSTEM");
    assert_int_equal(status, CALMOE_OK);
    assert_true(strange.is_this_machine && strange.n_cores == 2);

    cpu_set_t     before, after;
    struct places places;
    struct team  *team;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(cm_team_open(&ctx, &strange, 2, true, &team), CALMOE_OK);
    for (int round = 0; round < 3; round++) cm_team_run(team, note_mask, &places);
    for (int worker = 0; worker < 2; worker++)
        assert_true(CPU_EQUAL(&before, &places.mask[worker]));
    assert_int_equal(n_logged, 1);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
    cm_team_close(&team);
    cm_topology_close(&strange);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_are_pinned_and_the_caller_is_freed),
        cmocka_unit_test(nothing_is_pinned_where_it_makes_no_sense),
        cmocka_unit_test(a_refused_pin_is_told_once),
    };
    return cmocka_run_group_tests(tests, open_machines, close_machines);
}
