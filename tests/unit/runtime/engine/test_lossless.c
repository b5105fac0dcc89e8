/* test_lossless.c - self-speculation: whatever is drafted, a lossless session is a plain one, call by call, token by
 * token and bit by bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"
#include "runtime/engine/speculation.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/thin.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 5, N_PROMPT = 6, N_NEW = 30, CONTEXT = 64 };

static char path[600];
static const int32_t prompt[N_PROMPT] = {40, 41, 42, 43, 44, 45};

struct rule {
    const char *measure; /* NULL: what the session chooses */
    float       threshold;
    int         layers[3], n_layers;
};
static const struct rule rules[] = {
    {NULL, 0.0f, {0}, 0},
    {"always", 1.0f, {1}, 1},
    {"always", 1.0f, {4}, 1},
    {"softmax", 0.0007f, {1, 2, 4}, 3},
    {"shortlist", 0.0005f, {2, 3}, 2},
};
enum { N_RULES = sizeof rules / sizeof *rules };

static calmoe_policy *make_policy(struct running *r, const struct rule *rule)
{
    return running_exits(r, rule->measure, rule->threshold, rule->layers, rule->n_layers, NULL, 0);
}

/* Greedy; drawn; drawn with a penalty for what was read; always the same token, whatever the model would like. */
enum { GREEDY, DRAWN, PENALISED, ALWAYS_THE_SAME };

static calmoe_sampler_options sampler_of(int kind)
{
    static const int32_t   same = 40;
    static const float     much = 1e6f;
    calmoe_sampler_options sampler;
    calmoe_sampler_options_init(&sampler);
    if (kind == GREEDY) return sampler;
    if (kind == ALWAYS_THE_SAME) {
        sampler.n_biases    = 1;
        sampler.bias_tokens = &same;
        sampler.biases      = &much;
        return sampler;
    }
    sampler.temperature = kind == DRAWN ? 0.02f : 1.0f;
    sampler.seed = 5;
    if (kind == PENALISED) sampler.repeat_penalty = 1.1f;
    if (kind == PENALISED) sampler.top_p = 0.9f;
    return sampler;
}

static calmoe_session *open_session(struct running *r, const calmoe_policy *policy, int lossless, int kind)
{
    const calmoe_sampler_options sampler = sampler_of(kind);
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.hash_logits = 1;
    options.ignore_end = 1;
    options.sampler = &sampler;
    options.policy = policy;
    options.lossless = lossless;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    return session;
}

static struct running open_file(const char *file, int n_threads)
{
    calmoe_engine_options options = running_options(n_threads, NULL);
    options.max_rows = 16;
    return running_open(file, &options, NULL);
}

static struct running open_engine(int n_threads) { return open_file(path, n_threads); }

/* One token of each, and all that can be seen of it. The engine of `plain` is another one: its steps would throw away
 * what was verified ahead. */
static void compare_next(struct running *r, calmoe_session *plain, calmoe_session *lossless)
{
    char a[65], b[65];
    int32_t wanted, found;
    calmoe_depth depth;
    const calmoe_status status = calmoe_session_next(plain, &wanted);
    const struct model_spec *spec = &r->engine->model->spec;
    static float logits[1 << 14];
    assert_in_range(r->n_vocab, 1, 1 << 14);
    const bool has_logits = calmoe_session_logits(plain, 0) != NULL;
    if (has_logits) memcpy(logits, calmoe_session_logits(plain, 0), (size_t)r->n_vocab * sizeof *logits);
    assert_int_equal(calmoe_session_next(lossless, &found), status);
    assert_int_equal(found, wanted);
    assert_int_equal(calmoe_session_n_positions(lossless), calmoe_session_n_positions(plain));
    running_must(r->context, calmoe_session_logit_hash(plain, a));
    running_must(r->context, calmoe_session_logit_hash(lossless, b));
    assert_string_equal(a, b);
    if (status != CALMOE_OK) return;
    assert_true(has_logits);
    assert_memory_equal(calmoe_session_logits(lossless, 0), logits, (size_t)r->n_vocab * sizeof *logits);
    depth = running_depth(lossless, -1);
    assert_int_equal(depth.layers, spec->n_layers);
    assert_int_equal(depth.experts, cm_experts_of_token(spec));
}

static void feed(struct running *r, calmoe_session *a, calmoe_session *b, const int32_t *tokens, size_t n)
{
    running_must(r->context, calmoe_session_feed_tokens(a, tokens, n));
    running_must(r->context, calmoe_session_feed_tokens(b, tokens, n));
}

/* On a model whose exits mean something: of its drafts, many are accepted, and others are not. */
static void the_same_tokens(void **state)
{
    (void)state;
    enum { MOST_LAYERS = 64 };
    uint64_t n_drafted = 0, n_accepted = 0;
    FOR_THREADS(threads, 2) {
        static const char nano[] = CALMOE_SOURCE_DIR "/models/calmoe-nano.gguf";
        struct running r = open_file(nano, threads), of_plain = open_file(nano, 1);
        const int n_layers = r.engine->model->spec.n_layers;
        assert_in_range(n_layers, 5, MOST_LAYERS);
        for (int i = 0; i < N_RULES; i++)
            for (int kind = 0; kind < 3; kind++)
                for (int mode = CALMOE_LOSSLESS_WHERE_FASTER; mode <= CALMOE_LOSSLESS_ALWAYS; mode++) {
                    if (way_is_left_out(i + kind + mode, 3)) continue;
                    calmoe_policy *policy = make_policy(&r, &rules[i]);
                    calmoe_session *plain = open_session(&of_plain, NULL, CALMOE_LOSSLESS_OFF, kind);
                    calmoe_session *lossless = open_session(&r, policy, mode, kind);
                    calmoe_speculation told = {.size = sizeof told};
                    uint64_t drafted[MOST_LAYERS], accepted[MOST_LAYERS], sums[2] = {0, 0};
                    assert_int_equal(calmoe_session_rung(lossless), -1);
                    feed(&r, plain, lossless, prompt, N_PROMPT);
                    for (int t = 0; t < N_NEW; t++) compare_next(&r, plain, lossless);
                    running_must(r.context, calmoe_session_speculation(lossless, &told));
                    running_must(r.context, calmoe_session_draft_counts(lossless, drafted, accepted, n_layers));
                    for (int layer = 0; layer < n_layers; layer++) {
                        sums[0] += drafted[layer];
                        sums[1] += accepted[layer];
                    }
                    assert_int_equal(sums[0], told.drafted);
                    assert_int_equal(sums[1], told.accepted);
                    assert_true(told.accepted <= told.drafted);
                    if (mode == 2) assert_true(told.rounds > 0);
                    n_drafted += told.drafted;
                    n_accepted += told.accepted;
                    calmoe_session_close(&plain);
                    calmoe_session_close(&lossless);
                    calmoe_policy_close(&policy);
                }
        running_close(&of_plain);
        running_close(&r);
    }
    assert_in_range(n_accepted, n_drafted / 10, n_drafted - 1);
}

/* A text that says the same again and again: drafts are looked up, and where the answer does so, too, many are right.
 * By themselves, in turns with an exit's; drawn tokens are often others than those before. */
static void quotes_are_looked_up(void **state)
{
    (void)state;
    static const char nano[] = CALMOE_SOURCE_DIR "/models/calmoe-nano.gguf";
    static const char text[] = "int add(int a, int b)\n{\n    return a + b;\n}\n\nint add(int a, int b)\n{\n    return";
    struct running r = open_file(nano, 2), of_plain = open_file(nano, 1);
    int32_t tokens[CONTEXT];
    size_t  n_tokens;
    running_must(r.context, calmoe_tokenize(r.context, r.model, text, strlen(text), CALMOE_TOKENIZE_BOS,
                                            tokens, CONTEXT, &n_tokens));
    assert_in_range(n_tokens, 20, CONTEXT - N_NEW / 2);
    for (int kind = GREEDY; kind <= ALWAYS_THE_SAME; kind++)
        for (int mode = CALMOE_LOSSLESS_WHERE_FASTER; mode <= CALMOE_LOSSLESS_ALWAYS; mode++) {
            calmoe_session *plain = open_session(&of_plain, NULL, CALMOE_LOSSLESS_OFF, kind);
            calmoe_session *lossless = open_session(&r, NULL, mode, kind);
            uint64_t drafted[64], accepted[64];
            feed(&r, plain, lossless, tokens, n_tokens);
            for (int t = 0; t < N_NEW; t++) compare_next(&r, plain, lossless); /* FULL at the end, both */
            running_must(r.context, calmoe_session_draft_counts(lossless, drafted, accepted, 64));
            assert_true(accepted[0] <= drafted[0]);
            if (mode == CALMOE_LOSSLESS_ALWAYS && kind == ALWAYS_THE_SAME) assert_true(accepted[0] > 3);
            calmoe_session_close(&plain);
            calmoe_session_close(&lossless);
        }
    running_close(&of_plain);
    running_close(&r);
}

/* Fed in between, rewound, to the end of the context. */
static void the_same_calls(void **state)
{
    (void)state;
    static const char nano[] = CALMOE_SOURCE_DIR "/models/calmoe-nano.gguf";
    struct running r = open_file(nano, 2), of_plain = open_file(nano, 1);
    for (int i = 0; i < N_RULES; i++)
        for (int kind = 0; kind < 3; kind++) {
            if (way_is_left_out(i + kind, 3)) continue;
            calmoe_policy *policy = make_policy(&r, &rules[i]);
            calmoe_session *plain = open_session(&of_plain, NULL, CALMOE_LOSSLESS_OFF, kind);
            calmoe_session *lossless = open_session(&r, policy, CALMOE_LOSSLESS_ALWAYS, kind);
            feed(&r, plain, lossless, prompt, N_PROMPT);
            for (int t = 0; t < 9; t++) compare_next(&r, plain, lossless);
            feed(&r, plain, lossless, prompt, 1);
            for (int t = 0; t < 7; t++) compare_next(&r, plain, lossless);
            const int n = calmoe_session_n_positions(plain) - 3;
            running_must(r.context, calmoe_session_rewind(plain, n));
            running_must(r.context, calmoe_session_rewind(lossless, n));
            feed(&r, plain, lossless, prompt + 2, 2);
            for (int t = 0; t < CONTEXT; t++) compare_next(&r, plain, lossless); /* FULL at the end, both */
            calmoe_session_close(&plain);
            calmoe_session_close(&lossless);
            calmoe_policy_close(&policy);
        }
    running_close(&of_plain);
    running_close(&r);
}

/* Another session's steps throw away what was verified ahead; it is read anew. */
static void in_company(void **state)
{
    (void)state;
    struct running r = open_engine(2);
    calmoe_session *plain = open_session(&r, NULL, CALMOE_LOSSLESS_OFF, 0);
    calmoe_session *other = open_session(&r, NULL, CALMOE_LOSSLESS_ALWAYS, 1);
    calmoe_session *lossless = open_session(&r, NULL, CALMOE_LOSSLESS_ALWAYS, 0);
    int32_t token;
    feed(&r, plain, lossless, prompt, N_PROMPT);
    running_must(r.context, calmoe_session_feed_tokens(other, prompt, N_PROMPT));
    for (int t = 0; t < 20; t++) {
        compare_next(&r, plain, lossless);
        if (t % 3 == 0) running_must(r.context, calmoe_session_next(other, &token));
    }
    for (int t = 0; t < 10; t++) { /* all at once: plain steps */
        calmoe_event events[4];
        int n_events;
        running_must(r.context, calmoe_engine_next(r.engine, events, 4, &n_events));
        assert_int_equal(n_events, 3);
        assert_int_equal(events[0].token, events[2].token);
    }
    for (int t = 0; t < 10; t++) compare_next(&r, plain, lossless);
    calmoe_session_close(&plain);
    calmoe_session_close(&other);
    calmoe_session_close(&lossless);
    running_close(&r);
}

/* Limits of new tokens: no more is drafted than may come. */
static void limits_are_kept(void **state)
{
    (void)state;
    struct running r = open_engine(1), of_plain = open_engine(1);
    for (int limit = 1; limit <= 8; limit++) {
        calmoe_session *sessions[2];
        for (int s = 0; s < 2; s++) {
            sessions[s] = s ? open_session(&r, NULL, CALMOE_LOSSLESS_ALWAYS, 1)
                            : open_session(&of_plain, NULL, CALMOE_LOSSLESS_OFF, 1);
            sessions[s]->answer.max_new = limit;
        }
        feed(&r, sessions[0], sessions[1], prompt, N_PROMPT);
        for (int t = 0; t < limit + 1; t++) {
            int32_t a, b;
            const calmoe_status status = calmoe_session_next(sessions[0], &a);
            assert_int_equal(calmoe_session_next(sessions[1], &b), status);
            assert_int_equal(a, b);
            assert_int_equal(status, t < limit ? CALMOE_OK : CALMOE_END);
        }
        for (int s = 0; s < 2; s++) calmoe_session_close(&sessions[s]);
    }
    running_close(&of_plain);
    running_close(&r);
}

static void rounds_allocate_nothing(void **state)
{
    (void)state;
    struct running r = open_engine(2);
    calmoe_session *session = open_session(&r, NULL, CALMOE_LOSSLESS_ALWAYS, 0);
    int32_t token;
    running_must(r.context, calmoe_session_feed_tokens(session, prompt, N_PROMPT));
    running_must(r.context, calmoe_session_next(session, &token));
    const long n_requests = cm_requests();
    for (int t = 0; t < 20; t++) running_must(r.context, calmoe_session_next(session, &token));
    assert_int_equal(cm_requests(), n_requests);
    assert_int_equal(session->sequence.waiting->n, 0);
    calmoe_session_close(&session);
    running_close(&r);
}

static void refused(void **state)
{
    (void)state;
    struct running r = open_engine(1);
    calmoe_policy_options narrow;
    calmoe_policy *policy = NULL;
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_speculation told = {.size = 0};
    calmoe_policy_options_init(&narrow);
    narrow.width = "fixed";
    running_must(r.context, calmoe_policy_make(r.model, &narrow, &policy));
    calmoe_session_options_init(&options);
    options.lossless = CALMOE_LOSSLESS_WHERE_FASTER;
    options.policy = policy;
    assert_int_equal(calmoe_session_open(r.engine, &options, &session), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(calmoe_context_message(r.context), "no exits"));
    options.policy = NULL;
    options.lossless = 3;
    assert_int_equal(calmoe_session_open(r.engine, &options, &session), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_speculation(r.session, &told), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_draft_counts(r.session, NULL, NULL, 5), CALMOE_INVALID_ARGUMENT);
    calmoe_policy_close(&policy);
    running_close(&r);
}

/* What ways to draft cost here is found out once for an engine, not once for each answer. */
static void the_next_session_knows(void **state)
{
    (void)state;
    struct running r = open_engine(1);
    calmoe_policy *policies[] = {make_policy(&r, &rules[1]), make_policy(&r, &rules[3])};
    static const struct { int policy, is_known; } opened[] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {0, 0}};
    for (size_t i = 0; i < sizeof opened / sizeof *opened; i++) {
        calmoe_session *session = open_session(&r, policies[opened[i].policy], CALMOE_LOSSLESS_WHERE_FASTER, 0);
        int32_t token;
        assert_int_equal(cm_drafts_cost(session, SPECULATION_PLAIN) > 0.0, opened[i].is_known);
        running_must(r.context, calmoe_session_feed_tokens(session, prompt, N_PROMPT));
        for (int t = 0; t < N_NEW; t++) running_must(r.context, calmoe_session_next(session, &token));
        assert_true(cm_drafts_cost(session, SPECULATION_PLAIN) > 0.0);
        calmoe_session_close(&session);
    }
    calmoe_policy_close(&policies[0]);
    calmoe_policy_close(&policies[1]);
    running_close(&r);
}

static int set_up(void **state)
{
    (void)state;
    folder = temp_folder_open();
    struct tiny_model tiny = tiny_model_wide();
    tiny.n_layers = N_LAYERS;
    for (int part = TINY_GATE; part <= TINY_DOWN; part++) tiny.types[part] = WEIGHT_Q4_0;
    snprintf(path, sizeof path, "%s", temp_file(folder, "lossless.gguf"));
    tiny_model_write(&tiny, path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_tokens),
        cmocka_unit_test(quotes_are_looked_up),
        cmocka_unit_test(the_same_calls),
        cmocka_unit_test(in_company),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(rounds_allocate_nothing),
        cmocka_unit_test(refused),
        cmocka_unit_test(the_next_session_knows),
    };
    return cmocka_run_group_tests_name("lossless", tests, set_up, close_folder);
}
