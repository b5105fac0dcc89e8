/* Teams: who is where, runs, and what cannot be opened. What workers find is counted, and asserted on
 * the test's own thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fenv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/team.h"
#include "tests/support/team_fixture.h"

enum { MAX_WORKERS = 8 };

static void assert_spread(const char *spec, int n_workers, const int *n_on_node)
{
    struct topology topology;
    assert_int_equal(cm_topology_open(NULL, spec, &topology), CALMOE_OK);
    struct team *team = open_team(&topology, n_workers, false);
    if (n_workers == 0) n_workers = topology.n_cores;
    assert_int_equal(cm_team_n_workers(team), n_workers);
    int index = 0;
    for (int node = 0; node < topology.n_nodes; node++) {
        for (int rank = 0; rank < n_on_node[node]; rank++, index++) {
            const struct worker *worker = cm_team_worker(team, index);
            assert_ptr_equal(worker->team, team);
            assert_int_equal(worker->index, index);
            assert_int_equal(worker->n_workers, n_workers);
            assert_int_equal(worker->node, node);
            assert_int_equal(worker->rank_on_node, rank);
            assert_int_equal(worker->n_on_node, n_on_node[node]);
        }
    }
    assert_int_equal(index, n_workers);
    cm_team_close(&team);
    assert_null(team);
    cm_topology_close(&topology);
}

static void workers_are_spread_by_cores(void **state)
{
    (void)state;
    static const char lopsided[] = CALMOE_SOURCE_DIR "/tests/unit/base/lopsided.xml"; /* 4, 2, 0 */
    assert_spread("numa:2 core:4 pu:1", 0, (const int[]){4, 4});
    assert_spread("numa:2 core:4 pu:1", 1, (const int[]){1, 0});
    assert_spread("numa:2 core:4 pu:1", 3, (const int[]){2, 1});
    assert_spread("numa:2 core:4 pu:1", 6, (const int[]){3, 3});
    assert_spread("numa:2 core:1 pu:1", 5, (const int[]){3, 2}); /* more than cores */
    assert_spread(lopsided, 0, (const int[]){4, 2, 0});
    assert_spread(lopsided, 3, (const int[]){2, 1, 0});
    assert_spread(lopsided, 5, (const int[]){3, 2, 0});
    assert_spread(lopsided, 12, (const int[]){8, 4, 0});
}

struct visits {
    int         count[MAX_WORKERS];
    atomic_int  n_wrong;
    pthread_t   thread[MAX_WORKERS];
    struct team *team;
};

static void visit(void *arg, const struct worker *me)
{
    struct visits *visits = arg;
    visits->count[me->index]++;
    visits->thread[me->index] = pthread_self();
    if (memcmp(me, cm_team_worker(visits->team, me->seat), sizeof *me) != 0) atomic_fetch_add(&visits->n_wrong, 1);
}

static void every_worker_runs_once(void **state)
{
    (void)state;
    for (int n_workers = 1; n_workers <= MAX_WORKERS; n_workers++) {
        struct visits visits = {.team = open_team(&eight, n_workers, true)};
        for (int round = 1; round <= 50; round++) {
            cm_team_run(visits.team, visit, &visits);
            for (int worker = 0; worker < MAX_WORKERS; worker++)
                assert_int_equal(visits.count[worker], worker < n_workers ? round : 0);
        }
        assert_true(pthread_equal(visits.thread[0], pthread_self()));
        for (int worker = 1; worker < n_workers; worker++)
            assert_false(pthread_equal(visits.thread[worker], pthread_self()));
        assert_int_equal(atomic_load(&visits.n_wrong), 0);
        cm_team_close(&visits.team);
    }
}

struct crew { /* what workers that are called up see */
    struct team *team;
    atomic_int   n_wrong, n_met;
    int          n_called, on_node[2], of_seat[MAX_WORKERS];
};

static void meet_crew(void *arg, const struct worker *me)
{
    struct crew *crew = arg;
    const bool   is_right = me->n_workers == crew->n_called && me->index < crew->n_called &&
                          me->n_on_node == crew->on_node[me->node] && me->rank_on_node < me->n_on_node &&
                          me->node == cm_team_worker(crew->team, me->seat)->node;
    atomic_fetch_add(&crew->n_wrong, !is_right);
    crew->of_seat[me->seat]++;
    for (int round = 1; round <= 20; round++) {
        cm_barrier(me);
        atomic_fetch_add(&crew->n_met, 1);
        cm_barrier(me);
        atomic_fetch_add(&crew->n_wrong, atomic_load(&crew->n_met) != round * crew->n_called);
    }
}

/* Six workers on two nodes, of which fewer take part, and all again: each node keeps its share, and one at least. */
static void some_are_called_up(void **state)
{
    (void)state;
    static const struct { int n, on_node[2]; } rows[] = {{6, {3, 3}}, {5, {3, 2}}, {4, {2, 2}}, {3, {2, 1}},
                                                         {2, {1, 1}}, {1, {1, 1}}, {6, {3, 3}}};
    struct team *team = open_team(&eight, 6, true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct crew crew = {.team = team, .n_called = rows[i].on_node[0] + rows[i].on_node[1],
                            .on_node = {rows[i].on_node[0], rows[i].on_node[1]}};
        cm_team_call_up(team, rows[i].n);
        assert_int_equal(cm_team_n_called(team), crew.n_called);
        for (int node = 0; node < 2; node++)
            assert_int_equal(cm_team_n_called_on(team, node), crew.on_node[node]);
        cm_team_run(team, meet_crew, &crew);
        assert_int_equal(atomic_load(&crew.n_wrong), 0);
        int n_seats = 0;
        for (int seat = 0; seat < 6; seat++) {
            assert_in_range(crew.of_seat[seat], 0, 1);
            n_seats += crew.of_seat[seat];
        }
        assert_int_equal(n_seats, crew.n_called);
    }
    cm_team_close(&team);
}

static void note_rounding(void *arg, const struct worker *me)
{
    ((int *)arg)[me->index] = fegetround();
}

static void phases_round_to_nearest(void **state)
{
    (void)state;
    for (int n_workers = 1; n_workers <= 3; n_workers++) {
        int rounding[3] = {-1, -1, -1};
        assert_int_equal(fesetround(FE_UPWARD), 0);
        struct team *team = open_team(&eight, n_workers, false);
        cm_team_run(team, note_rounding, rounding);
        cm_team_close(&team);
        const int own = fegetround();
        fesetround(FE_TONEAREST);
        assert_int_equal(own, FE_UPWARD);
        for (int worker = 0; worker < n_workers; worker++)
            assert_int_equal(rounding[worker], FE_TONEAREST);
    }
}

static void *run_on_another_thread(void *arg)
{
    struct visits *visits = arg;
    for (int round = 0; round < 20; round++) cm_team_run(visits->team, visit, visits);
    return NULL;
}

static void teams_of_several_threads_do_not_meet(void **state)
{
    (void)state;
    enum { N_TEAMS = 3 };
    struct visits visits[N_TEAMS] = {0};
    pthread_t     threads[N_TEAMS];
    for (int team = 0; team < N_TEAMS; team++) visits[team].team = open_team(&eight, 2, true);
    for (int team = 0; team < N_TEAMS; team++)
        assert_int_equal(
            pthread_create(&threads[team], NULL, run_on_another_thread, &visits[team]), 0);
    for (int team = 0; team < N_TEAMS; team++) {
        assert_int_equal(pthread_join(threads[team], NULL), 0);
        assert_int_equal(visits[team].count[0], 20);
        assert_int_equal(visits[team].count[1], 20);
        cm_team_close(&visits[team].team);
    }
}

static void run_inner_team(void *arg, const struct worker *me)
{
    struct visits *inner = arg;
    cm_team_run(inner[me->index].team, visit, &inner[me->index]);
}

static void a_worker_may_run_a_team_of_its_own(void **state)
{
    (void)state;
    struct team  *outer = open_team(&eight, 2, false);
    struct visits inner[2] = {{.team = open_team(&eight, 3, false)},
                              {.team = open_team(&eight, 2, false)}};
    for (int round = 1; round <= 5; round++) cm_team_run(outer, run_inner_team, inner);
    for (int worker = 0; worker < 3; worker++) assert_int_equal(inner[0].count[worker], 5);
    for (int worker = 0; worker < 2; worker++) assert_int_equal(inner[1].count[worker], 5);
    cm_team_close(&inner[0].team);
    cm_team_close(&inner[1].team);
    cm_team_close(&outer);
}

static void refuses_impossible_numbers(void **state)
{
    (void)state;
    const int numbers[] = {-1, INT32_MIN, 4097, INT32_MAX};
    for (int at = 0; at < 4; at++) {
        struct calmoe_context ctx = {0};
        struct team          *team = (struct team *)&ctx;
        assert_int_equal(cm_team_open(&ctx, &eight, numbers[at], true, &team),
                         CALMOE_INVALID_ARGUMENT);
        assert_non_null(strstr(ctx.message, "threads; 0 to 4096 are possible"));
        assert_null(team);
    }
    struct team *none = NULL;
    cm_team_close(&none);
    cm_team_close(NULL);
}

static void every_request_may_fail(void **state)
{
    (void)state;
    const long n_live = cm_live_blocks();
    int        n_memory = 0, n_threads = 0;
    for (long nth = 1;; nth++) {
        struct calmoe_context ctx = {0};
        struct team          *team;
        cm_fail_request(nth);
        const calmoe_status status = cm_team_open(&ctx, &eight, 4, true, &team);
        cm_fail_request(0);
        if (status == CALMOE_OK) {
            cm_team_close(&team);
            break;
        }
        assert_null(team);
        assert_true(strlen(ctx.message) > 0);
        assert_int_equal(cm_live_blocks(), n_live);
        n_memory += status == CALMOE_NO_MEMORY;
        n_threads += status == CALMOE_SYSTEM;
    }
    /* the team, its seats, who is called up, the barrier, two lists of cores, and where the caller may run */
    assert_int_equal(n_memory, 7);
    assert_int_equal(n_threads, 3);
    assert_int_equal(cm_live_blocks(), n_live);
}

static void a_run_requests_nothing(void **state)
{
    (void)state;
    struct visits visits = {.team = open_team(&here, 0, true)};
    if (cm_team_n_workers(visits.team) <= MAX_WORKERS) {
        const long n_requests = cm_requests();
        for (int round = 0; round < 10; round++) cm_team_run(visits.team, visit, &visits);
        assert_int_equal(cm_requests(), n_requests);
    }
    cm_team_close(&visits.team);
}

/* What the program does in its second life, where OpenMP may have two threads at most. */
static int open_more_threads_than_there_may_be(void)
{
    struct calmoe_context ctx = {0};
    struct team          *team = NULL;
    if (open_machines(NULL)) return 2;
    if (cm_team_open(&ctx, &eight, 4, false, &team) != CALMOE_SYSTEM) return 3;
    if (!strstr(ctx.message, "gives only 2 of 4 threads") || team) return 4;
    if (cm_team_open(&ctx, &eight, 2, false, &team) != CALMOE_OK) return 5;
    cm_team_close(&team);
    return close_machines(NULL);
}

static void fewer_threads_than_asked_for_are_found_out(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        setenv("OMP_THREAD_LIMIT", "2", 1);
        setenv("OMP_DYNAMIC", "true", 1);
        execl("/proc/self/exe", "test_team", "limited", (char *)NULL);
        _exit(99);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

int main(int n_arguments, char **arguments)
{
    if (n_arguments == 2 && strcmp(arguments[1], "limited") == 0)
        return open_more_threads_than_there_may_be();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_are_spread_by_cores),
        cmocka_unit_test(every_worker_runs_once),
        cmocka_unit_test(some_are_called_up),
        cmocka_unit_test(phases_round_to_nearest),
        cmocka_unit_test(teams_of_several_threads_do_not_meet),
        cmocka_unit_test(a_worker_may_run_a_team_of_its_own),
        cmocka_unit_test(refuses_impossible_numbers),
        cmocka_unit_test(every_request_may_fail),
        cmocka_unit_test(a_run_requests_nothing),
        cmocka_unit_test(fewer_threads_than_asked_for_are_found_out),
    };
    return cmocka_run_group_tests(tests, open_machines, close_machines);
}
