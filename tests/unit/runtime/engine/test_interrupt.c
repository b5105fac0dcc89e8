/* test_interrupt.c - calmoe_session_interrupt(): a step ends within a layer, nothing of it is kept, and what is read
 * and generated afterwards is what it would have been: prompts, answers, answers under policies whose rows wait,
 * drafts, sessions in one batch, and a thread that interrupts at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 5, N_PROMPT = 20, N_ANSWER = 18, CONTEXT = 64, MAX_ROWS = 7, ANYWHERE = -1 };

static char    path[600];
static int32_t prompt[N_PROMPT];

/* ---- a callback that interrupts ---- */

static struct trap {
    calmoe_session *sessions[2]; /* to be interrupted, when                         */
    int             layer;       /* this layer is told                              */
    int             position;    /* of a token at this position, or ANYWHERE        */
    bool            is_set;
    int             n_sprung;
    int             last_layer;  /* that was told                                   */
} trap;

static void see_routing(void *user, const calmoe_routing_event *event)
{
    (void)user;
    trap.last_layer = event->layer;
    if (!trap.is_set || event->layer != trap.layer) return;
    if (trap.position != ANYWHERE && trap.position != event->position) return;
    trap.is_set = false;
    trap.n_sprung++;
    for (int i = 0; i < 2; i++) calmoe_session_interrupt(trap.sessions[i]); /* NULL is fine */
}

static void set_trap(calmoe_session *first, calmoe_session *second, int layer, int position)
{
    trap = (struct trap){.sessions = {first, second}, .layer = layer, .position = position, .is_set = true};
}

/* ---- sessions and what they answer ---- */

static struct running open_engine(int n_threads)
{
    calmoe_engine_options options = running_options(n_threads, NULL);
    options.max_rows = MAX_ROWS;
    options.routing = see_routing;
    trap = (struct trap){.is_set = false};
    return running_open(path, &options, NULL);
}

static calmoe_session *open_session(struct running *r, const calmoe_policy *policy, int lossless)
{
    calmoe_sampler_options sampler;
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_sampler_options_init(&sampler);
    sampler.temperature = 0.7f;
    sampler.repeat_penalty = 1.3f; /* a token that was counted twice would be drawn otherwise */
    sampler.seed = 11;
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.ignore_end = 1;
    options.hash_logits = 1;
    options.sampler = &sampler;
    options.policy = policy;
    options.lossless = lossless;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    return session;
}

static void feed(struct running *r, calmoe_session *session, int n)
{
    running_must(r->context, calmoe_session_feed_tokens(session, prompt, (size_t)n));
}

struct answer {
    int32_t      tokens[N_ANSWER];
    calmoe_depth depths[N_ANSWER];
    char         hash[65];
};

/* Feeding nothing lets an interrupted session go on. */
static calmoe_status next_after_all(struct running *r, calmoe_session *session, int32_t *token)
{
    calmoe_status status;
    while ((status = calmoe_session_next(session, token)) == CALMOE_CANCELLED) feed(r, session, 0);
    return status;
}

/* One token more that goes through all layers, and so reads what all of them keep. */
static void settle(struct running *r, calmoe_session *session, struct answer *answer)
{
    int32_t token;
    feed(r, session, 1);
    running_must(r->context, next_after_all(r, session, &token));
    running_must(r->context, calmoe_session_logit_hash(session, answer->hash));
}

/* The rest of an answer from token `at` on. */
static void finish(struct running *r, calmoe_session *session, int at, struct answer *answer)
{
    for (int t = at; t < N_ANSWER; t++) {
        running_must(r->context, next_after_all(r, session, &answer->tokens[t]));
        answer->depths[t] = running_depth(session, -1);
    }
    settle(r, session, answer);
}

static struct answer answer_in_peace(struct running *r, const calmoe_policy *policy)
{
    struct answer answer;
    calmoe_session *session = open_session(r, policy, CALMOE_LOSSLESS_OFF);
    feed(r, session, N_PROMPT);
    finish(r, session, 0, &answer);
    calmoe_session_close(&session);
    return answer;
}

static void assert_same(const struct answer *a, const struct answer *b)
{
    assert_memory_equal(a->tokens, b->tokens, sizeof a->tokens);
    running_same_depths(a->depths, b->depths, N_ANSWER);
    assert_string_equal(a->hash, b->hash);
}

/* ---- one session ---- */

/* The first call is cancelled, unless the last layer of the prompt's last step runs already. */
static void interrupt_prompt(struct running *r, const struct answer *wanted, int layer, int position)
{
    struct answer answer;
    calmoe_session *session = open_session(r, NULL, CALMOE_LOSSLESS_OFF);
    int32_t token;
    const int begin = position / MAX_ROWS * MAX_ROWS, end = begin + MAX_ROWS < N_PROMPT ? begin + MAX_ROWS : N_PROMPT;
    const bool is_over = layer == N_LAYERS - 1;
    feed(r, session, N_PROMPT);
    set_trap(session, NULL, layer, position);
    const calmoe_status status = calmoe_session_next(session, &token);
    assert_int_equal(trap.n_sprung, 1);
    assert_int_equal(status, is_over && end == N_PROMPT ? CALMOE_OK : CALMOE_CANCELLED);
    assert_int_equal(calmoe_session_n_positions(session), is_over ? end : begin);
    assert_true(trap.last_layer <= layer + 1);
    if (status == CALMOE_OK) answer.tokens[0] = token;
    if (status == CALMOE_OK) answer.depths[0] = running_depth(session, -1);
    else assert_int_equal(token, -1);
    assert_int_equal(calmoe_session_next(session, &token), CALMOE_CANCELLED); /* until something is fed */
    assert_non_null(strstr(calmoe_context_message(r->context), "the session was interrupted: "));
    finish(r, session, status == CALMOE_OK, &answer);
    assert_same(&answer, wanted);
    calmoe_session_close(&session);
}

static void a_prompt_ends_within_a_layer(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        struct running r = open_engine(threads);
        const struct answer wanted = answer_in_peace(&r, NULL);
        for (int layer = 0; layer < N_LAYERS; layer++)
            for (int position = 0; position < N_PROMPT; position += 6) interrupt_prompt(&r, &wanted, layer, position);
        running_close(&r);
    }
}

/* Each token of an answer is interrupted in one layer after the other, until it comes. Answers how many steps were
 * undone. */
static int interrupt_answer(struct running *r, calmoe_session *session, struct answer *answer)
{
    int n_undone = 0;
    feed(r, session, N_PROMPT);
    for (int t = 0; t < N_ANSWER; t++) {
        calmoe_status status = CALMOE_CANCELLED;
        for (int layer = 0; status == CALMOE_CANCELLED;) {
            const int before = calmoe_session_n_positions(session);
            set_trap(session, NULL, layer, ANYWHERE);
            status = calmoe_session_next(session, &answer->tokens[t]);
            layer += trap.n_sprung;
            if (status != CALMOE_CANCELLED) break;
            if (t > 0) assert_int_equal(calmoe_session_n_positions(session), before);
            n_undone += t > 0 && trap.n_sprung > 0;
            feed(r, session, 0);
        }
        trap.is_set = false;
        running_must(r->context, status);
        answer->depths[t] = running_depth(session, -1);
    }
    settle(r, session, answer);
    return n_undone;
}

static void an_answer_goes_on_as_if_nothing_had_been(void **state)
{
    (void)state;
    struct running r = open_engine(2);
    const struct answer wanted = answer_in_peace(&r, NULL);
    struct answer answer;
    calmoe_session *session = open_session(&r, NULL, CALMOE_LOSSLESS_OFF);
    assert_int_equal(interrupt_answer(&r, session, &answer), (N_ANSWER - 1) * (N_LAYERS - 1));
    assert_same(&answer, &wanted);
    calmoe_session_close(&session);
    running_close(&r);
}

static const struct exits {
    const char *measure;
    float       threshold;
    int         layers[3], n_layers;
    const char *kv_fill;
    int         max_pending;
} exits[] = {
    {"always", 1.0f, {1}, 1, "catch_up", 2},
    {"always", 1.0f, {3}, 1, "catch_up", 1},
    {"softmax", 0.006f, {1, 2, 3}, 3, "catch_up", 32},
    {"softmax", 0.006f, {1, 2, 4}, 3, "catch_up", 2},
    {"always", 1.0f, {2}, 1, "lazy", 3},
    {"softmax", 0.006f, {1, 2, 3}, 3, "lazy", 32},
    {"softmax", 0.006f, {2, 4}, 2, "propagate", 0},
};

static calmoe_policy *make_policy(struct running *r, const struct exits *from)
{
    return running_exits(r, from->measure, from->threshold, from->layers, from->n_layers, from->kv_fill,
                         from->max_pending);
}

/* Rows that waited, and joined the step that was interrupted, wait again with the states that they had. */
static void rows_that_wait_go_on_waiting(void **state)
{
    (void)state;
    struct running r = open_engine(2);
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++) {
        calmoe_policy *policy = make_policy(&r, &exits[i]);
        const struct answer wanted = answer_in_peace(&r, policy);
        struct answer answer;
        calmoe_session *session = open_session(&r, policy, CALMOE_LOSSLESS_OFF);
        const int n_undone = interrupt_answer(&r, session, &answer);
        assert_same(&answer, &wanted);
        if (n_undone < 12) fail_msg("exits %zu: %d steps were undone", i, n_undone);
        calmoe_session_close(&session);
        calmoe_policy_close(&policy);
    }
    running_close(&r);
}

/* Tokens and logits are those of plain steps; depths are told likewise. */
static void drafts_are_drawn_again(void **state)
{
    (void)state;
    struct running r = open_engine(2);
    const struct answer wanted = answer_in_peace(&r, NULL);
    struct answer answer;
    calmoe_session *session = open_session(&r, NULL, CALMOE_LOSSLESS_ALWAYS);
    assert_true(interrupt_answer(&r, session, &answer) > N_ANSWER);
    assert_memory_equal(answer.tokens, wanted.tokens, sizeof wanted.tokens);
    assert_string_equal(answer.hash, wanted.hash);
    calmoe_session_close(&session);
    running_close(&r);
}

/* ---- own loops, and before anything runs ---- */

static void a_step_is_refused_until_a_rewind(void **state)
{
    (void)state;
    struct running r = open_engine(1);
    calmoe_session *session = open_session(&r, NULL, CALMOE_LOSSLESS_OFF);
    const calmoe_chunk chunk = {session, prompt, 5, CALMOE_LOGITS_LAST};
    float before[4096];
    const size_t n_bytes = (size_t)r.n_vocab * sizeof *before;
    assert_true(r.n_vocab <= 4096);
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    memcpy(before, calmoe_session_logits(session, 0), n_bytes);
    running_must(r.context, calmoe_session_rewind(session, 0));
    set_trap(session, NULL, 2, 3);
    assert_int_equal(calmoe_engine_step(r.engine, &chunk, 1), CALMOE_CANCELLED);
    assert_string_equal(calmoe_context_message(r.context), "the step was interrupted by all whose it is");
    assert_int_equal(calmoe_session_n_positions(session), 0);
    assert_null(calmoe_session_logits(session, 0));
    assert_int_equal(calmoe_engine_step(r.engine, &chunk, 1), CALMOE_CANCELLED);
    running_must(r.context, calmoe_session_rewind(session, 0));
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    assert_memory_equal(calmoe_session_logits(session, 0), before, n_bytes);
    calmoe_session_close(&session);
    calmoe_session_interrupt(NULL);
    running_close(&r);
}

/* ---- a batch ---- */

struct told {
    int n_tokens, n_cancelled;
};

/* One step; what it brought to a and b. */
static calmoe_status next_of_both(struct running *r, const calmoe_session *a, struct told *told)
{
    calmoe_event events[3];
    int n_events;
    const calmoe_status status = calmoe_engine_next(r->engine, events, 3, &n_events);
    for (int i = 0; i < n_events; i++) {
        struct told *of = &told[events[i].session != a];
        assert_true(events[i].status == CALMOE_OK || events[i].status == CALMOE_CANCELLED);
        if (events[i].status == CALMOE_OK) of->n_tokens++;
        else of->n_cancelled++;
        if (events[i].status == CALMOE_CANCELLED) assert_int_equal(events[i].token, -1);
    }
    return status;
}

static void others_in_the_batch_lose_nothing(void **state)
{
    (void)state;
    struct running r = open_engine(2);
    const struct answer wanted = answer_in_peace(&r, NULL);
    calmoe_session *a = open_session(&r, NULL, CALMOE_LOSSLESS_OFF), *b = open_session(&r, NULL, CALMOE_LOSSLESS_OFF);
    struct told told[2] = {{0}};
    struct answer answer;
    feed(&r, a, N_PROMPT);
    feed(&r, b, N_PROMPT);
    while (told[0].n_tokens < 4 || told[1].n_tokens < 4) running_must(r.context, next_of_both(&r, a, told));

    /* One of two: the step goes on, and the next ones are the other's alone. */
    const int at_a = calmoe_session_n_positions(a), at_b = calmoe_session_n_positions(b);
    set_trap(a, NULL, 1, ANYWHERE);
    running_must(r.context, next_of_both(&r, a, told));
    assert_int_equal(calmoe_session_n_positions(a), at_a + 1);
    assert_int_equal(calmoe_session_n_positions(b), at_b + 1);
    running_must(r.context, next_of_both(&r, a, told));
    assert_int_equal(told[0].n_cancelled, 1);
    assert_int_equal(calmoe_session_n_positions(a), at_a + 1);
    assert_int_equal(calmoe_session_n_positions(b), at_b + 2);

    /* Both, the second one during its step: nothing of that is kept, and nothing is left to do. */
    set_trap(b, NULL, 1, ANYWHERE);
    running_must(r.context, next_of_both(&r, a, told));
    assert_int_equal(told[0].n_cancelled, 1);
    assert_int_equal(told[1].n_cancelled, 1);
    assert_int_equal(calmoe_session_n_positions(b), at_b + 2);
    assert_int_equal(next_of_both(&r, a, told), CALMOE_END);

    for (int i = 0; i < 2; i++) {
        calmoe_session *session = i == 0 ? a : b;
        const int at = told[i].n_tokens;
        memcpy(answer.tokens, wanted.tokens, sizeof answer.tokens);
        memcpy(answer.depths, wanted.depths, sizeof answer.depths);
        feed(&r, session, 0);
        finish(&r, session, at, &answer);
        assert_same(&answer, &wanted);
    }
    calmoe_session_close(&a);
    calmoe_session_close(&b);
    running_close(&r);
}

/* ---- another thread ---- */

enum { N_INTERRUPTS = 300 };

static atomic_bool is_over;

static void *interrupt_often(void *session)
{
    const struct timespec pause = {.tv_nsec = 200000};
    for (int i = 0; i < N_INTERRUPTS; i++) {
        calmoe_session_interrupt(session);
        (void)nanosleep(&pause, NULL);
    }
    atomic_store(&is_over, true);
    return NULL;
}

static void from_another_thread(void **state)
{
    (void)state;
    struct running r = open_engine(2);
    calmoe_policy *policy = make_policy(&r, &exits[3]);
    const struct answer wanted = answer_in_peace(&r, policy);
    calmoe_session *session = open_session(&r, policy, CALMOE_LOSSLESS_OFF);
    pthread_t thread;
    int n_answers = 0;
    atomic_store(&is_over, false);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_often, session), 0);
    do {
        calmoe_session *other = open_session(&r, policy, CALMOE_LOSSLESS_OFF);
        struct answer answer;
        calmoe_session_close(&other); /* sessions come and go meanwhile */
        running_must(r.context, calmoe_session_rewind(session, 0));
        feed(&r, session, N_PROMPT);
        for (int t = 0; t < N_ANSWER; t++) {
            running_must(r.context, next_after_all(&r, session, &answer.tokens[t]));
            const calmoe_depth depth = running_depth(session, -1);
            running_same_depths(&depth, &wanted.depths[t], n_answers == 0); /* the sampler goes on, tokens differ */
        }
        settle(&r, session, &answer);
        if (n_answers++ == 0) assert_string_equal(answer.hash, wanted.hash);
    } while (!atomic_load(&is_over));
    assert_int_equal(pthread_join(thread, NULL), 0);
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    running_close(&r);
}

static int set_up(void **state)
{
    (void)state;
    folder = temp_folder_open();
    struct tiny_model tiny = tiny_model_wide();
    tiny.n_layers = N_LAYERS;
    snprintf(path, sizeof path, "%s", temp_file(folder, "interrupt.gguf"));
    tiny_model_write(&tiny, path);
    for (int i = 0; i < N_PROMPT; i++) prompt[i] = 40 + (i * 7) % 23;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_ends_within_a_layer),
        cmocka_unit_test(an_answer_goes_on_as_if_nothing_had_been),
        cmocka_unit_test(rows_that_wait_go_on_waiting),
        cmocka_unit_test(drafts_are_drawn_again),
        cmocka_unit_test(a_step_is_refused_until_a_rewind),
        cmocka_unit_test(others_in_the_batch_lose_nothing),
        cmocka_unit_test(from_another_thread),
    };
    return cmocka_run_group_tests_name("interruptions", tests, set_up, close_folder);
}
