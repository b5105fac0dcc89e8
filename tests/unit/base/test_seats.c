/* test_seats.c - how many workers there are when nobody says, and on which cores, on described machines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/meeting_cost.h"
#include "base/seats.h"

static struct topology described(const char *spec)
{
    struct calmoe_context ctx = {0};
    struct topology       topology;
    if (cm_topology_open(&ctx, spec, &topology) != CALMOE_OK) fail_msg("%s", ctx.message);
    return topology;
}

static void workers_by_default(void **state)
{
    (void)state;
    struct topology eight = described("numa:2 core:4 pu:1"), one = described("numa:1 core:1 pu:1");
    static const struct { double quota; int n_taken, wanted; } cases[] = {
        {0, 0, 8}, {0, 1, 7}, {0, 4, 4},   {0, 5, 8},   {0, 8, 8},
        {2, 0, 2}, {2, 6, 2}, {0.5, 0, 1}, {1.5, 0, 2}, {9, 1, 7}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eight.cpu_quota = cases[i].quota;
        assert_int_equal(cm_default_workers(&eight, cases[i].n_taken), cases[i].wanted);
    }
    assert_int_equal(cm_default_workers(&one, 0), 1);
    assert_int_equal(cm_default_workers(&one, 1), 1);
    cm_topology_close(&eight);
    cm_topology_close(&one);
}

static void check(const struct topology *topology, int n_workers, const char *taken_text, const int *wanted_on_node,
                  const int *wanted_cores)
{
    bool    taken[64] = {false};
    int     n_on_node[CM_MAX_NODES];
    int32_t cores[64];
    for (int core = 0; core < topology->n_cores; core++) taken[core] = taken_text[core] == 'x';
    cm_plan_seats(topology, n_workers, taken, n_on_node, cores);
    for (int node = 0; node < topology->n_nodes; node++) assert_int_equal(n_on_node[node], wanted_on_node[node]);
    for (int i = 0; i < n_workers; i++) assert_int_equal(cores[i], wanted_cores[i]);
}

static void cores_of_workers(void **state)
{
    (void)state;
    struct topology eight = described("numa:2 core:4 pu:1");
    check(&eight, 8, "........", (int[]){4, 4}, (int[]){0, 1, 2, 3, 4, 5, 6, 7});
    check(&eight, 4, "........", (int[]){2, 2}, (int[]){0, 1, 4, 5});
    check(&eight, 3, "........", (int[]){2, 1}, (int[]){0, 1, 4});
    check(&eight, 10, "........", (int[]){5, 5}, (int[]){0, 1, 2, 3, 0, 4, 5, 6, 7, 4});
    /* others have some: theirs are left to them */
    check(&eight, 4, "xx..xx..", (int[]){2, 2}, (int[]){2, 3, 6, 7});
    check(&eight, 4, "xxxx....", (int[]){0, 4}, (int[]){4, 5, 6, 7});
    check(&eight, 3, "x.xxx...", (int[]){1, 2}, (int[]){1, 5, 6});
    check(&eight, 1, "xxxxxxx.", (int[]){0, 1}, (int[]){7});
    /* not enough for all: free ones first, then shared ones */
    check(&eight, 6, "xx..xx..", (int[]){3, 3}, (int[]){2, 3, 0, 6, 7, 4});
    check(&eight, 8, "xxxxxxxx", (int[]){4, 4}, (int[]){0, 1, 2, 3, 4, 5, 6, 7});
    cm_topology_close(&eight);
}

/* Every core at most once, and none of others' as long as there are free ones, whatever is taken. */
static void any_taken_cores(void **state)
{
    (void)state;
    struct topology topology = described("numa:3 core:3 pu:1");
    for (unsigned mask = 0; mask < 1u << 9; mask++) {
        bool taken[9];
        int  n_free = 0;
        for (int core = 0; core < 9; core++) n_free += !(taken[core] = mask >> core & 1);
        for (int n = 1; n <= 9; n++) {
            int     n_on_node[CM_MAX_NODES], n_used[9] = {0}, n_shared = 0, sum = 0;
            int32_t cores[9];
            cm_plan_seats(&topology, n, taken, n_on_node, cores);
            for (int node = 0; node < 3; node++) sum += n_on_node[node];
            assert_int_equal(sum, n);
            for (int i = 0; i < n; i++) {
                assert_int_equal(++n_used[cores[i]], 1);
                n_shared += taken[cores[i]];
            }
            if (n <= n_free) assert_int_equal(n_shared, 0);
        }
    }
    cm_topology_close(&topology);
}

/* 12 cores of a cache are groups of 8 and 4. */
static void groups_are_of_one_cache(void **state)
{
    (void)state;
    static const struct { const char *spec; int n_groups; double seconds; } cases[] = {
        {"numa:1 core:1 pu:1", 1, 0},
        {"numa:1 l3:1 core:2 pu:1", 1, 2 * 1},
        {"numa:1 l3:1 core:12 pu:1", 2, 2 * 7 + 3 * 100},
        {"numa:2 l3:4 core:8 pu:1", 8, 2 * 7 + 15 * 100}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct topology             topology = described(cases[i].spec);
        const struct topology_core *last = NULL;
        int                         n_groups = 0, n_members = 0;
        for (int core = 0; core < topology.n_cores; last = &topology.cores[core++]) {
            n_members = cm_begins_group(last, &topology.cores[core], n_members) ? 1 : n_members + 1;
            n_groups += n_members == 1;
        }
        assert_int_equal(n_groups, cases[i].n_groups);
        assert_float_equal(cm_barrier_seconds(&topology, 1, 100), cases[i].seconds, 1e-9);
        cm_topology_close(&topology);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_by_default), cmocka_unit_test(groups_are_of_one_cache),
        cmocka_unit_test(cores_of_workers),
        cmocka_unit_test(any_taken_cores),
    };
    return cmocka_run_group_tests_name("seats", tests, NULL, NULL);
}
