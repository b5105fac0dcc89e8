/* Sampling: which tokens may come, how often they do (fixed seeds), and the edges. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/sample/sampler.h"

enum { N = 8, N_DRAWS = 20000 };

static struct sampler *open_sampler(struct sampler_options options, int32_t n_vocab)
{
    struct calmoe_context ctx = { .message = "" };
    struct sampler       *sampler;
    const calmoe_status   status = cm_sampler_open(&ctx, &options, n_vocab, &sampler);
    assert_string_equal(ctx.message, "");
    assert_int_equal(status, CALMOE_OK);
    return sampler;
}

/* How often each of N tokens comes in N_DRAWS draws, as shares. */
static void draw_shares(struct sampler_options options, const float *logits, double *shares)
{
    struct sampler *sampler = open_sampler(options, N);
    memset(shares, 0, N * sizeof *shares);
    for (int i = 0; i < N_DRAWS; i++) {
        const int32_t id = cm_sampler_pick(sampler, logits, NULL);
        assert_in_range(id, 0, N - 1);
        shares[id] += 1.0 / N_DRAWS;
    }
    cm_sampler_close(&sampler);
    assert_null(sampler);
}

/* Five standard deviations of a share of p. */
static void assert_share(double share, double p)
{
    if (p <= 0) assert_true(share <= 0);
    else assert_true(fabs(share - p) < 5 * sqrt(p * (1 - p) / N_DRAWS) + 1e-12);
}

static const float logits_of_thirds[N] = { 0, 1, 2, -1, 3, 0.5f, -2, 1.5f };

/* The exact probabilities by libm, of those tokens whose bit is set. */
static void expect(const float *logits, double temperature, unsigned kept, double *p)
{
    double sum = 0;
    for (int id = 0; id < N; id++) sum += p[id] = kept >> id & 1 ? exp((double)logits[id] / temperature) : 0;
    for (int id = 0; id < N; id++) p[id] /= sum;
}

/* What is drawn from logits are the tokens that are kept, with the probabilities of those in `like`. */
static void check_shares_of(struct sampler_options options, const float *logits, const float *like, unsigned kept)
{
    double shares[N], p[N];
    draw_shares(options, logits, shares);
    expect(like, (double)options.temperature, kept, p);
    for (int id = 0; id < N; id++) assert_share(shares[id], p[id]);
}

static void check_shares(struct sampler_options options, const float *logits, unsigned kept)
{
    check_shares_of(options, logits, logits, kept);
}

static void draws_follow_the_softmax(void **state)
{
    (void)state;
    struct sampler_options options = cm_sampler_defaults();
    for (uint64_t seed = 1; seed < 4; seed++) {
        options.seed = seed;
        options.temperature = 1;
        check_shares(options, logits_of_thirds, 0xff);
        options.temperature = 0.5f;
        check_shares(options, logits_of_thirds, 0xff);
        options.temperature = 2.5f;
        check_shares(options, logits_of_thirds, 0xff);
    }
}

/* In order of probability the ids are 4 2 7 1 5 0 3 6. */
static void top_k_keeps_the_most_likely(void **state)
{
    (void)state;
    struct sampler_options options = cm_sampler_defaults();
    options.temperature = 1;
    options.top_k = 1;
    check_shares(options, logits_of_thirds, 1u << 4);
    options.top_k = 3;
    check_shares(options, logits_of_thirds, 1u << 4 | 1u << 2 | 1u << 7);
    options.top_k = 8;
    check_shares(options, logits_of_thirds, 0xff);
    options.top_k = 1000;
    check_shares(options, logits_of_thirds, 0xff);
    const float equal[N] = { 1, 1, 1, 1, 1, 1, 1, 1 }; /* the lower ids stay */
    options.top_k = 2;
    check_shares(options, equal, 3);
}

/* Of probabilities 0.4, 0.3, 0.2, 0.1 and four times 0: what is kept. */
static void top_p_and_min_p_keep_a_share(void **state)
{
    (void)state;
    static const struct {
        int      top_k; /* 0: all */
        float    top_p; /* the likeliest ones that make up so much together */
        float    min_p; /* those of at least so much of the likeliest one's  */
        unsigned kept;
    } rows[] = {
        {0, 0.39f, 0, 1}, {0, 0.41f, 0, 3}, {0, 0.89f, 0, 7}, {0, 0.95f, 0, 15}, {0, 1e-9f, 0, 1},
        {0, 0, 0, 1},     {3, 0, 0, 1},     /* the likeliest one stays */
        {2, 0.56f, 0, 1}, {2, 0.58f, 0, 3}, /* shares of the two that are left: 4/7 and 3/7 */
        {0, 1, 0.2f, 15}, {0, 1, 0.3f, 7},  {0, 1, 0.6f, 3},  {0, 1, 1, 1},      {3, 1, 0.3f, 7},
    };
    const float logits[N] = { logf(0.4f), logf(0.3f), logf(0.2f), logf(0.1f),
                              -INFINITY, -INFINITY, -INFINITY, -INFINITY };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sampler_options options = cm_sampler_defaults();
        options.temperature = 1;
        options.top_k = rows[i].top_k;
        options.top_p = rows[i].top_p;
        options.min_p = rows[i].min_p;
        check_shares(options, logits, rows[i].kept);
    }
}

static int32_t pick_once(struct sampler_options options, const float *logits, int32_t n_vocab)
{
    struct sampler *sampler = open_sampler(options, n_vocab);
    const int32_t   id = cm_sampler_pick(sampler, logits, NULL);
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), id);
    cm_sampler_close(&sampler);
    return id;
}

static void greedy_takes_the_best_and_lower_ids_on_ties(void **state)
{
    (void)state;
    const struct sampler_options greedy = cm_sampler_defaults();
    assert_int_equal(pick_once(greedy, logits_of_thirds, N), 4);
    assert_int_equal(pick_once(greedy, (float[]){ 1, 3, 3, 2 }, 4), 1);
    assert_int_equal(pick_once(greedy, (float[]){ 0.0f, -0.0f }, 2), 0);
    assert_int_equal(pick_once(greedy, (float[]){ -0.0f, 0.0f }, 2), 0);
    assert_int_equal(pick_once(greedy, (float[]){ -INFINITY, -INFINITY }, 2), 0);
    assert_int_equal(pick_once(greedy, (float[]){ 5, INFINITY, INFINITY }, 3), 1);
    assert_int_equal(pick_once(greedy, (float[]){ -7 }, 1), 0);
}

static void what_is_no_number_is_never_picked(void **state)
{
    (void)state;
    struct sampler_options options = cm_sampler_defaults();
    assert_int_equal(pick_once(options, (float[]){ NAN, 1, NAN }, 3), 1);
    assert_int_equal(pick_once(options, (float[]){ NAN, NAN, -INFINITY }, 3), 2);
    assert_int_equal(pick_once(options, (float[]){ NAN, NAN, NAN }, 3), 0);
    options.temperature = 1;
    assert_int_equal(pick_once(options, (float[]){ NAN, NAN, NAN }, 3), 0);
    check_shares(options, (float[N]){ NAN, 1, NAN, 2, NAN, NAN, 0, NAN }, 1u << 1 | 1u << 3 | 1u << 6);
    options.top_k = 2;
    check_shares(options, (float[N]){ NAN, 1, NAN, 2, NAN, NAN, 0, NAN }, 1u << 1 | 1u << 3);
    options.top_p = 0.5f;
    check_shares(options, (float[N]){ NAN, 1, NAN, 2, NAN, NAN, 0, NAN }, 1u << 3);
}

static void extreme_logits_are_drawn_from(void **state)
{
    (void)state;
    struct sampler_options options = cm_sampler_defaults();
    options.temperature = 1e-30f;
    assert_int_equal(pick_once(options, logits_of_thirds, N), 4);
    options.temperature = 1;
    assert_int_equal(pick_once(options, (float[]){ 3e38f, -3e38f }, 2), 0);
    assert_int_equal(pick_once(options, (float[]){ 1, INFINITY, 2 }, 3), 1);
    double shares[N];
    options.temperature = 3e38f; /* nearly even */
    draw_shares(options, logits_of_thirds, shares);
    for (int id = 0; id < N; id++) assert_share(shares[id], 1.0 / N);
    options.temperature = 1;
    draw_shares(options, (float[N]){ INFINITY, 0, INFINITY, 0, 0, 0, 0, 0 }, shares);
    assert_share(shares[0], 0.5);
    assert_share(shares[2], 0.5);
}

static void recent_tokens_are_penalised(void **state)
{
    (void)state;
    struct sampler_options options = cm_sampler_defaults();
    options.repeat_penalty = 2;
    options.repeat_last_n = 2;
    struct sampler *sampler = open_sampler(options, 4);
    const float     logits[4] = { 4, 3, 2.5f, -1 };
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 0);
    cm_sampler_accept(sampler, 0, true);
    cm_sampler_accept(sampler, 0, true); /* counted once: 4 / 2, not 4 / 4 */
    assert_int_equal(cm_sampler_pick(sampler, (float[]){ 4, 1.5f, 1, 1 }, NULL), 0);
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 1);
    cm_sampler_accept(sampler, 1, true);
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 2);
    cm_sampler_accept(sampler, 1, true); /* 0 is forgotten */
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 0);
    cm_sampler_accept(sampler, -1, true);
    cm_sampler_accept(sampler, 4, true);
    cm_sampler_accept(sampler, INT32_MAX, true);
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 0);
    cm_sampler_accept(sampler, 3, true); /* negative logits are multiplied */
    assert_int_equal(cm_sampler_pick(sampler, (float[]){ -2.5f, -9, -1.5f, -1 }, NULL), 2);
    cm_sampler_close(&sampler);

    options.repeat_last_n = 0;
    sampler = open_sampler(options, 4);
    cm_sampler_accept(sampler, 0, true);
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 0);
    cm_sampler_close(&sampler);
}

static void unusable_tokens_are_never_picked(void **state)
{
    (void)state;
    enum { N_VOCAB = 300, N_USABLE = 290 }; /* padding behind */
    static float           logits[N_VOCAB];
    static uint8_t         usable[N_VOCAB];
    struct sampler_options options = cm_sampler_defaults();
    struct sampler        *sampler = open_sampler(options, N_VOCAB);
    for (int32_t id = 0; id < N_VOCAB; id++) usable[id] = id < N_USABLE;
    for (int32_t id = 0; id < N_VOCAB; id++) logits[id] = id < N_USABLE ? (float)id * 0.01f : 100;
    assert_int_equal(cm_sampler_pick(sampler, logits, usable), N_USABLE - 1);
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), N_USABLE);
    usable[0] = 0;
    for (int32_t id = 0; id < N_VOCAB; id++) logits[id] = NAN;
    assert_int_equal(cm_sampler_pick(sampler, logits, usable), 1);
    cm_sampler_close(&sampler);
    options.temperature = 5;
    sampler = open_sampler(options, N_VOCAB);
    assert_int_equal(cm_sampler_pick(sampler, logits, usable), 1);
    for (int32_t id = 0; id < N_VOCAB; id++) logits[id] = 0;
    for (int i = 0; i < 5000; i++) assert_in_range(cm_sampler_pick(sampler, logits, usable), 1, N_USABLE - 1);
    cm_sampler_close(&sampler);
}

/* The numbers were taken once; they must be these on every machine and with every compiler. */
static void the_same_seed_gives_the_same_tokens(void **state)
{
    (void)state;
    static const int32_t wanted[] = {
        60, 35, 70, 12, 88, 99, 96, 71, 8, 57, 43, 73, 45, 26, 12, 44, 74, 60, 16, 13,
        95, 51, 56, 1, 50, 99, 63, 46, 54, 84, 40, 75, 69, 96, 22, 63, 27, 19, 95, 45,
    };
    struct sampler_options options = cm_sampler_defaults();
    float                  logits[100];
    options.temperature = 0.8f;
    options.top_k = 40;
    options.top_p = 0.95f;
    options.min_p = 0.02f;
    options.repeat_penalty = 1.1f;
    options.seed = 42;
    for (int run = 0; run < 2; run++) {
        struct sampler *sampler = open_sampler(options, 100);
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
            for (int id = 0; id < 100; id++) logits[id] = (float)((id * 37 + (int)i * 11) % 101) * 0.05f;
            const int32_t id = cm_sampler_pick(sampler, logits, NULL);
            assert_int_equal(id, wanted[i]);
            cm_sampler_accept(sampler, id, true);
        }
        cm_sampler_close(&sampler);
    }
}

#define OPTIONS(t, k, p, m, penalty, last, presence, frequency)                                                       \
    { .temperature = (t), .top_k = (k), .top_p = (p), .min_p = (m), .repeat_penalty = (penalty),                      \
      .repeat_last_n = (last), .presence_penalty = (presence), .frequency_penalty = (frequency) }

static void biases_are_checked(void **state)
{
    (void)state;
    static const struct {
        int32_t     token;
        float       bias;
        const char *message;
    } rows[] = {
        { -1, 1, "bias 1 is of token -1; wanted 0 to 4" },
        { 5, 1, "bias 1 is of token 5; wanted 0 to 4" },
        { 2, NAN, "the bias of token 2 is nan; wanted a number, or -infinity" },
        { 2, INFINITY, "the bias of token 2 is inf; wanted a number, or -infinity" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct calmoe_context  ctx = { .message = "" };
        struct sampler        *sampler;
        struct sampler_options options = cm_sampler_defaults();
        options.n_biases = 2;
        options.bias_tokens = (int32_t[]){ 1, rows[i].token };
        options.biases = (float[]){ -INFINITY, rows[i].bias };
        assert_int_equal(cm_sampler_open(&ctx, &options, 5, &sampler), CALMOE_INVALID_ARGUMENT);
        assert_string_equal(ctx.message, rows[i].message);
        options.biases = NULL;
        assert_int_equal(cm_sampler_open(&ctx, &options, 5, &sampler), CALMOE_INVALID_ARGUMENT);
        assert_string_equal(ctx.message, "2 biases; wanted 0 or more, with their tokens and values");
    }
}

/* In order of probability the ids are 4 2 7 1 5 0 3 6. */
static void biases_are_added_and_bans_hold(void **state)
{
    (void)state;
    struct sampler_options options = cm_sampler_defaults();
    float                  biased[N];
    memcpy(biased, logits_of_thirds, sizeof biased);
    options.n_biases = 4;
    options.bias_tokens = (int32_t[]){ 3, 4, 3, 6 };
    options.biases = (float[]){ 3, -INFINITY, 0.5f, -1 };
    biased[3] += 3.5f;
    biased[6] -= 1;
    assert_int_equal(pick_once(options, logits_of_thirds, N), 3);
    options.temperature = 1;
    check_shares_of(options, logits_of_thirds, biased, 0xff & ~(1u << 4));
    options.top_k = 2;
    check_shares_of(options, logits_of_thirds, biased, 1u << 3 | 1u << 2);
    options.n_biases = 3;
    options.bias_tokens = (int32_t[]){ 0, 1, 2 };
    options.biases = (float[]){ -INFINITY, -INFINITY, -INFINITY };
    assert_int_equal(pick_once(options, logits_of_thirds, 3), -1);
    options.temperature = 0;
    assert_int_equal(pick_once(options, logits_of_thirds, 3), -1);
    options.biases = (float[]){ -INFINITY, -1e30f, -INFINITY };
    assert_int_equal(pick_once(options, logits_of_thirds, 3), 1);
}

static void tokens_of_the_answer_are_penalised(void **state)
{
    (void)state;
    struct sampler_options options = cm_sampler_defaults();
    options.presence_penalty = 1;
    options.frequency_penalty = 0.25f;
    struct sampler *sampler = open_sampler(options, 3), *fork;
    const float     logits[3] = { 4, 3.9f, 2.6f };
    cm_sampler_accept(sampler, 0, false); /* the text before it does not count */
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 0);
    cm_sampler_accept(sampler, 0, true); /* 4 - 1.25 */
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 1);
    cm_sampler_accept(sampler, 1, true); /* 3.9 - 1.25 */
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 0);
    cm_sampler_accept(sampler, 0, true); /* 4 - 1.5 */
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 1);
    cm_sampler_accept(sampler, 1, true); /* 3.9 - 1.5 */
    assert_int_equal(cm_sampler_fork(NULL, sampler, &fork), CALMOE_OK);
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 2);
    assert_int_equal(cm_sampler_pick(fork, logits, NULL), 2);
    cm_sampler_close(&fork);
    cm_sampler_begin_answer(sampler);
    assert_int_equal(cm_sampler_pick(sampler, logits, NULL), 0);
    cm_sampler_close(&sampler);
}

static void options_are_checked(void **state)
{
    (void)state;
    static const struct {
        struct sampler_options options;
        const char            *message;
    } rows[] = {
        { OPTIONS(-1, 0, 1, 0, 1, 0, 0, 0), "temperature is -1; wanted 0 or a positive number" },
        { OPTIONS(NAN, 0, 1, 0, 1, 0, 0, 0), "temperature is nan; wanted 0 or a positive number" },
        { OPTIONS(INFINITY, 0, 1, 0, 1, 0, 0, 0), "temperature is inf; wanted 0 or a positive number" },
        { OPTIONS(1, -2, 1, 0, 1, 0, 0, 0), "top-k is -2; wanted 0 (all) or a positive number" },
        { OPTIONS(1, 0, -0.5f, 0, 1, 0, 0, 0), "top-p is -0.5; wanted 0 to 1" },
        { OPTIONS(1, 0, 1.5f, 0, 1, 0, 0, 0), "top-p is 1.5; wanted 0 to 1" },
        { OPTIONS(1, 0, NAN, 0, 1, 0, 0, 0), "top-p is nan; wanted 0 to 1" },
        { OPTIONS(1, 0, 1, -0.5f, 1, 0, 0, 0), "min-p is -0.5; wanted 0 to 1" },
        { OPTIONS(1, 0, 1, 2, 1, 0, 0, 0), "min-p is 2; wanted 0 to 1" },
        { OPTIONS(1, 0, 1, 0, 0, 0, 0, 0), "repeat penalty is 0; wanted a positive number" },
        { OPTIONS(1, 0, 1, 0, INFINITY, 0, 0, 0), "repeat penalty is inf; wanted a positive number" },
        { OPTIONS(1, 0, 1, 0, 1, -1, 0, 0), "repeat penalty looks back -1 tokens; wanted 0 to 1048576" },
        { OPTIONS(1, 0, 1, 0, 1, 1 << 21, 0, 0), "repeat penalty looks back 2097152 tokens; wanted 0 to 1048576" },
        { OPTIONS(1, 0, 1, 0, 1, 0, NAN, 0), "presence penalty nan and frequency penalty 0; wanted numbers" },
        { OPTIONS(1, 0, 1, 0, 1, 0, 2, INFINITY), "presence penalty 2 and frequency penalty inf; wanted numbers" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct calmoe_context ctx = { .message = "" };
        struct sampler       *sampler = (void *)&ctx;
        assert_int_equal(cm_sampler_open(&ctx, &rows[i].options, 5, &sampler), CALMOE_INVALID_ARGUMENT);
        assert_string_equal(ctx.message, rows[i].message);
        assert_null(sampler);
    }
    struct calmoe_context        ctx = { .message = "" };
    struct sampler              *sampler;
    const struct sampler_options options = cm_sampler_defaults();
    assert_int_equal(cm_sampler_open(&ctx, &options, 0, &sampler), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "the vocabulary has 0 tokens; wanted 1 or more");
}

static void picking_allocates_nothing_and_failing_leaves_nothing(void **state)
{
    (void)state;
    struct sampler_options options = cm_sampler_defaults();
    options.temperature = 1;
    options.top_k = 3;
    options.top_p = 0.9f;
    const long      n_live = cm_live_blocks();
    struct sampler *sampler = open_sampler(options, N);
    const long      n_requests = cm_requests();
    for (int i = 0; i < 100; i++) cm_sampler_accept(sampler, cm_sampler_pick(sampler, logits_of_thirds, NULL), true);
    assert_int_equal(cm_requests(), n_requests);
    cm_sampler_close(&sampler);
    cm_sampler_close(&sampler);
    for (long nth = 1; nth <= 4; nth++) {
        cm_fail_request(nth);
        assert_int_equal(cm_sampler_open(NULL, &options, N, &sampler), CALMOE_NO_MEMORY);
        assert_null(sampler);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    cm_fail_request(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_softmax),
        cmocka_unit_test(top_k_keeps_the_most_likely),
        cmocka_unit_test(top_p_and_min_p_keep_a_share),
        cmocka_unit_test(greedy_takes_the_best_and_lower_ids_on_ties),
        cmocka_unit_test(what_is_no_number_is_never_picked),
        cmocka_unit_test(extreme_logits_are_drawn_from),
        cmocka_unit_test(recent_tokens_are_penalised),
        cmocka_unit_test(unusable_tokens_are_never_picked),
        cmocka_unit_test(the_same_seed_gives_the_same_tokens),
        cmocka_unit_test(biases_are_checked),
        cmocka_unit_test(biases_are_added_and_bans_hold),
        cmocka_unit_test(tokens_of_the_answer_are_penalised),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(picking_allocates_nothing_and_failing_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
