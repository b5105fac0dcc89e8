/* test_adapter_drafts.c - adapters together with drafts: whatever drafts - early exits, what stood before, the file's
 * block for a further token, a draft model -, a session with adapters or a prefix gives the tokens and logits that it
 * gives without drafts. Decoders that draft read without the adapters; what they say is verified with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/adapter_fixture.h"
#include "tests/support/goldens.h"
#include "tests/support/prefix_folder.h"
#include "tests/support/random_adapter.h"
#include "tests/support/thin.h"

enum { N_PROMPT = 24, N_NEW = 60, N_ADAPTERS = 3, N_CASES = 4, CONTEXT = 128 };

/* Which of two LoRAs and of a prefix a session uses. */
static const float cases[N_CASES][N_ADAPTERS] = {{1, 0, 0}, {-0.5f, 1.5f, 0}, {0, 0, 1}, {0.5f, 0, 1}};

struct heard {
    int32_t tokens[N_NEW];
    char    hash[65];
};

/* A prompt that says the same twice, an answer; in its midst back some tokens, another text, and on. */
static void generate(struct running *r, calmoe_session *session, struct heard *heard)
{
    int32_t prompt[N_PROMPT];
    for (int i = 0; i < N_PROMPT; i++) prompt[i] = 40 + i % 8 * 3;
    running_must(r->context, calmoe_session_feed_tokens(session, prompt, N_PROMPT));
    for (int i = 0; i < N_NEW; i++) {
        running_must(r->context, calmoe_session_next(session, &heard->tokens[i]));
        if (i != N_NEW / 2) continue;
        running_must(r->context, calmoe_session_rewind(session, calmoe_session_n_positions(session) - 7));
        running_must(r->context, calmoe_session_feed_tokens(session, prompt + 5, 3));
    }
    running_must(r->context, calmoe_session_logit_hash(session, heard->hash));
}

/* penalty: of tokens that were read; below 1 it makes the model say them again, as drafters think it will. */
static void hear(struct running *r, calmoe_adapter *const *adapters, const float *scales, int lossless, float penalty,
                 struct heard *heard, calmoe_speculation *told)
{
    calmoe_session_options options;
    calmoe_session *session;
    calmoe_sampler_options sampler;
    calmoe_sampler_options_init(&sampler);
    sampler.repeat_penalty = penalty;
    calmoe_session_options_init(&options);
    options.sampler = &sampler;
    options.context = CONTEXT;
    options.hash_logits = options.ignore_end = 1;
    options.lossless = lossless;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    running_must(r->context, calmoe_session_set_adapters(session, adapters, scales, N_ADAPTERS));
    generate(r, session, heard);
    calmoe_speculation now = {.size = sizeof now};
    running_must(r->context, calmoe_session_speculation(session, &now));
    for (int kind = 0; kind < CALMOE_N_DRAFT_KINDS; kind++) {
        told->drafted_by[kind] += now.drafted_by[kind];
        told->accepted_by[kind] += now.accepted_by[kind];
    }
    calmoe_session_close(&session);
}

/* The model drafts for itself by another one that reads the same file without the adapters. */
static struct running open_with_drafter(const char *path, int n_threads, calmoe_model **draft)
{
    calmoe_engine_options options = running_options(n_threads, NULL);
    options.max_rows = 16;
    struct running r = running_open(path, &options, NULL);
    running_must(r.context, calmoe_model_open(r.context, path, NULL, draft));
    options.draft_model = *draft;
    calmoe_session_close(&r.session);
    calmoe_engine_close(&r.engine);
    running_must(r.context, calmoe_engine_open(r.model, &options, &r.engine));
    return r;
}

static void write_adapters(const char *path, char paths[N_ADAPTERS][600])
{
    const calmoe_engine_options options = running_options(1, NULL);
    struct running r = running_open(path, &options, NULL);
    for (int i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "lora%d.gguf", i);
        in_folder(paths[i], name);
        /* the second shows, and the drafters miss; the first changes little, and they are right often */
        const struct random_adapter random = {.seed = 5 + (uint64_t)i, .rank = 2 + i, .size = i ? 0.3f : 0.02f};
        random_adapter_write(path, &random, paths[i]);
    }
    in_folder(paths[2], "prefix");
    prefix_folder_write_random(paths[2], r.session, 11, 8);
    running_close(&r);
}

static void each_kind_of_draft(void **state)
{
    char path[600], paths[N_ADAPTERS][600];
    calmoe_speculation told = {.size = sizeof told}, none = {.size = sizeof none};
    (void)state;
    golden_path(path, "glm4moe"); /* it attends, and has a block for a further token */
    write_adapters(path, paths);
    for (int n_threads = full_or_thin(1, 2); n_threads <= 2; n_threads++) {
        calmoe_model   *draft = NULL;
        calmoe_adapter *adapters[N_ADAPTERS];
        struct heard    plain, drafted, before = {{0}, ""};
        struct running  r = open_with_drafter(path, n_threads, &draft);
        for (int i = 0; i < N_ADAPTERS; i++) adapters[i] = open_adapter(&r, paths[i]);
        for (int i = 0; i < 2 * N_CASES; i++) {
            const float penalty = i < N_CASES ? 1.0f : 0.1f;
            hear(&r, adapters, cases[i % N_CASES], CALMOE_LOSSLESS_OFF, penalty, &plain, &none);
            hear(&r, adapters, cases[i % N_CASES], CALMOE_LOSSLESS_ALWAYS, penalty, &drafted, &told);
            assert_memory_equal(drafted.tokens, plain.tokens, sizeof plain.tokens);
            assert_string_equal(drafted.hash, plain.hash);
            assert_string_not_equal(plain.hash, before.hash); /* adapters make a difference */
            before = plain;
        }
        for (int i = 0; i < N_ADAPTERS; i++) calmoe_adapter_close(&adapters[i]);
        calmoe_engine_close(&r.engine);
        calmoe_model_close(&draft);
        running_close(&r);
    }
    for (int kind = 0; kind < CALMOE_N_DRAFT_KINDS; kind++) {
        if (getenv("CALMOE_SHOW"))
            printf("kind %d: %d drafted, %d accepted\n", kind, (int)told.drafted_by[kind], (int)told.accepted_by[kind]);
        /* right ones are there, and wrong ones */
        assert_in_range(told.accepted_by[kind], 1, told.drafted_by[kind] - 1);
        assert_int_equal(none.drafted_by[kind], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_kind_of_draft)};
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
