/* test_boldness.c - a policy made bolder and more careful: in range, monotone, b after c is b c; and the boldness at
 * which a path comes to a mean loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "runtime/calibrate/boldness.h"

enum { N_LAYERS = 4 };

static void odds(void **state)
{
    (void)state;
    static const float  xs[] = {1e-30f, 1e-6f, 0.2f, 0.5f, 0.9f, 0.999999f, 0x1.fffffep-1f};
    static const double factors[] = {0.0, 1e-300, 1e-9, 1.0 / 32, 0.5, 1.0, 3.0, 1e9, 1e300};
    assert_true(cm_scale_odds(0.5f, 3.0) == 0.75f);
    assert_true(cm_scale_odds(0.8f, 0.25) == 0.5f);
    for (size_t i = 0; i < sizeof xs / sizeof xs[0]; i++) {
        float before = 0.0f;
        assert_true(cm_scale_odds(xs[i], 1.0) == xs[i]);
        for (size_t j = 0; j < sizeof factors / sizeof factors[0]; j++) {
            const float x = cm_scale_odds(xs[i], factors[j]);
            assert_true(x > 0.0f && x < 1.0f && x >= before);
            before = x;
        }
    }
    assert_true(cm_scale_odds(1.0f, 1e-9) == 1.0f && cm_scale_odds(1.0f, 1e9) == 1.0f);
}

/* Two exits that ask, on different schedules, one that does not; of widths each kind once. */
static struct policy_rung mixed(struct width_rule *widths)
{
    struct policy_rung rung = {.n_exits = 3, .k_tail = TAIL_NONE, .kv_fill = KV_LAZY, .widths = widths};
    rung.exits[0] = (struct policy_exit){1, MEASURE_SOFTMAX, {SCHEDULE_CONSTANT, 0.8f, 0.0f, 0}};
    rung.exits[1] = (struct policy_exit){2, MEASURE_STATE, {SCHEDULE_CODE, 0.5f, 2.0f, 64}};
    rung.exits[2] = (struct policy_exit){3, MEASURE_ALWAYS, {SCHEDULE_CONSTANT, 0.5f, 0.0f, 0}};
    widths[0] = (struct width_rule){WIDTH_RATIO, 0.2f, 1, true};
    widths[1] = (struct width_rule){WIDTH_TOP_P, 0.8f, 2, false};
    widths[2] = (struct width_rule){WIDTH_FIXED, 0.0f, 3, true};
    widths[3] = (struct width_rule){.kind = WIDTH_OFF};
    return rung;
}

static void near(float found, double wanted)
{
    if (!(fabs((double)found - wanted) <= 1e-7)) fail_msg("%.9g, not %.9g", (double)found, wanted);
}

static void what_changes(void **state)
{
    (void)state;
    struct width_rule  widths[N_LAYERS], bolder[N_LAYERS];
    struct policy_rung rung = mixed(widths), out;
    assert_true(cm_rung_at_boldness(&rung, N_LAYERS, 4.0, bolder, &out));
    near(out.exits[0].threshold.lambda, 0.5);
    near(out.exits[1].threshold.lambda, 0.2);
    near(bolder[0].bound, 0.5);
    near(bolder[1].bound, 0.5);
    assert_true(out.widths == bolder && rung.widths == widths);
    assert_true(widths[0].bound == 0.2f && rung.exits[0].threshold.lambda == 0.8f); /* what was given is not touched */
    /* all else stays */
    assert_true(out.n_exits == 3 && out.kv_fill == KV_LAZY && out.k_tail == TAIL_NONE);
    assert_true(out.exits[1].layer == 2 && out.exits[1].threshold.tau == 2.0f && out.exits[1].threshold.length == 64);
    assert_true(out.exits[2].threshold.lambda == 0.5f);
    assert_true(bolder[0].k == 1 && bolder[0].renormalise && bolder[1].k == 2 && !bolder[1].renormalise);
    assert_true(bolder[2].kind == WIDTH_FIXED && bolder[2].k == 3 && bolder[3].kind == WIDTH_OFF);

    assert_true(cm_rung_at_boldness(&rung, N_LAYERS, 1.0, bolder, &out)); /* itself, to the bit */
    for (int i = 0; i < 3; i++) assert_true(out.exits[i].threshold.lambda == rung.exits[i].threshold.lambda);
    for (int i = 0; i < N_LAYERS; i++) assert_true(bolder[i].bound == widths[i].bound);
}

static void one_after_the_other(void **state)
{
    (void)state;
    struct width_rule  widths[N_LAYERS], first[N_LAYERS], second[N_LAYERS], at_once[N_LAYERS];
    struct policy_rung rung = mixed(widths), between, out, wanted;
    (void)cm_rung_at_boldness(&rung, N_LAYERS, 0.25, first, &between);
    (void)cm_rung_at_boldness(&between, N_LAYERS, 3.0, second, &out);
    (void)cm_rung_at_boldness(&rung, N_LAYERS, 0.75, at_once, &wanted);
    for (int i = 0; i < 3; i++) near(out.exits[i].threshold.lambda, (double)wanted.exits[i].threshold.lambda);
    for (int i = 0; i < N_LAYERS; i++) near(second[i].bound, (double)at_once[i].bound);
}

static void nothing_to_scale(void **state)
{
    (void)state;
    struct width_rule  widths[N_LAYERS] = {{WIDTH_FIXED, 0.0f, 2, true}, {WIDTH_RATIO, 1.0f, 1, true}};
    struct width_rule  out_widths[N_LAYERS];
    struct policy_rung rung = {.n_exits = 1, .k_tail = TAIL_NONE}, out;
    rung.exits[0] = (struct policy_exit){1, MEASURE_ALWAYS, {SCHEDULE_CONSTANT, 0.5f, 0.0f, 0}};
    assert_false(cm_rung_at_boldness(&rung, N_LAYERS, 4.0, out_widths, &out));
    assert_null(out.widths);
    rung.widths = widths;
    assert_false(cm_rung_at_boldness(&rung, N_LAYERS, 4.0, out_widths, &out));
    assert_memory_equal(out_widths, widths, sizeof widths);
    rung.exits[0] = (struct policy_exit){1, MEASURE_SOFTMAX, {SCHEDULE_CONSTANT, 1.0f, 0.0f, 0}};
    assert_false(cm_rung_at_boldness(&rung, N_LAYERS, 4.0, out_widths, &out));
    rung.exits[0].threshold.lambda = 0.99f;
    assert_true(cm_rung_at_boldness(&rung, N_LAYERS, 4.0, out_widths, &out));
}

static void where_a_path_comes_to(void **state)
{
    (void)state;
    static const struct boldness_point line[] = {{0.25, 0.01}, {1.0, 0.04}, {4.0, 0.16}}; /* mean = 0.04 b */
    assert_true(fabs(cm_boldness_of(line, 3, 0.02) - 0.5) < 1e-12);
    assert_true(fabs(cm_boldness_of(line, 3, 0.08) - 2.0) < 1e-12);
    /* beyond the ends it goes on, but not without limit; one point alone has the usual slope of 0.6 */
    assert_true(fabs(cm_boldness_of(line, 3, 0.001) - 0.025) < 1e-12);
    assert_true(fabs(cm_boldness_of(line, 3, 0.8) - 20.0) < 1e-9);
    assert_true(fabs(cm_boldness_of(line, 3, 0.0) - 0.25 / 64) < 1e-12);
    assert_true(fabs(cm_boldness_of(line, 1, 0.02) - 0.25 * pow(2.0, 1 / 0.6)) < 1e-9);
    assert_true(cm_boldness_of(line, 1, 0.01) == 0.25);
    /* no losses at first, a plateau, a dip: ascending in the mean, near the path */
    static const struct boldness_point odd[] = {{0.1, 0.0},  {0.2, 0.0},  {0.4, 0.02},
                                                {0.8, 0.01}, {1.6, 0.02}, {3.2, 0.3}};
    double before = 0.0;
    for (double mean = 0.0; mean < 0.5; mean += 0.001) {
        const double b = cm_boldness_of(odd, 6, mean);
        assert_true(b >= before && b >= 0.1 && b <= 4.2);
        before = b;
    }
    assert_true(cm_boldness_of(odd, 6, 0.0) == 0.1 && cm_boldness_of(odd, 6, 0.02) == 0.4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odds),
        cmocka_unit_test(what_changes),
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(nothing_to_scale),
        cmocka_unit_test(where_a_path_comes_to),
    };
    return cmocka_run_group_tests_name("boldness", tests, NULL, NULL);
}
