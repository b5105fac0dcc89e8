/* test_draft_model.c - a smaller model of the same vocabulary drafts: whatever it says, a lossless session is a plain
 * one, token by token and bit by bit; and a model of another vocabulary is refused. Here the smaller model is the same
 * file with one expert, which often says something else, or the file itself, which never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/engine/handles.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"
#include "tests/support/thin.h"

enum { N_PROMPT = 20, N_NEW = 40, CONTEXT = 128 };

static const char nano[] = CALMOE_SOURCE_DIR "/models/calmoe-nano.gguf";

static calmoe_model *open_draft(struct running *r, const char *path, int n_experts_used)
{
    calmoe_model_options options;
    calmoe_model *model = NULL;
    calmoe_model_options_init(&options);
    options.n_experts_used = n_experts_used;
    running_must(r->context, calmoe_model_open(r->context, path, &options, &model));
    return model;
}

static calmoe_session *open_session(struct running *r, int lossless, float temperature)
{
    calmoe_sampler_options sampler;
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_sampler_options_init(&sampler);
    sampler.temperature = temperature;
    sampler.repeat_penalty = temperature < 0.4f ? 1.0f : 1.05f;
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.hash_logits = options.ignore_end = 1;
    options.sampler = &sampler;
    options.lossless = lossless;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    return session;
}

/* A prompt, an answer; in the midst of it back some tokens, another text, and on. */
static void generate(struct running *r, calmoe_session *session, int32_t *tokens, char hash[65])
{
    int32_t prompt[N_PROMPT];
    for (int i = 0; i < N_PROMPT; i++) prompt[i] = 40 + i * 3 % 11;
    running_must(r->context, calmoe_session_feed_tokens(session, prompt, N_PROMPT));
    for (int t = 0; t < N_NEW; t++) {
        running_must(r->context, calmoe_session_next(session, &tokens[t]));
        if (t != N_NEW / 2) continue;
        running_must(r->context, calmoe_session_rewind(session, calmoe_session_n_positions(session) - 7));
        running_must(r->context, calmoe_session_feed_tokens(session, prompt + 5, 3));
    }
    running_must(r->context, calmoe_session_logit_hash(session, hash));
}

/* Of drafts by the model: how many there were, and were accepted. */
static void compare(const char *path, int n_experts_used, int n_threads, int max_rows, float temperature,
                    uint64_t *drafted, uint64_t *accepted)
{
    calmoe_engine_options options = running_options(n_threads, NULL);
    int32_t tokens[2][N_NEW];
    char    hashes[2][65];
    options.max_rows = max_rows;
    struct running r = running_open(path, &options, NULL);
    calmoe_model *draft = options.draft_model = open_draft(&r, path, n_experts_used);
    calmoe_session_close(&r.session);
    calmoe_engine_close(&r.engine);
    running_must(r.context, calmoe_engine_open(r.model, &options, &r.engine));
    for (int lossless = 0; lossless < 2; lossless++) {
        calmoe_session *session =
            open_session(&r, lossless ? CALMOE_LOSSLESS_ALWAYS : CALMOE_LOSSLESS_OFF, temperature);
        calmoe_speculation told = {.size = sizeof told};
        generate(&r, session, tokens[lossless], hashes[lossless]);
        running_must(r.context, calmoe_session_speculation(session, &told));
        *drafted += told.drafted_by[CALMOE_DRAFTS_BY_MODEL];
        *accepted += told.accepted_by[CALMOE_DRAFTS_BY_MODEL];
        calmoe_session_close(&session);
    }
    assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
    assert_string_equal(hashes[0], hashes[1]);
    calmoe_engine_close(&r.engine);
    calmoe_model_close(&draft);
    running_close(&r);
}

static void the_same_tokens(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "qwen35moe", "gptoss", "lfm2moe", "deepseek3"};
    uint64_t drafted = 0, accepted = 0;
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        char path[600];
        snprintf(path, sizeof path, "%s", nano);
        if (names[m]) golden_path(path, names[m]);
        for (int kind = 0; kind < 2; kind++)
            FOR_THREADS(threads, 2)
                compare(path, 1, threads, threads == 1 ? 7 : 64, kind == 0 ? 0.0f : 0.5f, &drafted, &accepted);
    }
    assert_in_range(accepted, drafted / 20, drafted - 1);
}

/* A model that drafts for itself is always right: drawn ones, too, but for penalties of what is not read yet. */
static void its_own_drafts_are_right(void **state)
{
    (void)state;
    uint64_t drafted = 0, accepted = 0;
    char     path[600];
    compare(nano, 0, 1, 32, 0.0f, &drafted, &accepted);
    compare(golden_path(path, "qwen35moe"), 0, 2, 32, 0.3f, &drafted, &accepted);
    assert_in_range(drafted, 20, 2 * N_NEW);
    assert_in_range(accepted, drafted * 9 / 10, drafted); /* the rewind and the end may come amid a round */
}

static void refused(void **state)
{
    (void)state;
    char path[600];
    calmoe_engine_options options = running_options(1, NULL);
    calmoe_model_options vocabulary;
    calmoe_engine *engine = NULL;
    struct running r = running_open(nano, &options, NULL);
    calmoe_model *other = open_draft(&r, golden_path(path, "qwen3moe"), 0);
    options.draft_model = other;
    assert_int_equal(calmoe_engine_open(r.model, &options, &engine), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(calmoe_context_message(r.context), "another vocabulary"));
    calmoe_model_close(&other);
    calmoe_model_options_init(&vocabulary);
    vocabulary.vocabulary_only = 1;
    running_must(r.context, calmoe_model_open(r.context, nano, &vocabulary, &other));
    options.draft_model = other;
    assert_int_equal(calmoe_engine_open(r.model, &options, &engine), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(calmoe_context_message(r.context), "vocabulary only"));
    calmoe_model_close(&other);
    running_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_tokens),
        cmocka_unit_test(its_own_drafts_are_right),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("draft model", tests, NULL, NULL);
}
