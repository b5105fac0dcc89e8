/* test_policy_api.c - policies through the public API: from files and from options, what is refused and in which
 * words, and which rung a session takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"
#include "runtime/documents/costs_file.h"
#include "runtime/documents/policy_file.h"
#include "runtime/forward/tuning.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 4 };

static char path[600], other_path[600];

static struct running open_running(void)
{
    const calmoe_engine_options options = running_options(1, NULL);
    return running_open(path, &options, NULL);
}

static void assert_refused(const struct running *r, calmoe_status status, calmoe_status wanted, const char *words)
{
    const char *sentence = calmoe_context_message(r->context);
    if (status != wanted || !strstr(sentence, words))
        fail_msg("%s: %s; %s and '%s' are wanted", calmoe_status_name(status), sentence, calmoe_status_name(wanted),
                 words);
}

static void keep_remark(void *user, const char *sentence)
{
    snprintf(user, 256, "%s", sentence);
}

/* ---- options ---- */

static void options_that_make_no_policy(void **state)
{
    (void)state;
    static const int one[] = {1}, two[] = {1, 3}, back[] = {3, 1}, last[] = {N_LAYERS}, zero[] = {0};
    static const struct {
        calmoe_policy_options options;
        const char           *words;
    } cases[] = {
        {{.k_tail = -1}, "it leaves out nothing"},
        {{.k_tail = -1, .measure = "luck", .threshold = 0.5f, .exit_layers = one, .n_exits = 1}, "measure is 'luck'"},
        {{.k_tail = -1, .measure = "softmax", .threshold = 0.5f, .exit_layers = one}, "0 exit layers"},
        {{.k_tail = -1, .measure = "softmax", .threshold = 0.5f, .n_exits = 1}, "exit layers"},
        {{.k_tail = -1, .measure = "softmax", .threshold = 0.5f, .exit_layers = one, .n_exits = 17}, "17 exit layers"},
        {{.k_tail = -1, .measure = "classifier", .threshold = 0.5f}, "must be named"},
        {{.k_tail = -1, .measure = "softmax", .threshold = 0.0f, .exit_layers = one, .n_exits = 1}, "threshold 0"},
        {{.k_tail = -1, .measure = "softmax", .threshold = 1.5f, .exit_layers = one, .n_exits = 1}, "threshold 1.5"},
        {{.k_tail = -1, .measure = "softmax", .threshold = 0.5f, .exit_layers = back, .n_exits = 2}, "ascend"},
        {{.k_tail = -1, .measure = "softmax", .threshold = 0.5f, .exit_layers = last, .n_exits = 1},
         "1 to 3 are exits"},
        {{.k_tail = -1, .measure = "softmax", .threshold = 0.5f, .exit_layers = zero, .n_exits = 1},
         "1 to 3 are exits"},
        {{.k_tail = -1, .measure = "state", .threshold = 0.5f, .exit_layers = two, .n_exits = 2},
         "compares two layers"},
        {{.k_tail = -2, .measure = "softmax", .threshold = 0.5f, .exit_layers = one, .n_exits = 1}, "k_tail -2"},
        {{.k_tail = 3, .measure = "softmax", .threshold = 0.5f, .exit_layers = one, .n_exits = 1}, "uses 2 of a token"},
        {{.k_tail = -1, .measure = "softmax", .threshold = 0.5f, .exit_layers = one, .n_exits = 1, .schedule = "x"},
         "schedule is 'x'"},
        {{.k_tail = -1, .measure = "softmax", .threshold = 0.5f, .exit_layers = one, .n_exits = 1, .schedule = "paper"},
         "do not suit schedule 'paper'"},
        {{.k_tail = -1, .measure = "always", .threshold = 1.0f, .exit_layers = one, .n_exits = 1, .kv_fill = "later"},
         "kv_fill is 'later'"},
        {{.k_tail = -1, .measure = "always", .threshold = 1.0f, .exit_layers = one, .n_exits = 1, .kv_fill = "lazy",
          .max_pending = 1025}, "1025 rows may wait"},
        {{.k_tail = -1, .measure = "always", .threshold = 1.0f, .exit_layers = one, .n_exits = 1, .max_pending = 1},
         "'propagate' wants 0"},
        {{.k_tail = -1, .width = "some"}, "width is 'some'"},
        {{.k_tail = -1, .width = "off"}, "width is 'off'"},
        {{.k_tail = -1, .width = "ratio", .width_k = 1}, "bound 0"},
        {{.k_tail = -1, .width = "top_p", .width_k = 1, .width_bound = 2.0f}, "bound 2"},
        {{.k_tail = -1, .width = "fixed"}, "k 0"},
        {{.k_tail = -1, .width = "fixed", .width_k = 3}, "uses 2 of a token"},
    };
    struct running r = open_running();
    calmoe_policy *policy = (calmoe_policy *)&r;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        calmoe_policy_options options = cases[i].options;
        options.size = sizeof options;
        assert_refused(&r, calmoe_policy_make(r.model, &options, &policy), CALMOE_INVALID_ARGUMENT, cases[i].words);
        assert_null(policy);
    }
    assert_int_equal(calmoe_policy_make(r.model, NULL, &policy), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_policy_make(NULL, NULL, &policy), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_policy_open(r.model, NULL, &policy), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_policy_open(r.model, "x", NULL), CALMOE_INVALID_ARGUMENT);
    calmoe_policy_close(NULL);
    calmoe_policy_close(&policy);
    running_close(&r);
}

static calmoe_rung_info rung_without_layers(const char *measure, int n_layers, char remark[256])
{
    struct tiny_model      tiny = tiny_model();
    calmoe_context_options logging;
    calmoe_policy_options  options;
    calmoe_context        *context = NULL;
    calmoe_model          *model = NULL;
    calmoe_policy         *policy = NULL;
    calmoe_rung_info       info = {.size = sizeof info};
    const char            *deep_path = temp_file(folder, "deep.gguf");
    tiny.n_layers = n_layers;
    tiny_model_write(&tiny, deep_path);
    calmoe_context_options_init(&logging);
    logging.log = keep_remark;
    logging.log_user = remark;
    remark[0] = '\0';
    assert_int_equal(calmoe_context_open(&logging, &context), CALMOE_OK);
    running_must(context, calmoe_model_open(context, deep_path, NULL, &model));
    calmoe_policy_options_init(&options);
    options.measure = measure;
    options.threshold = 0.9f;
    running_must(context, calmoe_policy_make(model, &options, &policy));
    running_must(context, calmoe_policy_get_rung(policy, 0, &info));
    calmoe_policy_close(&policy);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
    return info;
}

/* A measure without layers means every layer; where there are more than a policy may have, some of them. */
static void exits_after_every_layer(void **state)
{
    (void)state;
    char             remark[256];
    calmoe_rung_info info = rung_without_layers("softmax", 5, remark);
    assert_int_equal(info.n_exits, 4);
    for (int i = 0; i < 4; i++) assert_int_equal(info.exit_layers[i], i + 1);
    assert_string_equal(remark, "");
    info = rung_without_layers("state", 18, remark);
    assert_int_equal(info.n_exits, 16);
    for (int i = 0; i < 16; i++) assert_int_equal(info.exit_layers[i], i + 2);
    assert_string_equal(remark, "");
    info = rung_without_layers("softmax", 41, remark);
    assert_int_equal(info.n_exits, 16);
    assert_true(info.exit_layers[0] >= 1 && info.exit_layers[0] <= 3 && info.exit_layers[15] >= 38);
    for (int i = 1; i < 16; i++) {
        const int step = info.exit_layers[i] - info.exit_layers[i - 1];
        assert_true(step == 2 || step == 3);
    }
    assert_true(info.exit_layers[15] < 41);
    assert_non_null(strstr(remark, "after 40 layers, and a policy may have 16"));
}

/* ---- files ---- */

/* Three rungs of the model's, at 0.01, 0.05 and 0.1, one exit each. */
static struct policy ladder(const struct running *r)
{
    static const double deltas[] = {0.01, 0.05, 0.1};
    struct policy policy = {.n_layers = N_LAYERS, .n_rungs = 3};
    memcpy(policy.fingerprint, r->model->fingerprint, sizeof policy.fingerprint);
    for (int i = 0; i < 3; i++)
        policy.rungs[i] = (struct policy_rung){
            .delta = deltas[i], .epsilon = 0.05, .n_prompts = 1000, .p = 0.01, .n_exits = 1,
            .exits = {{.layer = i + 1, .measure = MEASURE_ALWAYS, .threshold = {SCHEDULE_CONSTANT, 0.5f, 0.0f, 0}}},
            .kv_fill = KV_PROPAGATE, .k_tail = TAIL_NONE};
    return policy;
}

static const char *write_policy(const struct policy *policy)
{
    const char *file = temp_file(folder, "policy.json");
    assert_int_equal(cm_policy_file_write(NULL, file, policy), CALMOE_OK);
    return file;
}

static calmoe_status open_session(struct running *r, const calmoe_policy *policy, double quality,
                                  calmoe_session **session)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.policy = policy;
    options.quality = quality;
    return calmoe_session_open(r->engine, &options, session);
}

static void rungs_by_quality(void **state)
{
    (void)state;
    static const struct { double quality; int rung; } cases[] = {
        {0.0, 0}, {0.005, -1}, {0.01, 0}, {0.049, 0}, {0.05, 1}, {0.5, 2}};
    struct running r = open_running();
    const struct policy file = ladder(&r);
    calmoe_policy *policy = NULL;
    calmoe_rung_info info = {.size = sizeof info};
    running_must(r.context, calmoe_policy_open(r.model, write_policy(&file), &policy));
    assert_int_equal(calmoe_policy_n_rungs(policy), 3);
    running_must(r.context, calmoe_policy_get_rung(policy, 1, &info));
    assert_true(info.is_proven && info.delta == 0.05 && info.n_prompts == 1000 && info.n_exits == 1);
    assert_int_equal(info.exit_layers[0], 2);
    assert_string_equal(info.loss, "token_disagreement");
    assert_int_equal(calmoe_policy_get_rung(policy, 3, &info), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_policy_get_rung(policy, -1, &info), CALMOE_INVALID_ARGUMENT);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const int32_t tokens[] = {40, 41, 42};
        calmoe_session *session = NULL;
        calmoe_depth depth;
        int32_t token;
        running_must(r.context, open_session(&r, policy, cases[i].quality, &session));
        assert_int_equal(calmoe_session_rung(session), cases[i].rung);
        running_must(r.context, calmoe_session_feed_tokens(session, tokens, 3));
        for (int t = 0; t < 2; t++) running_must(r.context, calmoe_session_next(session, &token));
        depth = running_depth(session, -1);
        assert_int_equal(depth.layers, cases[i].rung < 0 ? N_LAYERS : cases[i].rung + 1);
        assert_int_equal(calmoe_session_depth(session, 1, &depth), CALMOE_INVALID_ARGUMENT);
        depth.size = 0;
        assert_int_equal(calmoe_session_depth(session, -1, &depth), CALMOE_INVALID_ARGUMENT);
        calmoe_session_close(&session);
    }
    calmoe_session *session = NULL;
    assert_refused(&r, open_session(&r, policy, 1.0, &session), CALMOE_INVALID_ARGUMENT, "quality is 1");
    assert_refused(&r, open_session(&r, policy, -0.1, &session), CALMOE_INVALID_ARGUMENT, "quality is -0.1");
    assert_refused(&r, open_session(&r, NULL, 0.1, &session), CALMOE_INVALID_ARGUMENT, "without a policy");
    assert_int_equal(calmoe_session_rung(r.session), -1);
    calmoe_policy_close(&policy);
    running_close(&r);
}

static void policies_of_other_models(void **state)
{
    (void)state;
    struct running r = open_running(), other = {0};
    calmoe_policy *policy = NULL;
    calmoe_session *session = NULL;
    struct policy file = ladder(&r);
    const calmoe_engine_options options = running_options(1, NULL);
    other = running_open(other_path, &options, NULL);
    const char *at = write_policy(&file);
    assert_refused(&other, calmoe_policy_open(other.model, at, &policy), CALMOE_INVALID_ARGUMENT, file.fingerprint);
    assert_null(policy);
    running_must(r.context, calmoe_policy_open(r.model, at, &policy));
    assert_refused(&other, open_session(&other, policy, 0.0, &session), CALMOE_INVALID_ARGUMENT,
                   other.model->fingerprint);
    assert_null(session);
    calmoe_policy_close(&policy);
    const char *missing = temp_file(folder, "missing.json");
    assert_refused(&r, calmoe_policy_open(r.model, missing, &policy), CALMOE_IO, "missing.json");
    at = temp_file_with(folder, "bad.json", "{\"schema\": \"calmoe.plan.1\"}", 27);
    assert_refused(&r, calmoe_policy_open(r.model, at, &policy), CALMOE_BAD_FILE, "calmoe.policy.1");
    running_close(&other);
    running_close(&r);
}

/* What fills keys and values comes with the rung; and parts that are in files but that this version does not run. */
static void parts_of_rungs(void **state)
{
    (void)state;
    struct running r = open_running();
    calmoe_policy *policy = NULL;
    calmoe_session *session = NULL;
    for (int fill = KV_LAZY; fill <= KV_CATCH_UP; fill++) {
        struct policy file = ladder(&r);
        file.rungs[1].kv_fill = (enum kv_fill)fill;
        file.rungs[1].max_pending = 8;
        running_must(r.context, calmoe_policy_open(r.model, write_policy(&file), &policy));
        running_must(r.context, open_session(&r, policy, 0.01, &session)); /* a rung that has none of it */
        assert_null(session->sequence.waiting);
        calmoe_session_close(&session);
        running_must(r.context, open_session(&r, policy, 0.05, &session));
        assert_int_equal(session->sequence.waiting->capacity, 8);
        calmoe_session_close(&session);
        calmoe_policy_close(&policy);
    }
    struct policy file = ladder(&r);
    file.rungs[0].exits[0].measure = MEASURE_CLASSIFIER;
    running_must(r.context, calmoe_policy_open(r.model, write_policy(&file), &policy));
    assert_refused(&r, open_session(&r, policy, 0.0, &session), CALMOE_INVALID_ARGUMENT, "classifier");
    calmoe_policy_close(&policy);
    running_close(&r);
}

/* ---- a choice ---- */

/* At 5 % one that leaves after layer 1 and one that leaves after layer 3, with checks that differ. */
static struct policy with_front(const struct running *r)
{
    struct policy policy = ladder(r);
    policy.n_rungs = 3;
    policy.rungs[2].delta = 0.05;
    for (int i = 1; i < 3; i++) {
        policy.rungs[i].has_parts = true;
        policy.rungs[i].parts = (struct parts){{[PART_LAYER] = i + 1, [PART_EXPERT] = 2.0 * (i + 1),
                                                [PART_FILL] = N_LAYERS - i - 1, [PART_HEAD] = i == 1 ? 2.0 : 1.0}};
    }
    return policy;
}

static const char *write_costs(const char *fingerprint, const char *costs)
{
    char text[512];
    const int n = snprintf(text, sizeof text, "{\"schema\": \"calmoe.costs.1\", \"version\": \"x\", \"model\": "
                           "{\"fingerprint\": \"%s\"}, \"costs\": %s}", fingerprint, costs);
    return temp_file_with(folder, "costs.json", text, (size_t)n);
}

static int rung_at(struct running *r, const calmoe_policy *policy, double quality)
{
    calmoe_session *session = NULL;
    running_must(r->context, open_session(r, policy, quality, &session));
    const int rung = calmoe_session_rung(session);
    calmoe_session_close(&session);
    return rung;
}

static void costs_choose(void **state)
{
    (void)state;
    static const struct {
        const char *costs;
        int         rung;
        double      of_off; /* what that one costs */
    } cases[] = {
        {"{\"layer\": 10, \"expert\": 0, \"fill\": 1, \"head\": 5}", 1, (20.0 + 2.0 + 10.0) / 45.0},
        {"{\"layer\": 10, \"expert\": 0, \"fill\": 1, \"head\": 15}", 2, (30.0 + 1.0 + 15.0) / 55.0},
        {"{\"layer\": 1, \"expert\": 0, \"fill\": 1, \"head\": 9}", -1, 1.0}, /* nothing is won: the full model */
    };
    struct running      r = open_running();
    const struct policy file = with_front(&r);
    calmoe_policy      *policy = NULL;
    calmoe_rung_info    info = {.size = sizeof info};
    running_must(r.context, calmoe_policy_open(r.model, write_policy(&file), &policy));
    assert_int_equal(rung_at(&r, policy, 0.05), 1); /* the file's first */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *costs = write_costs(r.model->fingerprint, cases[i].costs);
        running_must(r.context, calmoe_policy_choose(policy, r.engine, costs));
        assert_int_equal(rung_at(&r, policy, 0.05), cases[i].rung);
        assert_int_equal(rung_at(&r, policy, 0.01), 0); /* which has no parts, so no choice */
        if (cases[i].rung < 0) continue;
        running_must(r.context, calmoe_policy_get_rung(policy, cases[i].rung, &info));
        assert_true(info.is_taken == 1 && info.member == cases[i].rung && info.n_members == 2);
        if (info.cost != cases[i].of_off) fail_msg("%.17g, not %.17g", info.cost, cases[i].of_off);
        running_must(r.context, calmoe_policy_get_rung(policy, 3 - cases[i].rung, &info));
        assert_int_equal(info.is_taken, 0);
    }
    running_must(r.context, calmoe_policy_fix(policy, 0.5, 2)); /* whatever it costs */
    assert_int_equal(rung_at(&r, policy, 0.05), 2);
    assert_refused(&r, calmoe_policy_fix(policy, 0.05, 3), CALMOE_INVALID_ARGUMENT, "1 to 2 is wanted");
    assert_refused(&r, calmoe_policy_fix(policy, 0.001, 1), CALMOE_INVALID_ARGUMENT, "for a bound of 0.001");

    assert_refused(&r, calmoe_policy_choose(policy, r.engine, write_costs("0123456789abcdef", cases[0].costs)),
                   CALMOE_INVALID_ARGUMENT, "a model with fingerprint 0123456789abcdef");
    const char *few = write_costs(r.model->fingerprint, "{\"layer\": 10, \"expert\": 0, \"head\": 5}");
    assert_refused(&r, calmoe_policy_choose(policy, r.engine, few), CALMOE_INVALID_ARGUMENT, "rung 1");
    const char *wrong = write_costs(r.model->fingerprint, "{\"layers\": 10}");
    assert_refused(&r, calmoe_policy_choose(policy, r.engine, wrong), CALMOE_BAD_FILE, "costs.layers");
    const char *none = temp_file(folder, "none.json");
    assert_refused(&r, calmoe_policy_choose(policy, r.engine, none), CALMOE_IO, "none.json");
    assert_refused(&r, calmoe_policy_choose(policy, NULL, NULL), CALMOE_INVALID_ARGUMENT, "an engine are needed");
    assert_int_equal(rung_at(&r, policy, 0.05), 2); /* as before */
    calmoe_policy_close(&policy);
    running_close(&r);
}

static double cost_by(struct running *r, const char *costs)
{
    const struct policy file = with_front(r);
    calmoe_policy      *policy = NULL;
    calmoe_rung_info    info = {.size = sizeof info};
    running_must(r->context, calmoe_policy_open(r->model, write_policy(&file), &policy));
    running_must(r->context, calmoe_policy_choose(policy, r->engine, costs));
    running_must(r->context, calmoe_policy_get_rung(policy, 2, &info));
    calmoe_policy_close(&policy);
    return info.cost;
}

/* Bytes are the same again, times are measured once and then known; neither leaves a trace in what the engine
 * counts. */
static void costs_are_measured_once(void **state)
{
    (void)state;
    struct running r = open_running();
    uint64_t       n_tokens[N_LAYERS + 1] = {0};
    setenv("CALMOE_CACHE", temp_file(folder, "cache"), 1);
    const double bytes = cost_by(&r, "bytes");
    assert_true(bytes > 0.5 && bytes < 1.5);
    assert_true(cost_by(&r, "bytes") == bytes);
    const double first = cost_by(&r, NULL); /* 0: the machine was too busy to tell, and nothing is kept */
    if (first > 0.0) assert_true(cost_by(&r, "time") == first); /* two measurements would hardly be the same */

    struct costs_file kept = {.prices = {{[PART_LAYER] = 2.0, [PART_EXPERT] = 0.25, [PART_HEAD] = 3.0}}};
    memcpy(kept.fingerprint, r.model->fingerprint, sizeof kept.fingerprint);
    cm_tell_machine(&r.engine->machine, kept.machine);
    char *at = cm_costs_path(&kept); /* as if it had been measured before */
    cm_costs_file_keep(NULL, at, &kept);
    cm_free(at);
    assert_true(cost_by(&r, NULL) == (3 * 2.0 + 6 * 0.25 + 3.0) / (N_LAYERS * (2.0 + 2 * 0.25) + 3.0));
    running_must(r.context, calmoe_engine_get_exit_counts(r.engine, n_tokens, N_LAYERS + 1));
    for (int i = 0; i <= N_LAYERS; i++) assert_int_equal(n_tokens[i], 0);
    assert_int_equal(r.engine->n_sessions, 1); /* the test's own */
    setenv("CALMOE_CACHE", "", 1);
    running_close(&r);
}

/* Who began an answer, and when it ends. */
static void answers_begin_and_end(void **state)
{
    (void)state;
    static const int32_t tokens[] = {40, 41, 42, 43};
    struct running r = open_running();
    const struct policy file = ladder(&r);
    calmoe_policy *policy = NULL;
    calmoe_session *session = NULL;
    calmoe_depth depth;
    int32_t token;
    running_must(r.context, calmoe_policy_open(r.model, write_policy(&file), &policy));
    running_must(r.context, open_session(&r, policy, 0.0, &session));
    const calmoe_chunk chunk = {session, tokens, 4, CALMOE_LOGITS_ALL};
    for (int n_begun = 0; n_begun < 2; n_begun++) { /* an own loop: full depth until the answer is begun */
        running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
        for (int row = 0; row < 4; row++) {
            depth = running_depth(session, row);
            assert_int_equal(depth.layers, n_begun ? 1 : N_LAYERS);
        }
        calmoe_session_begin_answer(session);
    }
    running_must(r.context, calmoe_session_rewind(session, 2)); /* into the prompt: no answer */
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    depth = running_depth(session, -1);
    assert_int_equal(depth.layers, N_LAYERS);
    for (int turn = 0; turn < 2; turn++) { /* what is fed is read in full, what is sampled is not */
        running_must(r.context, calmoe_session_feed_tokens(session, tokens, 4));
        for (int i = 0; i < 3; i++) {
            running_must(r.context, calmoe_session_next(session, &token));
            depth = running_depth(session, -1);
            assert_int_equal(depth.layers, i == 0 ? N_LAYERS : 1);
        }
    }
    calmoe_session_begin_answer(NULL);
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    running_close(&r);
}

static int set_up(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    tiny.n_layers = N_LAYERS;
    folder = temp_folder_open();
    snprintf(path, sizeof path, "%s", temp_file(folder, "tiny.gguf"));
    tiny_model_write(&tiny, path);
    tiny.seed = 2;
    snprintf(other_path, sizeof other_path, "%s", temp_file(folder, "other.gguf"));
    tiny_model_write(&tiny, other_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_make_no_policy),
        cmocka_unit_test(exits_after_every_layer),
        cmocka_unit_test(rungs_by_quality),
        cmocka_unit_test(policies_of_other_models),
        cmocka_unit_test(parts_of_rungs),
        cmocka_unit_test(costs_choose),
        cmocka_unit_test(costs_are_measured_once),
        cmocka_unit_test(answers_begin_and_end),
    };
    return cmocka_run_group_tests_name("policies", tests, set_up, close_folder);
}
