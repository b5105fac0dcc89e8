/* test_same_bits_plans.c - a token's logits are the same bits wherever weights, keys and values live: plans of every
 * policy and plans by chance, on machines that are not there: 2 to 7 nodes, uneven ones, nodes without cores or memory,
 * teams that leave nodes without threads. One thread on one node is what all is compared with, by memcmp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/placement.h>

#include "base/memory.h"
#include "base/random.h"
#include "runtime/engine/handles.h"
#include "runtime/documents/plan_file.h"
#include "tests/support/goldens.h"
#include "tests/support/random_plan.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/thin.h"
#include "tests/support/tiny_model.h"

enum { N_PROMPT = 37, N_SINGLE = 3, N_TOKENS = N_PROMPT + N_SINGLE };

/* hwloc shows these instead of the machine at hand: to calmoe_engine_open() too. */
static const struct machine_case {
    const char *synthetic, *xml; /* one of them */
    int         n_threads;       /* 0 = every core */
} machines[] = {
    {"numa:2 core:1 pu:1", NULL, 0},
    {"numa:2 core:2 pu:1", NULL, 3},
    {"numa:3 core:1 pu:1", NULL, 0},
    {"numa:4 core:1 pu:1", NULL, 0},
    {"numa:4 core:2 pu:1", NULL, 2},
    {"numa:7 core:1 pu:1", NULL, 0},
    {"numa:7 core:1 pu:1", NULL, 1},
    {"pack:2 [numa] [numa] core:1 pu:1", NULL, 0}, /* two nodes without cores */
    {NULL, "lopsided.xml", 5},
    {NULL, "memoryless.xml", 4},
};
enum { N_MACHINES = sizeof machines / sizeof machines[0] };

static char                model_path[600];
static int32_t             tokens[N_TOKENS];
static float              *wanted; /* (N_TOKENS, n_vocab) */

static void show_machine(const struct machine_case *machine)
{
    char path[600];
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("HWLOC_XMLFILE");
    if (!machine) return;
    snprintf(path, sizeof path, CALMOE_SOURCE_DIR "/tests/unit/base/%s", machine->xml ? machine->xml : "");
    if (machine->synthetic) setenv("HWLOC_SYNTHETIC", machine->synthetic, 1);
    else setenv("HWLOC_XMLFILE", path, 1);
}

/* A prompt in one step, single tokens, then the prompt again in two chunks of a step with another sequence. */
static void read_all(struct running *r, float *logits)
{
    running_read(r, r->session, tokens, N_PROMPT, N_PROMPT, logits);
    running_read(r, r->session, tokens + N_PROMPT, N_SINGLE, 1, logits + (size_t)N_PROMPT * (size_t)r->n_vocab);
}

static void check_batch(struct running *r, const char *way)
{
    calmoe_session    *other;
    running_must(r->context, calmoe_session_open(r->engine, NULL, &other));
    running_must(r->context, calmoe_session_rewind(r->session, 5));
    const calmoe_chunk chunks[] = {{other, tokens, 9, CALMOE_LOGITS_LAST},
                                   {r->session, tokens + 5, 4, CALMOE_LOGITS_LAST}};
    running_must(r->context, calmoe_engine_step(r->engine, chunks, 2));
    for (int i = 0; i < 2; i++)
        if (memcmp(calmoe_session_logits(chunks[i].session, 0), wanted + (size_t)8 * (size_t)r->n_vocab,
                   (size_t)r->n_vocab * sizeof *wanted) != 0)
            fail_msg("%s, %s: other logits in a batch", model_path, way);
    calmoe_session_close(&other);
}

/* Nothing is read from afar but where nodes that have weights have no threads. */
static void check_reads(const struct running *r, const char *way)
{
    const calmoe_engine *engine = r->engine;
    calmoe_stats         stats = {.size = sizeof stats};
    bool                 is_far = false;
    running_must(r->context, calmoe_engine_get_stats(engine, &stats));
    for (int node = 0; node < engine->topology.n_nodes; node++)
        is_far |= stats.node_bytes[node] > 0 && cm_team_server(engine->team, node) != node;
    if (!is_far && stats.n_remote_bytes > 0) fail_msg("%s, %s: weights were read from afar", model_path, way);
}

static void check_with(const struct machine_case *machine, const char *plan, const char *way)
{
    calmoe_engine_options options = running_options(machine ? machine->n_threads : 1, NULL);
    options.plan = plan;
    show_machine(machine);
    struct running r = running_open(model_path, &options, NULL);
    const size_t   n = (size_t)N_TOKENS * (size_t)r.n_vocab;
    float         *found = malloc(n * sizeof *found);
    assert_non_null(found);
    read_all(&r, found);
    if (!wanted) {
        wanted = found;
    } else {
        for (size_t i = 0; i < n; i++)
            if (memcmp(&found[i], &wanted[i], sizeof *found) != 0)
                fail_msg("%s, %s: logit %zu of token %zu is %a, not %a", model_path, way, i % (size_t)r.n_vocab,
                         i / (size_t)r.n_vocab, (double)found[i], (double)wanted[i]);
        check_batch(&r, way);
        check_reads(&r, way);
        free(found);
    }
    running_close(&r);
}

static void write_random_plan(const char *path, uint64_t seed)
{
    struct topology  topology;
    struct plan_file file;
    calmoe_context  *context;
    calmoe_model    *model;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, calmoe_model_open(context, model_path, NULL, &model));
    const struct model_spec *spec = &model->spec;
    assert_int_equal(cm_topology_open(context, NULL, &topology), CALMOE_OK);
    const int         width = spec->most.width[cm_is_dense_model(spec) ? BANK_SHARED : BANK_ROUTED];
    const struct plan shape = {.n_nodes = topology.n_nodes, .n_layers = spec->n_layers,
                               .n_experts = spec->most.n_experts, .width = width, .dim = spec->dim,
                               .quantum = CM_SLICE_QUANTUM, .n_kv_heads = spec->most.n_kv_heads};
    running_must(context, random_plan(context, &shape, seed, &file.plan));
    memcpy(file.fingerprint, model->fingerprint, sizeof file.fingerprint);
    running_must(context, cm_plan_file_write(context, path, &file));
    cm_plan_file_close(&file);
    cm_topology_close(&topology);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
}

static void write_policy_plan(const char *path, const char *policy)
{
    calmoe_context          *context;
    calmoe_model            *model;
    calmoe_placement        *placement;
    calmoe_placement_options options;
    calmoe_placement_options_init(&options);
    options.policy = policy;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, calmoe_model_open(context, model_path, NULL, &model));
    running_must(context, calmoe_placement_open(model, &options, &placement));
    running_must(context, calmoe_placement_write(placement, path));
    calmoe_placement_close(&placement);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
}

/* n_random plans by chance on each machine; the default and one policy, each machine another. */
static void check_plans(int n_random, uint64_t seed)
{
    struct random random = cm_random(seed);
    char          path[600], way[200];
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = 3 + (int32_t)cm_random_below(&random, 25);
    check_with(NULL, NULL, "one thread");
    snprintf(path, sizeof path, "%s", temp_file(folder, "plan.json"));
    for (int m = 0; m < N_MACHINES; m++) {
        if (way_is_left_out(m + (int)seed, 4)) continue;
        const char *name = machines[m].synthetic ? machines[m].synthetic : machines[m].xml, *policy;
        running_must(NULL, calmoe_placement_policy((m + (int)seed) % 4, &policy, NULL)); /* the fifth needs a profile */
        show_machine(&machines[m]);
        write_policy_plan(path, policy);
        snprintf(way, sizeof way, "%s on %s", policy, name);
        check_with(&machines[m], path, way);
        snprintf(way, sizeof way, "no plan on %s", name);
        check_with(&machines[m], NULL, way);
        for (int i = 0; i < n_random; i++) {
            const uint64_t plan_seed = seed * 1000 + (uint64_t)(m * 10 + i);
            show_machine(&machines[m]);
            write_random_plan(path, plan_seed);
            snprintf(way, sizeof way, "random plan %d on %s", (int)plan_seed, name);
            check_with(&machines[m], path, way);
        }
    }
    free(wanted);
    wanted = NULL;
    show_machine(NULL);
}

static void golden_models(void **state)
{
    (void)state;
    static const char *const names[] = {"mixtral", "qwen2moe", "granitemoeshared", "olmoe", "qwen3moe", "llama3",
                                        "llamabias", "gptoss", "qwen3next", "qwen35moe", "qwen3nextold", "qwen35",
                                        "gemma3", "gemma4moe", "gemma4", "deepseek2", "deepseek2old", "deepseek3",
                                        "hunyuan", "llama4", "lfm2", "lfm2moe", "granitehybrid", "granitehybridmoe",
                                        "nemotronh", "nemotronhmoe", "phimoe", "bloom", "baichuan13b",
                                        "laguna"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (golden_is_left_out(names[i])) continue;
        golden_path(model_path, names[i]);
        check_plans(1, i + 1);
    }
}

/* An expert's width, its type, and heads: slices of 16 rows cut the blocks of 32 and of 256 that down reads. */
static void wide_models(void **state)
{
    (void)state;
    static const struct {
        enum weight_type type;
        int              expert_width, n_kv_heads;
    } rows[] = {
        {WEIGHT_Q4_0, 256, 4}, {WEIGHT_Q8_0, 96, 2},  {WEIGHT_Q6_K, 512, 4},
        {WEIGHT_Q4_K, 256, 1}, {WEIGHT_BF16, 208, 4}, {WEIGHT_Q4_0, 32, 2},
    };
    snprintf(model_path, sizeof model_path, "%s", temp_file(folder, "wide.gguf"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tiny_model tiny = tiny_model_wide();
        tiny.expert_width = rows[i].expert_width;
        tiny.n_heads = 4;
        tiny.n_kv_heads = rows[i].n_kv_heads;
        tiny.seed = i + 1;
        for (int part = TINY_OUTPUT; part < TINY_PART_COUNT; part++)
            if (part != TINY_ROUTER) tiny.types[part] = rows[i].type;
        tiny_model_write(&tiny, model_path);
        check_plans(2, 20 + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_models),
        cmocka_unit_test(wide_models),
    };
    return cmocka_run_group_tests_name("same bits, any plan", tests, open_folder, close_folder);
}
