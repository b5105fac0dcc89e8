/* test_exit_search.c - exits and widths chosen on paper, against choices made by hand and by trying everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/calibrate/exit_search.h"
#include "runtime/calibrate/width_search.h"

enum { N_TOKENS = 400, N_LAYERS = 5, N_EXITS = 4 };

static const int    layers[N_EXITS] = {1, 2, 3, 4};
static const double layer_cost[N_LAYERS] = {10, 10, 10, 10, 10}, expert_cost[N_LAYERS] = {0},
                    fill_cost[N_LAYERS] = {1, 1, 1, 1, 1};

static float   confidences[N_EXITS * N_TOKENS], thresholds[N_EXITS * EXIT_SEARCH_LEVELS], sorted[N_TOKENS];
static uint8_t agrees[N_EXITS * N_TOKENS], confirmed[N_EXITS * N_TOKENS], levels[N_EXITS * N_TOKENS];

static struct exit_search open_search(int max_exits)
{
    struct exit_search search = {
        .trace = {N_TOKENS, N_EXITS, layers, confidences, agrees, NULL},
        .costs = {.n_layers = N_LAYERS, .layer = layer_cost, .expert = expert_cost,
                  .fill = {fill_cost, fill_cost, fill_cost}, .check = {[MEASURE_STATE] = 0.5}, .head = 5.0},
        .measure = MEASURE_STATE, .k_tail = TAIL_NONE, .n_used = 2, .max_exits = max_exits,
        .levels = levels, .thresholds = thresholds,
    };
    cm_exit_search_begin(&search, sorted);
    return search;
}

/* The first half of the tokens is sure and right after layer 2, the others never. */
static void fill_halves(void)
{
    for (int e = 0; e < N_EXITS; e++)
        for (int i = 0; i < N_TOKENS; i++) {
            const bool is_easy = e >= 1 && i < N_TOKENS / 2;
            confidences[e * N_TOKENS + i] = is_easy ? 0.9f : 0.1f + 0.001f * (float)(i % 7);
            agrees[e * N_TOKENS + i] = is_easy;
            confirmed[e * N_TOKENS + i] = i % 2 == 0;
        }
}

static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-9)) fail_msg("%.9g, not %.9g", found, wanted);
}

static void by_hand(void **state)
{
    (void)state;
    struct exit_choice choice;
    fill_halves();
    struct exit_search search = open_search(3);
    cm_exit_search(&search, 1000.0, &choice);
    assert_int_equal(choice.rung.n_exits, 1);
    assert_int_equal(choice.rung.exits[0].layer, 2);
    assert_true(choice.rung.exits[0].threshold.lambda > 0.2f && choice.rung.exits[0].threshold.lambda <= 0.9f);
    assert_int_equal(choice.rung.exits[0].threshold.schedule, SCHEDULE_CONSTANT);
    near(choice.risk, 0.0);
    near(choice.layers, 3.5);
    near(choice.cost, 0.5 * (20.0 + 0.5 + 3.0 + 5.0) + 0.5 * (50.0 + 0.5 + 5.0));

    cm_exit_search(&search, 0.0, &choice); /* risk is free: all leave where they can first; 'state' cannot after 1 */
    assert_int_equal(choice.rung.exits[0].layer, 2);
    near(choice.risk, 0.5);
    near(choice.layers, 2.0);

    search.trace.confirmed = confirmed; /* every second one is held back, and pays a head */
    cm_exit_search(&search, 1000.0, &choice);
    near(choice.layers, 0.25 * 2.0 + 0.75 * 5.0);
    near(choice.cost, 0.25 * 28.5 + 0.75 * 55.5 + 0.25 * 5.0);
    near(cm_oracle_layers(&search.trace, N_LAYERS), 3.5);
}

static void none_pays(void **state)
{
    (void)state;
    struct exit_choice choice;
    memset(agrees, 0, sizeof agrees);
    for (int i = 0; i < N_EXITS * N_TOKENS; i++) confidences[i] = 0.5f;
    struct exit_search search = open_search(2);
    cm_exit_search(&search, 1000.0, &choice);
    assert_int_equal(choice.rung.n_exits, 0);
    near(choice.risk, 0.0);
    near(choice.cost, 55.0);
    near(choice.layers, 5.0);
    for (int i = 0; i < N_EXITS * N_TOKENS; i++) confidences[i] = i % 2 ? 0.0f : (float)NAN; /* no answers at all */
    search = open_search(2);
    cm_exit_search(&search, 0.0, &choice);
    near(choice.layers, 5.0);
}

/* What one exit with that threshold does, counted plainly. */
static double value_of(int exit, float lambda, double price)
{
    double sum = 0.0;
    for (int i = 0; i < N_TOKENS; i++) {
        const bool leaves = confidences[exit * N_TOKENS + i] >= lambda;
        sum += leaves ? 10.0 * layers[exit] + 0.5 + (N_LAYERS - layers[exit]) + 5.0 +
                            (agrees[exit * N_TOKENS + i] ? 0.0 : price)
                      : 55.5;
    }
    return sum / N_TOKENS;
}

static void the_best_of_all(void **state)
{
    (void)state;
    struct random random = cm_random(7);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < N_EXITS * N_TOKENS; i++) {
            confidences[i] = (float)cm_random_unit(&random) + 1e-6f;
            agrees[i] = cm_random_unit(&random) < (double)confidences[i];
        }
        struct exit_search search = open_search(1);
        const double       price = 200.0 * cm_random_unit(&random);
        double             best = 55.0;
        for (int e = 1; e < N_EXITS; e++)
            for (int level = 0; level < EXIT_SEARCH_LEVELS; level++)
                best = fmin(best, value_of(e, thresholds[e * EXIT_SEARCH_LEVELS + level], price));
        struct exit_choice one, two;
        cm_exit_search(&search, price, &one);
        near(one.cost + price * one.risk, best);
        search.max_exits = 3;
        cm_exit_search(&search, price, &two);
        assert_true(two.cost + price * two.risk <= best + 1e-9);
        for (int i = 1; i < two.rung.n_exits; i++) assert_true(two.rung.exits[i].layer > two.rung.exits[i - 1].layer);
    }
}

/* ---- widths ---- */

static void width_for_a_price(void **state)
{
    (void)state;
    static const struct width_rule rules[] = {{WIDTH_RATIO, 0.2f, 1, true}, {WIDTH_RATIO, 0.6f, 1, true}};
    /* layer 0: experts are idle; layer 1: they matter; layer 2: in between */
    static const struct width_effect effects[] = {{0.0, 3.0, 0.0}, {0.0, 1.0, 0.0},  {0.5, 3.0, 0.0},
                                                  {0.9, 1.0, 0.0}, {0.01, 3.0, 0.0}, {0.2, 1.0, 0.0}};
    static const double expert[] = {1.0, 1.0, 1.0};
    const struct width_search search = {3, 2, 4, rules, effects, expert, 0.0};
    struct width_rule out[3];
    cm_width_search(&search, 50.0, out);
    assert_true(out[0].bound == 0.6f && out[0].renormalise);
    assert_int_equal(out[1].kind, WIDTH_OFF);
    assert_true(out[2].kind == WIDTH_RATIO && out[2].bound == 0.2f);
    cm_width_search(&search, 0.0, out);
    for (int i = 0; i < 3; i++) assert_true(out[i].bound == 0.6f);
    cm_width_search(&search, 1e9, out);
    assert_int_equal(out[2].kind, WIDTH_OFF);
}

/* A rule that leaves out no expert, but reads fewer from disk, is for where reads are dear. */
static void reads_for_a_price(void **state)
{
    (void)state;
    static const struct width_rule rules[] = {{WIDTH_RATIO, 0.2f, 1, true}, {WIDTH_RESIDENT, 0.5f, 1, true}};
    static const struct width_effect effects[] = {{0.01, 3.0, -0.5}, {0.01, 4.0, -2.0}};
    static const double expert[] = {1.0};
    struct width_search search = {1, 2, 4, rules, effects, expert, 0.1};
    struct width_rule   out[1];
    cm_width_search(&search, 10.0, out);
    assert_int_equal(out[0].kind, WIDTH_RATIO); /* 3 - 0.05 + 0.1 against 4 - 0.2 + 0.1 */
    search.read = 1.0;
    cm_width_search(&search, 10.0, out);
    assert_int_equal(out[0].kind, WIDTH_RESIDENT); /* 2.6 against 2.1 */
    cm_width_search(&search, 1000.0, out);
    assert_int_equal(out[0].kind, WIDTH_OFF);
}

static void rules_are_rules(void **state)
{
    (void)state;
    struct width_rule rules[32];
    assert_int_equal(cm_width_rules_to_try(1, true, false, rules, 32), 0);
    assert_int_equal(cm_width_rules_to_try(1, true, true, rules, 32), 6);
    for (int n_used = 2; n_used <= 64; n_used++) {
        const int n = cm_width_rules_to_try(n_used, false, false, rules, 32);
        assert_true(n >= 12 && n <= 16);
        for (int i = 0; i < n; i++) {
            assert_true(rules[i].kind != WIDTH_OFF && rules[i].k >= 1 && rules[i].k <= n_used);
            if (rules[i].kind == WIDTH_FIXED) assert_true(rules[i].k < n_used);
            else assert_true(rules[i].bound > 0.0f && rules[i].bound <= 1.0f);
        }
        assert_int_equal(cm_width_rules_to_try(n_used, false, true, rules, 32), n + 6);
        for (int i = 0; i < n + 6; i++) assert_true((rules[i].kind == WIDTH_RESIDENT) == (i >= 7 && i < 13));
        assert_int_equal(cm_width_rules_to_try(n_used, true, true, rules, 5), 5);
        assert_true(rules[4].renormalise);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),          cmocka_unit_test(none_pays),       cmocka_unit_test(the_best_of_all),
        cmocka_unit_test(width_for_a_price), cmocka_unit_test(reads_for_a_price),
        cmocka_unit_test(rules_are_rules),
    };
    return cmocka_run_group_tests_name("exit search", tests, NULL, NULL);
}
