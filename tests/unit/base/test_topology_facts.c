/* test_topology_facts.c - what nodes can do: bandwidths told, stated and assumed, who serves a node without cores,
 * and caches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/topology.h"

#define DESCRIBED(name) CALMOE_SOURCE_DIR "/tests/data/topology/" name

static struct topology open_ok(const char *spec)
{
    struct calmoe_context ctx = {0};
    struct topology       topology;
    if (cm_topology_open(&ctx, spec, &topology) != CALMOE_OK) fail_msg("%s", ctx.message);
    return topology;
}

static void node_is_numa(void **state)
{
    (void)state;
    struct topology topology = open_ok("node:4 core:8 pu:1");
    assert_int_equal(topology.n_nodes, 4);
    assert_int_equal(topology.n_cores, 32);
    assert_false(topology.is_memory_known);
    cm_topology_close(&topology);
    topology = open_ok("numa:2(memory=16GiB) core:2 pu:1");
    assert_true(topology.is_memory_known);
    assert_true(topology.nodes[1].memory_bytes == (uint64_t)16 << 30);
    cm_topology_close(&topology);
    topology = open_ok(NULL);
    assert_true(topology.is_memory_known);
    cm_topology_close(&topology);
}

static void untold_bandwidth_is_relative(void **state)
{
    (void)state;
    struct topology topology = open_ok(CALMOE_SOURCE_DIR "/tests/unit/base/lopsided.xml");
    assert_false(topology.is_bandwidth_known);
    assert_true(topology.nodes[0].bandwidth == 4 && topology.nodes[1].bandwidth == 2);
    assert_int_equal(topology.nodes[2].n_cores, 0); /* half of what its cores' node has */
    assert_true(topology.nodes[2].bandwidth == 0.5 * topology.nodes[topology.nodes[2].served_by].bandwidth);
    cm_topology_close(&topology);
}

static void told_bandwidth_is_read(void **state)
{
    (void)state;
    struct topology topology = open_ok(DESCRIBED("near_and_far.xml"));
    assert_true(topology.is_bandwidth_known);
    assert_int_equal(topology.n_nodes, 8);
    for (int node = 0; node < 8; node++) {
        assert_true(topology.nodes[node].bandwidth == (node % 2 ? 240000.0 : 71000.0) * 1048576);
        assert_int_equal(topology.nodes[node].served_by, node / 2 * 2);
    }
    cm_topology_close(&topology);
    topology = open_ok(DESCRIBED("expander.xml"));
    assert_int_equal(topology.nodes[2].n_cores, 0);
    assert_int_equal(topology.nodes[2].served_by, 0);
    assert_true(topology.nodes[2].bandwidth == 28000.0 * 1048576);
    cm_topology_close(&topology);
}

static void caches_are_added_up(void **state)
{
    (void)state;
    struct topology topology = open_ok("numa:2 l3:3(size=1048576) core:2 pu:1");
    for (int node = 0; node < 2; node++) assert_int_equal(topology.nodes[node].cache_bytes, 3 << 20);
    cm_topology_close(&topology);
    topology = open_ok("numa:2 core:2 pu:1");
    assert_int_equal(topology.nodes[0].cache_bytes, 0);
    cm_topology_close(&topology);
}

static void bandwidth_is_stated(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct topology       topology = open_ok("numa:2 core:2 pu:1");
    assert_int_equal(cm_topology_set_bandwidth(&ctx, &topology, "0:40,1:20.5"), CALMOE_OK);
    assert_true(topology.is_bandwidth_known);
    assert_true(topology.nodes[0].bandwidth == 40e9 && topology.nodes[1].bandwidth == 20.5e9);
    assert_int_equal(cm_topology_set_bandwidth(&ctx, &topology, "1:30"), CALMOE_OK); /* the other is known */
    assert_true(topology.nodes[0].bandwidth == 40e9 && topology.nodes[1].bandwidth == 30e9);
    assert_int_equal(cm_topology_set_bandwidth(&ctx, &topology, "7"), CALMOE_OK);
    assert_true(topology.nodes[0].bandwidth == 7e9 && topology.nodes[1].bandwidth == 7e9);
    cm_topology_close(&topology);
}

static void nonsense_is_no_bandwidth(void **state)
{
    (void)state;
    static const char *const rows[] = {"",      "x",        "0:",     "0:40",     "0:40,",   "2:40,0:1,1:1",
        "0:40,0:40",
                                       "0:0,1:1", "0:-1,1:1", "40,20",  "0:40;1:20", "0:4x,1:2", "0:1e9,1:1", "-3",
                                       "nan",   "0:inf,1:1", "0 :4,1:1", ":4"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct calmoe_context ctx = {0};
        struct topology       topology = open_ok("numa:2 core:2 pu:1");
        if (cm_topology_set_bandwidth(&ctx, &topology, rows[i]) != CALMOE_INVALID_ARGUMENT)
            fail_msg("'%s' was taken", rows[i]);
        assert_non_null(strstr(ctx.message, "0:40,1:20"));
        assert_false(topology.is_bandwidth_known);
        assert_true(topology.nodes[0].bandwidth == 2);
        cm_topology_close(&topology);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_is_numa),
        cmocka_unit_test(untold_bandwidth_is_relative),
        cmocka_unit_test(told_bandwidth_is_read),
        cmocka_unit_test(caches_are_added_up),
        cmocka_unit_test(bandwidth_is_stated),
        cmocka_unit_test(nonsense_is_no_bandwidth),
    };
    return cmocka_run_group_tests_name("topology_facts", tests, NULL, NULL);
}
