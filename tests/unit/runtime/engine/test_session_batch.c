/* test_session_batch.c - an engine and many sessions: calmoe_engine_next(), sessions that come and go, engines that
 * share a model, what callbacks and counters say, and that a step allocates nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"

enum { CONTEXT = 64, N_LAYERS = 2, N_EXPERTS = 4, N_USED = 2, MAX_SESSIONS = 20 };


static const int32_t prompt[12] = {40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51};

/* One thread, not pinned: tests run side by side. */
static struct running open_running(void)
{
    const calmoe_engine_options options = running_options(1, NULL);
    return running_open(tiny_path, &options, NULL);
}

static calmoe_session_options session_options(int max_new_tokens)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.ignore_end = 1;
    options.max_new_tokens = max_new_tokens;
    return options;
}

static calmoe_session *open_session(struct running *r, int max_new_tokens, size_t n_prompt)
{
    const calmoe_session_options options = session_options(max_new_tokens);
    calmoe_session *session = NULL;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    running_must(r->context, calmoe_session_feed_tokens(session, prompt, n_prompt));
    return session;
}

/* What a session gets alone. Returns the number of tokens until END or FULL. */
static int alone(int max_new_tokens, size_t n_prompt, int32_t *tokens)
{
    struct running r = open_running();
    calmoe_session *session = open_session(&r, max_new_tokens, n_prompt);
    int n = 0;
    while (calmoe_session_next(session, &tokens[n]) == CALMOE_OK) n++;
    calmoe_session_close(&session);
    running_close(&r);
    return n;
}

/* ---- calmoe_engine_next ---- */

struct follower { /* what a session got in events */
    calmoe_session *session;
    int32_t         tokens[2 * CONTEXT];
    int             n;
    int             n_ends;
    calmoe_status   end;
};

static void note(struct follower *followers, int n, const calmoe_event *event)
{
    for (int i = 0; i < n; i++) {
        struct follower *f = &followers[i];
        if (f->session != event->session) continue;
        assert_int_equal(f->n_ends, 0); /* nothing after the end */
        if (event->status == CALMOE_OK) {
            f->tokens[f->n++] = event->token;
        } else {
            assert_int_equal(event->token, -1);
            f->end = event->status;
            f->n_ends++;
        }
        return;
    }
    fail_msg("an event of no session");
}

static void run_to_the_end(struct running *r, struct follower *followers, int n)
{
    calmoe_event events[MAX_SESSIONS];
    int n_events;
    calmoe_status status;
    while ((status = calmoe_engine_next(r->engine, events, MAX_SESSIONS, &n_events)) == CALMOE_OK)
        for (int e = 0; e < n_events; e++) note(followers, n, &events[e]);
    assert_int_equal(status, CALMOE_END);
    assert_int_equal(n_events, 0);
}

/* Each gets what it gets alone, then one event that says how it ended. */
static void each_gets_its_tokens_and_one_end(void **state)
{
    (void)state;
    static const int limits[] = {1, 0, 5, 3, 9}, lengths[] = {1, 12, 7, 3, 12};
    static const int rows[] = {0, 1, 2, 5, 13};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        calmoe_engine_options options = running_options(2, NULL);
        options.max_rows = rows[k];
        struct running r = running_open(tiny_path, &options, NULL);
        struct follower followers[5] = {{0}};
        for (int i = 0; i < 5; i++) followers[i].session = open_session(&r, limits[i], (size_t)lengths[i]);
        run_to_the_end(&r, followers, 5);
        for (int i = 0; i < 5; i++) {
            int32_t wanted[2 * CONTEXT];
            const int n = alone(limits[i], (size_t)lengths[i], wanted);
            assert_int_equal(followers[i].n, n);
            assert_memory_equal(followers[i].tokens, wanted, (size_t)n * sizeof *wanted);
            assert_int_equal(followers[i].n_ends, 1);
            assert_int_equal(followers[i].end, limits[i] ? CALMOE_END : CALMOE_FULL);
            /* as with calmoe_session_next(), the last token of a limit is not read */
            const int n_read = limits[i] ? lengths[i] + n - 1 : CONTEXT;
            assert_int_equal(calmoe_session_n_positions(followers[i].session), n_read);
            calmoe_session_close(&followers[i].session);
        }
        running_close(&r);
    }
}

/* Fed again after its end, a session goes on. */
static void an_ended_session_is_fed_again(void **state)
{
    (void)state;
    struct running r = open_running();
    struct follower follower = {.session = open_session(&r, 2, 3)};
    run_to_the_end(&r, &follower, 1);
    assert_int_equal(follower.n, 2);
    running_must(r.context, calmoe_session_feed_tokens(follower.session, prompt, 4));
    follower.n_ends = 0;
    run_to_the_end(&r, &follower, 1);
    assert_int_equal(follower.n, 4);
    assert_int_equal(follower.n_ends, 1);
    assert_int_equal(calmoe_session_n_positions(follower.session), 3 + 2 + 4 + 1);
    calmoe_session_close(&follower.session);
    running_close(&r);
}

/* A long prompt does not hold up those that generate. */
static void a_long_prompt_holds_nobody_up(void **state)
{
    (void)state;
    calmoe_engine_options options = running_options(1, NULL);
    options.max_rows = 4;
    struct running r = running_open(tiny_path, &options, NULL);
    calmoe_event events[4];
    int n_events;
    calmoe_session *quick = open_session(&r, 0, 1);
    running_must(r.context, calmoe_engine_next(r.engine, events, 4, &n_events));
    assert_int_equal(n_events, 1);
    calmoe_session *slow = open_session(&r, 0, 12);
    for (int i = 0; i < 4; i++) { /* 1 row for quick, 3 for slow, which is done in four steps */
        running_must(r.context, calmoe_engine_next(r.engine, events, 4, &n_events));
        assert_int_equal(n_events, i == 3 ? 2 : 1);
        assert_int_equal(calmoe_session_n_positions(slow), 3 * (i + 1));
        assert_int_equal(calmoe_session_n_positions(quick), 2 + i);
    }
    calmoe_session_close(&slow);
    calmoe_session_close(&quick);
    running_close(&r);
}

static void sessions_come_and_go(void **state)
{
    (void)state;
    struct running r = open_running();
    struct follower followers[MAX_SESSIONS] = {{0}};
    calmoe_event events[MAX_SESSIONS];
    int32_t wanted[2 * CONTEXT];
    int n_events, n_open = 0;
    for (int step = 0; step < 30; step++) {
        if (n_open < MAX_SESSIONS - 1) followers[n_open++].session = open_session(&r, 20, 12);
        if (step % 3 == 2) calmoe_session_close(&followers[step / 3].session); /* in the middle of its work */
        running_must(r.context, calmoe_engine_next(r.engine, events, MAX_SESSIONS, &n_events));
        for (int e = 0; e < n_events; e++) note(followers, n_open, &events[e]);
    }
    const int n_wanted = alone(20, 12, wanted);
    for (int i = 0; i < n_open; i++) {
        assert_true(followers[i].n > 0);
        assert_in_range(followers[i].n, 0, (uintmax_t)n_wanted);
        assert_memory_equal(followers[i].tokens, wanted, (size_t)followers[i].n * sizeof *wanted);
        calmoe_session_close(&followers[i].session);
    }
    running_close(&r);
}

/* ---- engines ---- */

static void two_engines_share_a_model(void **state)
{
    (void)state;
    const calmoe_engine_options options = running_options(1, running_isa(0));
    struct running r = open_running();
    calmoe_engine *engine = NULL;
    calmoe_session *session = NULL;
    running_must(r.context, calmoe_engine_open(r.model, &options, &engine));
    running_must(r.context, calmoe_session_open(engine, NULL, &session));
    running_must(r.context, calmoe_session_feed_tokens(session, prompt, 5));
    running_must(r.context, calmoe_session_feed_tokens(r.session, prompt, 5));
    for (int i = 0; i < 10; i++) {
        int32_t a, b;
        running_must(r.context, calmoe_session_next(session, &a));
        running_must(r.context, calmoe_session_next(r.session, &b));
        assert_int_equal(a, b);
    }
    calmoe_session_close(&r.session); /* the first goes, the second stays */
    calmoe_engine_close(&r.engine);
    int32_t token;
    running_must(r.context, calmoe_session_next(session, &token));
    calmoe_session_close(&session);
    calmoe_engine_close(&engine);
    running_close(&r);
}

struct progress {
    double last;
    int    n_calls, stop_at; /* stop_at: the call that answers "stop"; 0 = none */
};

static int on_progress(void *user, double fraction)
{
    struct progress *progress = user;
    assert_true(fraction >= progress->last && fraction >= 0.0 && fraction <= 1.0);
    progress->last = fraction;
    return ++progress->n_calls == progress->stop_at;
}

/* With one thread the calls are the same each time, so that each can be the one that stops. */
static void loading_can_be_stopped_at_any_point(void **state)
{
    (void)state;
    const long live = cm_live_blocks();
    struct running r = open_running();
    const long live_before = cm_live_blocks();
    calmoe_engine_options options = running_options(1, NULL);
    struct progress whole = {0};
    calmoe_engine *engine = NULL;
    options.progress = on_progress;
    options.progress_user = &whole;
    running_must(r.context, calmoe_engine_open(r.model, &options, &engine));
    calmoe_engine_close(&engine);
    assert_true(whole.n_calls > 10 && whole.last == 1.0);
    for (int stop_at = 1; stop_at <= whole.n_calls; stop_at++) {
        struct progress progress = {.stop_at = stop_at};
        options.progress_user = &progress;
        assert_int_equal(calmoe_engine_open(r.model, &options, &engine), CALMOE_CANCELLED);
        assert_null(engine);
        assert_int_equal(progress.n_calls, stop_at);
        assert_string_equal(calmoe_context_message(r.context), "loading was cancelled");
        assert_int_equal(cm_live_blocks(), live_before);
    }
    options.n_threads = 3; /* who calls is still the caller's thread, and fractions still rise */
    struct progress shared = {0};
    options.progress_user = &shared;
    running_must(r.context, calmoe_engine_open(r.model, &options, &engine));
    assert_true(shared.last == 1.0);
    calmoe_engine_close(&engine);
    running_close(&r);
    assert_int_equal(cm_live_blocks(), live);
}

/* ---- what it says of itself ---- */

struct seen { /* (layer, position) of each session */
    calmoe_session *sessions[3];
    int             n[3][N_LAYERS][CONTEXT];
    uint64_t        counts[N_LAYERS][N_EXPERTS];
    int             last_layer;
};

static void on_routing(void *user, const calmoe_routing_event *event)
{
    struct seen *seen = user;
    int i = 0;
    while (i < 3 && seen->sessions[i] != event->session) i++;
    assert_true(i < 3);
    assert_in_range(event->layer, 0, N_LAYERS - 1);
    assert_in_range(event->position, 0, CONTEXT - 1);
    assert_int_equal(event->n, N_USED);
    assert_int_equal(event->token, prompt[event->position]);
    assert_true(event->layer == seen->last_layer || event->layer == (seen->last_layer + 1) % N_LAYERS);
    seen->last_layer = event->layer;
    float sum = 0.0f;
    for (int slot = 0; slot < event->n; slot++) {
        assert_in_range(event->experts[slot], 0, N_EXPERTS - 1);
        if (slot > 0) {
            assert_int_not_equal(event->experts[slot], event->experts[slot - 1]);
            assert_true(event->weights[slot] <= event->weights[slot - 1]);
        }
        sum += event->weights[slot];
        seen->counts[event->layer][event->experts[slot]]++;
    }
    assert_true(sum > 0.0f && sum < 1.0f); /* a softmax over all, not renormalised */
    seen->n[i][event->layer][event->position]++;
}

static void check_stats(struct running *r, const struct seen *seen, uint64_t n_steps, uint64_t n_rows)
{
    calmoe_stats stats = {.size = sizeof stats};
    running_must(r->context, calmoe_engine_get_stats(r->engine, &stats));
    assert_int_equal(stats.n_steps, n_steps);
    assert_int_equal(stats.n_rows, n_rows);
    assert_int_equal(stats.n_layers_run, n_rows * N_LAYERS);
    assert_int_equal(stats.n_experts_run, n_rows * N_LAYERS * N_USED);
    assert_int_equal(stats.n_threads, 2);
    assert_true(stats.n_nodes >= 1 && stats.n_packed_bytes > 0);
    assert_string_equal(stats.isa, "ref");
    assert_true(n_steps ? stats.step_seconds > 0.0 : stats.step_seconds == 0.0);
    assert_true(stats.wait_share >= 0.0 && stats.wait_share <= 1.0);
    for (int layer = 0; layer < N_LAYERS; layer++) {
        uint64_t counts[N_EXPERTS + 1] = {[N_EXPERTS] = 99};
        running_must(r->context, calmoe_engine_get_expert_counts(r->engine, layer, counts, N_EXPERTS + 1));
        assert_memory_equal(counts, seen->counts[layer], sizeof seen->counts[layer]);
        assert_int_equal(counts[N_EXPERTS], 99);
    }
}

static void routing_and_counters(void **state)
{
    (void)state;
    static const int lengths[3] = {12, 1, 7};
    static struct seen seen;
    memset(&seen, 0, sizeof seen);
    calmoe_engine_options options = running_options(2, "ref");
    options.routing = on_routing;
    options.routing_user = &seen;
    struct running r = running_open(tiny_path, &options, NULL);
    check_stats(&r, &seen, 0, 0);
    calmoe_chunk chunks[3];
    for (int i = 0; i < 3; i++) {
        running_must(r.context, calmoe_session_open(r.engine, NULL, &seen.sessions[i]));
        chunks[i] = (calmoe_chunk){seen.sessions[i], prompt, lengths[i], CALMOE_LOGITS_LAST};
    }
    running_must(r.context, calmoe_engine_step(r.engine, chunks, 3));
    for (int i = 0; i < 3; i++)
        for (int layer = 0; layer < N_LAYERS; layer++)
            for (int position = 0; position < CONTEXT; position++)
                assert_int_equal(seen.n[i][layer][position], position < lengths[i]);
    check_stats(&r, &seen, 1, 20);
    const calmoe_chunk more = {seen.sessions[1], prompt + 1, 5, CALMOE_LOGITS_NONE};
    running_must(r.context, calmoe_engine_step(r.engine, &more, 1));
    check_stats(&r, &seen, 2, 25);
    calmoe_engine_reset_stats(r.engine);
    memset(seen.counts, 0, sizeof seen.counts);
    check_stats(&r, &seen, 0, 0);
    for (int i = 0; i < 3; i++) calmoe_session_close(&seen.sessions[i]);
    running_close(&r);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    struct running r = open_running();
    calmoe_session *sessions[6];
    calmoe_event events[7];
    int n_events;
    int32_t token;
    for (int i = 0; i < 6; i++) sessions[i] = open_session(&r, 0, 12);
    const calmoe_chunk chunk = {r.session, prompt, 5, CALMOE_LOGITS_ALL};
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    const long n_requests = cm_requests();
    for (int i = 0; i < 15; i++) {
        running_must(r.context, calmoe_engine_next(r.engine, events, 7, &n_events));
        running_must(r.context, calmoe_session_rewind(r.session, i % 3));
        running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
        running_must(r.context, calmoe_session_sample(r.session, &token));
        running_must(r.context, calmoe_session_feed_tokens(sessions[5], prompt, 1));
        running_must(r.context, calmoe_session_next(sessions[5], &token));
    }
    assert_int_equal(cm_requests(), n_requests);
    for (int i = 0; i < 6; i++) calmoe_session_close(&sessions[i]);
    running_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gets_its_tokens_and_one_end),
        cmocka_unit_test(an_ended_session_is_fed_again),
        cmocka_unit_test(a_long_prompt_holds_nobody_up),
        cmocka_unit_test(sessions_come_and_go),
        cmocka_unit_test(two_engines_share_a_model),
        cmocka_unit_test(loading_can_be_stopped_at_any_point),
        cmocka_unit_test(routing_and_counters),
        cmocka_unit_test(a_step_allocates_nothing),
    };
    return cmocka_run_group_tests_name("sessions of an engine", tests, open_folder_with_tiny, close_folder);
}
