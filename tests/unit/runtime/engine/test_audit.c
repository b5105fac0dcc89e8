/* test_audit.c - audits: tokens that are run twice, what they change (the token becomes the full model's), when the
 * policy steps down, and that picks depend on nothing but the seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"
#include "runtime/documents/policy_file.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 4, N_NEW = 8, N_ANSWERS = 12, N_TOKENS = N_NEW * N_ANSWERS, N_SESSIONS = 4 };

static char path[600];

/* ---- policies and sessions ---- */

static enum kv_fill kv_fill; /* of the ladders that are opened */

static calmoe_policy *open_ladder(struct running *r, enum exit_measure measure, float threshold, int n_rungs,
                                  enum loss_kind loss)
{
    static const double deltas[] = {0.01, 0.05, 0.1};
    struct policy policy = {.n_layers = N_LAYERS, .n_rungs = n_rungs};
    calmoe_policy *opened = NULL;
    memcpy(policy.fingerprint, r->model->fingerprint, sizeof policy.fingerprint);
    for (int i = 0; i < n_rungs; i++)
        policy.rungs[i] = (struct policy_rung){
            .delta = deltas[i], .epsilon = 0.05, .n_prompts = 1000, .p = 0.01, .loss = loss, .n_exits = 1,
            .exits = {{.layer = 1, .measure = measure, .threshold = {SCHEDULE_CONSTANT, threshold, 0.0f, 0}}},
            .kv_fill = kv_fill, .max_pending = kv_fill == KV_PROPAGATE ? 0 : 2, .k_tail = TAIL_NONE};
    const char *file = temp_file(folder, "policy.json");
    assert_int_equal(cm_policy_file_write(NULL, file, &policy), CALMOE_OK);
    running_must(r->context, calmoe_policy_open(r->model, file, &opened));
    return opened;
}

/* audit: the share that is required, 0 for the default, below 0 for none. */
static calmoe_session_options options_of(const calmoe_policy *policy, double audit, uint64_t seed)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.policy = policy;
    options.quality = policy ? 0.5 : 0.0;
    options.audit = audit < 0.0 ? CALMOE_AUDIT_NEVER : audit > 0.0 ? CALMOE_AUDIT_REQUIRED : CALMOE_AUDIT_WHERE_PROVEN;
    if (audit > 0.0) options.audit_share = audit;
    options.audit_seed = seed;
    options.hash_logits = 1;
    options.ignore_end = 1;
    options.max_new_tokens = N_NEW;
    return options;
}

static calmoe_session *open_session(struct running *r, const calmoe_policy *policy, double audit, uint64_t seed)
{
    const calmoe_session_options options = options_of(policy, audit, seed);
    calmoe_session *session = NULL;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    return session;
}

static calmoe_audit audit_of(const calmoe_session *session)
{
    calmoe_audit audit = {.size = sizeof audit};
    assert_int_equal(calmoe_session_audit(session, &audit), CALMOE_OK);
    return audit;
}

static void feed(struct running *r, calmoe_session *session, int answer)
{
    const int32_t tokens[3] = {40 + answer, 41, 50 - answer};
    running_must(r->context, calmoe_session_rewind(session, 0));
    running_must(r->context, calmoe_session_feed_tokens(session, tokens, 3));
}

struct outcome {
    int32_t      tokens[N_TOKENS];
    char         hash[65];
    calmoe_audit audit;
};

/* One session's answers, each to a prompt of its own. */
static struct outcome run_alone(struct running *r, const calmoe_policy *policy, double audit, uint64_t seed)
{
    struct outcome outcome;
    calmoe_session *session = open_session(r, policy, audit, seed);
    int32_t token;
    for (int i = 0; i < N_TOKENS; i++) {
        if (i % N_NEW == 0) feed(r, session, i / N_NEW);
        running_must(r->context, calmoe_session_next(session, &outcome.tokens[i]));
        if (i % N_NEW == N_NEW - 1) assert_int_equal(calmoe_session_next(session, &token), CALMOE_END);
    }
    running_must(r->context, calmoe_session_logit_hash(session, outcome.hash));
    outcome.audit = audit_of(session);
    calmoe_session_close(&session);
    return outcome;
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
    assert_memory_equal(a->tokens, b->tokens, sizeof a->tokens);
    assert_string_equal(a->hash, b->hash);
    assert_int_equal(a->audit.n_tokens, b->audit.n_tokens);
    assert_int_equal(a->audit.n_different, b->audit.n_different);
    assert_int_equal(a->audit.n_answers, b->audit.n_answers);
    assert_memory_equal(&a->audit.ln_evidence, &b->audit.ln_evidence, sizeof a->audit.ln_evidence);
    assert_int_equal(a->audit.rung, b->audit.rung);
    assert_int_equal(a->audit.n_alarms, b->audit.n_alarms);
}

/* ---- alarms ---- */

static char remarks[4096];
static int n_remarks;

static void keep_remark(void *user, const char *sentence)
{
    (void)user;
    snprintf(remarks, sizeof remarks, "%s", sentence);
    n_remarks++;
}

/* Every token leaves after the first layer, and the file claims that this changes at most 1 to 10 of 100. */
static void check_false_claim(void)
{
    const calmoe_engine_options options = running_options(2, NULL);
    struct running r = running_open(path, &options, NULL);
    calmoe_policy *policy = open_ladder(&r, MEASURE_ALWAYS, 1.0f, 3, LOSS_TOKEN_DISAGREEMENT);
    r.context->log = keep_remark;
    n_remarks = 0;
    const struct outcome off = run_alone(&r, NULL, 0.0, 0), on = run_alone(&r, policy, 1.0, 0);
    assert_int_equal(on.audit.rung, -1);
    assert_int_equal(on.audit.n_alarms, 3);
    assert_int_equal(n_remarks, 3);
    assert_non_null(strstr(remarks, "more than 0.01 of tokens differ"));
    assert_non_null(strstr(remarks, "nothing is left out from now on"));
    assert_true(on.audit.share == 0.0 && on.audit.n_different > on.audit.n_tokens / 2);
    /* Every token was audited, so every token, and every logit, is the full model's. */
    assert_memory_equal(on.tokens, off.tokens, sizeof on.tokens);
    assert_string_equal(on.hash, off.hash);
    /* Unwatched it goes on, and is something else. */
    const struct outcome unwatched = run_alone(&r, policy, -1.0, 0);
    assert_int_equal(unwatched.audit.rung, 2);
    assert_int_equal(unwatched.audit.n_tokens, 0);
    assert_string_not_equal(unwatched.hash, off.hash);
    calmoe_policy_close(&policy);
    running_close(&r);
}

static void a_false_claim_ends_at_off(void **state)
{
    (void)state;
    for (int fill = 0; fill < KV_FILL_COUNT; fill++) {
        kv_fill = (enum kv_fill)fill;
        check_false_claim();
    }
    kv_fill = KV_PROPAGATE;
}

static void a_true_claim_stays(void **state)
{
    (void)state;
    const calmoe_engine_options options = running_options(2, NULL);
    struct running r = running_open(path, &options, NULL);
    calmoe_policy *policy = open_ladder(&r, MEASURE_SOFTMAX, 1.0f, 3, LOSS_TOKEN_DISAGREEMENT); /* never leaves */
    const struct outcome off = run_alone(&r, NULL, 0.0, 0), on = run_alone(&r, policy, 1.0, 0);
    assert_int_equal(on.audit.rung, 2);
    assert_int_equal(on.audit.n_alarms, 0);
    assert_int_equal(on.audit.n_different, 0);
    assert_int_equal(on.audit.n_answers, N_ANSWERS);
    assert_int_equal(on.audit.n_tokens, N_ANSWERS * (N_NEW - 1)); /* the first is the prompt's */
    assert_true(on.audit.ln_evidence < 0.0 && on.audit.ln_limit > 2.99 && on.audit.ln_limit < 3.0);
    assert_string_equal(on.hash, off.hash);
    calmoe_policy_close(&policy);
    running_close(&r);
}

/* Where but one token may be sampled, no policy changes what is sampled, whatever unusable tokens lead the logits. */
static void tokens_that_are_not_sampled_do_not_count(void **state)
{
    (void)state;
    enum { ONLY = 42 };
    const calmoe_engine_options options = running_options(2, NULL);
    struct running r = running_open(path, &options, NULL);
    calmoe_policy *policy = open_ladder(&r, MEASURE_ALWAYS, 1.0f, 3, LOSS_TOKEN_DISAGREEMENT);
    for (int id = 0; id < r.model->spec.n_vocab; id++) r.model->usable[id] = id == ONLY;
    const struct outcome on = run_alone(&r, policy, 1.0, 0);
    for (int i = 0; i < N_TOKENS; i++) assert_int_equal(on.tokens[i], ONLY);
    assert_int_equal(on.audit.n_tokens, N_ANSWERS * (N_NEW - 1));
    assert_int_equal(on.audit.n_different, 0);
    assert_int_equal(on.audit.n_alarms, 0);
    calmoe_policy_close(&policy);
    running_close(&r);
}

/* ---- picks ---- */

static void check_picks(void)
{
    struct outcome wanted[N_SESSIONS];
    uint64_t n_picked = 0;
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        const calmoe_engine_options options = running_options(n_threads, NULL);
        struct running r = running_open(path, &options, NULL);
        calmoe_policy *policy = open_ladder(&r, MEASURE_ALWAYS, 1.0f, 1, LOSS_TOKEN_DISAGREEMENT);
        calmoe_session *sessions[N_SESSIONS];
        struct outcome got[N_SESSIONS];
        int n_got[N_SESSIONS] = {0}, n_done = 0;
        for (int s = 0; s < N_SESSIONS; s++) { /* alone: the same for any number of threads */
            const struct outcome alone = run_alone(&r, policy, 0.25, (uint64_t)s);
            if (n_threads == 1) wanted[s] = alone;
            else assert_same(&alone, &wanted[s]);
            n_picked += n_threads == 1 ? alone.audit.n_tokens : 0;
            sessions[s] = open_session(&r, policy, 0.25, (uint64_t)s);
            feed(&r, sessions[s], 0);
        }
        while (n_done < N_SESSIONS) { /* in one batch: as alone */
            calmoe_event events[N_SESSIONS + 1];
            int n_events;
            running_must(r.context, calmoe_engine_next(r.engine, events, N_SESSIONS + 1, &n_events));
            for (int e = 0; e < n_events; e++)
                for (int s = 0; s < N_SESSIONS; s++) {
                    if (events[e].session != sessions[s]) continue;
                    if (events[e].status == CALMOE_OK) got[s].tokens[n_got[s]++] = events[e].token;
                    else if (n_got[s] < N_TOKENS) feed(&r, sessions[s], n_got[s] / N_NEW);
                    else n_done++;
                }
        }
        for (int s = 0; s < N_SESSIONS; s++) {
            running_must(r.context, calmoe_session_logit_hash(sessions[s], got[s].hash));
            got[s].audit = audit_of(sessions[s]);
            assert_same(&got[s], &wanted[s]);
            calmoe_session_close(&sessions[s]);
        }
        calmoe_policy_close(&policy);
        running_close(&r);
    }
    assert_string_not_equal(wanted[0].hash, wanted[1].hash);
    /* While nobody is OFF yet a quarter of the tokens is picked; afterwards none. */
    assert_true(n_picked > 0 && n_picked < N_SESSIONS * N_TOKENS / 2);
}

static void picks_are_of_the_seed_alone(void **state)
{
    (void)state;
    for (int fill = 0; fill < KV_FILL_COUNT; fill++) {
        kv_fill = (enum kv_fill)fill;
        check_picks();
    }
    kv_fill = KV_PROPAGATE;
}

static void the_share_is_as_asked(void **state)
{
    (void)state;
    enum { N = 4000 };
    const calmoe_engine_options options = running_options(1, NULL);
    struct running r = running_open(path, &options, NULL);
    calmoe_policy *policy = open_ladder(&r, MEASURE_SOFTMAX, 1.0f, 1, LOSS_TOKEN_DISAGREEMENT);
    calmoe_session *session = open_session(&r, policy, 0.0, 7);
    assert_true(audit_of(session).share == 0.01);
    session->audit.share = 0.2;
    session->answer.max_new = 0;
    for (int i = 0; i < N; i++) {
        int32_t token;
        if (i % 40 == 0) feed(&r, session, 0);
        running_must(r.context, calmoe_session_next(session, &token));
    }
    const double n = N * 39.0 / 40, found = (double)audit_of(session).n_tokens;
    assert_true(found > 0.2 * n - 100 && found < 0.2 * n + 100); /* four standard deviations */
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    running_close(&r);
}

/* ---- interruptions and options ---- */

/* Between a trial and the full step nothing has been said yet, and the session may go back. */
static void a_rewind_between_the_two_steps(void **state)
{
    (void)state;
    const calmoe_engine_options options = running_options(2, NULL);
    struct running r = running_open(path, &options, NULL);
    calmoe_policy *policy = open_ladder(&r, MEASURE_ALWAYS, 1.0f, 1, LOSS_TOKEN_DISAGREEMENT);
    calmoe_session *session = open_session(&r, policy, 1.0, 0);
    calmoe_event events[3];
    int n_events;
    feed(&r, session, 0);
    running_must(r.context, calmoe_engine_next(r.engine, events, 3, &n_events));
    assert_int_equal(n_events, 1);
    const int32_t first = events[0].token;
    running_must(r.context, calmoe_engine_next(r.engine, events, 3, &n_events)); /* the trial */
    assert_int_equal(n_events, 0);
    assert_int_equal(calmoe_session_n_positions(session), 3);
    running_must(r.context, calmoe_session_rewind(session, 3));
    assert_int_equal(calmoe_engine_next(r.engine, events, 3, &n_events), CALMOE_END); /* nothing is pending */
    feed(&r, session, 0);
    running_must(r.context, calmoe_engine_next(r.engine, events, 3, &n_events));
    assert_int_equal(events[0].token, first);
    assert_int_equal(audit_of(session).n_tokens, 0);
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    running_close(&r);
}

static void assert_refused(struct running *r, const calmoe_session_options *options, calmoe_status wanted,
                           const char *words)
{
    calmoe_session *session = NULL;
    assert_int_equal(calmoe_session_open(r->engine, options, &session), wanted);
    assert_null(session);
    if (!strstr(calmoe_context_message(r->context), words)) fail_msg("%s", calmoe_context_message(r->context));
}

static void options_that_are_refused(void **state)
{
    (void)state;
    const calmoe_engine_options engine = running_options(1, NULL);
    struct running r = running_open(path, &engine, NULL);
    calmoe_policy *policy = open_ladder(&r, MEASURE_ALWAYS, 1.0f, 1, LOSS_TOKEN_DISAGREEMENT);
    calmoe_policy *other = open_ladder(&r, MEASURE_ALWAYS, 1.0f, 1, LOSS_TOTAL_VARIATION), *made = NULL;
    calmoe_policy_options plan;
    calmoe_policy_options_init(&plan);
    plan.width = "fixed";
    running_must(r.context, calmoe_policy_make(r.model, &plan, &made));
    calmoe_session_options options = options_of(policy, 1.5, 0);
    assert_refused(&r, &options, CALMOE_INVALID_ARGUMENT, "audit_share is 1.5");
    options.audit_share = 0.0;
    assert_refused(&r, &options, CALMOE_INVALID_ARGUMENT, "audit_share is 0");
    options.audit_share = NAN;
    assert_refused(&r, &options, CALMOE_INVALID_ARGUMENT, "audit_share is");
    options.audit_share = 0.5;
    options.audit_alpha = 1.0;
    assert_refused(&r, &options, CALMOE_INVALID_ARGUMENT, "audit_alpha is 1");
    options.audit_alpha = 0.0;
    assert_refused(&r, &options, CALMOE_INVALID_ARGUMENT, "audit_alpha is 0");
    options.audit_alpha = 0.05;
    options.audit = 3;
    assert_refused(&r, &options, CALMOE_INVALID_ARGUMENT, "audit is 3");
    options = options_of(NULL, 0.5, 0);
    assert_refused(&r, &options, CALMOE_INVALID_ARGUMENT, "without a policy");
    options = options_of(made, 0.5, 0);
    options.quality = 0.0;
    assert_refused(&r, &options, CALMOE_INVALID_ARGUMENT, "without a policy of which a bound is proven");
    options = options_of(other, 0.5, 0);
    assert_refused(&r, &options, CALMOE_UNSUPPORTED, "'total_variation'");
    const calmoe_policy *silent[] = {other, made, NULL};
    for (int i = 0; i < 3; i++) { /* by default these have no audit */
        options = options_of(silent[i], 0.0, 0);
        if (silent[i] == made) options.quality = 0.0;
        calmoe_session *session = NULL;
        running_must(r.context, calmoe_session_open(r.engine, &options, &session));
        assert_true(audit_of(session).share == 0.0);
        calmoe_session_close(&session);
    }
    assert_int_equal(calmoe_session_audit(NULL, NULL), CALMOE_INVALID_ARGUMENT);
    calmoe_policy_close(&policy);
    calmoe_policy_close(&other);
    calmoe_policy_close(&made);
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
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_false_claim_ends_at_off),      cmocka_unit_test(a_true_claim_stays),
        cmocka_unit_test(tokens_that_are_not_sampled_do_not_count),
        cmocka_unit_test(picks_are_of_the_seed_alone),    cmocka_unit_test(the_share_is_as_asked),
        cmocka_unit_test(a_rewind_between_the_two_steps), cmocka_unit_test(options_that_are_refused),
    };
    return cmocka_run_group_tests_name("audits", tests, set_up, close_folder);
}
