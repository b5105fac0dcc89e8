/* test_placement.c - the plan of where experts live: the default, the checks, and the node for all else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "experts/placement.h"

static void the_default_is_one_node(void **state)
{
    (void)state;
    struct topology topology;
    struct placement placement;
    assert_int_equal(cm_topology_open(NULL, "numa:3 core:2 pu:1", &topology), CALMOE_OK);
    assert_int_equal(cm_placement_one_node(NULL, &topology, 5, 7, &placement), CALMOE_OK);
    assert_int_equal(placement.n_nodes, 3);
    for (int layer = 0; layer < 5; layer++)
        for (int expert = 0; expert < 7; expert++)
            assert_int_equal(cm_node_of(&placement, layer, expert), cm_home_node(&topology));
    assert_int_equal(cm_placement_check(NULL, &placement, &topology, 5, 7), CALMOE_OK);
    cm_placement_close(&placement);
    cm_placement_close(&placement);
    cm_topology_close(&topology);
}

static void rows_are_layers(void **state)
{
    (void)state;
    int16_t nodes[] = {0, 1, 2, /**/ 3, 4, 5};
    const struct placement placement = {.n_nodes = 6, .n_layers = 2, .n_experts = 3, .node_of = nodes};
    for (int i = 0; i < 6; i++) assert_int_equal(cm_node_of(&placement, i / 3, i % 3), i);
}

/* A node without cores, or without memory, is no home. */
static void home_has_cores_and_memory(void **state)
{
    (void)state;
    struct topology topology = {.n_nodes = 3};
    topology.nodes[0] = (struct topology_node){.memory_bytes = 1 << 30};
    topology.nodes[1] = (struct topology_node){.n_cores = 4};
    topology.nodes[2] = (struct topology_node){.memory_bytes = 1 << 30, .n_cores = 4};
    assert_int_equal(cm_home_node(&topology), 2);
    topology.nodes[2].n_cores = 0;
    assert_int_equal(cm_home_node(&topology), 0);
}

static void check_message(const struct placement *placement, int n_nodes, int n_layers, int n_experts,
                          const char *message)
{
    struct calmoe_context ctx = {0};
    const struct topology topology = {.n_nodes = n_nodes};
    assert_int_equal(cm_placement_check(&ctx, placement, &topology, n_layers, n_experts), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, message);
}

static void a_plan_for_something_else_is_refused(void **state)
{
    (void)state;
    const struct placement placement = {.n_nodes = 2, .n_layers = 3, .n_experts = 4};
    check_message(&placement, 1, 3, 4, "the plan is for a machine with 2 memory nodes; this one has 1");
    check_message(&placement, 2, 2, 4, "the plan is for 3 layers of 4 experts; the model has 2 layers of 4");
    check_message(&placement, 2, 3, 8, "the plan is for 3 layers of 4 experts; the model has 3 layers of 8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_is_one_node),
        cmocka_unit_test(rows_are_layers),
        cmocka_unit_test(home_has_cores_and_memory),
        cmocka_unit_test(a_plan_for_something_else_is_refused),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
