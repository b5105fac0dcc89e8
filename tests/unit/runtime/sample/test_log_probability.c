/* test_log_probability.c - logarithms of probabilities against the C library's functions, and the likeliest tokens
 * against a plain loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/sha256.h"
#include "runtime/sample/log_probability.h"

enum { MAX = 300 };

static double plain_log_sum(const float *logits, int n)
{
    long double sum = 0, best = -INFINITY;
    for (int i = 0; i < n; i++) best = (long double)logits[i] > best ? (long double)logits[i] : best;
    for (int i = 0; i < n; i++) sum += expl((long double)logits[i] - best);
    return (double)(best + logl(sum));
}

/* How many tokens come before it. */
static int rank(const float *logits, int n, int32_t id)
{
    int n_before = 0;
    for (int32_t other = 0; other < n; other++)
        n_before += logits[other] > logits[id] || (logits[other] == logits[id] && other < id);
    return n_before;
}

static void random_logits(void **state)
{
    (void)state;
    struct random random = cm_random(3);
    for (int trial = 0; trial < 3000; trial++) {
        float   logits[MAX], logprobs[MAX];
        int32_t tokens[MAX];
        const int   n = 1 + (int)cm_random_below(&random, MAX), n_top = (int)cm_random_below(&random, (uint64_t)n + 1);
        const float scale = (float[]){0, 1, 10, 80, 1e5f}[trial % 5];
        for (int i = 0; i < n; i++) logits[i] = floorf(((float)cm_random_unit(&random) - 0.5f) * 64) / 64 * scale;
        const double log_sum = cm_log_sum(logits, n), wanted = plain_log_sum(logits, n);
        assert_true(fabs(log_sum - wanted) <= 1e-12 * (1 + fabs(wanted)));
        cm_log_top(logits, n, log_sum, n_top, tokens, logprobs);
        for (int i = 0; i < n_top; i++) {
            assert_int_equal(rank(logits, n, tokens[i]), i);
            assert_true(logprobs[i] == (float)((double)logits[tokens[i]] - log_sum));
            assert_true(logprobs[i] <= 0);
        }
    }
}

/* Recorded once: the same bits on every machine and by every compiler. */
static void the_same_bits(void **state)
{
    (void)state;
    struct random random = cm_random(11);
    struct sha256 sha = cm_sha256();
    char          hex[65];
    for (int trial = 0; trial < 50; trial++) {
        float logits[MAX];
        for (int i = 0; i < MAX; i++) logits[i] = ((float)cm_random_unit(&random) - 0.5f) * 40;
        const double log_sum = cm_log_sum(logits, MAX);
        cm_sha256_add(&sha, &log_sum, sizeof log_sum);
    }
    cm_sha256_hex(&sha, hex);
    assert_string_equal(hex, "58dffef7b6167d4aa608785ffe04901853fc146c1646d81783fb4e462eb4faae");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_logits), cmocka_unit_test(the_same_bits)};
    return cmocka_run_group_tests_name("log-probabilities", tests, NULL, NULL);
}
