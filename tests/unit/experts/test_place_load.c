/* test_place_load.c - the model of time against cases computed by hand: whole, cut and copied experts, memory
 * without cores, batches, remote bytes, dense parts; and steps drawn from counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/memory.h"
#include "experts/place_load.h"

#define TASK CM_PLACE_TASK_SECONDS

/* Gate and up of an expert take 20 us at 100 GB/s, down 10 us. */
static const struct place_layer layers[2] = {{2000000, 1000000, 0, 0}, {2000000, 1000000, 0, 0}};
static const struct place_model model = {.n_layers = 1, .n_experts = 4, .n_used = 2, .width = 64, .dim = 32,
                                         .quantum = 16, .n_kv_heads = 2, .layers = layers};

static struct topology machine(const char *spec, const char *bandwidth)
{
    struct topology topology;
    assert_int_equal(cm_topology_open(NULL, spec, &topology), CALMOE_OK);
    if (bandwidth) assert_int_equal(cm_topology_set_bandwidth(NULL, &topology, bandwidth), CALMOE_OK);
    return topology;
}

static struct plan open_plan(const struct place_model *of, int n_nodes)
{
    const struct plan shape = cm_place_shape(of, n_nodes);
    struct plan       plan;
    assert_int_equal(cm_plan_open(NULL, &shape, &plan), CALMOE_OK);
    return plan;
}

static void pin(struct plan *plan, int expert, int node)
{
    *cm_place_of(plan, 0, expert) = (struct place){.kind = PLACE_PINNED, .node = node};
}

static void replicate(struct plan *plan, int expert, uint64_t nodes)
{
    *cm_place_of(plan, 0, expert) = (struct place){.kind = PLACE_REPLICATED, .replicas = nodes};
}

static struct place_prediction predict(const struct topology *topology, const struct plan *plan,
                                       const int32_t *experts, int n_tokens, int batch)
{
    const struct place_routings routings = {.n_tokens = n_tokens, .n_layers = 1, .n_slots = 2, .experts = experts};
    struct place_prediction     found;
    assert_int_equal(cm_place_predict(NULL, topology, &model, plan, &routings, batch, &found), CALMOE_OK);
    return found;
}

static void assert_near(double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-9 * fabs(wanted) + 1e-18)) fail_msg("found %.12g, wanted %.12g", found, wanted);
}

static void whole_experts(void **state)
{
    (void)state;
    static const int32_t experts[] = {0, 1, /**/ 0, 2};
    struct topology      topology = machine("numa:2 core:2 pu:1", "100");
    struct plan          plan = open_plan(&model, 2);
    pin(&plan, 2, 1);
    pin(&plan, 3, 1);
    const struct place_prediction found = predict(&topology, &plan, experts, 2, 1);
    const double both = 60e-6 + 4 * TASK, one = 30e-6 + 2 * TASK; /* node 0 alone, then one each */
    assert_near(found.expert_seconds, (both + one) / 2);
    assert_near(found.imbalance, (both + one) / (both / 2 + one));
    assert_near(found.nodes[0].share, 0.75);
    assert_near(found.nodes[1].share, 0.25);
    assert_true(found.nodes[0].expert_bytes == 9000000 && found.nodes[1].expert_bytes == 3000000);
    assert_true(found.nodes[0].remote_weights == 0 && found.nodes[1].remote_weights == 0);
    assert_int_equal(found.nodes[1].remote_activations, 36);     /* the second token's input, 32 values */
    assert_int_equal(found.nodes[0].remote_activations, 32 * 4); /* and its output                      */
    assert_true(found.n_steps == 2 && found.n_uses == 4 && found.n_sliced_uses == 0 && found.n_replica_uses == 0);
    assert_near(found.tokens_per_s, 2 / (both + one)); /* dense parts weigh nothing here */
    cm_plan_close(&plan);
    cm_topology_close(&topology);
}

static void cut_experts(void **state)
{
    (void)state;
    static const int32_t experts[] = {0, 1};
    struct topology      topology = machine("numa:2 core:2 pu:1", "100");
    struct plan          plan = open_plan(&model, 2);
    const struct slice   half = {.rows = {32, 32}, .down_rows = {16, 16}};
    int                  index;
    assert_int_equal(cm_plan_add_slice(NULL, &plan, &half, &index), CALMOE_OK);
    for (int expert = 0; expert < 4; expert++)
        *cm_place_of(&plan, 0, expert) = (struct place){.kind = PLACE_SLICED, .slice = index};
    const struct place_prediction found = predict(&topology, &plan, experts, 1, 1);
    assert_near(found.expert_seconds, 30e-6 + 4 * TASK);
    assert_near(found.imbalance, 1);
    assert_true(found.nodes[0].expert_bytes == 3000000 && found.nodes[1].expert_bytes == 3000000);
    assert_int_equal(found.nodes[0].remote_activations, 2 * 36 + 2 * 16 * 4); /* hidden states, outputs     */
    assert_int_equal(found.nodes[1].remote_activations, 2 * 36 + 36);         /* hidden states, one input   */
    assert_int_equal(found.n_sliced_uses, 2);
    double bytes[CM_MAX_NODES];
    cm_plan_bytes(&plan, &model, bytes);
    assert_near(bytes[0], 6e6);
    assert_near(bytes[1], 6e6);
    cm_plan_close(&plan);
    cm_topology_close(&topology);
}

/* A barrier stands between the phases: what a node saves in one does not help it in the other. */
static void phases_end_apart(void **state)
{
    (void)state;
    static const int32_t experts[] = {0, -1};
    struct topology      topology = machine("numa:2 core:2 pu:1", "100");
    struct plan          plan = open_plan(&model, 2);
    const struct slice   crossed = {.rows = {64, 0}, .down_rows = {0, 32}};
    int                  index;
    assert_int_equal(cm_plan_add_slice(NULL, &plan, &crossed, &index), CALMOE_OK);
    *cm_place_of(&plan, 0, 0) = (struct place){.kind = PLACE_SLICED, .slice = index};
    const struct place_prediction found = predict(&topology, &plan, experts, 1, 1);
    assert_near(found.expert_seconds, 30e-6 + 2 * TASK);
    assert_near(found.imbalance, 2);
    cm_plan_close(&plan);
    cm_topology_close(&topology);
}

static void replicas_serve_where_it_is_quiet(void **state)
{
    (void)state;
    static const int32_t experts[] = {0, 1, /**/ 2, 0, /**/ 3, 0};
    struct topology      topology = machine("numa:2 core:2 pu:1", "100");
    struct plan          plan = open_plan(&model, 2);
    replicate(&plan, 0, 3);
    replicate(&plan, 1, 3);
    pin(&plan, 2, 0);
    pin(&plan, 3, 1);
    const struct place_prediction found = predict(&topology, &plan, experts, 3, 1);
    assert_near(found.imbalance, 1);
    assert_near(found.expert_seconds, 30e-6 + 2 * TASK);
    assert_int_equal(found.n_replica_uses, 4);
    assert_true(found.nodes[0].n_replica_uses == 2 && found.nodes[1].n_replica_uses == 2);
    cm_plan_close(&plan);
    cm_topology_close(&topology);
}

/* Those with fewer replicas choose first; of nodes alike the first; an uneven node gets less. */
static void the_choice_of_replicas(void **state)
{
    (void)state;
    struct topology          topology = machine("numa:3 core:2 pu:1", "0:100,1:100,2:400");
    struct plan              plan = open_plan(&model, 3);
    const struct place_costs costs = cm_place_costs(&topology, &layers[0]);
    const struct place_use   uses[3] = {{0, 1}, {1, 1}, {2, 1}};
    struct place_load        load;
    int16_t                  serving[3];
    double                   slowest, mean;
    replicate(&plan, 0, 7);
    replicate(&plan, 1, 3);
    replicate(&plan, 2, 1);
    cm_place_serve(&plan, 0, &costs, uses, 3, serving, &load);
    assert_int_equal(serving[2], 0);
    assert_int_equal(serving[1], 1);
    assert_int_equal(serving[0], 2);
    cm_place_times(&costs, &load, &slowest, &mean);
    assert_near(slowest, 30e-6 + 2 * TASK);
    assert_near(mean, (30e-6 + 30e-6 + 7.5e-6) / 3 + 2 * TASK);
    for (int expert = 0; expert < 3; expert++) replicate(&plan, expert, 7); /* three fit on the fast one */
    cm_place_serve(&plan, 0, &costs, uses, 3, serving, &load);
    for (int i = 0; i < 3; i++) assert_int_equal(serving[i], 2);
    cm_plan_close(&plan);
    cm_topology_close(&topology);
}

static void memory_without_cores(void **state)
{
    (void)state;
    static const int32_t experts[] = {0, 2};
    struct topology      topology = machine("pack:1 [numa(memory=16GiB)] [numa(memory=64GiB)] core:4 pu:1",
        "0:100,1:50");
    struct plan          plan = open_plan(&model, 2);
    pin(&plan, 2, 1);
    const struct place_prediction found = predict(&topology, &plan, experts, 1, 1);
    assert_near(found.expert_seconds, 30e-6 + 60e-6 + 4 * TASK); /* one after the other, by the same cores */
    assert_near(found.imbalance, 1);
    assert_true(found.nodes[0].remote_weights == 0 && found.nodes[1].remote_weights == 3000000);
    assert_near(found.nodes[0].share, 1);
    cm_plan_close(&plan);
    cm_topology_close(&topology);
}

/* An expert is read once for all tokens of a step; beyond 16 tokens arithmetic takes longer. */
static void batches(void **state)
{
    (void)state;
    int32_t experts[64];
    for (int i = 0; i < 32; i++) {
        experts[2 * i] = 0;
        experts[2 * i + 1] = i < 16 ? 2 : -1;
    }
    struct topology topology = machine("numa:2 core:2 pu:1", "100");
    struct plan     plan = open_plan(&model, 2);
    pin(&plan, 2, 1);
    const struct place_prediction found = predict(&topology, &plan, experts, 32, 32);
    assert_true(found.n_steps == 1 && found.n_uses == 2 && found.n_tokens == 32);
    assert_near(found.expert_seconds, 2 * 30e-6 + 2 * TASK);
    assert_true(found.nodes[0].expert_bytes == 3000000 && found.nodes[1].expert_bytes == 3000000);
    /* The first half of the rows is node 0's, the second node 1's; expert 2 serves the first half only. */
    assert_int_equal(found.nodes[1].remote_activations, 16 * 36 + 16 * 32 * 4);
    assert_int_equal(found.nodes[0].remote_activations, 16 * 36 + 16 * 32 * 4);
    assert_int_equal(predict(&topology, &plan, experts, 32, 5).n_steps, 7);
    cm_plan_close(&plan);
    cm_topology_close(&topology);
}

static void dense_parts(void **state)
{
    (void)state;
    static const struct place_layer dense[1] = {{2000000, 1000000, 4000000, 3000000}};
    struct place_model              with_dense = model;
    static const int32_t            experts[] = {0, 1};
    const struct place_routings     routings = {.n_tokens = 1, .n_layers = 1, .n_slots = 2, .experts = experts};
    struct place_prediction         found;
    with_dense.layers = dense;
    with_dense.head_bytes = 5000000;
    struct topology topology = machine("numa:2 core:2 pu:1", "100");
    struct plan     plan = open_plan(&with_dense, 2);
    pin(&plan, 1, 1);
    assert_true(cm_place_model_bytes(&with_dense) == 24000000);
    assert_int_equal(cm_place_predict(NULL, &topology, &with_dense, &plan, &routings, 1, &found), CALMOE_OK);
    assert_near(found.step_seconds, found.expert_seconds + 120e-6); /* all on node 0 */
    plan.shares[0] = 3;
    plan.shares[1] = 1;
    plan.kv_heads[0] = plan.kv_heads[1] = 1;
    assert_int_equal(cm_place_predict(NULL, &topology, &with_dense, &plan, &routings, 1, &found), CALMOE_OK);
    assert_near(found.step_seconds, found.expert_seconds + 60e-6 + 20e-6);
    assert_near(found.tokens_per_s, 1 / found.step_seconds);
    double bytes[CM_MAX_NODES];
    cm_plan_bytes(&plan, &with_dense, bytes);
    assert_near(bytes[0], 9e6 + 6e6 + 2e6);
    assert_near(bytes[1], 3e6 + 2e6 + 2e6);
    cm_plan_close(&plan);
    cm_topology_close(&topology);
}

static void relative_bandwidths_tell_no_speed(void **state)
{
    (void)state;
    static const int32_t experts[] = {0, 1};
    struct topology      topology = machine("numa:2 core:2 pu:1", NULL);
    struct plan          plan = open_plan(&model, 2);
    const struct place_prediction found = predict(&topology, &plan, experts, 1, 1);
    assert_true(found.tokens_per_s == 0);
    assert_near(found.imbalance, 2);
    cm_plan_close(&plan);
    cm_topology_close(&topology);
}

/* ---- steps from counts ---- */

static void drawn_steps_keep_the_shares(void **state)
{
    (void)state;
    enum { EXPERTS = 32, USED = 4, TOKENS = 4000 };
    const struct place_model drawn = {.n_layers = 2, .n_experts = EXPERTS, .n_used = USED, .layers = layers};
    uint64_t                 counts[2 * EXPERTS];
    double                   sum[2] = {0, 0};
    for (int i = 0; i < 2 * EXPERTS; i++) {
        counts[i] = i < EXPERTS ? (uint64_t)(1000 / (i + 1) + 10) : i < EXPERTS + 6 ? 50 : 0; /* layer 1: six alike */
        if (i > 0) sum[i / EXPERTS] += (double)counts[i];
    }
    counts[0] = 5000; /* its share would be more than all tokens: it is in each, and three are drawn of the others */
    int32_t *experts, *again;
    assert_int_equal(cm_place_sample(NULL, &drawn, counts, TOKENS, 1, &experts), CALMOE_OK);
    assert_int_equal(cm_place_sample(NULL, &drawn, counts, TOKENS, 1, &again), CALMOE_OK);
    assert_memory_equal(experts, again, (size_t)TOKENS * 2 * USED * sizeof *experts);
    double n_taken[2 * EXPERTS] = {0};
    for (int row = 0; row < TOKENS * 2; row++)
        for (int slot = 0; slot < USED; slot++) {
            const int32_t expert = experts[row * USED + slot];
            assert_in_range(expert, 0, EXPERTS - 1);
            for (int other = 0; other < slot; other++) assert_int_not_equal(experts[row * USED + other], expert);
            n_taken[row % 2 * EXPERTS + expert]++;
        }
    for (int i = 0; i < 2 * EXPERTS; i++) {
        const double wanted = i == 0 ? 1 : (i < EXPERTS ? USED - 1 : USED) * (double)counts[i] / sum[i / EXPERTS];
        assert_true(fabs(n_taken[i] / TOKENS - wanted) < 0.03);
    }
    cm_free(experts);
    cm_free(again);
}

static void any_counts_can_be_drawn_from(void **state)
{
    (void)state;
    const struct place_model all = {.n_layers = 1, .n_experts = 5, .n_used = 5, .layers = layers};
    const struct place_model one = {.n_layers = 1, .n_experts = 5, .n_used = 1, .layers = layers};
    const struct place_model most = {.n_layers = 1, .n_experts = 5, .n_used = 4, .layers = layers};
    static const uint64_t    rows[][5] = {{0, 0, 0, 0, 0}, {1, 0, 0, 0, 0}, {7, 7, 7, 7, 7}, {UINT64_MAX / 8, 1, 1, 1,
        0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct place_model *models[] = {&all, &one, &most};
        for (int j = 0; j < 3; j++) {
            int32_t *experts;
            assert_int_equal(cm_place_sample(NULL, models[j], rows[i], 50, 3, &experts), CALMOE_OK);
            for (int token = 0; token < 50; token++)
                for (int slot = 0, taken = 0; slot < models[j]->n_used; slot++) {
                    const int32_t expert = experts[token * models[j]->n_used + slot];
                    assert_in_range(expert, 0, 4);
                    assert_false(taken >> expert & 1);
                    taken |= 1 << expert;
                }
            cm_free(experts);
        }
    }
}

static void every_request_may_fail(void **state)
{
    (void)state;
    static const int32_t        experts[] = {0, 1};
    const struct place_routings routings = {.n_tokens = 1, .n_layers = 1, .n_slots = 2, .experts = experts};
    const uint64_t              counts[4] = {1, 2, 3, 4};
    struct topology             topology = machine("numa:2 core:2 pu:1", "100");
    struct plan                 plan = open_plan(&model, 2);
    const long                  n_live = cm_live_blocks();
    for (long nth = 1; nth <= 3; nth++) {
        struct place_prediction found;
        int32_t                *sampled;
        cm_fail_request(nth);
        assert_int_equal(cm_place_predict(NULL, &topology, &model, &plan, &routings, 1, &found), CALMOE_NO_MEMORY);
        cm_fail_request(nth);
        assert_int_equal(cm_place_sample(NULL, &model, counts, 9, 1, &sampled), CALMOE_NO_MEMORY);
        assert_null(sampled);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    cm_fail_request(0);
    cm_plan_close(&plan);
    cm_topology_close(&topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_experts),
        cmocka_unit_test(cut_experts),
        cmocka_unit_test(phases_end_apart),
        cmocka_unit_test(replicas_serve_where_it_is_quiet),
        cmocka_unit_test(the_choice_of_replicas),
        cmocka_unit_test(memory_without_cores),
        cmocka_unit_test(batches),
        cmocka_unit_test(dense_parts),
        cmocka_unit_test(relative_bandwidths_tell_no_speed),
        cmocka_unit_test(drawn_steps_keep_the_shares),
        cmocka_unit_test(any_counts_can_be_drawn_from),
        cmocka_unit_test(every_request_may_fail),
    };
    return cmocka_run_group_tests_name("place_load", tests, NULL, NULL);
}
