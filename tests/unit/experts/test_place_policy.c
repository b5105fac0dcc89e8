/* test_place_policy.c - every policy on many machines: all placed, limits kept, deterministic; by_usage never slower
 * than another by its own measure; balance of a token's experts on 2 and 4 nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "experts/place_policy.h"

#define DESCRIBED(name) CALMOE_SOURCE_DIR "/tests/data/topology/" name
#define UNEVEN(name) CALMOE_SOURCE_DIR "/tests/unit/base/" name

/* memory: MB of node 0, 1, … where the description cannot say it; 0 ends the list. The small model of the tests
 * has 800 MB of weights. */
static const struct machine {
    const char *spec, *bandwidth;
    int         memory[8];
} machines[] = {
    {"pu:1", NULL, {0}},
    {"numa:1 core:3 pu:1", "50", {0}},
    {"numa:2 core:4 pu:1", NULL, {0}},
    {"numa:2 core:4 pu:2", "100", {0}},
    {"numa:2(memory=64GiB) core:4 pu:1", "0:100,1:40", {0}},
    {"numa:3 core:2 pu:1", "70", {0}},
    {"numa:4 core:8 pu:1", "100", {0}},
    {"node:4 core:1 pu:1", "0:10,1:20,2:30,3:40", {0}},
    {"numa:5 core:3 pu:1", NULL, {0}},
    {"numa:6(memory=1GiB) core:3 pu:1", "0:1,1:1,2:1,3:1,4:1,5:300", {0}},
    {"numa:7 core:1 pu:1", "33", {0}},
    {"numa:8 core:4 pu:1", "25", {0}},
    {"pack:2 numa:4 core:4 pu:1", NULL, {0}},
    {"numa:11 core:1 pu:1", "9", {0}},
    {"numa:12 core:2 pu:1", NULL, {0}},
    {"numa:13 core:1 pu:1", NULL, {0}},
    {"numa:16 core:1 pu:1", "12", {0}},
    {"numa:24 core:2 pu:1", NULL, {0}},
    {"numa:32 core:1 pu:1", "11", {0}},
    {"numa:48 core:1 pu:1", NULL, {0}},
    {"numa:63 core:1 pu:1", "3", {0}},
    {"numa:64 core:1 pu:1", NULL, {0}},
    {"pack:2 [numa(memory=16GiB)] [numa(memory=64GiB)] core:4 pu:1", NULL, {0}},
    {"pack:2 [numa(memory=16GiB)] [numa(memory=64GiB)] core:4 pu:1", "0:50,1:200,2:50,3:200", {0}},
    {"numa:2(memory=1GiB) core:4 pu:1", "100", {900, 200}},       /* node 1 is too small for its half  */
    {"numa:2(memory=1GiB) core:4 pu:1", "0:100,1:10", {200, 900}}, /* the fast one is too small         */
    {"numa:3(memory=1GiB) core:4 pu:1", "40", {50, 50, 1200}},
    {"numa:4(memory=1GiB) core:4 pu:1", "40", {300, 300, 250, 250}}, /* all of it is needed            */
    {"numa:4(memory=1GiB) core:4 pu:1", "40", {1, 1, 2000, 1}},
    {"pack:2 [numa(memory=1GiB)] [numa(memory=1GiB)] core:4 pu:1", "0:40,1:9,2:40,3:9", {200, 400, 200, 400}},
    {"pack:2 [numa(memory=1GiB)] [numa(memory=1GiB)] core:4 pu:1", "0:40,1:300,2:40,3:300", {600, 150, 600, 150}},
    {UNEVEN("lopsided.xml"), NULL, {0}},
    {UNEVEN("memoryless.xml"), "0:30,1:20,2:60", {0}},
    {DESCRIBED("two_sockets.xml"), "180", {0}},
    {DESCRIBED("four_sockets.xml"), NULL, {0}},
    {DESCRIBED("eight_nodes.xml"), "45", {0}},
    {DESCRIBED("near_and_far.xml"), NULL, {0}},
    {DESCRIBED("expander.xml"), NULL, {0}},
    {DESCRIBED("real_xeon_e5_2.xml"), "51", {0}},
    {DESCRIBED("real_xeon_e7_4.xml"), "34", {0}},
    {DESCRIBED("real_intel_16.xml"), NULL, {0}},
    {DESCRIBED("real_opteron_4x2.xml"), NULL, {0}},
};
enum { N_MACHINES = sizeof machines / sizeof machines[0] };

static struct topology open_machine(const struct machine *machine)
{
    struct calmoe_context ctx = {0};
    struct topology       topology;
    if (cm_topology_open(&ctx, machine->spec, &topology) != CALMOE_OK) fail_msg("%s", ctx.message);
    if (machine->bandwidth && cm_topology_set_bandwidth(&ctx, &topology, machine->bandwidth) != CALMOE_OK)
        fail_msg("%s", ctx.message);
    for (int node = 0; node < 8 && machine->memory[node] > 0; node++)
        topology.nodes[node].memory_bytes = (uint64_t)machine->memory[node] * 1000000;
    return topology;
}

enum { SMALL_LAYERS = 2, SMALL_EXPERTS = 12, SMALL_USED = 3, TOKENS = 200 };
static const struct place_layer small_layers[SMALL_LAYERS] = {{20000000, 10000000, 5000000, 15000000},
                                                              {20000000, 10000000, 5000000, 15000000}};
static const struct place_model small_model = {.n_layers = SMALL_LAYERS, .n_experts = SMALL_EXPERTS,
                                               .n_used = SMALL_USED, .width = 96, .dim = 80, .quantum = 16,
                                               .n_kv_heads = 3, .head_bytes = 40000000, .layers = small_layers};

/* Zipf's law over a random order of a layer's experts; a slot keeps an expert of the token before with probability
 * 0.3. order_seed: the same experts are the popular ones. */
static int32_t *make_routings(const struct place_model *model, int n_tokens, double zipf, uint64_t seed,
                              uint64_t order_seed)
{
    const size_t  n_layers = (size_t)model->n_layers, n_used = (size_t)model->n_used;
    struct random random = cm_random(seed), order = cm_random(order_seed);
    int32_t      *out = malloc((size_t)n_tokens * n_layers * n_used * sizeof *out);
    double       *weights = malloc((size_t)model->n_experts * sizeof *weights);
    assert_true(out && weights);
    for (size_t layer = 0; layer < n_layers; layer++) {
        for (int i = 0; i < model->n_experts; i++) {
            const int at = (int)cm_random_below(&order, (uint64_t)i + 1);
            weights[i] = weights[at];
            weights[at] = pow(i + 1, -zipf);
        }
        for (size_t token = 0; token < (size_t)n_tokens; token++) {
            int32_t *taken = out + (token * n_layers + layer) * n_used;
            for (size_t slot = 0; slot < n_used;) {
                int32_t expert = 0;
                double  sum = 0, at;
                for (int i = 0; i < model->n_experts; i++) sum += weights[i];
                at = cm_random_unit(&random) * sum;
                while (expert + 1 < model->n_experts && (at -= weights[expert]) > 0) expert++;
                if (token > 0 && cm_random_unit(&random) < 0.3)
                    expert = taken[cm_random_below(&random, n_used) - n_layers * n_used];
                bool is_new = true;
                for (size_t other = 0; other < slot; other++) is_new = is_new && taken[other] != expert;
                if (is_new) taken[slot++] = expert;
            }
        }
    }
    free(weights);
    return out;
}

static void check_result(const struct place_problem *problem, const struct place_result *result, const char *policy)
{
    const struct topology *topology = problem->topology;
    const struct plan      shape = cm_place_shape(problem->model, topology->n_nodes);
    struct calmoe_context  ctx = {0};
    double                 sum = 0;
    if (cm_plan_check(&ctx, &result->plan, &shape) != CALMOE_OK) fail_msg("%s: %s", policy, ctx.message);
    for (int node = 0; node < topology->n_nodes; node++) {
        sum += result->bytes[node];
        if (topology->is_memory_known && result->bytes[node] > (double)topology->nodes[node].memory_bytes)
            fail_msg("%s puts %g bytes on node %d", policy, result->bytes[node], node);
    }
    assert_true(sum >= 0.999999 * (double)cm_place_model_bytes(problem->model));
    assert_true(fabs(result->memory_factor - sum / (double)cm_place_model_bytes(problem->model)) < 1e-9);
    assert_true(result->memory_factor <= (result->n_replicated > 0 ? problem->memory_limit : 1) + 1e-6);
    assert_int_equal(result->n_pinned + result->n_sliced + result->n_replicated,
                     result->plan.n_layers * result->plan.n_experts);
    assert_true(strlen(result->why) > 20);
}

static bool are_equal(const struct plan *a, const struct plan *b)
{
    const size_t n = (size_t)a->n_layers * (size_t)a->n_experts;
    for (size_t i = 0; i < n; i++) {
        const struct place *x = &a->places[i], *y = &b->places[i];
        if (x->kind != y->kind || x->node != y->node || x->slice != y->slice || x->replicas !=
            y->replicas) return false;
    }
    return a->n_slices == b->n_slices && memcmp(a->shares, b->shares, sizeof a->shares) == 0 &&
           memcmp(a->kv_heads, b->kv_heads, sizeof a->kv_heads) == 0 &&
           (a->n_slices == 0 || memcmp(a->slices, b->slices, (size_t)a->n_slices * sizeof *a->slices) == 0);
}

static void every_policy_on_every_machine(void **state)
{
    (void)state;
    int32_t *experts = make_routings(&small_model, TOKENS, 0.8, 1, 7);
    const struct place_routings routings = {.n_tokens = TOKENS, .n_layers = SMALL_LAYERS, .n_slots = SMALL_USED,
                                            .experts = experts};
    const struct place_routings proof = cm_place_proof(&routings);
    const long n_live = cm_live_blocks();
    assert_true(N_MACHINES >= 30);
    for (int i = 0; i < N_MACHINES; i++) {
        struct topology            topology = open_machine(&machines[i]);
        const struct place_problem problem = {&topology, &small_model, &routings, 1.25};
        double                     best = INFINITY, seconds = 0;
        for (int j = 0; cm_place_policy_at(j); j++) {
            const struct place_policy *policy = cm_place_policy_at(j);
            struct calmoe_context      ctx = {0};
            struct place_result        result, again;
            if (cm_place(&ctx, policy, &problem, &result) != CALMOE_OK)
                fail_msg("%s on '%s': %s", policy->name, machines[i].spec, ctx.message);
            check_result(&problem, &result, policy->name);
            assert_int_equal(cm_place(&ctx, policy, &problem, &again), CALMOE_OK);
            assert_true(are_equal(&result.plan, &again.plan));
            assert_int_equal(cm_place_cost(&ctx, &problem, &proof, &result.plan, &seconds), CALMOE_OK);
            if (!policy->needs_routings) best = fmin(best, seconds);
            cm_place_result_close(&result);
            cm_place_result_close(&again);
        }
        if (!(seconds <= best * (1 + 1e-8))) /* by_usage is the last */
            fail_msg("by_usage on '%s': %g s, another %g s", machines[i].spec, seconds, best);
        cm_topology_close(&topology);
    }
    assert_int_equal(cm_live_blocks(), n_live);
    free(experts);
}

static void small_nodes_spill_aloud(void **state)
{
    (void)state;
    struct topology            topology = open_machine(&machines[24]);
    const struct place_problem problem = {&topology, &small_model, NULL, 1.25};
    for (int j = 0; !cm_place_policy_at(j)->needs_routings; j++) {
        struct place_result result;
        assert_int_equal(cm_place(NULL, cm_place_policy_at(j), &problem, &result), CALMOE_OK);
        if (strcmp(cm_place_policy_at(j)->name, "one_node") == 0) assert_string_equal(result.notes, "");
        else assert_non_null(strstr(result.notes, "Node 1 is too small"));
        cm_place_result_close(&result);
    }
    topology.nodes[0].memory_bytes = 700000000;
    topology.nodes[1].memory_bytes = 700000000;
    struct place_result result;
    assert_int_equal(cm_place(NULL, cm_place_policy_at(0), &problem, &result), CALMOE_OK);
    assert_non_null(strstr(result.notes, "Node 0 is too small"));
    assert_true(result.bytes[1] > 0);
    cm_place_result_close(&result);
    cm_topology_close(&topology);
}

static void what_fits_nowhere_is_refused(void **state)
{
    (void)state;
    struct calmoe_context      ctx = {0};
    struct topology            topology = open_machine(&machines[24]);
    const struct place_problem problem = {&topology, &small_model, NULL, 1.25};
    struct place_result        result;
    topology.nodes[0].memory_bytes = topology.nodes[1].memory_bytes = 300000000;
    for (int j = 0; !cm_place_policy_at(j)->needs_routings; j++) {
        assert_int_equal(cm_place(&ctx, cm_place_policy_at(j), &problem, &result), CALMOE_NO_MEMORY);
        assert_string_equal(ctx.message, "the model's weights are 0.80 GB; the machine's nodes hold 0.60 GB in all, of"
                                         " which 0.54 GB are planned with");
    }
    topology.nodes[0].memory_bytes = topology.nodes[1].memory_bytes = (uint64_t)8 << 30;
    topology.memory_limit = 700000000; /* of the control group */
    assert_int_equal(cm_place(&ctx, cm_place_policy_at(3), &problem, &result), CALMOE_NO_MEMORY);
    assert_int_equal(cm_place(&ctx, cm_place_policy_at(4), &problem, &result), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "placement policy 'by_usage' needs a profile");
    const struct place_policy *policy;
    assert_int_equal(cm_place_policy_named(&ctx, "best", &policy), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "placement policy is 'best'; one_node, interleave, round_robin,"
        " sliced or"
                                     " by_usage is wanted");
    assert_null(policy);
    cm_topology_close(&topology);
}

/* ---- balance ---- */

struct shape {
    int n_experts, n_used, width, dim;
};

/* The imbalance of a policy at one token a step on routings that it has not seen. */
static double imbalance_of(const struct shape *shape, const char *spec, double zipf, const char *name, double *seconds,
                           double *memory)
{
    const uint64_t           bytes = (uint64_t)shape->width * (uint64_t)shape->dim * 9 / 16; /* 4.5 bits each */
    const struct place_layer layers[2] = {{2 * bytes, bytes, 4000000, 4000000}, {2 * bytes, bytes, 4000000, 4000000}};
    const struct place_model model = {.n_layers = 2, .n_experts = shape->n_experts, .n_used = shape->n_used,
                                      .width = shape->width, .dim = shape->dim, .quantum = 16, .n_kv_heads = 8,
                                      .head_bytes = 8000000, .layers = layers};
    const struct machine     machine = {spec, "100", {0}};
    struct topology          topology = open_machine(&machine);
    int32_t *seen = make_routings(&model, 1024, zipf, 1, 5), *new = make_routings(&model, 1024, zipf, 2, 5);
    const struct place_routings seen_routings = {1024, 2, shape->n_used, seen}, new_routings = {1024, 2, shape->n_used,
        new};
    const struct place_problem  problem = {&topology, &model, &seen_routings, 1.25};
    const struct place_policy  *policy;
    struct place_result         result;
    struct place_prediction     found;
    assert_int_equal(cm_place_policy_named(NULL, name, &policy), CALMOE_OK);
    assert_int_equal(cm_place(NULL, policy, &problem, &result), CALMOE_OK);
    assert_int_equal(cm_place_predict(NULL, &topology, &model, &result.plan, &new_routings, 1, &found), CALMOE_OK);
    *seconds = found.expert_seconds;
    *memory = result.memory_factor;
    cm_place_result_close(&result);
    cm_topology_close(&topology);
    free(seen);
    free(new);
    return found.imbalance;
}

static void a_token_is_balanced(void **state)
{
    (void)state;
    static const struct shape shapes[] = {{64, 8, 1024, 2048}, {128, 8, 768, 2048}, {8, 2, 3584, 1024}, {60, 4, 1408,
        2048}};
    static const char *const  specs[] = {"numa:2 core:8 pu:1", "numa:4 core:8 pu:1"};
    static const double       zipfs[] = {0, 0.6, 1.0};
    for (size_t i = 0; i < 4 * 2 * 3; i++) {
        const struct shape *shape = &shapes[i / 6];
        const char         *spec = specs[i / 3 % 2];
        double              seconds, pinned_seconds, memory, pinned_memory;
        const double found = imbalance_of(shape, spec, zipfs[i % 3], "by_usage", &seconds, &memory);
        const double pinned = imbalance_of(shape, spec, zipfs[i % 3], "round_robin", &pinned_seconds, &pinned_memory);
        assert_true(found <= 1.05);
        assert_true(memory <= 1.25 + 1e-9);
        assert_true(pinned > 1.15); /* what it is measured against is worse indeed */
        assert_true(seconds < pinned_seconds);
    }
}

/* Fast memory that holds a part of the model: what is used most belongs there, which slices cannot know. */
static void the_most_used_live_in_fast_memory(void **state)
{
    (void)state;
    static const struct machine machine = {"pack:2 [numa(memory=1GiB)] [numa(memory=1GiB)] core:4 pu:1",
                                           "0:40,1:300,2:40,3:300", {600, 150, 600, 150}};
    struct topology topology = open_machine(&machine);
    int32_t *experts = make_routings(&small_model, 1000, 1.5, 1, 7), *new = make_routings(&small_model, 1000, 1.5, 2,
        7);
    const struct place_routings routings = {1000, SMALL_LAYERS, SMALL_USED, experts}, others = {1000, SMALL_LAYERS,
        SMALL_USED, new};
    const struct place_problem  problem = {&topology, &small_model, &routings, 1};
    struct place_result         sliced, by_usage;
    double                      sliced_seconds, seconds;
    assert_int_equal(cm_place(NULL, cm_place_policy_at(3), &problem, &sliced), CALMOE_OK);
    assert_int_equal(cm_place(NULL, cm_place_policy_at(4), &problem, &by_usage), CALMOE_OK);
    assert_int_equal(cm_place_cost(NULL, &problem, &others, &sliced.plan, &sliced_seconds), CALMOE_OK);
    assert_int_equal(cm_place_cost(NULL, &problem, &others, &by_usage.plan, &seconds), CALMOE_OK);
    assert_true(seconds < 0.9 * sliced_seconds);
    cm_place_result_close(&sliced);
    cm_place_result_close(&by_usage);
    cm_topology_close(&topology);
    free(experts);
    free(new);
}

/* Coarse slices leave nodes uneven; copies of what is used most, where memory allows them, mend it. */
static void more_memory_is_never_slower(void **state)
{
    (void)state;
    struct topology    topology = open_machine(&machines[2]);
    struct place_model coarse = small_model;
    int32_t           *experts = make_routings(&small_model, TOKENS, 1.2, 1, 7);
    const struct place_routings routings = {TOKENS, SMALL_LAYERS, SMALL_USED, experts};
    double             last = INFINITY;
    bool               has_replicas = false;
    coarse.quantum = 32;
    for (double limit = 1; limit <= 2; limit += 0.25) {
        const struct place_problem  problem = {&topology, &coarse, &routings, limit};
        const struct place_routings proof = cm_place_proof(&routings);
        struct place_result         result;
        double                      seconds;
        assert_int_equal(cm_place(NULL, cm_place_policy_at(4), &problem, &result), CALMOE_OK);
        check_result(&problem, &result, "by_usage");
        assert_int_equal(cm_place_cost(NULL, &problem, &proof, &result.plan, &seconds), CALMOE_OK);
        if (limit <= 1) assert_int_equal(result.n_replicated, 0);
        else assert_true(seconds <= last * 1.03); /* a search, so not quite steady */
        has_replicas = has_replicas || result.n_replicated > 0;
        last = fmin(last, seconds);
        cm_place_result_close(&result);
    }
    assert_true(has_replicas);
    cm_topology_close(&topology);
    free(experts);
}

static void every_request_may_fail(void **state)
{
    (void)state;
    int32_t *experts = make_routings(&small_model, 20, 1, 1, 7);
    const struct place_routings routings = {20, SMALL_LAYERS, SMALL_USED, experts};
    struct topology            topology = open_machine(&machines[5]);
    const struct place_problem problem = {&topology, &small_model, &routings, 1.25};
    const long                 n_live = cm_live_blocks();
    for (int j = 0; cm_place_policy_at(j); j++)
        for (long nth = 1;; nth++) {
            struct calmoe_context ctx = {0};
            struct place_result   result;
            cm_fail_request(nth);
            const calmoe_status status = cm_place(&ctx, cm_place_policy_at(j), &problem, &result);
            cm_fail_request(0);
            cm_place_result_close(&result);
            assert_int_equal(cm_live_blocks(), n_live);
            if (status == CALMOE_OK) break;
            assert_int_equal(status, CALMOE_NO_MEMORY);
        }
    cm_topology_close(&topology);
    free(experts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_on_every_machine),
        cmocka_unit_test(small_nodes_spill_aloud),
        cmocka_unit_test(what_fits_nowhere_is_refused),
        cmocka_unit_test(a_token_is_balanced),
        cmocka_unit_test(the_most_used_live_in_fast_memory),
        cmocka_unit_test(more_memory_is_never_slower),
        cmocka_unit_test(every_request_may_fail),
    };
    return cmocka_run_group_tests_name("place_policy", tests, NULL, NULL);
}
