/* test_torture.c - each request for memory, a file's map or a thread fails once, the n-th of a whole run for n =
 * 1, 2, …: each time a status that says so, a sentence, no crash, and nothing left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <calmoe/calmoe.h>
#include <calmoe/pack.h>
#include <calmoe/placement.h>
#include <calmoe/profile.h>
#include <calmoe/quantize.h>
#include <calmoe/trace.h>

#include "base/memory.h"
#include "base/topology.h"
#include "runtime/documents/plan_file.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"
#include "tests/support/thin.h"

enum { MAX_REQUESTS = 5000, MAX_HELPED = 20 };

static char model_path[600], plan_path[600], out_path[600], profile_path[600], trace_path[600], other_plan_path[600];
static char session_path[600], limited_path[600], packed_path[600];
static uint64_t limited_bytes; /* the least that works */
static long n_requests_before; /* what run_limited() does first, which others torture */

struct handles {
    calmoe_context *context;
    calmoe_model   *model;
    calmoe_engine  *engine;
    calmoe_session *sessions[10];
    calmoe_policy  *policy;
    calmoe_profile *profiles[2];
    calmoe_placement    *placement;
    calmoe_trace_writer *writer;
    calmoe_trace_reader *reader;
};

enum { N_SESSIONS = 10 }; /* more than the engine's table has room for at first */

#define TRY(call)                                        \
    do {                                                 \
        const calmoe_status try_ = (call);               \
        if (try_ != CALMOE_OK) return try_;              \
    } while (0)

static calmoe_engine_options limited_options(void)
{
    calmoe_engine_options options = running_options(2, NULL);
    options.max_rows = 40;
    return options;
}

/* ---- runs: everything once; the status of what failed first ---- */

static calmoe_status open_engine(struct handles *h)
{
    calmoe_engine_options options;
    calmoe_engine_options_init(&options);
    options.n_threads = 3;
    options.pin_threads = 0;
    options.plan = plan_path;
    TRY(calmoe_context_open(NULL, &h->context));
    TRY(calmoe_model_open(h->context, model_path, NULL, &h->model));
    return calmoe_engine_open(h->model, &options, &h->engine);
}

static calmoe_status use_session(calmoe_session *session)
{
    static int32_t long_prompt[40];
    int32_t token;
    TRY(calmoe_session_feed_text(session, "hello world", 11, CALMOE_TOKENIZE_BOS | CALMOE_TOKENIZE_SPECIAL));
    TRY(calmoe_session_next(session, &token));
    TRY(calmoe_session_next(session, &token));
    TRY(calmoe_session_feed_chat(session, "the", "and"));
    TRY(calmoe_session_next(session, &token));
    TRY(calmoe_session_rewind(session, 0));
    const calmoe_chunk chunk = {session, long_prompt, 40, CALMOE_LOGITS_ALL}; /* the room for logits grows */
    return calmoe_engine_step(calmoe_session_engine(session), &chunk, 1);
}

static calmoe_status run_engine(struct handles *h)
{
    TRY(open_engine(h));
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.ignore_end = 1;
    for (int i = 0; i < N_SESSIONS; i++) TRY(calmoe_session_open(h->engine, &options, &h->sessions[i]));
    TRY(use_session(h->sessions[0]));
    return use_session(h->sessions[N_SESSIONS - 1]);
}

static calmoe_status run_scheduled(struct handles *h)
{
    calmoe_event events[N_SESSIONS];
    int n_events;
    TRY(open_engine(h));
    for (int i = 0; i < N_SESSIONS; i++) {
        TRY(calmoe_session_open(h->engine, NULL, &h->sessions[i]));
        TRY(calmoe_session_feed_text(h->sessions[i], "world hello", 11, 0));
    }
    for (int step = 0; step < 3; step++) TRY(calmoe_engine_next(h->engine, events, N_SESSIONS, &n_events));
    return CALMOE_OK;
}

/* An engine, and a session that may leave after the first layer. */
static calmoe_status open_with_policy(struct handles *h, calmoe_policy_options *policy,
                                      calmoe_session_options *options)
{
    static const int layers[] = {1};
    TRY(open_engine(h));
    policy->exit_layers = layers;
    policy->n_exits = 1;
    TRY(calmoe_policy_make(h->model, policy, &h->policy));
    calmoe_session_options_init(options);
    options->policy = h->policy;
    options->ignore_end = 1;
    return calmoe_session_open(h->engine, options, &h->sessions[0]);
}

static calmoe_status run_with_policy(struct handles *h)
{
    calmoe_policy_options policy;
    calmoe_session_options options;
    int32_t token;
    calmoe_policy_options_init(&policy);
    policy.measure = "softmax";
    policy.threshold = 0.001f;
    policy.width = "ratio";
    policy.width_bound = 0.9f;
    TRY(open_with_policy(h, &policy, &options));
    TRY(calmoe_session_feed_text(h->sessions[0], "world hello", 11, 0));
    for (int i = 0; i < 4; i++) TRY(calmoe_session_next(h->sessions[0], &token));
    return CALMOE_OK;
}

/* Forked with rows that wait and a turn, saved, restored; each goes on. */
static calmoe_status run_saved(struct handles *h)
{
    calmoe_policy_options policy;
    calmoe_session_options options;
    int32_t token;
    calmoe_policy_options_init(&policy);
    policy.measure = "always";
    policy.threshold = 1.0f;
    policy.kv_fill = "catch_up";
    policy.max_pending = 8;
    TRY(open_with_policy(h, &policy, &options));
    TRY(calmoe_session_feed_chat(h->sessions[0], "the", "hello"));
    for (int i = 0; i < 3; i++) TRY(calmoe_session_next(h->sessions[0], &token));
    TRY(calmoe_session_fork(h->sessions[0], &h->sessions[1]));
    TRY(calmoe_session_save(h->sessions[0], session_path));
    TRY(calmoe_session_restore(h->engine, session_path, &options, &h->sessions[2]));
    for (int i = 0; i < 3; i++) TRY(calmoe_session_next(h->sessions[i], &token));
    return CALMOE_OK;
}

/* Counted, written, read, merged, told. */
static calmoe_status run_profile(struct handles *h)
{
    static const int32_t tokens[20] = {1, 2, 3};
    char                 text[16];
    size_t               n_text;
    calmoe_trace_info    info = {.size = sizeof info, .n_layers = 2, .n_experts = 4, .n_used = 2,
                                 .fingerprint = "0123456789abcdef"};
    calmoe_trace_token   token;
    calmoe_engine_options options;
    calmoe_engine_options_init(&options);
    options.n_threads = 2;
    options.pin_threads = 0;
    options.profile = 1;
    TRY(calmoe_context_open(NULL, &h->context));
    TRY(calmoe_model_open(h->context, model_path, NULL, &h->model));
    TRY(calmoe_engine_open(h->model, &options, &h->engine));
    TRY(calmoe_session_open(h->engine, NULL, &h->sessions[0]));
    const calmoe_chunk chunk = {h->sessions[0], tokens, 20, CALMOE_LOGITS_LAST};
    TRY(calmoe_engine_step(h->engine, &chunk, 1));
    TRY(calmoe_engine_profile_domain(h->engine, "again"));
    TRY(calmoe_engine_step(h->engine, &chunk, 1));
    TRY(calmoe_engine_get_profile(h->engine, &h->profiles[0]));
    TRY(calmoe_profile_write(h->profiles[0], profile_path));
    TRY(calmoe_profile_open(h->context, profile_path, &h->profiles[1]));
    TRY(calmoe_profile_merge(h->profiles[0], h->profiles[1]));
    assert_int_equal(calmoe_profile_get_text(h->profiles[0], text, sizeof text, &n_text), CALMOE_FULL);
    TRY(calmoe_trace_writer_open(h->context, trace_path, &info, &h->writer));
    TRY(calmoe_trace_writer_close(&h->writer));
    TRY(calmoe_trace_reader_open(h->context, trace_path, &h->reader));
    assert_int_equal(calmoe_trace_reader_next(h->reader, &token), CALMOE_END);
    return CALMOE_OK;
}

static calmoe_status run_placement(struct handles *h)
{
    calmoe_prediction        prediction = {.size = sizeof prediction};
    calmoe_placement_options options;
    calmoe_placement_options_init(&options);
    options.policy = "by_usage";
    options.profile = profile_path;
    options.topology = "numa:2 core:2 pu:1";
    TRY(calmoe_context_open(NULL, &h->context));
    TRY(calmoe_model_open(h->context, model_path, NULL, &h->model));
    TRY(calmoe_placement_open(h->model, &options, &h->placement));
    TRY(calmoe_placement_predict(h->placement, 8, &prediction));
    return calmoe_placement_write(h->placement, other_plan_path);
}

/* Packed experts on disk, read under a memory limit. */
static calmoe_status run_limited(struct handles *h)
{
    calmoe_engine_options options = limited_options();
    static const int32_t tokens[] = {3, 4};
    options.memory_limit = limited_bytes;
    options.packed = packed_path;
    TRY(calmoe_context_open(NULL, &h->context));
    TRY(calmoe_model_open(h->context, limited_path, NULL, &h->model));
    n_requests_before = cm_requests();
    TRY(calmoe_pack(h->model, packed_path, NULL));
    TRY(calmoe_engine_open(h->model, &options, &h->engine));
    TRY(calmoe_session_open(h->engine, NULL, &h->sessions[0]));
    const calmoe_chunk chunk = {h->sessions[0], tokens, 2, CALMOE_LOGITS_ALL};
    return calmoe_engine_step(h->engine, &chunk, 1);
}

static calmoe_status run_tokenizer(struct handles *h)
{
    calmoe_model_options options;
    int32_t tokens[64];
    size_t n_tokens;
    calmoe_model_options_init(&options);
    options.vocabulary_only = 1;
    TRY(calmoe_context_open(NULL, &h->context));
    TRY(calmoe_model_open(h->context, model_path, &options, &h->model));
    return calmoe_tokenize(h->context, h->model, "hello, the world and 123", 24, 0, tokens, 64, &n_tokens);
}

static calmoe_status run_quantize(struct handles *h)
{
    TRY(calmoe_context_open(NULL, &h->context));
    return calmoe_quantize(h->context, model_path, out_path, "q8_0", NULL, NULL);
}

/* ---- the torture ---- */

static void close_all(struct handles *h)
{
    for (int i = 0; i < N_SESSIONS; i++) calmoe_session_close(&h->sessions[i]);
    calmoe_policy_close(&h->policy);
    for (int i = 0; i < 2; i++) calmoe_profile_close(&h->profiles[i]);
    calmoe_placement_close(&h->placement);
    (void)calmoe_trace_writer_close(&h->writer);
    calmoe_trace_reader_close(&h->reader);
    calmoe_engine_close(&h->engine);
    calmoe_model_close(&h->model);
    calmoe_context_close(&h->context);
}

struct outcome {
    calmoe_status status;
    bool          has_failed; /* the request that had to fail did come */
};

/* One run whose n-th request fails: what comes back is a failure that says so, and nothing is left behind. Each
 * handle is either open or NULL, whatever failed. */
static struct outcome run_once(calmoe_status (*run)(struct handles *h), const char *what, long nth)
{
    struct handles handles = {0};
    const long live = cm_live_blocks(), n_before = cm_requests();
    unlink(out_path);
    cm_fail_request(nth);
    struct outcome outcome = {.status = run(&handles)};
    cm_fail_request(0);
    outcome.has_failed = cm_requests() - n_before >= nth;
    const char *sentence = calmoe_context_message(handles.context);
    switch (outcome.status) {
    case CALMOE_OK: break;
    case CALMOE_NO_MEMORY:
    case CALMOE_SYSTEM:
    case CALMOE_IO:
        if (sentence[0] == '\0') fail_msg("%s: request %ld: no sentence", what, nth);
        if (access(out_path, F_OK) == 0) fail_msg("%s: request %ld: a file is left", what, nth);
        break;
    default:
        fail_msg("%s: request %ld failed and the answer is %s: %s", what, nth, calmoe_status_name(outcome.status),
                 sentence);
    }
    close_all(&handles);
    if (cm_live_blocks() != live)
        fail_msg("%s: request %ld: %ld blocks are left", what, nth, cm_live_blocks() - live);
    return outcome;
}

/* max_helped: requests that may fail without harm (PCRE2 interprets a pattern where it cannot translate it). */
static void torture_from(long first, calmoe_status (*run)(struct handles *h), const char *what, int max_helped)
{
    int n_helped = 0;
    for (long nth = first; nth < MAX_REQUESTS; nth += full_or_thin(1, 3)) {
        const struct outcome outcome = run_once(run, what, nth);
        if (outcome.status != CALMOE_OK) continue;
        if (!outcome.has_failed) {
            printf("%s: %ld requests, %d of them may fail\n", what, nth - 1, n_helped);
            assert_true(nth > 50);
            return;
        }
        if (++n_helped > max_helped) fail_msg("%s: request %ld fails and nobody says so", what, nth);
    }
    fail_msg("%s: still fails after %d requests", what, MAX_REQUESTS);
}

static void torture(calmoe_status (*run)(struct handles *h), const char *what, int max_helped)
{
    torture_from(1, run, what, max_helped);
}

static void engine_and_sessions(void **state) { (void)state; torture(run_engine, "engine and sessions", MAX_HELPED); }
static void scheduled_sessions(void **state) { (void)state; torture(run_scheduled, "scheduled sessions", MAX_HELPED); }
static void session_with_policy(void **state)
{
    (void)state;
    torture(run_with_policy, "a session with a policy", MAX_HELPED);
}

static void sessions_in_files(void **state) { (void)state; torture(run_saved, "sessions in files", MAX_HELPED); }

/* In this order: placement reads the profile that the last run of profiling, which nothing failed, has written. */
static void profiling(void **state) { (void)state; torture(run_profile, "profiling", MAX_HELPED); }
static void placing(void **state) { (void)state; torture(run_placement, "placing", MAX_HELPED); }
static void vocabulary(void **state) { (void)state; torture(run_tokenizer, "vocabulary", MAX_HELPED); }

static void experts_on_disk(void **state)
{
    (void)state;
    const long before = cm_requests();
    run_once(run_limited, "experts on disk", 0);
    torture_from(n_requests_before - before, run_limited, "experts on disk", MAX_HELPED);
}

static void quantizing(void **state) { (void)state; torture(run_quantize, "quantizing", 0); }

/* A call that failed has changed nothing: after each failure the same session goes on and gives the tokens that
 * it would have given. */
static void a_failed_call_changes_nothing(void **state)
{
    (void)state;
    int32_t wanted[3], token;
    for (long nth = 0; nth < 12; nth++) {
        struct handles h = {0};
        assert_int_equal(open_engine(&h), CALMOE_OK);
        assert_int_equal(calmoe_session_open(h.engine, NULL, &h.sessions[0]), CALMOE_OK);
        cm_fail_request(nth);
        calmoe_status status = calmoe_session_feed_text(h.sessions[0], "hello world", 11, 0);
        cm_fail_request(0);
        if (status != CALMOE_OK) {
            assert_int_equal(status, CALMOE_NO_MEMORY);
            assert_int_equal(calmoe_session_next(h.sessions[0], &token), CALMOE_END);
            assert_int_equal(calmoe_session_feed_text(h.sessions[0], "hello world", 11, 0), CALMOE_OK);
        }
        for (int i = 0; i < 3; i++) {
            assert_int_equal(calmoe_session_next(h.sessions[0], &token), CALMOE_OK);
            if (nth == 0) wanted[i] = token;
            assert_int_equal(token, wanted[i]);
        }
        close_all(&h);
    }
}

/* ---- the files ---- */

static int write_files(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    calmoe_context *context = NULL;
    calmoe_model *model = NULL;
    calmoe_model_info info = {.size = sizeof info};
    static struct place places[2 * 4];
    tiny.chat_template = TINY_CHATML;
    folder = temp_folder_open();
    snprintf(model_path, sizeof model_path, "%s", temp_file(folder, "tiny.gguf"));
    snprintf(plan_path, sizeof plan_path, "%s", temp_file(folder, "plan.json"));
    snprintf(out_path, sizeof out_path, "%s", temp_file(folder, "out.gguf"));
    snprintf(profile_path, sizeof profile_path, "%s", temp_file(folder, "profile.json"));
    snprintf(session_path, sizeof session_path, "%s", temp_file(folder, "a.session"));
    snprintf(trace_path, sizeof trace_path, "%s", temp_file(folder, "trace"));
    snprintf(other_plan_path, sizeof other_plan_path, "%s", temp_file(folder, "other_plan.json"));
    tiny_model_write(&tiny, model_path);
    tiny.n_layers = 4;
    snprintf(limited_path, sizeof limited_path, "%s", temp_file(folder, "limited.gguf"));
    snprintf(packed_path, sizeof packed_path, "%s", temp_file(folder, "packed"));
    tiny_model_write(&tiny, limited_path);
    limited_bytes = running_smallest_limit(limited_path, limited_options());
    if (calmoe_context_open(NULL, &context) || calmoe_model_open(context, model_path, NULL, &model) ||
        calmoe_model_get_info(model, &info))
        return -1;
    struct topology topology;
    if (cm_topology_open(context, NULL, &topology)) return -1;
    struct plan_file plan = {.plan = {.n_nodes = topology.n_nodes, .n_layers = 2, .n_experts = 4,
                                      .width = info.expert_width, .dim = info.width, .quantum = 16,
                                      .n_kv_heads = info.n_kv_heads, .places = places}};
    plan.plan.shares[0] = 1;
    plan.plan.kv_heads[0] = info.n_kv_heads;
    memcpy(plan.fingerprint, info.fingerprint, sizeof plan.fingerprint);
    cm_topology_close(&topology);
    const calmoe_status status = cm_plan_file_write(context, plan_path, &plan);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
    return status == CALMOE_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profiling),
        cmocka_unit_test(placing),
        cmocka_unit_test(vocabulary),
        cmocka_unit_test(engine_and_sessions),
        cmocka_unit_test(scheduled_sessions),
        cmocka_unit_test(session_with_policy), cmocka_unit_test(sessions_in_files),
        cmocka_unit_test(quantizing),
        cmocka_unit_test(experts_on_disk),
        cmocka_unit_test(a_failed_call_changes_nothing),
    };
    return cmocka_run_group_tests_name("torture", tests, write_files, close_folder);
}
