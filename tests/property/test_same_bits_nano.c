/* test_same_bits_nano.c - the embedded model: the hash of all logits of a text is the same for any threads, cut,
 * level of instructions, and in company. Exit status 77 (skipped) where the model is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/running.h"

enum { MAX_TOKENS = 512, N_COMPANY = 4 };

static const char text[] =
    "The gate sends each token to a few experts, and an expert that nobody asks does nothing. "
    "int main(void) { return 0; }\n"
    "Der Mond ist aufgegangen, die goldnen Sternlein prangen am Himmel hell und klar.\n"
    "for (int i = 0; i < n; i++) sum += weights[i] * x[i]; /* in the order of i */\n";

static int32_t tokens[MAX_TOKENS];
static size_t  n_tokens;
static char    wanted[65];

static struct running open_nano(calmoe_engine_options options)
{
    calmoe_session_options session;
    calmoe_session_options_init(&session);
    session.hash_logits = 1;
    session.max_new_tokens = 8;
    session.ignore_end = 1;
    return running_open(NULL, &options, &session);
}

/* Feeds the text, lets it go on for 8 tokens, and compares the hash of all logits. */
static void check(calmoe_engine_options options)
{
    char hash[65];
    int32_t token;
    struct running r = open_nano(options);
    running_must(r.context, calmoe_session_feed_tokens(r.session, tokens, n_tokens));
    while (calmoe_session_next(r.session, &token) == CALMOE_OK) {}
    running_must(r.context, calmoe_session_logit_hash(r.session, hash));
    if (wanted[0] == '\0') memcpy(wanted, hash, sizeof wanted);
    assert_string_equal(hash, wanted);
    running_close(&r);
}

static void threads_and_cuts(void **state)
{
    (void)state;
    check(running_options(1, NULL));
    check(running_options(2, NULL));
    check(running_options(3, NULL));
    static const int rows[] = {5, 7, 64};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        calmoe_engine_options options = running_options(2, NULL);
        options.max_rows = rows[i];
        check(options);
    }
}

static void levels(void **state)
{
    (void)state;
    for (int i = 0; running_isa(i); i++) check(running_options(2, running_isa(i)));
}

/* Others read other texts in the same steps. A step more than calmoe_session_next() makes: the last token's. */
static void in_company(void **state)
{
    (void)state;
    char hash[65];
    calmoe_session *others[N_COMPANY];
    calmoe_event events[N_COMPANY + 1];
    int n_events, n_new = 0;
    calmoe_engine_options options = running_options(2, NULL);
    options.max_rows = 64;
    struct running r = open_nano(options);
    running_must(r.context, calmoe_session_feed_tokens(r.session, tokens, n_tokens));
    for (int i = 0; i < N_COMPANY; i++) {
        running_must(r.context, calmoe_session_open(r.engine, NULL, &others[i]));
        running_must(r.context, calmoe_session_feed_tokens(others[i], tokens + 3 * (i + 1), n_tokens / 4));
    }
    while (n_new < 8) {
        running_must(r.context, calmoe_engine_next(r.engine, events, N_COMPANY + 1, &n_events));
        for (int e = 0; e < n_events; e++) n_new += events[e].session == r.session;
    }
    running_must(r.context, calmoe_session_logit_hash(r.session, hash));
    assert_string_equal(hash, wanted);
    for (int i = 0; i < N_COMPANY; i++) calmoe_session_close(&others[i]);
    running_close(&r);
}

/* Policies that let nobody go and drop nothing: OFF's bits. Another one: other bits. */
static void policies(void **state)
{
    (void)state;
    static const int layers[] = {1, 5};
    for (int kind = 0; kind < 3; kind++) {
        calmoe_policy_options options;
        calmoe_policy *policy = NULL;
        calmoe_session_options session;
        calmoe_session *with = NULL;
        char hash[65];
        int32_t token;
        const calmoe_engine_options engine = running_options(2, NULL);
        struct running r = running_open(NULL, &engine, NULL);
        calmoe_policy_options_init(&options);
        options.measure = kind == 2 ? "always" : "softmax";
        options.threshold = 1.0f;
        options.exit_layers = layers;
        options.n_exits = kind == 0 ? 0 : 2;
        if (kind == 0) options.measure = NULL;
        if (kind == 0) options.width = "ratio";
        options.width_bound = 1e-30f;
        running_must(r.context, calmoe_policy_make(r.model, &options, &policy));
        calmoe_session_options_init(&session);
        session.hash_logits = session.ignore_end = 1;
        session.max_new_tokens = 8;
        session.policy = policy;
        running_must(r.context, calmoe_session_open(r.engine, &session, &with));
        running_must(r.context, calmoe_session_feed_tokens(with, tokens, n_tokens));
        while (calmoe_session_next(with, &token) == CALMOE_OK) {}
        running_must(r.context, calmoe_session_logit_hash(with, hash));
        if (kind < 2) assert_string_equal(hash, wanted);
        else assert_string_not_equal(hash, wanted);
        calmoe_session_close(&with);
        calmoe_policy_close(&policy);
        running_close(&r);
    }
}

int main(void)
{
    calmoe_context *context = NULL;
    calmoe_model *model = NULL;
    if (calmoe_context_open(NULL, &context) != CALMOE_OK) return 1;
    const calmoe_status status = calmoe_model_open(context, NULL, NULL, &model);
    if (status != CALMOE_OK) {
        printf("%s: %s\n", status == CALMOE_IO ? "skipped" : "failed", calmoe_context_message(context));
        calmoe_context_close(&context);
        return status == CALMOE_IO ? 77 : 1;
    }
    if (calmoe_tokenize(context, model, text, sizeof text - 1, CALMOE_TOKENIZE_BOS, tokens, MAX_TOKENS, &n_tokens))
        return 1;
    calmoe_model_close(&model);
    calmoe_context_close(&context);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_and_cuts),
        cmocka_unit_test(levels),
        cmocka_unit_test(in_company),
        cmocka_unit_test(policies),
    };
    return cmocka_run_group_tests_name("the embedded model", tests, NULL, NULL);
}
