/* test_exit_measures.c - the confidence measures: by hand, in [0, 1] for anything, sure where it is sure, 0 for what is
 * no number; and the threshold's two forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/names.h"
#include "base/random.h"
#include "runtime/policy/exit_measures.h"

enum { N = 37 };

struct inputs { /* what the view of a test points into */
    float logits[N], hidden[N], previous[N], classifier[N];
};

static struct exit_view view_of(struct inputs *in)
{
    return (struct exit_view){.logits = in->logits, .n_logits = N, .hidden = in->hidden,
                              .previous = in->previous, .dim = N, .features = in->hidden,
                              .classifier = in->classifier, .n_features = N};
}

static float ask(enum exit_measure measure, const struct exit_view *view)
{
    const float reference = cm_exit_measures[measure].confidence(cm_vector_ops(ISA_REF), view);
    const float best = cm_exit_measures[measure].confidence(cm_vector_ops(cm_isa_best()), view);
    assert_memory_equal(&reference, &best, sizeof best);
    return reference;
}

static void near(float found, double wanted)
{
    if (!(fabs((double)found - wanted) <= 1e-6)) fail_msg("%.9g, not %.9g", (double)found, wanted);
}

static void by_hand(void **state)
{
    (void)state;
    struct inputs    in = {.logits = {0.0f, 1.0986123f, 0.6931472f}}; /* 1, 3, 2 of 6 */
    struct exit_view view = view_of(&in);
    view.n_logits = 3;
    near(ask(MEASURE_SOFTMAX, &view), 1.0 / 6.0);
    near(ask(MEASURE_SHORTLIST, &view), 1.0 / 6.0);
    near(ask(MEASURE_LEAD, &view), 1.0 / 3.0);
    near(in.logits[1], 1.0986123); /* the logits are still those */
    view.n_logits = 1;
    near(ask(MEASURE_SOFTMAX, &view), 1.0);
    near(ask(MEASURE_LEAD, &view), 1.0);

    in.hidden[0] = 3.0f, in.hidden[35] = 4.0f, in.previous[0] = 4.0f, in.previous[35] = 3.0f;
    near(ask(MEASURE_STATE, &view), 24.0 / 25.0);
    in.previous[0] = -4.0f, in.previous[35] = -3.0f;
    near(ask(MEASURE_STATE, &view), 0.0);

    in.classifier[0] = 0.5f, in.classifier[35] = -0.25f, view.classifier_bias = 0.25f; /* z = 0.75 */
    near(ask(MEASURE_CLASSIFIER, &view), 1.0 / (1.0 + exp(-0.75)));
    near(ask(MEASURE_ALWAYS, &view), 1.0);
}

/* Wherever the two largest logits stand, and equal ones lead by nothing. */
static void a_lead_anywhere(void **state)
{
    (void)state;
    for (int first = 0; first < N; first++)
        for (int second = 0; second < N; second++) {
            struct inputs    in = {.logits = {0.0f}};
            struct exit_view view = view_of(&in);
            for (int i = 0; i < N; i++) in.logits[i] = (float)(-1 - i % 5);
            in.logits[second] = 2.0f;
            in.logits[first] = 2.6931472f;
            near(ask(MEASURE_LEAD, &view), first == second ? 1.0 - exp(-3.6931472) : 0.5);
            in.logits[first] = 2.0f;
            if (first != second) assert_true(ask(MEASURE_LEAD, &view) == 0.0f);
        }
}

static void fill(struct inputs *in, struct random *random, float scale)
{
    float *values = in->logits;
    for (size_t i = 0; i < sizeof *in / sizeof(float); i++) values[i] = cm_random_normal(random) * scale;
}

static void in_range_and_sure_where_sure(void **state)
{
    (void)state;
    struct random random = cm_random(1);
    for (int trial = 0; trial < 200; trial++) {
        struct inputs    in;
        struct exit_view view = view_of(&in);
        fill(&in, &random, trial % 4 == 0 ? 1e18f : trial % 4 == 1 ? 1e-18f : 1.0f);
        for (int measure = 0; measure < MEASURE_COUNT; measure++) {
            const float c = ask((enum exit_measure)measure, &view);
            assert_true(c >= 0.0f && c <= 1.0f);
            assert_int_equal(cm_name_find(CM_NAMES(cm_exit_measures, name), cm_exit_measures[measure].name), measure);
        }
        fill(&in, &random, 1.0f);
        in.logits[trial % N] = 60.0f;
        memcpy(in.previous, in.hidden, sizeof in.hidden);
        memcpy(in.classifier, in.hidden, sizeof in.hidden);
        for (int measure = 0; measure < MEASURE_COUNT; measure++)
            assert_true(ask((enum exit_measure)measure, &view) > 0.99f);
    }
    assert_int_equal(cm_name_find(CM_NAMES(cm_exit_measures, name), "entropy"), MEASURE_COUNT);
}

/* A fault anywhere in what a measure reads. */
static void no_number_is_never_sure(void **state)
{
    (void)state;
    const float      faults[] = {NAN, -NAN, INFINITY};
    struct random    random = cm_random(2);
    struct inputs    in;
    struct exit_view view = view_of(&in);
    for (int fault = 0; fault < 3; fault++)
        for (int at = 0; at < N; at++)
            for (int part = 0; part < 4; part++) {
                fill(&in, &random, 1.0f);
                float *const parts[] = {in.logits, in.hidden, in.previous, in.classifier};
                parts[part][at] = faults[fault];
                for (int measure = 0; measure < MEASURE_COUNT; measure++) {
                    const struct exit_measure_row *row = &cm_exit_measures[measure];
                    const bool reads[] = {row->reads_logits || row->reads_shortlist,
                                          row->reads_previous || row->reads_features, row->reads_previous,
                                          row->reads_features};
                    const float c = ask((enum exit_measure)measure, &view);
                    if (reads[part] && c != 0.0f) fail_msg("%s: %g", row->name, (double)c);
                }
            }
    memset(&in, 0, sizeof in);
    assert_true(ask(MEASURE_STATE, &view) == 0.0f); /* no direction */
    for (int i = 0; i < N; i++) in.logits[i] = -INFINITY;
    assert_true(ask(MEASURE_SOFTMAX, &view) == 0.0f);
    in.logits[4] = 0.0f; /* the one token that can be */
    near(ask(MEASURE_SOFTMAX, &view), 1.0);
    view.n_logits = 0;
    assert_true(ask(MEASURE_SHORTLIST, &view) == 0.0f);
}

static void thresholds(void **state)
{
    (void)state;
    struct exit_threshold at = {SCHEDULE_PAPER, 0.5f, 4.0f, 100};
    near(cm_threshold_at(&at, 0), 0.45 + 0.1);
    near(cm_threshold_at(&at, 50), 0.45 + 0.1 * exp(-2.0));
    near(cm_threshold_at(&at, 100000000), 0.45);
    at.schedule = SCHEDULE_CODE;
    near(cm_threshold_at(&at, 0), 0.5);
    near(cm_threshold_at(&at, 50), 0.5 * (0.9 + 0.1 * exp(-2.0)));
    at.lambda = 1.0f;
    near(cm_threshold_at(&at, 100), 0.9 + 0.1 * exp(-4.0)); /* below 1: OFF must be a state of its own */
    assert_true(cm_leaves(&at, 0.95f, 100));
    at.schedule = SCHEDULE_CONSTANT;
    assert_false(cm_leaves(&at, 0.95f, 100));
    assert_true(cm_leaves(&at, 1.0f, 0));
    at.schedule = SCHEDULE_OFF;
    assert_false(cm_leaves(&at, 1.0f, 100));
    assert_false(cm_leaves(&(struct exit_threshold){0}, INFINITY, 0));
    at = (struct exit_threshold){SCHEDULE_CONSTANT, 1e-30f, 0.0f, 0};
    assert_false(cm_leaves(&at, 0.0f, 0));
    assert_false(cm_leaves(&at, NAN, 0));
    assert_true(cm_leaves(&at, 1e-20f, 0));
}

static void more_threshold_no_more_exits(void **state)
{
    (void)state;
    struct random random = cm_random(3);
    for (int trial = 0; trial < 2000; trial++) {
        const struct exit_threshold low = {(enum threshold_schedule)(1 + trial % 3),
                                           (float)cm_random_unit(&random) * 0.5f + 1e-6f, 4.0f, 64};
        struct exit_threshold high = low;
        high.lambda += (float)cm_random_unit(&random) * 0.5f;
        const float c = (float)cm_random_unit(&random);
        if (cm_leaves(&high, c, trial % 70)) assert_true(cm_leaves(&low, c, trial % 70));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(a_lead_anywhere),    cmocka_unit_test(in_range_and_sure_where_sure),
        cmocka_unit_test(thresholds), cmocka_unit_test(no_number_is_never_sure),
        cmocka_unit_test(more_threshold_no_more_exits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
