/* test_placement_api.c - placement through the public interface: plans made, read back, predicted, simulated, and
 * what an engine says to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/calmoe.h>
#include <calmoe/placement.h>

#include "base/memory.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/tiny_model.h"

static calmoe_context     *context;
static calmoe_model       *model;
static calmoe_model_info   model_info = {.size = sizeof model_info};

static calmoe_placement *open_ok(const char *policy, const char *topology, const char *bandwidth, const char *profile)
{
    calmoe_placement_options options;
    calmoe_placement        *placement;
    calmoe_placement_options_init(&options);
    options.policy = policy;
    options.topology = topology;
    options.bandwidth = bandwidth;
    options.profile = profile;
    if (calmoe_placement_open(model, &options, &placement) != CALMOE_OK) fail_msg("%s",
        calmoe_context_message(context));
    return placement;
}

static calmoe_placement_info info_of(const calmoe_placement *placement)
{
    calmoe_placement_info info = {.size = sizeof info};
    assert_int_equal(calmoe_placement_get_info(placement, &info), CALMOE_OK);
    return info;
}

/* 8 experts: 0 and 1 are in every second token, the others share the rest. */
static const char *write_profile(void)
{
    char text[8192];
    int  n = snprintf(text, sizeof text,
                      "{\"schema\": \"calmoe.profile.1\", \"version\": \"0.1.0\", \"model\": {\"fingerprint\": \"%s\","
                       " \"layers\": 2, \"experts\": 8, \"used\": 3}, \"domains\": [{\"name\": \"x\", \"tokens\": 100,"
                       " \"used\": [0, 0, 0, 200], \"layers\": [",
                      model_info.fingerprint);
    for (int layer = 0; layer < 2; layer++)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "%s{\"tokens\": [75, 75, 25, 25, 25, 25, 25, 25], \"weights\": [1, 1, 1, 1, 1, 1, 1, 1],"
                      " \"reuse\": [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0], \"exits\": 0, \"pairs\": []}",
                      layer > 0 ? ", " : "");
    snprintf(text + n, sizeof text - (size_t)n, "]}]}");
    return temp_file_with(folder, "profile.json", text, strlen(text));
}

static void policies_are_listed(void **state)
{
    (void)state;
    const char *name, *summary;
    int         n = 0;
    for (; calmoe_placement_policy(n, &name, &summary) == CALMOE_OK; n++) {
        assert_true(strlen(name) > 0 && strlen(summary) > 0);
        calmoe_placement *placement = open_ok(name, "numa:3 core:2 pu:1", "50", write_profile());
        assert_string_equal(info_of(placement).policy, name);
        calmoe_placement_close(&placement);
        assert_null(placement);
    }
    assert_int_equal(n, 5);
    assert_int_equal(calmoe_placement_policy(-1, &name, &summary), CALMOE_END);
}

static void parts_add_up(void **state)
{
    (void)state;
    static const char *const topologies[] = {"numa:1 core:2 pu:1", "numa:2 core:2 pu:1", "numa:3 core:2 pu:1",
                                             "numa:7 core:1 pu:1", "numa:64 core:1 pu:1"};
    for (size_t i = 0; i < sizeof topologies / sizeof topologies[0]; i++) {
        calmoe_placement           *placement = open_ok(NULL, topologies[i], NULL, NULL);
        const calmoe_placement_info info = info_of(placement);
        calmoe_placement_node       node = {.size = sizeof node};
        uint64_t                    bytes = 0;
        int                         n_heads = 0;
        assert_string_equal(info.policy, "sliced");
        assert_string_equal(info.use, "even");
        for (int n = 0; calmoe_placement_get_node(placement, n, &node) == CALMOE_OK; n++) {
            bytes += node.weight_bytes;
            n_heads += node.kv_heads;
        }
        assert_true(llabs((long long)(bytes - info.n_weight_bytes)) <= info.n_nodes);
        assert_int_equal(n_heads, model_info.n_kv_heads);
        for (int expert = 0; expert < info.n_experts; expert++) {
            double parts[64], sum = 0;
            int    kind;
            assert_int_equal(calmoe_placement_get_expert(placement, 1, expert, &kind, parts, 64), CALMOE_OK);
            for (int n = 0; n < info.n_nodes; n++) sum += parts[n];
            assert_true(fabs(sum - 1) < 1e-9);
            assert_int_equal(kind, info.n_nodes == 1 ? CALMOE_PLACE_PINNED : CALMOE_PLACE_SLICED);
        }
        calmoe_placement_close(&placement);
    }
}

static void written_plans_are_looked_at_again(void **state)
{
    (void)state;
    calmoe_placement        *placement = open_ok("by_usage", "numa:2 core:2 pu:1", "0:50,1:30", write_profile()),
        *again;
    calmoe_placement_options options;
    calmoe_prediction        first = {.size = sizeof first}, second = first;
    const char              *path = temp_file(folder, "plan.json");
    assert_string_equal(info_of(placement).use, "profile");
    assert_int_equal(calmoe_placement_write(placement, path), CALMOE_OK);
    calmoe_placement_options_init(&options);
    options.plan = path;
    options.topology = "numa:2 core:2 pu:1";
    options.bandwidth = "0:50,1:30";
    if (calmoe_placement_open(model, &options, &again) != CALMOE_OK) fail_msg("%s", calmoe_context_message(context));
    assert_string_equal(info_of(again).policy, "");
    static const int32_t experts[] = {0, 1, 2, /**/ 3, 4, 5, /**/ 7, 6, 0, /**/ 1, 2, -1};
    assert_int_equal(calmoe_placement_simulate(placement, experts, 2, 3, 1, &first), CALMOE_OK);
    assert_int_equal(calmoe_placement_simulate(again, experts, 2, 3, 1, &second), CALMOE_OK);
    assert_memory_equal(&first, &second, sizeof first);
    assert_true(first.n_steps == 2 && first.n_uses == 11 && first.tokens_per_s > 0 && first.imbalance >= 1);
    calmoe_placement_close(&placement);
    calmoe_placement_close(&again);
}

/* A plan with whole experts on one node runs; one with slices is refused in one sentence. */
static void engines_say_what_they_run(void **state)
{
    (void)state;
    calmoe_placement_options options;
    calmoe_engine_options    engine_options;
    calmoe_engine           *engine;
    calmoe_placement        *placement = open_ok("one_node", NULL, NULL, NULL);
    char                     path[512];
    snprintf(path, sizeof path, "%s", temp_file(folder, "run.json"));
    const int n_nodes = info_of(placement).n_nodes;
    assert_int_equal(calmoe_placement_write(placement, path), CALMOE_OK);
    calmoe_placement_close(&placement);
    calmoe_engine_options_init(&engine_options);
    engine_options.plan = path;
    engine_options.n_threads = 1;
    if (calmoe_engine_open(model, &engine_options, &engine) != CALMOE_OK) fail_msg("%s",
        calmoe_context_message(context));
    calmoe_engine_close(&engine);

    placement = open_ok("sliced", "numa:64 core:1 pu:1", NULL, NULL);
    assert_int_equal(calmoe_placement_write(placement, path), CALMOE_OK);
    calmoe_placement_close(&placement);
    if (n_nodes != 64) {
        assert_int_equal(calmoe_engine_open(model, &engine_options, &engine), CALMOE_INVALID_ARGUMENT);
        assert_non_null(strstr(calmoe_context_message(context), "the plan is for a machine with 64 memory nodes"));
        assert_null(engine);
    }
    calmoe_placement_options_init(&options);
    options.plan = path;
    assert_int_equal(calmoe_placement_open(model, &options, &placement), CALMOE_INVALID_ARGUMENT);
    assert_null(placement);
}

static void check_refusal(const calmoe_placement_options *options, calmoe_status status, const char *words)
{
    const long        n_live = cm_live_blocks();
    calmoe_placement *placement;
    assert_int_equal(calmoe_placement_open(model, options, &placement), status);
    assert_null(placement);
    if (!strstr(calmoe_context_message(context), words)) fail_msg("sentence: %s", calmoe_context_message(context));
    assert_int_equal(cm_live_blocks(), n_live);
}

static void what_is_wrong_is_told(void **state)
{
    (void)state;
    calmoe_placement_options good, bad;
    calmoe_placement_options_init(&good);
    good.topology = "numa:2 core:2 pu:1";
    bad = good, bad.policy = "best";
    check_refusal(&bad, CALMOE_INVALID_ARGUMENT, "placement policy is 'best'; ");
    bad = good, bad.policy = "by_usage";
    check_refusal(&bad, CALMOE_INVALID_ARGUMENT, "needs a profile");
    bad = good, bad.topology = "numa:zero";
    check_refusal(&bad, CALMOE_INVALID_ARGUMENT, "numa:zero");
    bad = good, bad.bandwidth = "0:1";
    check_refusal(&bad, CALMOE_INVALID_ARGUMENT, "bandwidth '0:1'");
    bad = good, bad.memory_limit = 0.5f;
    check_refusal(&bad, CALMOE_INVALID_ARGUMENT, "memory_limit is 0.5; 1 to 64 is wanted");
    bad = good, bad.memory_limit = NAN;
    check_refusal(&bad, CALMOE_INVALID_ARGUMENT, "1 to 64 is wanted");
    bad = good, bad.domain = "x";
    check_refusal(&bad, CALMOE_INVALID_ARGUMENT, "domain 'x' needs a profile");
    bad = good, bad.profile = write_profile(), bad.domain = "y";
    check_refusal(&bad, CALMOE_INVALID_ARGUMENT, "no domain 'y'");
    bad = good, bad.profile = "/no/such/profile.json";
    check_refusal(&bad, CALMOE_IO, "/no/such/profile.json");
    bad = good, bad.plan = "/no/such/plan.json";
    check_refusal(&bad, CALMOE_IO, "/no/such/plan.json");
    bad.policy = "sliced";
    check_refusal(&bad, CALMOE_INVALID_ARGUMENT, "exclude each other");
    bad = good, bad.topology = "numa:2(memory=1KiB) core:2 pu:1";
    check_refusal(&bad, CALMOE_NO_MEMORY, "the machine's nodes hold");
    static const char other[] = "{\"schema\": \"calmoe.plan.1\", \"version\": \"0\", \"model\": {\"fingerprint\":"
                                " \"0123456789abcdef\"}, \"nodes\": 2, \"layers\": [[0]]}";
    bad = good, bad.plan = temp_file_with(folder, "other.json", other, sizeof other - 1);
    check_refusal(&bad, CALMOE_INVALID_ARGUMENT, "the plan is for the model 0123456789abcdef");
}

static void routings_are_checked(void **state)
{
    (void)state;
    calmoe_placement *placement = open_ok(NULL, "numa:2 core:2 pu:1", NULL, NULL);
    calmoe_prediction found = {.size = sizeof found}, unset = {.size = 0};
    static const int32_t too_large[] = {0, 1, 2, /**/ 3, 8, 5}, twice[] = {0, 1, 2, /**/ 3, 4, 3}, fine[] = {0, 1, 2,
        3, 4, 5};
    assert_int_equal(calmoe_placement_simulate(placement, too_large, 1, 3, 1, &found), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(calmoe_context_message(context),
                        "token 0 takes expert 8 in layer 1; each of 0 to 7 at most once is wanted");
    assert_int_equal(calmoe_placement_simulate(placement, twice, 1, 3, 1, &found), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_placement_simulate(placement, fine, 0, 3, 1, &found), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_placement_simulate(placement, fine, 1, 3, 0, &found), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_placement_simulate(placement, NULL, 1, 3, 1, &found), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_placement_simulate(placement, fine, 1, 3, 1, &unset), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_placement_predict(NULL, 1, &found), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_placement_predict(placement, 8, &found), CALMOE_OK);
    assert_true(found.batch == 8 && found.tokens_per_s == 0);
    calmoe_placement_close(&placement);
    calmoe_placement_close(&placement);
    calmoe_placement_close(NULL);
}

static int open_model(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_wide();
    folder = temp_folder_open();
    tiny_model_write(&tiny, temp_file(folder, "tiny.gguf"));
    return calmoe_context_open(NULL, &context) ||
           calmoe_model_open(context, temp_file(folder, "tiny.gguf"), NULL, &model) ||
           calmoe_model_get_info(model, &model_info);
}

static int close_model(void **state)
{
    (void)state;
    calmoe_model_close(&model);
    calmoe_context_close(&context);
    temp_folder_close(&folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_are_listed),       cmocka_unit_test(parts_add_up),
        cmocka_unit_test(written_plans_are_looked_at_again), cmocka_unit_test(engines_say_what_they_run),
        cmocka_unit_test(what_is_wrong_is_told),     cmocka_unit_test(routings_are_checked),
    };
    return cmocka_run_group_tests_name("placement_api", tests, open_model, close_model);
}
