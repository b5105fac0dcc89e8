/* test_session.c - what one session does: feed, next, full, ended, rewound; the hash of its logits. Many
 * sessions of one engine: test_session_batch.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/sha256.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/tiny_model.h"

enum { CONTEXT = 64 };


static const int32_t prompt[5] = {40, 41, 42, 43, 44};

static calmoe_session_options session_options(void)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.ignore_end = 1;
    return options;
}

static struct running open_with(const calmoe_session_options *options)
{
    const calmoe_engine_options engine = running_options(1, NULL);
    return running_open(tiny_path, &engine, options);
}

static struct running open_default(void)
{
    const calmoe_session_options options = session_options();
    return open_with(&options);
}

static void feed(struct running *r, const int32_t *tokens, size_t n)
{
    running_must(r->context, calmoe_session_feed_tokens(r->session, tokens, n));
}

static int32_t next(struct running *r)
{
    int32_t token;
    running_must(r->context, calmoe_session_next(r->session, &token));
    return token;
}

static void check_end(struct running *r, calmoe_status wanted, int32_t wanted_token)
{
    int32_t token = 1234;
    assert_int_equal(calmoe_session_next(r->session, &token), wanted);
    assert_int_equal(token, wanted_token);
}

/* ---- tokens and positions ---- */

/* next() is: read what is pending, take the most likely token, keep it to be read next. */
static void next_is_step_and_sample(void **state)
{
    (void)state;
    struct running r = open_default(), by_hand = open_default();
    feed(&r, prompt, 5);
    assert_int_equal(calmoe_session_n_positions(r.session), 0);
    int32_t token = -1;
    calmoe_chunk chunk = {by_hand.session, prompt, 5, CALMOE_LOGITS_LAST};
    for (int i = 0; i < 10; i++) {
        running_must(by_hand.context, calmoe_engine_step(by_hand.engine, &chunk, 1));
        running_must(by_hand.context, calmoe_session_sample(by_hand.session, &token));
        assert_int_equal(next(&r), token);
        assert_int_equal(calmoe_session_n_positions(r.session), 5 + i);
        assert_int_equal(calmoe_session_n_positions(by_hand.session), 5 + i);
        chunk = (calmoe_chunk){by_hand.session, &token, 1, CALMOE_LOGITS_LAST};
    }
    running_close(&by_hand);
    running_close(&r);
}

static void nothing_fed_is_the_end(void **state)
{
    (void)state;
    struct running r = open_default();
    check_end(&r, CALMOE_END, -1);
    check_end(&r, CALMOE_END, -1);
    feed(&r, prompt, 1);
    next(&r);
    running_close(&r);
}

/* What was fed and not read cannot be overtaken by a step. */
static void a_step_before_pending_tokens_is_refused(void **state)
{
    (void)state;
    struct running r = open_default();
    const calmoe_chunk chunk = {r.session, prompt, 1, CALMOE_LOGITS_LAST};
    feed(&r, prompt, 3);
    assert_int_equal(calmoe_engine_step(r.engine, &chunk, 1), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(calmoe_context_message(r.context),
                        "chunk 0: its session was fed 3 tokens that are not read yet;"
                        " calmoe_session_next() reads them");
    assert_int_equal(calmoe_session_n_positions(r.session), 0);
    running_must(r.context, calmoe_session_rewind(r.session, 0)); /* forgets them */
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    running_close(&r);
}

static void which_logits_there_are(void **state)
{
    (void)state;
    struct running r = open_default();
    calmoe_chunk chunk = {r.session, prompt, 5, CALMOE_LOGITS_NONE};
    int32_t token;
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    assert_null(calmoe_session_logits(r.session, 0));
    assert_int_equal(calmoe_session_sample(r.session, &token), CALMOE_INVALID_ARGUMENT);
    chunk.logits = CALMOE_LOGITS_LAST;
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    assert_non_null(calmoe_session_logits(r.session, 0));
    assert_null(calmoe_session_logits(r.session, 1));
    chunk.logits = CALMOE_LOGITS_ALL;
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    for (int i = 0; i < 5; i++) assert_non_null(calmoe_session_logits(r.session, i));
    assert_null(calmoe_session_logits(r.session, 5));
    running_must(r.context, calmoe_engine_step(r.engine, NULL, 0)); /* another step: they are gone */
    assert_null(calmoe_session_logits(r.session, 0));
    running_close(&r);
}

/* ---- full ---- */

static void a_prompt_that_does_not_fit(void **state)
{
    (void)state;
    static const int32_t tokens[CONTEXT + 1];
    struct running r = open_default();
    feed(&r, tokens, 60);
    assert_int_equal(calmoe_session_feed_tokens(r.session, tokens, 5), CALMOE_FULL);
    assert_string_equal(calmoe_context_message(r.context),
                        "5 tokens do not fit: the context is 64 tokens and 60 are taken");
    assert_int_equal(calmoe_session_feed_text(r.session, "abcdefgh", 8, 0), CALMOE_FULL);
    feed(&r, tokens, 4);
    assert_int_equal(calmoe_session_feed_tokens(r.session, tokens, 1), CALMOE_FULL);
    next(&r); /* reads all 64 and still tells what comes next */
    assert_int_equal(calmoe_session_n_positions(r.session), CONTEXT);
    check_end(&r, CALMOE_FULL, -1);
    running_close(&r);
}

static void generating_into_the_end(void **state)
{
    (void)state;
    struct running r = open_default();
    int32_t tokens[CONTEXT + 1];
    int n = 0;
    feed(&r, prompt, 5);
    calmoe_status status;
    while ((status = calmoe_session_next(r.session, &tokens[n])) == CALMOE_OK) n++;
    assert_int_equal(status, CALMOE_FULL);
    assert_int_equal(n, CONTEXT - 5 + 1); /* the last one has no position, but is known */
    assert_int_equal(calmoe_session_n_positions(r.session), CONTEXT);
    check_end(&r, CALMOE_FULL, -1);
    assert_string_equal(calmoe_context_message(r.context), "the context of 64 tokens is full");
    assert_int_equal(calmoe_session_feed_tokens(r.session, prompt, 1), CALMOE_FULL);
    /* Rewound, it goes on as it did. */
    running_must(r.context, calmoe_session_rewind(r.session, 4));
    feed(&r, prompt + 4, 1);
    for (int i = 0; i < 20; i++) assert_int_equal(next(&r), tokens[i]);
    running_close(&r);
}

static void a_context_of_one(void **state)
{
    (void)state;
    calmoe_session_options options = session_options();
    options.context = 1;
    struct running r = open_with(&options);
    assert_int_equal(calmoe_session_context(r.session), 1);
    feed(&r, prompt, 1);
    next(&r);
    check_end(&r, CALMOE_FULL, -1);
    running_close(&r);
}

/* ---- the end ---- */

static void a_limit_of_new_tokens(void **state)
{
    (void)state;
    calmoe_session_options options = session_options();
    options.max_new_tokens = 3;
    struct running r = open_with(&options), free_one = open_default();
    int32_t wanted[8];
    feed(&free_one, prompt, 5);
    for (int i = 0; i < 8; i++) wanted[i] = next(&free_one);
    feed(&r, prompt, 5);
    for (int i = 0; i < 3; i++) assert_int_equal(next(&r), wanted[i]);
    check_end(&r, CALMOE_END, -1);
    check_end(&r, CALMOE_END, -1);
    feed(&r, NULL, 0); /* counts anew, and goes on behind the token that was sampled last */
    for (int i = 3; i < 6; i++) assert_int_equal(next(&r), wanted[i]);
    check_end(&r, CALMOE_END, -1);
    running_close(&free_one);
    running_close(&r);
}

/* The model's third token, if it is new, becomes the token that ends an answer. */
static int write_model_that_ends(const char *to, int32_t *end)
{
    struct running r = open_default();
    int32_t tokens[10];
    feed(&r, prompt, 5);
    for (int i = 0; i < 10; i++) tokens[i] = next(&r);
    running_close(&r);
    int at = 2;
    for (int i = 0; i < at && at < 9; i++)
        if (tokens[i] == tokens[at]) i = -1, at++;
    struct tiny_model tiny = tiny_model();
    tiny.eos = tokens[at];
    *end = tokens[at];
    tiny_model_write(&tiny, to);
    return at;
}

static void the_token_that_ends_an_answer(void **state)
{
    (void)state;
    char with_end[600];
    int32_t end;
    snprintf(with_end, sizeof with_end, "%s", temp_file(folder, "ends.gguf"));
    const int n_before = write_model_that_ends(with_end, &end);
    struct running r = running_open(with_end, NULL, NULL);
    assert_true(calmoe_token_ends(r.model, end));
    feed(&r, prompt, 5);
    for (int i = 0; i < n_before; i++) assert_int_not_equal(next(&r), end);
    check_end(&r, CALMOE_END, end);
    check_end(&r, CALMOE_END, -1);
    assert_int_equal(calmoe_session_n_positions(r.session), 5 + n_before); /* it is not read */
    feed(&r, prompt, 2);
    int32_t token;
    const calmoe_status status = calmoe_session_next(r.session, &token); /* a new answer begins */
    assert_true(status == CALMOE_OK || token == end);
    assert_int_equal(calmoe_session_n_positions(r.session), 7 + n_before);
    running_close(&r);

    const calmoe_session_options ignoring = session_options();
    r = running_open(with_end, NULL, &ignoring);
    feed(&r, prompt, 5);
    for (int i = 0; i < n_before; i++) next(&r);
    assert_int_equal(next(&r), end);
    next(&r);
    running_close(&r);
}

/* ---- rewind ---- */

static void rewinding(void **state)
{
    (void)state;
    struct running r = open_default();
    int32_t tokens[20];
    feed(&r, prompt, 5);
    for (int i = 0; i < 20; i++) tokens[i] = next(&r);
    assert_int_equal(calmoe_session_rewind(r.session, 26), CALMOE_INVALID_ARGUMENT);
    running_must(r.context, calmoe_session_rewind(r.session, 25)); /* the last token, which is not read yet, stays */
    assert_int_equal(calmoe_session_n_positions(r.session), 24);
    running_must(r.context, calmoe_session_rewind(r.session, 24));
    check_end(&r, CALMOE_END, -1);
    running_must(r.context, calmoe_session_rewind(r.session, 10));
    assert_int_equal(calmoe_session_n_positions(r.session), 10);
    feed(&r, &tokens[5], 1); /* position 10 held the sixth */
    for (int i = 6; i < 20; i++) assert_int_equal(next(&r), tokens[i]);
    running_must(r.context, calmoe_session_rewind(r.session, 0));
    feed(&r, prompt, 5);
    for (int i = 0; i < 20; i++) assert_int_equal(next(&r), tokens[i]);
    running_close(&r);
}

/* ---- the hash ---- */

static void the_hash_is_that_of_all_logits(void **state)
{
    (void)state;
    calmoe_session_options options = session_options();
    options.hash_logits = 1;
    struct running r = open_with(&options), by_hand = open_default();
    const size_t n_bytes = (size_t)r.n_vocab * sizeof(float);
    struct sha256 sha = cm_sha256();
    char wanted[65], found[65];
    running_must(r.context, calmoe_session_logit_hash(r.session, found));
    cm_sha256_hex(&sha, wanted);
    assert_string_equal(found, wanted); /* of nothing yet */
    feed(&r, prompt, 5);
    int32_t token;
    calmoe_chunk chunk = {by_hand.session, prompt, 5, CALMOE_LOGITS_ALL};
    for (int i = 0; i < 6; i++) {
        running_must(by_hand.context, calmoe_engine_step(by_hand.engine, &chunk, 1));
        for (int row = 0; row < chunk.n_tokens; row++)
            cm_sha256_add(&sha, calmoe_session_logits(by_hand.session, row), n_bytes);
        token = next(&r);
        running_must(r.context, calmoe_session_logit_hash(r.session, found));
        cm_sha256_hex(&sha, wanted);
        assert_string_equal(found, wanted);
        chunk = (calmoe_chunk){by_hand.session, &token, 1, CALMOE_LOGITS_ALL};
    }
    running_close(&by_hand);
    running_close(&r);
}

/* ---- text ---- */

static void text_is_tokens(void **state)
{
    (void)state;
    struct running r = open_default(), by_tokens = open_default();
    int32_t tokens[64];
    size_t n;
    running_must(r.context, calmoe_tokenize(r.context, r.model, "hello the world", 15, 0, tokens, 64, &n));
    assert_true(n >= 3);
    running_must(r.context, calmoe_session_feed_text(r.session, "hello the world", 15, 0));
    feed(&by_tokens, tokens, n);
    for (int i = 0; i < 5; i++) assert_int_equal(next(&r), next(&by_tokens));
    assert_int_equal(calmoe_session_n_positions(r.session), calmoe_session_n_positions(by_tokens.session));
    running_close(&by_tokens);
    running_close(&r);
}

/* The first turn carries the system's words; later ones close the answer before them. */

/* The same seed draws the same tokens, another draws others. */
static void seeds(void **state)
{
    (void)state;
    int32_t tokens[3][20];
    for (int i = 0; i < 3; i++) {
        calmoe_sampler_options sampler;
        calmoe_sampler_options_init(&sampler);
        sampler.temperature = 2.0f;
        sampler.seed = i == 2 ? 8 : 7;
        calmoe_session_options options = session_options();
        options.sampler = &sampler;
        struct running r = open_with(&options);
        feed(&r, prompt, 5);
        for (int j = 0; j < 20; j++) tokens[i][j] = next(&r);
        running_close(&r);
    }
    assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
    assert_memory_not_equal(tokens[0], tokens[2], sizeof tokens[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_is_step_and_sample),
        cmocka_unit_test(nothing_fed_is_the_end),
        cmocka_unit_test(a_step_before_pending_tokens_is_refused),
        cmocka_unit_test(which_logits_there_are),
        cmocka_unit_test(a_prompt_that_does_not_fit),
        cmocka_unit_test(generating_into_the_end),
        cmocka_unit_test(a_context_of_one),
        cmocka_unit_test(a_limit_of_new_tokens),
        cmocka_unit_test(the_token_that_ends_an_answer),
        cmocka_unit_test(rewinding),
        cmocka_unit_test(the_hash_is_that_of_all_logits),
        cmocka_unit_test(text_is_tokens),
        cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests_name("session", tests, open_folder_with_tiny, close_folder);
}
