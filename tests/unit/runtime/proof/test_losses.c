/* test_losses.c - losses made by hand, and what must hold for any. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "base/names.h"
#include "base/random.h"
#include "runtime/proof/losses.h"

static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-6)) fail_msg("%.9g, not %.9g", found, wanted);
}

static void disagreement(void **state)
{
    (void)state;
    const int32_t a[] = {1, 2, 3, 4}, b[] = {1, 5, 3, 6};
    near(cm_token_disagreement(a, b, 4), 0.5);
    near(cm_token_disagreement(a, a, 4), 0.0);
    near(cm_token_disagreement(a, b + 1, 1), 1.0);
    assert_true(isnan(cm_token_disagreement(a, b, 0)));
}

static void total_variation(void **state)
{
    (void)state;
    const struct vector_ops *ops = cm_vector_ops(ISA_REF);
    float a[] = {0.0f, 1.0986123f, 0.0f}, b[] = {0.0f, 0.0f, 1.0986123f}; /* 1 3 1 and 1 1 3 of 5 */
    near(cm_total_variation(ops, a, b, 3), 0.4);
    float c[] = {3.0f, -1.0f}, d[] = {103.0f, 99.0f}; /* a shift changes nothing */
    near(cm_total_variation(ops, c, d, 2), 0.0);
    float e[] = {1000.0f, 0.0f}, f[] = {0.0f, 1000.0f};
    near(cm_total_variation(ops, e, f, 2), 1.0);
    float g[] = {1.0f, NAN}, h[] = {1.0f, 2.0f};
    assert_true(isnan(cm_total_variation(ops, g, h, 2)));
    assert_true(isnan(cm_total_variation(ops, h, h, 0)));
}

static void rouge_l(void **state)
{
    (void)state;
    int32_t scratch[16];
    const int32_t police[] = {1, 2, 3, 4}, kill[] = {1, 5, 3, 4}, gunman[] = {3, 4, 5, 1}; /* of Lin's paper */
    near(cm_rouge_l_loss(kill, 4, police, 4, 1.0, scratch), 1.0 - 0.75);
    near(cm_rouge_l_loss(gunman, 4, police, 4, 1.0, scratch), 1.0 - 0.5);
    /* lcs 2, P = 1, R = 1/2: F1 = 2/3; b = 2 weighs recall more: 5 P R / (R + 4 P) = 2.5 / 4.5 */
    const int32_t part[] = {1, 3};
    near(cm_rouge_l_loss(part, 2, police, 4, 1.0, scratch), 1.0 - 2.0 / 3.0);
    near(cm_rouge_l_loss(part, 2, police, 4, 2.0, scratch), 1.0 - 2.5 / 4.5);
    near(cm_rouge_l_loss(part, 0, police, 4, 1.0, scratch), 1.0);
    near(cm_rouge_l_loss(part, 2, police, 0, 1.0, scratch), 1.0);
    near(cm_rouge_l_loss(part, 0, police, 0, 1.0, scratch), 0.0);
}

/* The longest common subsequence by trying every subset of the shorter one. */
static int common_plainly(const int32_t *a, int n_a, const int32_t *b, int n_b)
{
    int best = 0;
    for (int set = 0; set < 1 << n_a; set++) {
        int at = 0, n = 0;
        for (int i = 0; i < n_a && at <= n_b; i++) {
            if (!(set >> i & 1)) continue;
            while (at < n_b && b[at] != a[i]) at++;
            if (at++ < n_b) n++;
        }
        if (at <= n_b && n > best) best = n;
    }
    return best;
}

static void rouge_l_as_tried_out(void **state)
{
    (void)state;
    struct random random = cm_random(5);
    for (int trial = 0; trial < 300; trial++) {
        int32_t a[9], b[12], scratch[13];
        const int n_a = 1 + (int)cm_random_below(&random, 9), n_b = 1 + (int)cm_random_below(&random, 12);
        for (int i = 0; i < n_a; i++) a[i] = (int32_t)cm_random_below(&random, 4);
        for (int i = 0; i < n_b; i++) b[i] = (int32_t)cm_random_below(&random, 4);
        const int length = common_plainly(a, n_a, b, n_b);
        near(cm_rouge_l_loss(a, n_a, b, n_b, 1.0, scratch), 1.0 - 2.0 * length / (n_a + n_b));
        near(cm_rouge_l_loss(a, n_a, a, n_a, 3.0, scratch), 0.0);
    }
}

static void exact_match_and_excess(void **state)
{
    (void)state;
    const int32_t a[] = {1, 2, 3}, b[] = {1, 2, 4};
    near(cm_exact_match_loss(a, 3, a, 3), 0.0);
    near(cm_exact_match_loss(a, 3, b, 3), 1.0);
    near(cm_exact_match_loss(a, 2, b, 2), 0.0);
    near(cm_exact_match_loss(a, 3, a, 2), 1.0);
    near(cm_exact_match_loss(a, 0, b, 0), 0.0);
    near(cm_excess_loss(0.4, 0.1), 0.3);
    near(cm_excess_loss(0.1, 0.4), 0.0);
    assert_true(isnan(cm_excess_loss((double)NAN, 0.4)));
    for (int kind = 0; kind < LOSS_KIND_COUNT; kind++)
        assert_int_equal(cm_name_find(CM_NAMES(cm_loss_kinds, name), cm_loss_kinds[kind].name), kind);
    assert_int_equal(cm_name_find(CM_NAMES(cm_loss_kinds, name), "bleu"), LOSS_KIND_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disagreement), cmocka_unit_test(total_variation), cmocka_unit_test(rouge_l),
        cmocka_unit_test(rouge_l_as_tried_out), cmocka_unit_test(exact_match_and_excess),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
