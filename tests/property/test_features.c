/* test_features.c - what can be left out, counted, moved, fitted and stretched, on every golden model, and so for every
 * family: early exits with thin tails, fewer experts, profiles, placement by them, fitting of exits, calibration,
 * longer contexts. What a dense model cannot have is refused in a sentence. That numbers are right is for other tests;
 * here each feature runs, and does something. README's table of families and features says what is seen here, and of
 * drafts and sessions that go on in test_sessions_go_on.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/calibration.h>
#include <calmoe/fit_exits.h>
#include <calmoe/placement.h>
#include <calmoe/profile.h>

#include "tests/support/folder_fixture.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"

enum { N_TEXT = 160, N_PROMPTS = 8, N_PROMPT = 5, N_ANSWER = 3 };

static int32_t text[N_TEXT];

struct subject {
    const char       *name;
    char              path[600];
    calmoe_model_info info;
    bool              is_dense;
};

/* Some tokens of an answer under a policy; the depth of the last. */
static calmoe_depth answer(struct running *r, const struct subject *s, const calmoe_policy_options *given)
{
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_policy  *policy = NULL;
    int32_t token;
    calmoe_session_options_init(&options);
    running_must(r->context, calmoe_policy_make(r->model, given, &policy));
    options.policy = policy;
    options.ignore_end = 1;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    running_must(r->context, calmoe_session_feed_tokens(session, text, N_PROMPT));
    for (int i = 0; i < N_ANSWER; i++) running_must(r->context, calmoe_session_next(session, &token));
    const calmoe_depth depth = running_depth(session, -1);
    for (int v = 0; v < s->info.n_vocab; v++) assert_true(isfinite(calmoe_session_logits(session, 0)[v]));
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    return depth;
}

static void check_exits(struct running *r, const struct subject *s)
{
    const int layer = s->info.n_layers - 1;
    calmoe_policy_options options;
    calmoe_policy_options_init(&options);
    options.measure = "softmax";
    options.threshold = 1e-6f;
    options.exit_layers = &layer;
    options.n_exits = 1;
    if (answer(r, s, &options).layers != layer) fail_msg("%s: a token did not leave", s->name);
    options.k_tail = s->is_dense ? 0 : 1;
    if (answer(r, s, &options).layers != layer) fail_msg("%s: a token did not leave before a tail", s->name);
}

static void check_widths(struct running *r, const struct subject *s)
{
    calmoe_policy_options options;
    calmoe_policy *policy = NULL;
    calmoe_policy_options_init(&options);
    options.width = "fixed";
    options.width_k = 1;
    if (!s->is_dense && s->info.n_experts_used == 1) return; /* the one that there is stays */
    if (!s->is_dense) {
        const calmoe_depth depth = answer(r, s, &options);
        if (depth.experts >= s->info.n_layers * s->info.n_experts_used) fail_msg("%s: all experts ran", s->name);
        return;
    }
    assert_int_equal(calmoe_policy_make(r->model, &options, &policy), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(calmoe_context_message(r->context), "is a dense model, which has none to leave out"));
}


/* Of all layers' routed experts, some were taken; of a dense model, the profile knows depths alone. */
static void check_profile_and_placement(const struct subject *s)
{
    calmoe_engine_options engine = running_options(1, NULL);
    calmoe_placement_options options;
    calmoe_placement *placement = NULL;
    calmoe_profile *profile = NULL;
    calmoe_profile_domain domain = {.size = sizeof domain};
    calmoe_placement_info info = {.size = sizeof info};
    uint64_t n_taken = 0;
    engine.profile = 1;
    struct running r = running_open(s->path, &engine, NULL);
    float *logits = malloc(sizeof *logits * N_PROMPT * (size_t)s->info.n_vocab);
    assert_non_null(logits);
    running_read(&r, r.session, text, N_PROMPT, N_PROMPT, logits);
    free(logits);
    running_must(r.context, calmoe_engine_get_profile(r.engine, &profile));
    running_must(r.context, calmoe_profile_get_domain(profile, 0, &domain));
    for (int i = 0; i < s->info.n_layers * s->info.n_experts; i++) n_taken += domain.tokens[i];
    if ((n_taken > 0) == s->is_dense) fail_msg("%s: %d uses of experts", s->name, (int)n_taken);
    assert_int_equal(domain.exits[s->info.n_layers - 1], N_PROMPT);
    calmoe_placement_options_init(&options);
    options.topology = "numa:2 core:2 pu:1";
    options.usage = profile;
    running_must(r.context, calmoe_placement_open(r.model, &options, &placement));
    running_must(r.context, calmoe_placement_get_info(placement, &info));
    assert_int_equal(info.n_nodes, 2);
    assert_int_equal(info.n_pinned + info.n_sliced + info.n_replicated > 0, !s->is_dense);
    calmoe_placement_close(&placement);
    calmoe_profile_close(&profile);
    running_close(&r);
}

static void check_fit(const struct subject *s)
{
    const calmoe_engine_options engine = running_options(1, NULL);
    const int layer = s->info.n_layers - 1;
    calmoe_fit_options options;
    calmoe_fit_report report = {.size = sizeof report};
    struct running r = running_open(s->path, &engine, NULL);
    calmoe_session_close(&r.session);
    calmoe_fit_options_init(&options);
    options.layers = &layer;
    options.n_layers = 1;
    options.rank = 2;
    options.window = 16;
    const calmoe_status status =
        calmoe_fit_exits(r.engine, text, N_TEXT, &options, temp_file(folder, "exits.gguf"), &report);
    const char *message = calmoe_context_message(r.context);
    /* Of so few tokens of noise there may be nothing worth writing, which is said behind all the work. */
    if (status == CALMOE_INVALID_ARGUMENT && !strstr(message, "there is nothing to write")) fail_msg("%s", message);
    else if (status != CALMOE_UNSUPPORTED && status != CALMOE_INVALID_ARGUMENT) running_must(r.context, status);
    running_close(&r);
}

static void check_calibration(struct running *r, const struct subject *s)
{
    static const double delta = 0.5;
    calmoe_prompt prompts[N_PROMPTS];
    calmoe_calibrate_options options;
    calmoe_calibration *calibration = NULL;
    calmoe_finding finding = {.size = sizeof finding};
    for (int i = 0; i < N_PROMPTS; i++) prompts[i] = (calmoe_prompt){text + i * N_PROMPT, N_PROMPT, NULL, 0};
    calmoe_calibrate_options_init(&options);
    options.costs = CALMOE_COSTS_BYTES;
    options.deltas = &delta;
    options.n_deltas = 1;
    options.answer_tokens = N_ANSWER;
    options.measures = "softmax";
    options.most = 4;
    running_must(r->context, calmoe_calibrate(r->engine, prompts, N_PROMPTS, &options, &calibration));
    running_must(r->context, calmoe_calibration_get_finding(calibration, 0, &finding));
    /* Of eight prompts of noise nothing is proven, and the sentence says why. */
    if (finding.is_proven || strlen(finding.sentence) < 20) fail_msg("%s: '%s'", s->name, finding.sentence);
    calmoe_calibration_close(&calibration);
}

/* A longer context, by YaRN: other logits than without, and finite ones. */
static void check_long_context(struct running *r, const struct subject *s)
{
    calmoe_model_options options;
    calmoe_model_info info = {.size = sizeof info};
    struct running longer = {.n_vocab = r->n_vocab};
    const calmoe_engine_options engine = running_options(1, NULL);
    const size_t n = N_PROMPT * (size_t)r->n_vocab;
    float *logits = malloc(2 * n * sizeof *logits);
    assert_non_null(logits);
    running_must(NULL, calmoe_context_open(NULL, &longer.context));
    calmoe_model_options_init(&options);
    options.rope_scaling = "yarn";
    options.rope_scale = 128.0f; /* some goldens are stretched by their files already */
    const calmoe_status opened = calmoe_model_open(longer.context, s->path, &options, &longer.model);
    if (opened == CALMOE_INVALID_ARGUMENT) { /* nothing is there to be stretched */
        const bool has_two_sets = strncmp(s->name, "phi", 3) == 0;
        assert_non_null(strstr(calmoe_context_message(longer.context),
                               has_two_sets ? "two sets of rotary factors" : "does not rotate positions"));
        assert_true(has_two_sets || strstr(s->name, "granitehybrid") || strstr(s->name, "nemotronh") ||
                    strcmp(s->name, "bloom") == 0 || strcmp(s->name, "baichuan13b") == 0);
        free(logits);
        running_close(&longer);
        return;
    }
    running_must(longer.context, opened);
    running_must(longer.context, calmoe_model_get_info(longer.model, &info));
    assert_true(info.context_length > s->info.context_length);
    running_must(longer.context, calmoe_engine_open(longer.model, &engine, &longer.engine));
    running_must(longer.context, calmoe_session_open(longer.engine, NULL, &longer.session));
    running_must(r->context, calmoe_session_rewind(r->session, 0));
    running_read(r, r->session, text, N_PROMPT, N_PROMPT, logits);
    running_read(&longer, longer.session, text, N_PROMPT, N_PROMPT, logits + n);
    for (size_t i = 0; i < n; i++) assert_true(isfinite(logits[n + i]));
    if (memcmp(logits, logits + n, n * sizeof *logits) == 0) fail_msg("%s: YaRN changes nothing", s->name);
    free(logits);
    running_close(&longer);
}

static void every_family(void **state)
{
    (void)state;
    const struct goldens all = goldens();
    for (int i = 0; i < all.n; i++) {
        struct subject s = {.name = all.names[i], .info.size = sizeof s.info};
        const calmoe_engine_options engine = running_options(1, NULL);
        golden_path(s.path, s.name);
        struct running r = running_open(s.path, &engine, NULL);
        running_must(r.context, calmoe_model_get_info(r.model, &s.info));
        s.is_dense = s.info.n_experts == 1;
        check_exits(&r, &s);
        check_widths(&r, &s);
        check_calibration(&r, &s);
        check_long_context(&r, &s);
        running_close(&r);
        check_profile_and_placement(&s);
        check_fit(&s);
    }
}

static int set_up(void **state)
{
    for (int i = 0; i < N_TEXT; i++) text[i] = (i * 37 + i / 7) % 200 + 3;
    return open_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_family)};
    return cmocka_run_group_tests_name("features", tests, set_up, close_folder);
}
