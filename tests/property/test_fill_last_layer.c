/* test_fill_last_layer.c - what a token that left early leaves behind, for each way to mix positions. A token that
 * leaves before the last layer has run all that this layer's keys and values (or its recurrent state) are made of: so
 * filling them in must give what running the layer gives, to the bit, and a text that goes on behind it, in full, must
 * have the logits that it has where nothing was left out. For each golden model, and each way to fill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/goldens.h"
#include "tests/support/running.h"

enum { N_BEFORE = 9, N_LEAVING = 4, N_AFTER = 6, N_ALL = N_BEFORE + N_LEAVING + N_AFTER };

static int32_t token_at(int i) { return 3 + (i * 11) % 40; }

static void step(struct running *r, calmoe_session *session, int at, int n, float *logits)
{
    int32_t tokens[N_ALL];
    for (int i = 0; i < n; i++) tokens[i] = token_at(at + i);
    const calmoe_chunk chunk = {session, tokens, n, CALMOE_LOGITS_LAST};
    running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    if (logits) memcpy(logits, calmoe_session_logits(session, 0), (size_t)r->n_vocab * sizeof *logits);
}

/* A text of which some tokens in the middle may leave, and the logits behind it. */
static void read_text(struct running *r, const calmoe_policy *policy, int n_layers, float *logits)
{
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_session_options_init(&options);
    options.policy = policy;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    step(r, session, 0, N_BEFORE, NULL);
    if (policy) calmoe_session_begin_answer(session);
    for (int i = 0; i < N_LEAVING; i++) {
        step(r, session, N_BEFORE + i, 1, NULL);
        assert_int_equal(running_depth(session, 0).layers, policy ? n_layers - 1 : n_layers);
    }
    int32_t after[N_AFTER], token;
    for (int i = 0; i < N_AFTER; i++) after[i] = token_at(N_BEFORE + N_LEAVING + i);
    running_must(r->context, calmoe_session_feed_tokens(session, after, N_AFTER)); /* no answer: it is read in full */
    running_must(r->context, calmoe_session_next(session, &token));
    memcpy(logits, calmoe_session_logits(session, 0), (size_t)r->n_vocab * sizeof *logits);
    calmoe_session_close(&session);
}

static void check_golden(const char *path, const char *fill, int n_threads)
{
    const calmoe_engine_options engine = running_options(n_threads, NULL);
    struct running r = running_open(path, &engine, NULL);
    calmoe_model_info info = {.size = sizeof info};
    float *logits[2];
    running_must(r.context, calmoe_model_get_info(r.model, &info));
    const int last = info.n_layers - 1;
    calmoe_policy *policy = running_exits(&r, "always", 1.0f, &last, 1, fill, 0);
    for (int i = 0; i < 2; i++) {
        assert_non_null(logits[i] = malloc((size_t)r.n_vocab * sizeof(float)));
        read_text(&r, i == 0 ? NULL : policy, info.n_layers, logits[i]);
    }
    if (memcmp(logits[0], logits[1], (size_t)r.n_vocab * sizeof(float)) != 0)
        fail_msg("%s, %s: other logits behind tokens that left before the last layer", path, fill);
    for (int i = 0; i < 2; i++) free(logits[i]);
    calmoe_policy_close(&policy);
    running_close(&r);
}

static void filled_as_run(void **state)
{
    (void)state;
    static const char *const fills[] = {"propagate", "lazy", "catch_up"};
    const struct goldens all = goldens();
    for (int g = 0; g < all.n; g++)
        for (int fill = 0; fill < 3; fill++)
            for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
                char path[600];
                check_golden(golden_path(path, all.names[g]), fills[fill], n_threads);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(filled_as_run)};
    return cmocka_run_group_tests_name("fill of the last layer", tests, NULL, NULL);
}
