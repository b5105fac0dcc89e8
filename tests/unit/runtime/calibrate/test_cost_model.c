/* test_cost_model.c - costs of tokens added up by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "runtime/calibrate/cost_model.h"

static const double layer[] = {1.0, 2.0, 3.0, 4.0}, expert[] = {10.0, 20.0, 30.0, 40.0};
static const double propagate[] = {0.1, 0.2, 0.3, 0.4}, catch_up[] = {5.0, 6.0, 7.0, 8.0};
static const struct cost_table table = {
    .n_layers = 4, .layer = layer, .expert = expert, .fill = {propagate, propagate, catch_up},
    .check = {[MEASURE_SOFTMAX] = 0.5, [MEASURE_CLASSIFIER] = 0.25}, .head = 100.0,
};
static const uint8_t kept[] = {2, 2, 1, 2, 1, 1, 1, 1};

static double cost_of(const struct policy_rung *rung, int n_layers_run, int n_refused)
{
    const int32_t depth = n_layers_run;
    const uint8_t refused = (uint8_t)n_refused;
    return cm_expected_cost(&table, rung, &(struct token_depths){1, &depth, kept, &refused});
}

static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-9)) fail_msg("%.9g, not %.9g", found, wanted);
}

static void by_hand(void **state)
{
    (void)state;
    struct policy_rung rung = {.n_exits = 2, .k_tail = TAIL_NONE, .kv_fill = KV_LAZY,
                               .exits = {{.layer = 1, .measure = MEASURE_CLASSIFIER},
                                         {.layer = 2, .measure = MEASURE_SOFTMAX}}};
    near(cost_of(NULL, 1, 1), 21.0 + 42.0 + 33.0 + 84.0 + 100.0); /* OFF knows no exits */
    near(cost_of(&rung, 1, 0), 21.0 + 0.25 + 100.0 + 0.9);
    near(cost_of(&rung, 2, 0), 63.0 + 0.75 + 100.0 + 0.7);        /* the check's head is the token's */
    near(cost_of(&rung, 4, 0), 180.0 + 0.75 + 100.0 + 100.0);     /* here it was in vain             */
    near(cost_of(&rung, 4, 1), 180.0 + 0.75 + 100.0 + 200.0);
    rung.kv_fill = KV_CATCH_UP;
    near(cost_of(&rung, 2, 0), 63.0 + 0.75 + 100.0 + 15.0);
    rung.k_tail = 0;
    near(cost_of(&rung, 2, 0), 63.0 + 0.75 + 100.0 + 7.0);
    rung.k_tail = 1;
    near(cost_of(&rung, 2, 0), 63.0 + 0.75 + 100.0 + 77.0);
    rung.k_tail = 2;
    near(cost_of(&rung, 2, 0), 63.0 + 0.75 + 100.0 + 33.0 + 84.0);
}

/* Parts are counted so that at any prices they cost what the tokens cost. */
static void in_parts(void **state)
{
    (void)state;
    int                      fixed[] = {0, 2, 0, 0}, routed[] = {1, 0, 1, 0}; /* a dense layer, and one with neither */
    const struct cost_layers layers = {4, fixed, routed};
    const struct parts       prices = {{[PART_LAYER] = 3.0, [PART_EXPERT] = 0.75, [PART_FILL] = 0.5,
                                        [PART_LAZY_FILL] = 0.25, [PART_HEAD] = 7.0,
                                        [PART_CHECK + MEASURE_SOFTMAX] = 1.5}};
    struct cost_table        whole, one[PART_COUNT];
    static double            memory[(PART_COUNT + 1) * 4 * 4];
    cm_price_layers(&layers, &prices, memory, &whole);
    for (int part = 0; part < PART_COUNT; part++) {
        struct parts unit = {{0.0}};
        unit.of[part] = 1.0;
        cm_price_layers(&layers, &unit, memory + (part + 1) * 16, &one[part]);
    }
    struct policy_rung rung = {.n_exits = 1, .k_tail = TAIL_NONE, .kv_fill = KV_LAZY,
                               .exits = {{.layer = 2, .measure = MEASURE_SOFTMAX}}};
    const int32_t             depths[] = {4, 2};
    const struct token_depths tokens = {2, depths, kept, NULL};
    struct parts              counts = {{0.0}};
    cm_count_parts(one, &rung, &tokens, &counts);
    near(counts.of[PART_LAYER], 6.0);
    near(counts.of[PART_EXPERT], 2.0 + 2.0 + 1.0 + 1.0 + 2.0); /* the dense half's two among them */
    near(counts.of[PART_LAZY_FILL], 2.0);
    near(counts.of[PART_FILL], 0.0);
    near(counts.of[PART_HEAD], 3.0); /* a check in vain */
    near(counts.of[PART_CHECK + MEASURE_SOFTMAX], 2.0);
    near(cm_parts_cost(&counts, &prices), 2.0 * cm_expected_cost(&whole, &rung, &tokens));
    rung.k_tail = 1;
    cm_count_parts(one, &rung, &tokens, &counts); /* added to what was there */
    near(counts.of[PART_LAYER], 6.0 + 8.0);
}

static void means(void **state)
{
    (void)state;
    const struct policy_rung  rung = {.n_exits = 0, .k_tail = TAIL_NONE};
    const int32_t             depths[] = {4, 1};
    const struct token_depths tokens = {2, depths, kept, NULL};
    near(cm_expected_cost(&table, &rung, &tokens), (280.0 + 11.0 + 0.9 + 100.0) / 2.0);
    near(cm_mean_layers(&tokens), 2.5);
    near(cm_expected_cost(&table, &rung, &(struct token_depths){0, depths, kept, NULL}), 0.0);
    near(cm_mean_layers(&(struct token_depths){0, depths, kept, NULL}), 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_hand), cmocka_unit_test(in_parts),
        cmocka_unit_test(means)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
