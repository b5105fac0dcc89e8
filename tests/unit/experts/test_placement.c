/* test_placement.c - plans as data: cuts, slices, checks, and the parts that they cut experts into. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "experts/placement.h"

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

/* ---- cuts ---- */

static void cuts_of_hand_made_cases(void **state)
{
    (void)state;
    static const struct {
        int     n_rows, quantum, n_nodes;
        double  shares[4];
        int32_t rows[4];
    } rows[] = {
        {1024, 16, 2, {1, 1}, {512, 512}},
        {768, 256, 2, {1, 1}, {512, 256}},
        {768, 256, 4, {1, 1, 1, 1}, {256, 256, 256, 0}},
        {1024, 16, 3, {1, 1, 1}, {352, 336, 336}},
        {96, 32, 2, {2, 1}, {64, 32}},
        {100, 32, 2, {1, 1}, {64, 36}},     /* the last piece is what is left: a quantum and 4 rows */
        {20, 16, 4, {0, 1, 0, 1}, {0, 16, 0, 4}},
        {10, 16, 3, {1, 5, 1}, {0, 10, 0}}, /* less than a quantum */
        {8, 1, 3, {0, 0, 7}, {0, 0, 8}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int32_t found[4] = {-1, -1, -1, -1};
        cm_cut(rows[i].n_rows, rows[i].quantum, rows[i].shares, rows[i].n_nodes, NULL, found);
        for (int node = 0; node < rows[i].n_nodes; node++) assert_int_equal(found[node], rows[i].rows[node]);
    }
}

/* Three quanta on two nodes: the odd one takes turns, so that in the end each has as many. */
static void credits_even_out(void **state)
{
    (void)state;
    const double shares[3] = {1, 1, 1};
    double       credit[3] = {0};
    int32_t      sum[3] = {0}, rows[3];
    for (int i = 0; i < 30; i++) {
        cm_cut(7 * 16, 16, shares, 3, credit, rows);
        assert_int_equal(rows[0] + rows[1] + rows[2], 7 * 16);
        for (int node = 0; node < 3; node++) {
            assert_true(rows[node] == 32 || rows[node] == 48);
            sum[node] += rows[node];
        }
    }
    assert_true(sum[0] == sum[1] && sum[1] == sum[2]);
}

/* ---- plans ---- */

static const struct plan shape = {.n_nodes = 2, .n_layers = 2, .n_experts = 3, .width = 64, .dim = 32, .quantum = 16,
                                  .n_kv_heads = 4};

static struct plan open_ok(void)
{
    struct plan plan;
    assert_int_equal(cm_plan_open(NULL, &shape, &plan), CALMOE_OK);
    return plan;
}

static void a_new_plan_is_node_0(void **state)
{
    (void)state;
    const long       n_live = cm_live_blocks();
    struct plan      plan = open_ok();
    assert_int_equal(cm_plan_check(NULL, &plan, &shape), CALMOE_OK);
    for (int i = 0; i < 6; i++) assert_true(plan.places[i].kind == PLACE_PINNED && plan.places[i].node == 0);
    cm_plan_close(&plan);
    cm_plan_close(&plan);
    assert_int_equal(cm_live_blocks(), n_live);
}

static void equal_slices_are_one(void **state)
{
    (void)state;
    struct plan  plan = open_ok();
    struct slice slice = {{0}, {0}};
    int          index;
    for (int i = 0; i < 40; i++) {
        slice.rows[0] = i % 20;
        assert_int_equal(cm_plan_add_slice(NULL, &plan, &slice, &index), CALMOE_OK);
        assert_int_equal(index, i % 20);
    }
    assert_int_equal(plan.n_slices, 20);
    for (int i = 0; i < 20; i++) assert_int_equal(plan.slices[i].rows[0], i);
    cm_plan_close(&plan);
}

static void check_fails(const struct plan *plan, const struct plan *machine_and_model, const char *message)
{
    struct calmoe_context ctx = {0};
    assert_int_equal(cm_plan_check(&ctx, plan, machine_and_model), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, message);
}

static void a_plan_for_something_else_is_refused(void **state)
{
    (void)state;
    struct plan plan = open_ok(), other = shape;
    other.n_nodes = 1;
    check_fails(&plan, &other, "the plan is for a machine with 2 memory nodes; this one has 1");
    other = shape;
    other.n_layers = 3;
    check_fails(&plan, &other, "the plan is for 2 layers of 3 experts; the model has 3 layers of 3");
    other = shape;
    other.n_experts = 8;
    check_fails(&plan, &other, "the plan is for 2 layers of 3 experts; the model has 2 layers of 8");
    other = shape;
    other.width = 96;
    check_fails(&plan, &other, "the plan cuts experts of width 64 in a model of width 32; the model has 96 and 32");
    other = shape;
    other.n_kv_heads = 2;
    check_fails(&plan, &other, "the plan keeps 4 heads of keys and values; the model has 2");
    cm_plan_close(&plan);
}

static void what_is_no_plan_is_refused(void **state)
{
    (void)state;
    struct plan  plan = open_ok(), coarse = shape;
    struct slice slice = {.rows = {32, 32}, .down_rows = {16, 16}};
    int          index;
    assert_int_equal(cm_plan_add_slice(NULL, &plan, &slice, &index), CALMOE_OK);
    *cm_place_of(&plan, 1, 2) = (struct place){.kind = PLACE_SLICED, .slice = index};
    assert_int_equal(cm_plan_check(NULL, &plan, &shape), CALMOE_OK);
    coarse.quantum = 32;
    check_fails(&plan, &coarse, "the plan cuts rows in multiples of 16; this model's matrices are cut in multiples"
        " of 32");

    static const struct slice wrong[] = {{.rows = {32, 16}, .down_rows = {16, 16}}, {.rows = {80, -16}, .down_rows =
        {16, 16}},
                                         {.rows = {24, 40}, .down_rows = {16, 16}}, {.rows = {32, 32}, .down_rows =
                                             {32, 16}}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        plan.slices[0] = wrong[i];
        check_fails(&plan, &shape, "slice 0 of the plan does not add up to 64 and 32 rows in multiples of 16");
    }
    plan.slices[0] = slice;
    static const struct place nowhere[] = {{.kind = PLACE_PINNED, .node = 2}, {.kind = PLACE_PINNED, .node = -1},
                                           {.kind = PLACE_SLICED, .slice = 1}, {.kind = PLACE_REPLICATED, .replicas =
                                               0},
                                           {.kind = PLACE_REPLICATED, .replicas = 4}};
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++) {
        *cm_place_of(&plan, 1, 0) = nowhere[i];
        check_fails(&plan, &shape, "the plan puts expert 0 of layer 1 where there is nothing");
    }
    *cm_place_of(&plan, 1, 0) = (struct place){.kind = PLACE_REPLICATED, .replicas = 3};
    assert_int_equal(cm_plan_check(NULL, &plan, &shape), CALMOE_OK);
    plan.kv_heads[1] = 1;
    check_fails(&plan, &shape, "the plan's dense shares or heads of keys and values do not add up");
    plan.kv_heads[1] = 0;
    plan.shares[0] = 0;
    check_fails(&plan, &shape, "the plan's dense shares or heads of keys and values do not add up");
    cm_plan_close(&plan);
}

/* ---- a plan carried out ---- */

static void check_part(const struct expert_rows *part, int node, int row, int n_rows, int down_row, int n_down_rows)
{
    assert_int_equal(part->node, node);
    assert_int_equal(part->row, row);
    assert_int_equal(part->n_rows, n_rows);
    assert_int_equal(part->down_row, down_row);
    assert_int_equal(part->n_down_rows, n_down_rows);
}

static void parts_of_an_expert(void **state)
{
    (void)state;
    struct plan wide = shape;
    wide.n_nodes = 4;
    wide.dim = 48;
    struct plan        plan;
    struct place       place = {.kind = PLACE_PINNED, .node = 2};
    struct slice       slice = {.rows = {0, 32, 0, 32}, .down_rows = {16, 0, 0, 32}};
    struct expert_rows parts[4];
    assert_int_equal(cm_plan_open(NULL, &wide, &plan), CALMOE_OK);
    assert_int_equal(cm_parts_of_place(&plan, &place, parts), 1);
    check_part(&parts[0], 2, 0, 64, 0, 48);
    place = (struct place){.kind = PLACE_REPLICATED, .replicas = 10};
    assert_int_equal(cm_parts_of_place(&plan, &place, parts), 2);
    check_part(&parts[0], 1, 0, 64, 0, 48);
    check_part(&parts[1], 3, 0, 64, 0, 48);
    place = (struct place){.kind = PLACE_SLICED};
    assert_int_equal(cm_plan_add_slice(NULL, &plan, &slice, &place.slice), CALMOE_OK);
    assert_int_equal(cm_parts_of_place(&plan, &place, parts), 3);
    check_part(&parts[0], 0, 0, 0, 0, 16);
    check_part(&parts[1], 1, 0, 32, 16, 0);
    check_part(&parts[2], 3, 32, 32, 16, 32);
    plan.shares[0] = 0;
    plan.shares[1] = plan.shares[2] = 1;
    assert_int_equal(cm_parts_of_shared(&plan, 40, 48, parts), 2);
    check_part(&parts[0], 1, 0, 32, 0, 32);
    check_part(&parts[1], 2, 32, 8, 32, 16);
    cm_plan_close(&plan);
}

static void a_plan_of_the_first_schema_is_completed(void **state)
{
    (void)state;
    struct plan first = {.n_nodes = 2, .n_layers = 2, .n_experts = 3}, plan;
    assert_int_equal(cm_plan_open(NULL, &first, &plan), CALMOE_OK);
    cm_plan_complete(&plan, &shape, 1);
    assert_int_equal(cm_plan_check(NULL, &plan, &shape), CALMOE_OK);
    assert_true(plan.width == 64 && plan.dim == 32 && plan.quantum == 16);
    assert_true(plan.shares[0] == 0 && plan.shares[1] == 1 && plan.kv_heads[0] == 0 && plan.kv_heads[1] == 4);
    cm_plan_complete(&plan, &shape, 0); /* what is complete stays as it is */
    assert_int_equal(plan.kv_heads[1], 4);
    cm_plan_close(&plan);
}

/* The places of n_rows rows over ranks and their nodes follow each other and leave no row out, in multiples of 16. */
static void check_rows(const struct plan *plan_of_rank, int n_ranks, int n_rows)
{
    int next = 0;
    for (int rank = 0; rank < n_ranks; rank++) {
        int32_t   rows[CM_MAX_NODES], heads[CM_MAX_NODES];
        const int first = cm_dense_rows(&plan_of_rank[rank], n_rows, rows);
        int       n = 0, own, n_heads = 0, first_head;
        for (int node = 0; node < plan_of_rank[rank].n_nodes; node++) n += rows[node];
        assert_true(n == 0 || (first == next && first % 16 == 0));
        assert_int_equal(cm_own_part(&plan_of_rank[rank], n_rows, CM_SLICE_QUANTUM, &own), n);
        next += n;
        first_head = cm_own_heads(&plan_of_rank[rank], n_rows, heads); /* one by one */
        for (int node = 0; node < plan_of_rank[rank].n_nodes; node++) n_heads += heads[node];
        assert_int_equal(n_heads, cm_own_part(&plan_of_rank[rank], n_rows, 1, &own));
        assert_int_equal(first_head, own);
    }
    assert_int_equal(next, n_rows);
}

/* Experts' parts of all ranks likewise: of one of its own size, and of a routed one that a plan slices. */
static void check_experts(const struct plan *plan_of_rank, int n_ranks, int width, int dim)
{
    int row = 0, down_row = 0;
    for (int rank = 0; rank < n_ranks; rank++) {
        struct expert_rows parts[CM_MAX_NODES];
        const int          n = cm_parts_of_shared(&plan_of_rank[rank], width, dim, parts);
        assert_true(n >= 1);
        for (int i = 0; i < n; i++) {
            assert_true(parts[i].n_rows == 0 || parts[i].row == row);
            assert_true(parts[i].n_down_rows == 0 || parts[i].down_row == down_row);
            row += parts[i].n_rows;
            down_row += parts[i].n_down_rows;
        }
    }
    assert_true(row == width && down_row == dim);
}

static void ranks_have_every_row_once(void **state)
{
    (void)state;
    static struct plan plans[CM_MAX_RANKS];
    struct random      random = cm_random(5);
    for (int round = 0; round < 300; round++) {
        const int n_ranks = 1 + (int)cm_random_below(&random, 7), n_rows = 1 + (int)cm_random_below(&random, 700);
        struct rank_shares shares = {.n_ranks = n_ranks};
        for (int rank = 0; rank < n_ranks; rank++) shares.of[rank] = 1 + (double)cm_random_below(&random, 9);
        for (int rank = 0; rank < n_ranks; rank++) {
            struct plan *plan = &plans[rank];
            *plan = (struct plan){.n_nodes = 1 + (int)cm_random_below(&random, 4), .ranks = shares};
            plan->ranks.own = rank;
            for (int node = 0; node < plan->n_nodes; node++)
                plan->shares[node] = 1 + (int32_t)cm_random_below(&random, 3);
        }
        check_rows(plans, n_ranks, n_rows);
        check_experts(plans, n_ranks, n_rows, 1 + (int)cm_random_below(&random, 300));
    }
}

/* A routed expert of which a rank has 32 and 16 rows, on two nodes. */
static void parts_of_a_rank(void **state)
{
    (void)state;
    struct plan own = shape;
    own.width = 32;
    own.dim = 16;
    struct plan        plan;
    struct place       place = {.kind = PLACE_SLICED};
    struct slice       slice = {.rows = {16, 16}, .down_rows = {0, 16}};
    struct expert_rows parts[2];
    assert_int_equal(cm_plan_open(NULL, &own, &plan), CALMOE_OK);
    plan.first_row = 64;
    plan.first_down_row = 48;
    assert_int_equal(cm_plan_add_slice(NULL, &plan, &slice, &place.slice), CALMOE_OK);
    assert_int_equal(cm_parts_of_place(&plan, &place, parts), 2);
    check_part(&parts[0], 0, 64, 16, 48, 0);
    check_part(&parts[1], 1, 80, 16, 48, 16);
    place = (struct place){.kind = PLACE_PINNED, .node = 1};
    assert_int_equal(cm_parts_of_place(&plan, &place, parts), 1);
    check_part(&parts[0], 1, 64, 32, 48, 16);
    cm_plan_close(&plan);
}

/* A rank's part of a plan keeps the nodes of experts, and the proportions of all that is cut. */
static void a_part_of_a_plan_keeps_its_proportions(void **state)
{
    (void)state;
    struct plan plan = open_ok();
    int slice;
    assert_int_equal(cm_plan_add_slice(NULL, &plan, &(struct slice){{48, 16}, {16, 16}}, &slice), CALMOE_OK);
    *cm_place_of(&plan, 0, 1) = (struct place){.kind = PLACE_SLICED, .slice = slice};
    *cm_place_of(&plan, 1, 2) = (struct place){.kind = PLACE_PINNED, .node = 1};
    struct plan part = shape;
    part.width = 32;
    part.dim = 16;
    part.n_kv_heads = shape.n_kv_heads / 2;
    cm_plan_take_part(&plan, &part);
    assert_int_equal(cm_plan_check(NULL, &plan, &part), CALMOE_OK); /* whole quanta that add up */
    assert_int_equal(plan.slices[slice].rows[0] + plan.slices[slice].rows[1], 32);
    assert_true(plan.slices[slice].rows[0] >= plan.slices[slice].rows[1]);
    assert_int_equal(cm_place_of(&plan, 1, 2)->node, 1);
    part.width = part.dim = part.n_kv_heads = 0; /* a rank that has nothing */
    cm_plan_take_part(&plan, &part);
    assert_int_equal(plan.slices[slice].rows[0] + plan.slices[slice].down_rows[1] + plan.kv_heads[0], 0);
    cm_plan_close(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(home_has_cores_and_memory),
        cmocka_unit_test(cuts_of_hand_made_cases),
        cmocka_unit_test(credits_even_out),
        cmocka_unit_test(a_new_plan_is_node_0),
        cmocka_unit_test(equal_slices_are_one),
        cmocka_unit_test(a_plan_for_something_else_is_refused),
        cmocka_unit_test(what_is_no_plan_is_refused),
        cmocka_unit_test(parts_of_an_expert),
        cmocka_unit_test(a_plan_of_the_first_schema_is_completed),
        cmocka_unit_test(ranks_have_every_row_once),
        cmocka_unit_test(parts_of_a_rank),
        cmocka_unit_test(a_part_of_a_plan_keeps_its_proportions),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
