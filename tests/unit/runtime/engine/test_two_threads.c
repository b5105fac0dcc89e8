/* test_two_threads.c - two engines on one model, under one context, on two threads at once: each answers as it would
 * alone, and each thread reads its own sentences. (For races, run it under the thread sanitizer.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_NEW = 24, N_ROUNDS = 3, N_THREADS = 3 };

static char path[600];

struct job {
    calmoe_context *context;
    calmoe_model   *model;
    int             number;
    int32_t         tokens[N_ROUNDS][N_NEW];
    char            problem[300]; /* "": none */
};

/* Only the test's own thread may fail it. */
static bool is_fine(struct job *job, const char *what, calmoe_status status)
{
    if (status == CALMOE_OK || job->problem[0]) return !job->problem[0];
    snprintf(job->problem, sizeof job->problem, "%s: %s", what, calmoe_context_message(job->context));
    return false;
}

/* A mistake whose sentence names this thread's number. */
static void fail_once(struct job *job, calmoe_session *session)
{
    char wanted[80];
    snprintf(wanted, sizeof wanted, "calmoe_session_rewind: to %d of %d tokens", 1000 + job->number,
             calmoe_session_n_tokens(session));
    (void)calmoe_session_rewind(session, 1000 + job->number);
    if (strcmp(calmoe_context_message(job->context), wanted) != 0 && !job->problem[0])
        snprintf(job->problem, sizeof job->problem, "the sentence is \"%.200s\"", calmoe_context_message(job->context));
}

static void answer(struct job *job, calmoe_engine *engine, int round)
{
    static const char schema[] = "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":9}}";
    calmoe_session_options options;
    calmoe_sampler_options sampler;
    calmoe_session    *session = NULL;
    calmoe_constraint *constraint = NULL;
    calmoe_sampler_options_init(&sampler);
    calmoe_session_options_init(&options);
    sampler.temperature = 1;
    sampler.seed = (uint64_t)(10 * job->number + round);
    options.sampler = &sampler;
    if (round == 1)
        (void)is_fine(job, "constraint", calmoe_constraint_open_json_schema(job->model, schema, sizeof schema - 1, NULL,
                                                                            &constraint));
    sampler.constraint = constraint;
    if (is_fine(job, "session", calmoe_session_open(engine, &options, &session)) &&
        is_fine(job, "feed", calmoe_session_feed_text(session, "some text to begin with", 23, 0)))
        for (int i = 0; i < N_NEW; i++) {
            const calmoe_status status = calmoe_session_next(session, &job->tokens[round][i]);
            fail_once(job, session);
            if (status == CALMOE_END || !is_fine(job, "next", status)) break;
        }
    calmoe_session_close(&session);
    calmoe_constraint_close(&constraint);
}

static void *work(void *user)
{
    struct job *job = user;
    for (int round = 0; round < N_ROUNDS; round++) {
        const calmoe_engine_options options = running_options(1 + job->number % 2, NULL);
        calmoe_engine *engine = NULL;
        if (is_fine(job, "engine", calmoe_engine_open(job->model, &options, &engine))) answer(job, engine, round);
        calmoe_engine_close(&engine);
    }
    return NULL;
}

static void engines_on_threads(void **state)
{
    (void)state;
    calmoe_context *context;
    calmoe_model   *model;
    static struct job alone[N_THREADS], together[N_THREADS];
    pthread_t threads[N_THREADS];
    assert_int_equal(calmoe_context_open(NULL, &context), CALMOE_OK);
    running_must(context, calmoe_model_open(context, path, NULL, &model));
    for (int i = 0; i < N_THREADS; i++) together[i] = alone[i] = (struct job){context, model, i, {{0}}, ""};
    for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &together[i]), 0);
    for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_string_equal(calmoe_context_message(context), ""); /* this thread's */
    for (int i = 0; i < N_THREADS; i++) {
        (void)work(&alone[i]);
        if (alone[i].problem[0] || together[i].problem[0])
            fail_msg("thread %d: %s%s", i, alone[i].problem, together[i].problem);
        assert_memory_equal(together[i].tokens, alone[i].tokens, sizeof alone[i].tokens);
    }
    calmoe_model_close(&model);
    calmoe_context_close(&context);
}

static void *fail_with_number(void *context)
{
    static int number; /* one thread after the other */
    char wanted[40];
    cm_fail(context, CALMOE_IO, "thread %d", ++number);
    snprintf(wanted, sizeof wanted, "thread %d", number);
    return strcmp(calmoe_context_message(context), wanted) == 0 ? context : NULL;
}

/* More threads than there are places, which come and go: each reads its own, and the first one's stays. */
static void many_threads_fail(void **state)
{
    (void)state;
    static struct calmoe_context context;
    cm_fail(&context, CALMOE_IO, "the first");
    for (int i = 0; i < 3 * CM_MESSAGE_THREADS; i++) {
        pthread_t thread;
        void     *answer;
        assert_int_equal(pthread_create(&thread, NULL, fail_with_number, &context), 0);
        assert_int_equal(pthread_join(thread, &answer), 0);
        assert_ptr_equal(answer, &context);
    }
    assert_string_equal(calmoe_context_message(&context), "the first");
}

static int open_all(void **state)
{
    const struct tiny_model tiny = tiny_model_mixed(2);
    if (open_folder(state)) return 1;
    snprintf(path, sizeof path, "%s", temp_file(folder, "threads.gguf"));
    tiny_model_write(&tiny, path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(engines_on_threads), cmocka_unit_test(many_threads_fail)};
    return cmocka_run_group_tests_name("two threads", tests, open_all, close_folder);
}
