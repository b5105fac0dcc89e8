/* Machines: this one, described ones, recorded ones, and nonsense.
 *
 * lopsided.xml: nodes of 4 cores and of 2 (the last with one thread of two), and a node without
 * cores. memoryless.xml: two groups of two packages, the last package without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/topology.h"

#define RECORDED(name) CALMOE_SOURCE_DIR "/tests/unit/base/" name

static const uint64_t gib = (uint64_t)1 << 30;

static void assert_is_consistent(const struct topology *topology)
{
    int n_cores = 0;
    assert_true(topology->n_nodes > 0 && topology->n_cores > 0);
    for (int node = 0; node < topology->n_nodes; node++) {
        assert_int_equal(topology->nodes[node].first_core, n_cores);
        for (int core = 0; core < topology->nodes[node].n_cores; core++)
            assert_int_equal(topology->cores[n_cores + core].node, node);
        n_cores += topology->nodes[node].n_cores;
        assert_true(topology->nodes[node].n_cores > 0 || topology->nodes[node].memory_bytes > 0);
    }
    assert_int_equal(topology->n_cores, n_cores);
}

static void open_ok(const char *spec, struct topology *topology)
{
    struct calmoe_context ctx = {0};
    if (cm_topology_open(&ctx, spec, topology) != CALMOE_OK) fail_msg("%s", ctx.message);
    assert_is_consistent(topology);
    if (spec) assert_false(topology->is_this_machine);
}

static void reads_this_machine(void **state)
{
    (void)state;
    cpu_set_t mask;
    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    struct topology topology;
    open_ok(NULL, &topology);
    assert_true(topology.is_this_machine);
    assert_true(topology.nodes[0].memory_bytes > 0);
    assert_true(topology.n_cores <= CPU_COUNT(&mask));
    for (int core = 0; core < topology.n_cores; core++)
        assert_true(CPU_ISSET(topology.cores[core].os_pu, &mask));
    cm_topology_close(&topology);
}

static void respects_what_the_thread_may_use(void **state)
{
    (void)state;
    cpu_set_t mask, one;
    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    size_t last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &mask)) last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    struct topology topology;
    open_ok(NULL, &topology);
    assert_int_equal(topology.n_cores, 1);
    assert_int_equal(topology.cores[0].os_pu, last);
    cm_topology_close(&topology);
    assert_int_equal(sched_setaffinity(0, sizeof mask, &mask), 0);
}

static void reads_even_descriptions(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        int         n_nodes, n_cores_each;
    } rows[] = {
        {"pu:1", 1, 1},
        {"core:4 pu:2", 1, 4}, /* no node: there is one */
        {"pu:6", 1, 6},        /* no core: threads are  */
        {"numa:1 core:3 pu:1", 1, 3},
        {"numa:2 core:4 pu:1", 2, 4},
        {"numa:4 core:8 pu:1", 4, 8},
        {"pack:2 numa:2 l3:1 core:3 pu:2", 4, 3},
        {"numa:64 core:64 pu:1", CM_MAX_NODES, CM_MAX_CORES / CM_MAX_NODES},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct topology topology;
        open_ok(rows[row].spec, &topology);
        assert_int_equal(topology.n_nodes, rows[row].n_nodes);
        for (int node = 0; node < topology.n_nodes; node++) {
            assert_int_equal(topology.nodes[node].os_index, node);
            assert_int_equal(topology.nodes[node].n_cores, rows[row].n_cores_each);
        }
        cm_topology_close(&topology);
        assert_true(topology.cores == NULL && topology.hwloc == NULL && topology.n_nodes == 0);
        cm_topology_close(&topology);
    }
}

static void lists_one_thread_of_each_core(void **state)
{
    (void)state;
    struct topology topology;
    open_ok("numa:2 core:3 pu:2", &topology);
    for (int core = 0; core < 6; core++) assert_int_equal(topology.cores[core].os_pu, 2 * core);
    cm_topology_close(&topology);
}

static void keeps_nodes_that_have_memory_only(void **state)
{
    (void)state;
    struct topology topology;
    open_ok("pack:2 [numa(memory=16GiB)] [numa(memory=64GiB)] core:4 pu:1", &topology);
    assert_int_equal(topology.n_nodes, 4);
    assert_int_equal(topology.n_cores, 8);
    for (int node = 0; node < 4; node++) {
        assert_int_equal(topology.nodes[node].n_cores, node % 2 ? 0 : 4);
        assert_true(topology.nodes[node].memory_bytes == (node % 2 ? 64 : 16) * gib);
    }
    cm_topology_close(&topology);
}

static void reads_a_lopsided_machine(void **state)
{
    (void)state;
    struct topology topology;
    open_ok(RECORDED("lopsided.xml"), &topology);
    static const int      n_cores[] = {4, 2, 0};
    static const uint64_t n_gib[] = {16, 4, 64};
    static const unsigned os_pus[] = {0, 2, 4, 6, 8, 10};
    assert_int_equal(topology.n_nodes, 3);
    assert_int_equal(topology.n_cores, 6);
    for (int node = 0; node < 3; node++) {
        assert_int_equal(topology.nodes[node].n_cores, n_cores[node]);
        assert_true(topology.nodes[node].memory_bytes == n_gib[node] * gib);
    }
    for (int core = 0; core < 6; core++) assert_int_equal(topology.cores[core].os_pu, os_pus[core]);
    cm_topology_close(&topology);
}

static void gives_lost_cores_to_the_nearest_node(void **state)
{
    (void)state;
    struct topology topology;
    open_ok(RECORDED("memoryless.xml"), &topology);
    assert_int_equal(topology.n_nodes, 3);
    assert_int_equal(topology.nodes[0].n_cores, 2);
    assert_int_equal(topology.nodes[1].n_cores, 2);
    assert_int_equal(topology.nodes[2].n_cores, 4); /* those of its neighbour in the group too */
    cm_topology_close(&topology);
}

static void refuses_nonsense(void **state)
{
    (void)state;
    static const struct {
        const char   *spec;
        calmoe_status status;
        const char   *words;
    } rows[] = {
        {"", CALMOE_INVALID_ARGUMENT, "topology ''"},
        {"nonsense", CALMOE_INVALID_ARGUMENT, "topology 'nonsense' is neither"},
        {"numa:0 core:4", CALMOE_INVALID_ARGUMENT, "numa:0"},
        {"numa:2 core:-1 pu:1", CALMOE_INVALID_ARGUMENT, "core:-1"},
        {"numa:2 core:4 pu:1 \x1b[2J", CALMOE_INVALID_ARGUMENT, "?[2J"},
        {"/nowhere/machine.xml", CALMOE_IO, "cannot open '/nowhere/machine.xml'"},
        {RECORDED(".xml"), CALMOE_IO, "cannot open"},
        {"numa:65 core:1 pu:1", CALMOE_UNSUPPORTED, "more than 64 memory nodes"},
        {"numa:65 core:64 pu:1", CALMOE_UNSUPPORTED, "4160 cores"},
    };
    const long n_live = cm_live_blocks();
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct calmoe_context ctx = {0};
        struct topology       topology;
        assert_int_equal(cm_topology_open(&ctx, rows[row].spec, &topology), rows[row].status);
        if (!strstr(ctx.message, rows[row].words)) fail_msg("sentence: %s", ctx.message);
        assert_true(topology.hwloc == NULL && topology.cores == NULL && topology.n_nodes == 0);
        assert_int_equal(cm_live_blocks(), n_live);
    }
}

static void refuses_an_xml_of_something_else(void **state)
{
    (void)state;
    char      path[] = "/tmp/calmoe-topology-XXXXXX.xml";
    const int file = mkstemps(path, 4);
    assert_true(file >= 0);
    static const char text[] = "<html>no machine</html>";
    assert_int_equal(write(file, text, sizeof text - 1), sizeof text - 1);
    close(file);
    struct calmoe_context ctx = {0};
    struct topology       topology;
    assert_int_equal(cm_topology_open(&ctx, path, &topology), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(ctx.message, "is not an hwloc topology in XML"));
    unlink(path);
}

static void every_request_may_fail(void **state)
{
    (void)state;
    const long n_live = cm_live_blocks();
    int        n_failed = 0;
    for (long nth = 1;; nth++) {
        struct calmoe_context ctx = {0};
        struct topology       topology;
        cm_fail_request(nth);
        const calmoe_status status = cm_topology_open(&ctx, "numa:2 core:2 pu:1", &topology);
        cm_fail_request(0);
        cm_topology_close(&topology);
        assert_int_equal(cm_live_blocks(), n_live);
        if (status == CALMOE_OK) break;
        assert_int_equal(status, CALMOE_NO_MEMORY);
        assert_true(strlen(ctx.message) > 0);
        n_failed++;
    }
    assert_true(n_failed >= 3);
}

static void masks_are_saved_and_applied(void **state)
{
    (void)state;
    struct topology    topology;
    struct thread_mask mask = {0};
    cpu_set_t          before, during, after;
    cm_fail_request(1);
    assert_int_equal(cm_thread_mask_open(NULL, &mask), CALMOE_NO_MEMORY);
    cm_thread_mask_close(&mask);
    assert_int_equal(cm_thread_mask_open(NULL, &mask), CALMOE_OK);

    open_ok(NULL, &topology);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_true(cm_thread_mask_save(&topology, &mask));
    assert_true(cm_topology_bind_thread(&topology, topology.n_cores - 1));
    assert_int_equal(sched_getaffinity(0, sizeof during, &during), 0);
    assert_int_equal(CPU_COUNT(&during), 1);
    assert_true(CPU_ISSET(topology.cores[topology.n_cores - 1].os_pu, &during));
    assert_true(cm_thread_mask_apply(&topology, &mask));
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
    cm_topology_close(&topology);

    open_ok("numa:2 core:2 pu:1", &topology); /* not this machine: nothing can be bound */
    assert_false(cm_thread_mask_save(&topology, &mask));
    assert_false(cm_topology_bind_thread(&topology, 0));
    assert_false(cm_thread_mask_apply(&topology, &mask));
    cm_topology_close(&topology);
    cm_thread_mask_close(&mask);
    cm_thread_mask_close(&mask);
    assert_int_equal(cm_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_this_machine),
        cmocka_unit_test(respects_what_the_thread_may_use),
        cmocka_unit_test(reads_even_descriptions),
        cmocka_unit_test(lists_one_thread_of_each_core),
        cmocka_unit_test(keeps_nodes_that_have_memory_only),
        cmocka_unit_test(reads_a_lopsided_machine),
        cmocka_unit_test(gives_lost_cores_to_the_nearest_node),
        cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(refuses_an_xml_of_something_else),
        cmocka_unit_test(every_request_may_fail),
        cmocka_unit_test(masks_are_saved_and_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
