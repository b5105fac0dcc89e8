/* test_golden.c - every tiny model of this folder against the answers of another implementation: tokens,
 * logits, routing and greedy continuation, at each level of instructions. README.md says what the files hold.
 *
 * The models are found by their names, so a new one needs no line here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/load/model_file.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"

/* Both as a part of the range of the expected logits. */
static const double F32_LIMIT = 1e-5, F16_LIMIT = 4e-3;
/* Of a routing weight, relative. A state takes in every token, and what rounding leaves in it passes through all layers
 * behind: transformers' own float32 weights lie up to 1e-5 (absolute) from those in float64 then. */
static const double WEIGHT_LIMIT = 1e-5, RECURRENT_WEIGHT_LIMIT = 1e-4;

enum { N_GREEDY = 16, MAX_TOKENS = 4096 };

struct golden {
    char              path[600];
    char              name[GOLDEN_NAME];
    struct model_file      *expect;
    int               n_tokens, n_vocab;
    const int32_t    *tokens;
    const float      *logits;
    double            range;
    double            weight_limit;
    /* what the routing callback saw */
    int               n_events;
    double            worst_weight;
    double            worst_f32, worst_f16;
};

static struct golden models[GOLDEN_MAX];
static int           n_models;

/* ---- the files ---- */

static const struct file_tensor *expected(const struct golden *golden, const char *name)
{
    const struct file_tensor *tensor = cm_file_tensor(golden->expect, name);
    if (!tensor) fail_msg("%s: no tensor '%s' in the expectations", golden->name, name);
    return tensor;
}

static const void *expected_bytes(const struct golden *golden, const char *name)
{
    return expected(golden, name)->bytes;
}

static double range_of(const float *values, size_t n)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        low = fmin(low, (double)values[i]);
        high = fmax(high, (double)values[i]);
    }
    return high - low;
}

/* A model of which some layers keep a state. */
static bool is_recurrent(calmoe_context *context, const char *path)
{
    struct model_file *file;
    running_must(context, cm_model_file_open(context, path, &file));
    const bool is = cm_file_tensor(file, "blk.0.ssm_a") != NULL;
    cm_model_file_close(&file);
    return is;
}

static int open_expectations(void **state)
{
    struct golden *golden = *state;
    char path[600];
    snprintf(path, sizeof path, GOLDEN_FOLDER "/%s.expect.gguf", golden->name);
    calmoe_context *context = NULL;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, cm_model_file_open(context, path, &golden->expect));
    golden->weight_limit = is_recurrent(context, golden->path) ? RECURRENT_WEIGHT_LIMIT : WEIGHT_LIMIT;
    calmoe_context_close(&context);
    const struct file_tensor *logits = expected(golden, "logits");
    golden->n_vocab = (int)logits->shape[0];
    golden->n_tokens = (int)expected(golden, "tokens")->shape[0];
    golden->tokens = expected_bytes(golden, "tokens");
    golden->logits = (const float *)(const void *)logits->bytes;
    assert_int_equal(logits->shape[1], golden->n_tokens);
    golden->range = range_of(golden->logits, (size_t)golden->n_tokens * (size_t)golden->n_vocab);
    assert_true(golden->range > 0.0);
    return 0;
}

static int close_expectations(void **state)
{
    cm_model_file_close(&((struct golden *)*state)->expect);
    return 0;
}

/* The largest difference of logits, as a part of the range. */
static double difference(const struct golden *golden, const float *found, const float *wanted)
{
    double largest = 0.0;
    for (int i = 0; i < golden->n_vocab; i++) {
        const double d = fabs((double)found[i] - (double)wanted[i]);
        if (!(d <= largest)) largest = d; /* NaN too */
    }
    return largest / golden->range;
}

static void keep_larger(double *worst, double value)
{
    if (!(value <= *worst)) *worst = value;
}

/* ---- routing ---- */

static void check_routing(void *user, const calmoe_routing_event *event)
{
    struct golden *golden = user;
    if (event->position >= golden->n_tokens) return; /* of the continuation */
    char name[64];
    snprintf(name, sizeof name, "route.%d.experts", event->layer);
    if (!cm_file_tensor(golden->expect, name)) { /* dense */
        assert_int_equal(event->n, 0);
        golden->n_events++;
        return;
    }
    const struct file_tensor *experts = expected(golden, name);
    snprintf(name, sizeof name, "route.%d.weights", event->layer);
    const float *weights = expected_bytes(golden, name);
    const size_t first = (size_t)event->position * (size_t)experts->shape[0];
    assert_int_equal(event->n, experts->shape[0]);
    assert_int_equal(event->token, golden->tokens[event->position]);
    assert_memory_equal(event->experts, experts->bytes + 4 * first, 4 * (size_t)event->n);
    for (int slot = 0; slot < event->n; slot++) {
        const double wanted = (double)weights[first + (size_t)slot];
        keep_larger(&golden->worst_weight, fabs((double)event->weights[slot] - wanted) / wanted);
    }
    golden->n_events++;
}

/* ---- the tests ---- */

static struct running open_model(struct golden *golden, const char *isa, bool kv_float32)
{
    calmoe_engine_options options = running_options(2, isa);
    options.kv_float32 = kv_float32;
    options.routing = check_routing;
    options.routing_user = golden;
    golden->n_events = 0;
    struct running r = running_open(golden->path, &options, NULL);
    assert_int_equal(r.n_vocab, golden->n_vocab);
    return r;
}

static double read_all(struct golden *golden, struct running *r)
{
    const size_t n_vocab = (size_t)golden->n_vocab;
    float *found = malloc((size_t)golden->n_tokens * n_vocab * sizeof *found);
    double worst = 0.0;
    running_read(r, r->session, golden->tokens, golden->n_tokens, golden->n_tokens, found);
    for (int i = 0; i < golden->n_tokens; i++)
        keep_larger(&worst, difference(golden, found + (size_t)i * n_vocab, golden->logits + (size_t)i * n_vocab));
    free(found);
    return worst;
}

/* Returns the largest difference along the way. */
static double continue_greedily(struct golden *golden, struct running *r)
{
    const int32_t *wanted = expected_bytes(golden, "greedy");
    const float *logits = expected_bytes(golden, "greedy_logits");
    double worst = 0.0;
    for (int i = 0; i < N_GREEDY; i++) {
        const float *found = calmoe_session_logits(r->session, i == 0 ? golden->n_tokens - 1 : 0);
        int32_t token = -1;
        keep_larger(&worst, difference(golden, found, logits + (size_t)i * (size_t)golden->n_vocab));
        running_must(r->context, calmoe_session_sample(r->session, &token));
        assert_int_equal(token, wanted[i]);
        const calmoe_chunk chunk = {r->session, &token, 1, CALMOE_LOGITS_LAST};
        running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    }
    return worst;
}

static void logits_routing_and_continuation(void **state)
{
    struct golden *golden = *state;
    const char *isa;
    for (int i = 0; (isa = running_isa(i)) != NULL; i++) {
        struct running r = open_model(golden, isa, true);
        calmoe_model_info info = {.size = sizeof info};
        running_must(r.context, calmoe_model_get_info(r.model, &info));
        keep_larger(&golden->worst_f32, read_all(golden, &r));
        assert_int_equal(golden->n_events, info.n_layers * golden->n_tokens);
        keep_larger(&golden->worst_f32, continue_greedily(golden, &r));
        running_close(&r);
    }
    if (!(golden->worst_f32 <= F32_LIMIT)) fail_msg("logits differ by %.3g of their range", golden->worst_f32);
    if (!(golden->worst_weight <= golden->weight_limit))
        fail_msg("routing weights differ by %.3g", golden->worst_weight);
}

/* With keys and values in float16 rounding shows, but neither experts nor tokens change. */
static void float16_keys_and_values(void **state)
{
    struct golden *golden = *state;
    struct running r = open_model(golden, NULL, false);
    const double weights = golden->worst_weight;
    golden->worst_f16 = read_all(golden, &r);
    keep_larger(&golden->worst_f16, continue_greedily(golden, &r));
    golden->worst_weight = weights;
    running_close(&r);
    if (!(golden->worst_f16 <= F16_LIMIT)) fail_msg("logits differ by %.3g of their range", golden->worst_f16);
    if (!(golden->worst_f16 > golden->worst_f32)) fail_msg("float16 keys and values leave no trace: are they used?");
}

/* The simple loop gives the same tokens as the steps by hand, from the text on. */
static void text_to_text(void **state)
{
    struct golden *golden = *state;
    const int32_t *wanted = expected_bytes(golden, "greedy");
    struct meta_string text = {0};
    static int32_t tokens[MAX_TOKENS];
    size_t n_tokens = 0;
    struct running r = running_open(golden->path, NULL, NULL);
    running_must(r.context, cm_meta_need_string(r.context, golden->expect, "calmoe.golden.text", &text));
    running_must(r.context, calmoe_tokenize(r.context, r.model, text.bytes, (size_t)text.n_bytes,
                                            CALMOE_TOKENIZE_BOS, tokens, MAX_TOKENS, &n_tokens));
    assert_int_equal(n_tokens, golden->n_tokens);
    assert_memory_equal(tokens, golden->tokens, n_tokens * sizeof *tokens);
    running_must(r.context, calmoe_session_feed_text(r.session, text.bytes, (size_t)text.n_bytes, CALMOE_TOKENIZE_BOS));
    for (int i = 0; i < N_GREEDY; i++) {
        int32_t token;
        running_must(r.context, calmoe_session_next(r.session, &token));
        assert_int_equal(token, wanted[i]);
    }
    running_close(&r);
}

/* ---- all models ---- */

static void find_models(void)
{
    const struct goldens found = goldens();
    for (n_models = 0; n_models < found.n; n_models++) {
        snprintf(models[n_models].name, sizeof models->name, "%s", found.names[n_models]);
        golden_path(models[n_models].path, found.names[n_models]);
    }
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void **state);
    } tests[] = {{"logits, routing and continuation", logits_routing_and_continuation},
                 {"float16 keys and values", float16_keys_and_values},
                 {"text to text", text_to_text}};
    enum { N_TESTS = sizeof tests / sizeof *tests };
    static struct CMUnitTest list[GOLDEN_MAX * N_TESTS];
    static char names[GOLDEN_MAX * N_TESTS][128];
    int n = 0;
    find_models();
    for (int i = 0; i < n_models; i++)
        for (int j = 0; j < N_TESTS; j++, n++) {
            snprintf(names[n], sizeof names[n], "%s: %s", models[i].name, tests[j].name);
            list[n] = (struct CMUnitTest){names[n], tests[j].run, open_expectations, close_expectations, &models[i]};
        }
    const int n_failed = _cmocka_run_group_tests("golden", list, (size_t)n, NULL, NULL);
    for (int i = 0; i < n_models; i++)
        printf("%-18s logits within %.2g of their range, with float16 keys and values %.2g; routing weights %.2g\n",
               models[i].name, models[i].worst_f32, models[i].worst_f16, models[i].worst_weight);
    return n_failed;
}
