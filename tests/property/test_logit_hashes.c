/* test_logit_hashes.c - the logits that this version gives are, bit for bit, those that are recorded in
 * logit_hashes.txt: for every golden model, the embedded one, each weight type, plans over several memory nodes,
 * policies with every measure, tail, width rule and way to fill keys and values, drafts and audits. Other tests compare
 * ways of computing with each other; this one holds all of them to what was before.
 *
 * Runs that must give the same (other chunks, threads, plans, lossless drafts) share a record. Random models come from
 * base/random.h and the library's own quantizers, so they are the same everywhere, as the logits are at each level of
 * instructions. support/logit_records.h says how a record reads.
 *
 * To record anew, where logits are *meant* to change:
 *
 *     CALMOE_RECORD_LOGIT_HASHES=1 build/release/tests/test_logit_hashes && git diff tests/property/logit_hashes.txt
 *
 * and say in the commit's message why they did. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/placement.h>
#include <calmoe/profile.h>
#include <calmoe/quantize.h>
#include <calmoe/synthetic.h>

#include "base/random.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/goldens.h"
#include "tests/support/logit_records.h"
#include "tests/support/random_exits.h"
#include "tests/support/running.h"
#include "tests/support/thin.h"
#include "tests/support/tiny_model.h"

#define RECORDS CALMOE_SOURCE_DIR "/tests/property/logit_hashes.txt"
#define NANO    CALMOE_SOURCE_DIR "/models/calmoe-nano"

enum { N_PROMPT = 29, N_SECOND = 3, N_FED = N_PROMPT + N_SECOND, N_NEW = 7, N_LAST = 3 }; /* tokens */
enum { MAX_PATH = 600 };

static struct logit_records *records;
static int                   n_failed; /* of the present test: all its rows are looked at before it fails */

/* ---- one row: a session, and what is asked of it ---- */

struct leaving { /* a policy that is made in memory; zero: none */
    const char *measure;
    float       threshold;
    int         layers[3];
    const char *kv_fill;
    int         tail; /* experts + 1 in the layers behind an exit; 0 = they are skipped */
    int         max_pending;
    const char *schedule, *width;
    float       width_bound;
    int         width_k;
};

struct asked {
    struct leaving       leaving;
    const calmoe_policy *policy;  /* instead of it */
    double               quality;
    double               audit;   /* share; 0: the default, below 0: none */
    int                  lossless;
    bool                 is_sampled;
};

static calmoe_policy *make_policy(struct running *r, const struct leaving *leaving)
{
    calmoe_policy_options options;
    calmoe_policy *policy = NULL;
    if (!leaving->measure && !leaving->width) return NULL;
    calmoe_policy_options_init(&options);
    options.measure = leaving->measure;
    options.threshold = leaving->threshold;
    options.exit_layers = leaving->layers;
    while (options.n_exits < 3 && leaving->layers[options.n_exits] > 0) options.n_exits++;
    options.kv_fill = leaving->kv_fill;
    options.k_tail = leaving->tail - 1;
    options.max_pending = leaving->max_pending;
    options.schedule = leaving->schedule;
    if (leaving->schedule) options.tau = 4.0f;
    if (leaving->schedule) options.length = N_NEW;
    options.width = leaving->width;
    options.width_bound = leaving->width_bound;
    if (leaving->width_k > 0) options.width_k = leaving->width_k;
    running_must(r->context, calmoe_policy_make(r->model, &options, &policy));
    return policy;
}

/* A prompt and an answer; then a second prompt, which reads all layers' keys and values of what is before it, those
 * too that tokens of the answer skipped; and another answer. */
static bool is_as_recorded(struct running *r, calmoe_session *session, const char *name, const char *way)
{
    struct random random = cm_random(3);
    int32_t tokens[N_FED];
    for (int i = 0; i < N_FED; i++) tokens[i] = (int32_t)cm_random_below(&random, (uint64_t)r->n_vocab);
    struct logit_answer answer = logit_answer(r->context, session);
    running_must(r->context, calmoe_session_feed_tokens(session, tokens, N_PROMPT));
    logit_answer_go_on(&answer, N_NEW);
    running_must(r->context, calmoe_session_feed_tokens(session, tokens + N_PROMPT, N_SECOND));
    logit_answer_go_on(&answer, N_LAST);
    return logit_records_check(records, name, way, &answer);
}

/* Opens such a session, and looks whether it gives what the record of that name says. */
static void check(struct running *r, const char *name, const char *way, const struct asked *asked)
{
    static const struct asked nothing;
    calmoe_sampler_options sampler;
    calmoe_session_options options;
    calmoe_session *session = NULL;
    if (!asked) asked = &nothing;
    calmoe_policy *policy = make_policy(r, &asked->leaving);
    calmoe_sampler_options_init(&sampler);
    sampler.temperature = 0.7f;
    sampler.repeat_penalty = 1.1f;
    sampler.seed = 5;
    calmoe_session_options_init(&options);
    options.hash_logits = 1;
    options.ignore_end = 1;
    options.policy = policy ? policy : asked->policy;
    options.quality = asked->quality;
    if (asked->audit < 0.0) options.audit = CALMOE_AUDIT_NEVER;
    if (asked->audit > 0.0) options.audit_share = asked->audit;
    options.lossless = asked->lossless;
    if (asked->is_sampled) options.sampler = &sampler;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    n_failed += !is_as_recorded(r, session, name, way);
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
}

static void finish(void)
{
    const int n = n_failed;
    n_failed = 0;
    if (n > 0) fail_msg("%d rows give other logits than were recorded in " RECORDS, n);
}

static struct running open_model(const char *path, int n_threads, int max_rows, int kv_float32)
{
    calmoe_engine_options options = running_options(n_threads, NULL);
    options.max_rows = max_rows;
    options.kv_float32 = kv_float32;
    return running_open(path, &options, NULL);
}

/* Without a policy: keys and values in both formats, the prompt at once and in pieces, by one thread and by several. */
static void check_plain(const char *path, const char *name)
{
    static const struct { const char *way; int n_threads, max_rows; } ways[] = {
        {"at once, by 1 thread", 1, 0}, {"7 rows in a step, by 3 threads", 3, 7}};
    for (int kv_float32 = 0; kv_float32 < 2; kv_float32++)
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            char record[200];
            snprintf(record, sizeof record, "%s, %s", name, kv_float32 ? "keys f32" : "keys f16");
            struct running r = open_model(path, ways[i].n_threads, ways[i].max_rows, kv_float32);
            check(&r, record, ways[i].way, NULL);
            running_close(&r);
        }
}

/* ---- every golden model ---- */

static void golden_models(void **state)
{
    (void)state;
    const struct goldens models = goldens();
    for (int i = 0; i < models.n; i++) {
        if (golden_is_left_out(models.names[i])) continue;
        char path[MAX_PATH], name[200];
        snprintf(name, sizeof name, "golden %s", models.names[i]);
        check_plain(golden_path(path, models.names[i]), name);
    }
    finish();
}

/* ---- every weight type ---- */

static const char *in_folder(char *path, const char *name)
{
    snprintf(path, MAX_PATH, "%s", temp_file(folder, name));
    return path;
}

/* All matrices but the router's of one type; types that the library does not write have random blocks. */
static void weight_types(void **state)
{
    (void)state;
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        struct tiny_model tiny = tiny_model_wide();
        char path[MAX_PATH], name[80];
        tiny.n_experts = 4;
        tiny.n_used = 2;
        for (int part = 0; part < TINY_PART_COUNT; part++)
            if (part != TINY_ROUTER) tiny.types[part] = (enum weight_type)type;
        tiny_model_write(&tiny, in_folder(path, "typed.gguf"));
        snprintf(name, sizeof name, "weights %s", cm_weight_types[type].name);
        struct running r = open_model(path, 2, 0, 0);
        check(&r, name, "plain", NULL);
        running_close(&r);
    }
    finish();
}

/* An F32 file as calmoe_quantize() writes it; experts of width 96, which blocks of 256 do not divide. */
static void quantized_files(void **state)
{
    (void)state;
    static const char *const types[] = {"q8_0", "q4_0", "q4_k", "q6_k", "f16", "bf16"};
    struct tiny_model tiny = tiny_model_wide();
    char in[MAX_PATH], out[MAX_PATH], name[80];
    tiny.expert_width = 96;
    tiny.has_head_norms = true;
    tiny_model_write(&tiny, in_folder(in, "f32.gguf"));
    in_folder(out, "quantized.gguf");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        calmoe_context *context = NULL;
        running_must(NULL, calmoe_context_open(NULL, &context));
        running_must(context, calmoe_quantize(context, in, out, types[i], NULL, NULL));
        calmoe_context_close(&context);
        snprintf(name, sizeof name, "quantized %s", types[i]);
        struct running r = open_model(out, 2, 0, 0);
        check(&r, name, "plain", NULL);
        running_close(&r);
    }
    finish();
}

static void synthetic_files(void **state)
{
    (void)state;
    static const char *const types[] = {"q4_k", "q3_k", "iq4_xs", "mxfp4"};
    char path[MAX_PATH], name[80];
    in_folder(path, "synthetic.gguf");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        calmoe_context *context = NULL;
        calmoe_synthetic_options options;
        calmoe_synthetic_options_init(&options);
        options.family = "granitemoe";
        options.type = types[i];
        options.n_layers = 3;
        options.width = options.expert_width = 256;
        options.n_heads = 4;
        options.n_kv_heads = 2;
        options.head_size = 64;
        options.n_experts = 6;
        options.n_experts_used = 2;
        options.n_vocab = 400;
        options.tied = 1;
        options.embedding_scale = 12.0f;
        options.residual_scale = 0.22f;
        options.attention_scale = 0.015625f;
        options.logit_scale = 6.0f;
        running_must(NULL, calmoe_context_open(NULL, &context));
        running_must(context, calmoe_synthesize(context, &options, path, NULL, NULL));
        calmoe_context_close(&context);
        snprintf(name, sizeof name, "synthetic %s", types[i]);
        struct running r = open_model(path, 2, 0, 0);
        check(&r, name, "plain", NULL);
        running_close(&r);
    }
    finish();
}

/* ---- policies ---- */

/* Five layers: room for exits of several depths and layers between them. */
static const char *write_deep_of(const char *architecture, char *path)
{
    struct tiny_model tiny = tiny_model_wide();
    tiny.architecture = architecture;
    tiny.n_layers = 5;
    tiny.n_heads = tiny.n_kv_heads = 4;
    tiny.expert_width = 96;
    for (int part = TINY_OUTPUT; part < TINY_PART_COUNT; part++)
        if (part != TINY_ROUTER) tiny.types[part] = WEIGHT_Q8_0;
    tiny_model_write(&tiny, in_folder(path, "deep.gguf"));
    return path;
}

static const char *write_deep(char *path) { return write_deep_of("qwen2moe", path); }

/* One that sees all positions, and one with windows that are shorter than what is read, sinks, biases of everything. */
static const struct {
    const char *name, *architecture;
} deep_models[] = {{"deep", "qwen2moe"}, {"windows", "gpt-oss"}};
enum { N_DEEP_MODELS = sizeof deep_models / sizeof *deep_models };

static const struct leaving by_measure[] = { /* some tokens leave at each of these, some at none */
    {.measure = "always", .threshold = 1.0f, .layers = {2}},
    {.measure = "softmax", .threshold = 0.006f, .layers = {1, 2, 3}},
    {.measure = "state", .threshold = 0.6f, .layers = {2, 3, 4}},
    {.measure = "shortlist", .threshold = 0.0005f, .layers = {2, 4}},
    {.measure = "classifier", .threshold = 0.55f, .layers = {1, 3}}, /* the last: it needs exits that are fitted */
};
enum { N_MEASURES = sizeof by_measure / sizeof *by_measure };

static const char *const fills[] = {"propagate", "lazy", "catch_up"};
static const char *const tails[] = {"tail none", "tail 0", "tail 1"};

/* Each measure with each way to fill keys and values and each tail. */
static void check_measures(struct running *r, const char *model, const char *way, int n_measures)
{
    static int n_checked; /* counted on: in a thin run other rows each time */
    for (int m = 0; m < n_measures; m++)
        for (int tail = 0; tail < 3; tail++)
            for (int fill = 0; fill < 3; fill++) {
                if (way_is_left_out(n_checked++, 5)) continue;
                char name[200];
                struct asked asked = {.leaving = by_measure[m]};
                asked.leaving.kv_fill = fills[fill];
                asked.leaving.tail = tail;
                snprintf(name, sizeof name, "%s, %s, %s, %s", model, by_measure[m].measure, fills[fill], tails[tail]);
                check(r, name, way, &asked);
            }
}

static void measures(void **state)
{
    (void)state;
    char path[MAX_PATH];
    for (int i = 0; i < N_DEEP_MODELS; i++) {
        const char *name = deep_models[i].name;
        struct running r = open_model(write_deep_of(deep_models[i].architecture, path), 2, 0, 0);
        check_measures(&r, name, "at once", N_MEASURES - 1);
        running_close(&r);
        r = open_model(path, 1, 3, 0);
        check_measures(&r, name, "3 rows in a step", N_MEASURES - 1);
        running_close(&r);
    }
    struct running r = open_model(write_deep(path), 2, 0, 1);
    check_measures(&r, "deep, keys f32", "at once", 2);
    running_close(&r);
    finish();
}

static void fitted_exits(void **state)
{
    (void)state;
    char path[MAX_PATH], exits[MAX_PATH];
    calmoe_engine_options options = running_options(2, NULL);
    options.exits = random_exits_write(write_deep(path), in_folder(exits, "exits.gguf"));
    struct running r = running_open(path, &options, NULL);
    check(&r, "deep", "with exits that nobody takes", NULL);
    check_measures(&r, "deep, fitted exits", "at once", N_MEASURES);
    running_close(&r);
    finish();
}

static void widths_and_schedules(void **state)
{
    (void)state;
    static const struct { const char *name; struct leaving leaving; } rows[] = {
        {"width fixed 2", {.width = "fixed", .width_k = 2}},
        {"width ratio 0.6", {.width = "ratio", .width_bound = 0.6f}},
        {"width ratio 0.9, at least 2", {.width = "ratio", .width_bound = 0.9f, .width_k = 2}},
        {"width top_p 0.7", {.width = "top_p", .width_bound = 0.7f}},
        {"width fixed 1 and exits", {.measure = "softmax", .threshold = 0.006f, .layers = {1, 3},
                                     .kv_fill = "catch_up", .width = "fixed", .width_k = 1}},
        {"schedule paper", {.measure = "state", .threshold = 0.55f, .layers = {2, 3, 4}, .schedule = "paper"}},
        {"schedule code", {.measure = "state", .threshold = 0.6f, .layers = {2, 3, 4}, .schedule = "code"}},
        {"1 waits, lazy", {.measure = "always", .threshold = 1.0f, .layers = {3}, .kv_fill = "lazy",
                           .max_pending = 1}},
        {"1 waits, catch_up", {.measure = "always", .threshold = 1.0f, .layers = {3}, .kv_fill = "catch_up",
                               .max_pending = 1}},
        {"3 wait, catch_up", {.measure = "softmax", .threshold = 0.006f, .layers = {1, 2, 4}, .kv_fill = "catch_up",
                              .max_pending = 3}},
    };
    char path[MAX_PATH], name[200];
    struct running r = open_model(write_deep(path), 2, 0, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct asked asked = {.leaving = rows[i].leaving};
        snprintf(name, sizeof name, "deep, %s", rows[i].name);
        check(&r, name, "at once", &asked);
    }
    running_close(&r);
    finish();
}

/* ---- plans: the logits of one node ---- */

/* hwloc shows these machines instead of the one at hand. NULL: the one at hand. */
static void show_machine(const char *synthetic)
{
    if (synthetic) setenv("HWLOC_SYNTHETIC", synthetic, 1);
    else unsetenv("HWLOC_SYNTHETIC");
}

/* For the plans that go by how experts are used. */
static calmoe_profile *take_profile(const char *path)
{
    calmoe_engine_options options = running_options(2, NULL);
    calmoe_profile *profile = NULL;
    options.profile = 1;
    struct running r = running_open(path, &options, NULL);
    check(&r, "deep", "profiled", NULL);
    running_must(r.context, calmoe_engine_get_profile(r.engine, &profile));
    running_close(&r);
    return profile;
}

static void write_plan(const char *model_path, const char *policy, const calmoe_profile *profile, const char *path)
{
    calmoe_context *context = NULL;
    calmoe_model *model = NULL;
    calmoe_placement *placement = NULL;
    calmoe_placement_options options;
    calmoe_placement_options_init(&options);
    options.policy = policy;
    options.usage = profile;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, calmoe_model_open(context, model_path, NULL, &model));
    running_must(context, calmoe_placement_open(model, &options, &placement));
    running_must(context, calmoe_placement_write(placement, path));
    calmoe_placement_close(&placement);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
}

static void plans(void **state)
{
    (void)state;
    static const char *const machines[] = {"numa:2 core:2 pu:1", "numa:3 core:1 pu:1",
                                           "pack:2 [numa] [numa] core:1 pu:1"};
    const char *policy;
    char path[MAX_PATH], plan[MAX_PATH], way[200];
    calmoe_profile *profile = take_profile(write_deep(path));
    in_folder(plan, "plan.json");
    for (size_t m = 0; m < sizeof machines / sizeof *machines; m++)
        for (int p = 0; calmoe_placement_policy(p, &policy, NULL) == CALMOE_OK; p++) {
            if (way_is_left_out((int)m + p, 3)) continue;
            calmoe_engine_options options = running_options(0, NULL);
            show_machine(machines[m]);
            write_plan(path, policy, profile, plan);
            options.plan = plan;
            struct running r = running_open(path, &options, NULL);
            snprintf(way, sizeof way, "%s on %s", policy, machines[m]);
            check(&r, "deep", way, NULL);
            if (strcmp(policy, "sliced") == 0) check_measures(&r, "deep", way, N_MEASURES - 1);
            running_close(&r);
        }
    show_machine(NULL);
    calmoe_profile_close(&profile);
    finish();
}

/* ---- drafts, audits, the embedded model ---- */

/* Whatever is drafted: the logits of plain sessions. */
static void check_drafts(struct running *r, const char *model)
{
    static const struct leaving by_rules[] = {
        {.measure = NULL}, /* what the session chooses */
        {.measure = "always", .threshold = 1.0f, .layers = {1}},
        {.measure = "softmax", .threshold = 0.006f, .layers = {1, 2, 4}},
        {.measure = "shortlist", .threshold = 0.0005f, .layers = {2, 3}},
    };
    for (int is_sampled = 0; is_sampled < 2; is_sampled++) {
        char name[200];
        struct asked asked = {.is_sampled = is_sampled};
        snprintf(name, sizeof name, "%s%s", model, is_sampled ? ", sampled" : "");
        check(r, name, "plain", &asked);
        asked.lossless = CALMOE_LOSSLESS_ALWAYS;
        for (size_t i = 0; i < sizeof by_rules / sizeof *by_rules; i++) {
            asked.leaving = by_rules[i];
            check(r, name, "lossless", &asked);
        }
    }
}

static void drafts(void **state)
{
    (void)state;
    char path[MAX_PATH], exits[MAX_PATH];
    calmoe_engine_options options = running_options(2, NULL);
    for (int i = 0; i < N_DEEP_MODELS; i++) {
        struct running r = open_model(write_deep_of(deep_models[i].architecture, path), 2, 0, 0);
        check_drafts(&r, deep_models[i].name);
        running_close(&r);
    }
    options.exits = random_exits_write(write_deep(path), in_folder(exits, "exits.gguf"));
    struct running r = running_open(path, &options, NULL);
    check_drafts(&r, "deep");
    running_close(&r);
    finish();
}

static void embedded_model(void **state)
{
    (void)state;
    check_plain(NANO ".gguf", "nano");
    struct running r = open_model(NANO ".gguf", 2, 0, 0);
    check_drafts(&r, "nano, keys f16");
    for (int fill = 0; fill < 3; fill++) {
        char name[80];
        const struct asked asked = {.leaving = {.measure = "softmax", .threshold = 0.1f, .layers = {3, 5, 7},
                                                .kv_fill = fills[fill]}};
        snprintf(name, sizeof name, "nano, softmax, %s", fills[fill]);
        check(&r, name, "at once", &asked);
    }
    running_close(&r);
    finish();
}

/* The embedded model's own policy: each of its rungs, and audits. An answer that is audited whole is the full
 * model's. */
static void audits(void **state)
{
    (void)state;
    calmoe_policy *policy = NULL;
    calmoe_rung_info rung = {.size = sizeof rung};
    struct running r = open_model(NANO ".gguf", 2, 0, 0);
    running_must(r.context, calmoe_policy_open(r.model, NANO ".policy.json", &policy));
    for (int i = 0; i < calmoe_policy_n_rungs(policy); i++) {
        char name[80];
        running_must(r.context, calmoe_policy_get_rung(policy, i, &rung));
        struct asked asked = {.policy = policy, .quality = rung.delta, .audit = -1.0};
        snprintf(name, sizeof name, "nano, its policy at %g", rung.delta);
        check(&r, name, "no audit", &asked);
        asked.audit = 1.0;
        check(&r, "nano, keys f16", "all audited", &asked);
    }
    const struct asked some = {.policy = policy, .quality = rung.delta, .audit = 0.4};
    check(&r, "nano, its last rung, 40 % audited", "alone", &some);
    calmoe_policy_close(&policy);
    running_close(&r);
    finish();
}

/* ---- the records ---- */

static void every_record_is_asked_for(void **state)
{
    (void)state;
    if (tests_are_thin()) skip(); /* it leaves some out */
    assert_int_equal(logit_records_unused(records), 0);
}

int main(void)
{
    records = logit_records_open(RECORDS, getenv("CALMOE_RECORD_LOGIT_HASHES") != NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_models),
        cmocka_unit_test(weight_types),
        cmocka_unit_test(quantized_files),
        cmocka_unit_test(synthetic_files),
        cmocka_unit_test(measures),
        cmocka_unit_test(fitted_exits),
        cmocka_unit_test(widths_and_schedules),
        cmocka_unit_test(plans),
        cmocka_unit_test(drafts),
        cmocka_unit_test(embedded_model),
        cmocka_unit_test(audits),
        cmocka_unit_test(every_record_is_asked_for),
    };
    const int n = cmocka_run_group_tests_name("recorded logits", tests, open_folder, close_folder);
    return logit_records_close(&records) ? n : 1;
}
