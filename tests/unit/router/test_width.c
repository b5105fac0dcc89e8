/* test_width.c - adaptive width: vectors made by hand, and what must hold for any weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/names.h"
#include "base/random.h"
#include "router/width.h"

static const float given[] = {0.5f, 0.25f, 0.125f, 0.0625f};

static const struct {
    struct width_rule rule;
    int               n_kept;
    float             first; /* weight of slot 0 afterwards */
} by_hand_cases[] = {
    {{WIDTH_OFF, 0.9f, 2, true}, 4, 0.5f},
    {{WIDTH_FIXED, 0.0f, 1, false}, 1, 0.5f},
    {{WIDTH_FIXED, 0.0f, 2, true}, 2, 0.625f},       /* 0.5 * 0.9375 / 0.75 */
    {{WIDTH_FIXED, 0.0f, 4, true}, 4, 0.5f},
    {{WIDTH_FIXED, 0.0f, 9, true}, 4, 0.5f},
    {{WIDTH_FIXED, 0.0f, 0, true}, 1, 0.9375f},      /* at least one stays */
    {{WIDTH_FIXED, 0.0f, -3, false}, 1, 0.5f},
    {{WIDTH_RATIO, 0.25f, 1, false}, 3, 0.5f},       /* w >= 0.125: the bound itself stays */
    {{WIDTH_RATIO, 0.26f, 1, false}, 2, 0.5f},
    {{WIDTH_RATIO, 0.26f, 3, true}, 3, 0.5357142857f},
    {{WIDTH_RATIO, 1.0f, 1, true}, 1, 0.9375f},
    {{WIDTH_RATIO, 1e-6f, 1, true}, 4, 0.5f},
    {{WIDTH_TOP_P, 0.8f, 1, false}, 2, 0.5f},        /* 0.8 * 0.9375 = 0.75 */
    {{WIDTH_TOP_P, 0.81f, 1, false}, 3, 0.5f},
    {{WIDTH_TOP_P, 0.1f, 1, true}, 1, 0.9375f},
    {{WIDTH_TOP_P, 0.1f, 2, false}, 2, 0.5f},
    {{WIDTH_TOP_P, 1.0f, 1, true}, 4, 0.5f},
};

static void by_hand(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof by_hand_cases / sizeof by_hand_cases[0]; i++) {
        float weights[4];
        memcpy(weights, given, sizeof given);
        const int n_kept = cm_width(&by_hand_cases[i].rule, weights, 4);
        if (n_kept != by_hand_cases[i].n_kept || fabsf(weights[0] - by_hand_cases[i].first) > 1e-7f)
            fail_msg("case %zu: %d kept, first %.9g", i, n_kept, (double)weights[0]);
    }
    /* A biased choice: slots sorted by another score. Nothing that the rule wants is cut off. */
    float unsorted[] = {0.1f, 0.5f, 0.02f, 0.3f, 0.01f};
    assert_int_equal(cm_width(&(struct width_rule){WIDTH_RATIO, 0.5f, 1, false}, unsorted, 5), 4);
    float one[] = {0.3f};
    for (int kind = 0; kind < WIDTH_KIND_COUNT; kind++) {
        assert_int_equal(cm_width(&(struct width_rule){(enum width_kind)kind, 0.5f, 1, true}, one, 1), 1);
        assert_true(one[0] == 0.3f);
        assert_int_equal(cm_name_find(CM_NAMES(cm_width_rules, name), cm_width_rules[kind].name), kind);
    }
    assert_int_equal(cm_name_find(CM_NAMES(cm_width_rules, name), "entropy"), WIDTH_KIND_COUNT);
}

static void fill(struct random *random, float *weights, int n)
{
    for (int i = 0; i < n; i++) {
        float w = (float)cm_random_unit(random);
        w *= w;
        int at = i;
        for (; at > 0 && weights[at - 1] < w; at--) weights[at] = weights[at - 1];
        weights[at] = w;
    }
}

static struct width_rule random_rule(struct random *random)
{
    return (struct width_rule){(enum width_kind)cm_random_below(random, WIDTH_KIND_COUNT),
                               (float)cm_random_unit(random) * 0.99f + 0.01f, (int)cm_random_below(random, 9),
                               cm_random_below(random, 2) == 1};
}

/* 1 … n stay; slots that go keep their bits, and so do all where none goes or nothing is renormalised; else the
 * sum stays. */
static void invariants(void **state)
{
    (void)state;
    struct random random = cm_random(11);
    for (int trial = 0; trial < 20000; trial++) {
        float             before[8], after[8], sum_before = 0.0f, sum_after = 0.0f;
        const int         n = 1 + (int)cm_random_below(&random, 8);
        const struct width_rule rule = random_rule(&random);
        fill(&random, before, n);
        memcpy(after, before, sizeof before);
        const int n_kept = cm_width(&rule, after, n);
        assert_in_range(n_kept, 1, n);
        if (rule.kind == WIDTH_OFF) assert_int_equal(n_kept, n);
        if (rule.k >= 1) assert_true(n_kept >= (rule.k < n ? rule.k : n));
        assert_memory_equal(after + n_kept, before + n_kept, (size_t)(n - n_kept) * sizeof(float));
        if (!rule.renormalise || n_kept == n) assert_memory_equal(after, before, (size_t)n * sizeof(float));
        for (int i = 0; i < n; i++) sum_before += before[i];
        for (int i = 0; i < n_kept; i++) sum_after += after[i];
        if (rule.renormalise && sum_before > 0.0f) assert_true(fabsf(sum_after / sum_before - 1.0f) < 1e-5f);
    }
}

/* A stricter bound never keeps more. */
static void monotone(void **state)
{
    (void)state;
    struct random random = cm_random(12);
    for (int trial = 0; trial < 20000; trial++) {
        float       low[8], high[8];
        const float bound = 0.01f + 0.5f * (float)cm_random_unit(&random);
        const float more = bound + 0.49f * (float)cm_random_unit(&random);
        fill(&random, low, 8);
        memcpy(high, low, sizeof low);
        const struct width_rule ratio = {WIDTH_RATIO, bound, 1, false}, ratio_more = {WIDTH_RATIO, more, 1, false};
        assert_true(cm_width(&ratio_more, high, 8) <= cm_width(&ratio, low, 8));
        const struct width_rule top_p = {WIDTH_TOP_P, bound, 1, false}, top_p_more = {WIDTH_TOP_P, more, 1, false};
        assert_true(cm_width(&top_p_more, high, 8) >= cm_width(&top_p, low, 8));
    }
}

static void faults_drop_nothing(void **state)
{
    (void)state;
    for (int kind = 0; kind < WIDTH_KIND_COUNT; kind++)
        for (int at = 0; at < 4; at++) {
            const struct width_rule rule = {(enum width_kind)kind, 0.5f, 1, true};
            float                   weights[4], before[4];
            memcpy(weights, given, sizeof given);
            weights[at] = NAN;
            memcpy(before, weights, sizeof before);
            assert_int_equal(cm_width(&rule, weights, 4), 4);
            assert_memory_equal(weights, before, sizeof before);
            memset(weights, 0, sizeof weights); /* a gate that gives nothing: no division by 0 */
            const int n_kept = cm_width(&rule, weights, 4);
            assert_in_range(n_kept, 1, 4);
            for (int i = 0; i < 4; i++) assert_true(weights[i] == 0.0f);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(invariants),
        cmocka_unit_test(monotone),
        cmocka_unit_test(faults_drop_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
