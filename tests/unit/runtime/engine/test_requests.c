/* test_requests.c - a session that serves one request after the other, each with a sampler and limits of its own,
 * answers
 * as a fresh one would; and log-probabilities, of answers and of texts, are those of the logits, however they were
 * computed. */
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
#include "runtime/sample/log_probability.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_PROMPT = 20, N_NEW = 12, CONTEXT = 120, N_TOP = 5 };

static char    path[600];
static int32_t prompt[N_PROMPT];

static struct running open_engine(int n_threads, int max_rows, int lossless)
{
    calmoe_engine_options  engine = running_options(n_threads, NULL);
    calmoe_session_options session;
    engine.max_rows = max_rows;
    calmoe_session_options_init(&session);
    session.context = CONTEXT;
    session.ignore_end = 1;
    session.lossless = lossless;
    return running_open(path, &engine, &session);
}

static calmoe_sampler_options sampler_of(uint64_t request)
{
    static const int32_t tokens[] = {3, 50, 51};
    static const float   biases[] = {-INFINITY, 0.5f, -1};
    calmoe_sampler_options sampler;
    calmoe_sampler_options_init(&sampler);
    sampler.temperature = request % 3 == 0 ? 0.0f : 1.0f;
    sampler.seed = request;
    sampler.repeat_penalty = request % 2 ? 1.3f : 1.0f;
    sampler.presence_penalty = request % 4 >= 2 ? 0.5f : 0.0f;
    sampler.frequency_penalty = request % 5 >= 2 ? 0.25f : 0.0f;
    sampler.n_biases = request % 4 == 3 ? 3 : 0;
    sampler.bias_tokens = tokens;
    sampler.biases = biases;
    return sampler;
}

static int make_answer(struct running *r, calmoe_session *session, int32_t *answer)
{
    int n = 0;
    calmoe_status status;
    int32_t token;
    while ((status = calmoe_session_next(session, &token)) == CALMOE_OK && n < 2 * N_NEW) answer[n++] = token;
    if (status != CALMOE_END) running_must(r->context, status);
    return n;
}

/* Request i reads all but its first `kept` tokens of the prompt and answers. */
static int serve(struct running *r, calmoe_session *session, uint64_t i, int kept, int32_t *answer)
{
    const calmoe_sampler_options sampler = sampler_of(i);
    const int n_prompt = N_PROMPT - (int)(i % 3);
    running_must(r->context, calmoe_session_rewind(session, kept));
    running_must(r->context, calmoe_session_set_sampler(session, &sampler));
    running_must(r->context, calmoe_session_set_limits(session, N_NEW - (int)(i % 2), 1));
    running_must(r->context, calmoe_session_feed_tokens(session, prompt + kept, (size_t)(n_prompt - kept)));
    return make_answer(r, session, answer);
}

static void requests_do_not_know_of_each_other(void **state)
{
    (void)state;
    for (int lossless = CALMOE_LOSSLESS_OFF; lossless <= CALMOE_LOSSLESS_ALWAYS; lossless += CALMOE_LOSSLESS_ALWAYS) {
        struct running r = open_engine(1, 16, lossless);
        for (uint64_t i = 0; i < 12; i++) {
            struct running fresh = open_engine(1, 7, CALMOE_LOSSLESS_OFF);
            int32_t wanted[2 * N_NEW], found[2 * N_NEW];
            const int n = serve(&fresh, fresh.session, i, 0, wanted);
            assert_int_equal(n, N_NEW - (int)(i % 2));
            assert_int_equal(serve(&r, r.session, i, i > 0 ? (int)(i * 5 % 17) : 0, found), n);
            for (int k = 0; k < n; k++)
                if (found[k] != wanted[k]) fail_msg("request %d, token %d: %d, not %d", (int)i, k, found[k], wanted[k]);
            running_close(&fresh);
        }
        running_close(&r);
    }
}

static void a_fork_samples_alike(void **state)
{
    (void)state;
    struct running r = open_engine(1, 64, CALMOE_LOSSLESS_OFF);
    int32_t first[2 * N_NEW], wanted[2 * N_NEW], found[2 * N_NEW];
    calmoe_session *fork;
    (void)serve(&r, r.session, 7, 0, first); /* with penalties, biases and a limit */
    running_must(r.context, calmoe_session_set_limits(r.session, 2 * N_NEW, 1));
    running_must(r.context, calmoe_session_feed_tokens(r.session, NULL, 0)); /* the answer goes on */
    running_must(r.context, calmoe_session_fork(r.session, &fork));
    const int n = make_answer(&r, r.session, wanted);
    assert_int_equal(n, 2 * N_NEW);
    assert_int_equal(make_answer(&r, fork, found), n);
    assert_memory_equal(found, wanted, (size_t)n * sizeof *found);
    calmoe_session_close(&fork);
    running_close(&r);
}

static void banning_everything_is_told(void **state)
{
    (void)state;
    for (int lossless = CALMOE_LOSSLESS_OFF; lossless <= CALMOE_LOSSLESS_ALWAYS; lossless += CALMOE_LOSSLESS_ALWAYS) {
        struct running r = open_engine(1, 64, lossless);
        calmoe_sampler_options sampler;
        int32_t tokens[1024], token;
        float   biases[1024];
        assert_true(r.n_vocab <= 1024);
        for (int i = 0; i < r.n_vocab; i++) tokens[i] = i;
        for (int i = 0; i < r.n_vocab; i++) biases[i] = -INFINITY;
        calmoe_sampler_options_init(&sampler);
        running_must(r.context, calmoe_session_feed_tokens(r.session, prompt, 4));
        running_must(r.context, calmoe_session_next(r.session, &token)); /* and one is pending */
        sampler.n_biases = r.n_vocab;
        sampler.bias_tokens = tokens;
        sampler.biases = biases;
        running_must(r.context, calmoe_session_set_sampler(r.session, &sampler));
        assert_int_equal(calmoe_session_next(r.session, &token), CALMOE_INVALID_ARGUMENT);
        assert_string_equal(calmoe_context_message(r.context), "the sampler's biases ban all tokens that may come");
        assert_int_equal(token, -1);
        sampler.biases = NULL;
        assert_int_equal(calmoe_session_set_sampler(r.session, &sampler), CALMOE_INVALID_ARGUMENT);
        running_must(r.context, calmoe_session_set_sampler(r.session, NULL));
        running_must(r.context, calmoe_session_feed_tokens(r.session, prompt, 1));
        running_must(r.context, calmoe_session_next(r.session, &token));
        running_close(&r);
    }
}

/* ---- log-probabilities ---- */

struct told {
    float   logprob, top_logprobs[N_TOP];
    int32_t top_tokens[N_TOP];
};

static struct told of_logits(const float *logits, int n_vocab, int32_t token)
{
    struct told told;
    const double log_sum = cm_log_sum(logits, n_vocab);
    told.logprob = (float)((double)logits[token] - log_sum);
    cm_log_top(logits, n_vocab, log_sum, N_TOP, told.top_tokens, told.top_logprobs);
    return told;
}

static void of_an_answer(void **state)
{
    (void)state;
    struct told wanted[N_NEW];
    for (int lossless = CALMOE_LOSSLESS_OFF; lossless <= CALMOE_LOSSLESS_ALWAYS; lossless += CALMOE_LOSSLESS_ALWAYS) {
        struct running r = open_engine(1, 16, lossless);
        const calmoe_sampler_options sampler = sampler_of(7);
        int32_t token;
        running_must(r.context, calmoe_session_set_sampler(r.session, &sampler));
        running_must(r.context, calmoe_session_feed_tokens(r.session, prompt, N_PROMPT));
        for (int i = 0; i < N_NEW; i++) {
            struct told found;
            running_must(r.context, calmoe_session_next(r.session, &token));
            running_must(r.context, calmoe_session_logprobs(r.session, -1, token, &found.logprob, N_TOP,
                                                            found.top_tokens, found.top_logprobs));
            if (lossless == CALMOE_LOSSLESS_OFF)
                wanted[i] = of_logits(calmoe_session_logits(r.session, 0), r.n_vocab, token);
            assert_memory_equal(&found, &wanted[i], sizeof found);
        }
        running_close(&r);
    }
}

/* The text in one call or two, in steps of any size, with others in the batch: what is kept is that of steps by
 * hand. */
static void of_a_text(void **state)
{
    (void)state;
    static float logits[N_PROMPT * 1024];
    struct running r = open_engine(1, 64, CALMOE_LOSSLESS_OFF);
    running_read(&r, r.session, prompt, N_PROMPT, N_PROMPT, logits);
    for (int max_rows = 3; max_rows <= 64; max_rows += 7) {
        struct running other = open_engine(1 + max_rows % 2, max_rows, CALMOE_LOSSLESS_ALWAYS);
        const int n_first = max_rows % N_PROMPT + 1;
        int32_t token;
        running_must(other.context, calmoe_session_keep_logprobs(other.session, N_TOP));
        running_must(other.context, calmoe_session_feed_tokens(other.session, prompt, (size_t)n_first));
        running_must(other.context, calmoe_session_feed_tokens(other.session, prompt + n_first,
                                                               (size_t)(N_PROMPT - n_first)));
        running_must(other.context, calmoe_session_next(other.session, &token));
        for (int i = 1; i < N_PROMPT; i++) {
            const struct told wanted = of_logits(logits + (size_t)(i - 1) * (size_t)r.n_vocab, r.n_vocab, prompt[i]);
            struct told found;
            running_must(other.context, calmoe_session_kept_logprobs(other.session, i, &found.logprob, N_TOP,
                                                                     found.top_tokens, found.top_logprobs));
            assert_memory_equal(&found, &wanted, sizeof found);
        }
        running_close(&other);
    }
    running_close(&r);
}

static void nothing_kept(struct running *r, int position, int n_top)
{
    int32_t tokens[8];
    float   logprob, logprobs[8];
    assert_int_equal(calmoe_session_kept_logprobs(r->session, position, &logprob, n_top, tokens, logprobs),
                     CALMOE_INVALID_ARGUMENT);
}

static void what_is_not_kept_is_told(void **state)
{
    (void)state;
    struct running r = open_engine(1, 64, CALMOE_LOSSLESS_OFF);
    int32_t token;
    float   logprob;
    nothing_kept(&r, 1, 0);
    running_must(r.context, calmoe_session_feed_tokens(r.session, prompt, 5));
    running_must(r.context, calmoe_session_next(r.session, &token));
    running_must(r.context, calmoe_session_keep_logprobs(r.session, 2));
    running_must(r.context, calmoe_session_feed_tokens(r.session, prompt + 5, 5)); /* the sampled one stands before */
    nothing_kept(&r, 7, 0);
    running_must(r.context, calmoe_session_next(r.session, &token));
    nothing_kept(&r, 0, 0);
    assert_string_equal(calmoe_context_message(r.context),
                        "the first token of a session has no probability: nothing stands before it");
    nothing_kept(&r, 4, 0);  /* read before */
    nothing_kept(&r, 5, 0);  /* sampled     */
    for (int i = 6; i < 11; i++)
        running_must(r.context, calmoe_session_kept_logprobs(r.session, i, &logprob, 0, NULL, NULL));
    nothing_kept(&r, 11, 0); /* sampled */
    nothing_kept(&r, 12, 0);
    nothing_kept(&r, 7, 3);  /* two are kept */
    running_must(r.context, calmoe_session_rewind(r.session, 8));
    running_must(r.context, calmoe_session_kept_logprobs(r.session, 7, &logprob, 0, NULL, NULL));
    running_must(r.context, calmoe_session_feed_tokens(r.session, prompt, 2));
    running_must(r.context, calmoe_session_next(r.session, &token));
    nothing_kept(&r, 8, 0); /* the logits before it are gone */
    running_must(r.context, calmoe_session_kept_logprobs(r.session, 9, &logprob, 0, NULL, NULL));
    running_must(r.context, calmoe_session_keep_logprobs(r.session, -1));
    nothing_kept(&r, 7, 0);
    running_close(&r);
}

#define WRONG(call) assert_int_equal(call, CALMOE_INVALID_ARGUMENT)

static void wrong_arguments(void **state)
{
    (void)state;
    struct running r = open_engine(1, 16, CALMOE_LOSSLESS_OFF);
    int32_t tokens[4];
    float   logprob, logprobs[4];
    const calmoe_chunk chunk = {.session = r.session, .tokens = (int32_t[]){1}, .n_tokens = 1,
                                .logits = CALMOE_LOGITS_LAST};
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    WRONG(calmoe_session_logprobs(NULL, 0, 1, &logprob, 0, NULL, NULL));
    WRONG(calmoe_session_logprobs(r.session, 1, 1, &logprob, 0, NULL, NULL));
    WRONG(calmoe_session_logprobs(r.session, -2, 1, &logprob, 0, NULL, NULL));
    WRONG(calmoe_session_logprobs(r.session, 0, -1, &logprob, 0, NULL, NULL));
    WRONG(calmoe_session_logprobs(r.session, 0, r.n_vocab, &logprob, 0, NULL, NULL));
    WRONG(calmoe_session_logprobs(r.session, 0, 1, &logprob, -1, tokens, logprobs));
    WRONG(calmoe_session_logprobs(r.session, 0, 1, &logprob, r.n_vocab + 1, tokens, logprobs));
    WRONG(calmoe_session_logprobs(r.session, 0, 1, &logprob, 1, NULL, logprobs));
    WRONG(calmoe_session_logprobs(r.session, 0, 1, &logprob, 1, tokens, NULL));
    running_must(r.context, calmoe_session_logprobs(r.session, 0, 1, NULL, 4, tokens, logprobs));
    WRONG(calmoe_session_keep_logprobs(NULL, 1));
    WRONG(calmoe_session_keep_logprobs(r.session, -2));
    WRONG(calmoe_session_keep_logprobs(r.session, r.n_vocab + 1));
    WRONG(calmoe_session_kept_logprobs(NULL, 1, &logprob, 0, NULL, NULL));
    WRONG(calmoe_session_kept_logprobs(r.session, 1, &logprob, -1, NULL, NULL));
    running_close(&r);
}

/* ---- steps ---- */

static int rows_of[3];

static void see(void *user, const calmoe_routing_event *event)
{
    const calmoe_session *const *sessions = user;
    if (event->layer != 0) return;
    for (int i = 0; i < 3; i++) rows_of[i] += event->session == sessions[i];
}

/* While two read long texts, the third answers at every step, and texts take no more rows than they may. */
static void long_texts_hold_nobody_up(void **state)
{
    (void)state;
    calmoe_session *sessions[3] = {NULL};
    calmoe_engine_options options = running_options(2, NULL);
    options.max_rows = 64;
    options.routing = see;
    options.routing_user = sessions;
    struct running r = running_open(path, &options, NULL);
    for (int i = 0; i < 3; i++) running_must(r.context, calmoe_session_fork(r.session, &sessions[i]));
    running_must(r.context, calmoe_engine_set_step_rows(r.engine, 5));
    running_must(r.context, calmoe_session_feed_tokens(sessions[0], prompt, 1));
    for (int i = 1; i < 3; i++)
        running_must(r.context, calmoe_session_feed_tokens(sessions[i], prompt, N_PROMPT));
    for (int step = 0; step < 8; step++) { /* 40 rows of texts in all */
        calmoe_event events[4];
        int n_events;
        memset(rows_of, 0, sizeof rows_of);
        running_must(r.context, calmoe_engine_next(r.engine, events, 4, &n_events));
        assert_int_equal(rows_of[0], 1);
        assert_true(rows_of[1] + rows_of[2] <= 6); /* a text's last row counts as an answer's */
        assert_true(rows_of[1] + rows_of[2] >= 4);
    }
    assert_int_equal(calmoe_engine_set_step_rows(r.engine, -1), CALMOE_INVALID_ARGUMENT);
    for (int i = 0; i < 3; i++) calmoe_session_close(&sessions[i]);
    running_close(&r);
}

/* ---- what a file advises ---- */

static calmoe_status advice(void (*add)(struct gguf_builder *), calmoe_sampler_options *sampler, char message[256])
{
    const struct tiny_model tiny = tiny_model();
    struct gguf_builder *builder = tiny_model_build(&tiny);
    calmoe_context *context;
    calmoe_model   *model;
    const char     *file = temp_file(folder, "advice.gguf");
    add(builder);
    builder_write(builder, file);
    builder_close(&builder);
    assert_int_equal(calmoe_context_open(NULL, &context), CALMOE_OK);
    running_must(context, calmoe_model_open(context, file, NULL, &model));
    calmoe_sampler_options_init(sampler);
    const calmoe_status status = calmoe_model_sampler_defaults(model, sampler);
    snprintf(message, 256, "%s", calmoe_context_message(context));
    calmoe_model_close(&model);
    calmoe_context_close(&context);
    return status;
}

static void add_none(struct gguf_builder *builder) { (void)builder; }
static void add_some(struct gguf_builder *builder)
{
    builder_add_f32(builder, "general.sampling.temp", 0.7f);
    builder_add_i32(builder, "general.sampling.top_k", 20);
    builder_add_f32(builder, "general.sampling.top_p", 0.8f);
    builder_add_f32(builder, "general.sampling.min_p", 0.05f);
    builder_add_f32(builder, "general.sampling.penalty_repeat", 1.05f);
    builder_add_i32(builder, "general.sampling.penalty_last_n", -1);
    builder_add_i32(builder, "general.sampling.mirostat", 2);
}
static void add_wrong(struct gguf_builder *builder) { builder_add_f32(builder, "general.sampling.top_p", 1.5f); }
static void add_mistyped(struct gguf_builder *builder) { builder_add_string(builder, "general.sampling.temp", "hot"); }

/* Member by member, since between them there may be bytes that mean nothing. */
static void assert_same_sampler(const calmoe_sampler_options *a, const calmoe_sampler_options *b)
{
    assert_true(a->size == b->size && a->temperature == b->temperature && a->top_k == b->top_k);
    assert_true(a->top_p == b->top_p && a->min_p == b->min_p && a->seed == b->seed);
    assert_true(a->repeat_penalty == b->repeat_penalty && a->repeat_last == b->repeat_last);
    assert_true(a->presence_penalty == b->presence_penalty && a->frequency_penalty == b->frequency_penalty);
    assert_true(a->n_biases == b->n_biases && a->bias_tokens == b->bias_tokens && a->biases == b->biases);
    assert_ptr_equal(a->constraint, b->constraint);
}

static void a_file_advises(void **state)
{
    (void)state;
    calmoe_sampler_options sampler, plain;
    char message[256];
    calmoe_sampler_options_init(&plain);
    assert_int_equal(advice(add_none, &sampler, message), CALMOE_OK);
    assert_same_sampler(&sampler, &plain);
    assert_int_equal(advice(add_some, &sampler, message), CALMOE_OK);
    assert_true(sampler.temperature == 0.7f && sampler.top_k == 20 && sampler.top_p == 0.8f);
    assert_true(sampler.min_p == 0.05f && sampler.repeat_penalty == 1.05f && sampler.repeat_last == 1 << 20);
    assert_int_equal(advice(add_wrong, &sampler, message), CALMOE_BAD_FILE);
    assert_non_null(strstr(message, "key 'general.sampling.top_p' is 1.5; wanted 0 to 1"));
    assert_same_sampler(&sampler, &plain);
    assert_int_equal(advice(add_mistyped, &sampler, message), CALMOE_BAD_FILE);
}

static int open_all(void **state)
{
    struct tiny_model tiny = tiny_model_mixed(4);
    if (open_folder(state)) return 1;
    snprintf(path, sizeof path, "%s", temp_file(folder, "requests.gguf"));
    tiny_model_write(&tiny, path);
    for (int i = 0; i < N_PROMPT; i++) prompt[i] = 40 + i * 7 % 60;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_do_not_know_of_each_other),
        cmocka_unit_test(a_fork_samples_alike),
        cmocka_unit_test(banning_everything_is_told),
        cmocka_unit_test(of_an_answer),
        cmocka_unit_test(of_a_text),
        cmocka_unit_test(what_is_not_kept_is_told),
        cmocka_unit_test(wrong_arguments),
        cmocka_unit_test(long_texts_hold_nobody_up),
        cmocka_unit_test(a_file_advises),
    };
    return cmocka_run_group_tests_name("requests", tests, open_all, close_folder);
}
