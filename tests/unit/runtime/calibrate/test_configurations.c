/* test_configurations.c - a list of policies: each once, told in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/calibrate/configurations.h"

enum { N_LAYERS = 3 };

static const struct policy_rung exits = {
    .n_exits = 2, .k_tail = TAIL_NONE,
    .exits = {{1, MEASURE_SOFTMAX, {SCHEDULE_CONSTANT, 0.5f, 0.0f, 0}},
              {2, MEASURE_SHORTLIST, {SCHEDULE_CONSTANT, 0.25f, 0.0f, 0}}},
};
static const struct policy_rung none = {.k_tail = TAIL_NONE};

static void each_once(void **state)
{
    (void)state;
    struct configurations list;
    struct width_rule     widths[N_LAYERS] = {{0}};
    struct policy_rung    other = exits;
    assert_int_equal(cm_configurations_open(NULL, 5, N_LAYERS, &list), CALMOE_OK);
    assert_false(cm_configurations_add(&list, &none, NULL));   /* leaves out nothing */
    assert_false(cm_configurations_add(&list, &none, widths)); /* off everywhere     */
    assert_true(cm_configurations_add(&list, &exits, widths));
    assert_null(list.rungs[0].widths);
    assert_false(cm_configurations_add(&list, &exits, NULL));
    widths[1] = (struct width_rule){WIDTH_RATIO, 0.5f, 1, true};
    assert_true(cm_configurations_add(&list, &exits, widths));
    assert_false(cm_configurations_add(&list, &exits, widths));
    assert_true(cm_configurations_add(&list, &none, widths));
    other.k_tail = 0;
    assert_true(cm_configurations_add(&list, &other, NULL));
    other.exits[1].threshold.lambda = 0.75f;
    widths[1].bound = 0.25f; /* the list's are copies */
    assert_true(cm_configurations_add(&list, &other, NULL));
    assert_int_equal(list.n, 5);
    assert_false(cm_configurations_add(&list, &exits, widths)); /* full */
    assert_true(list.rungs[1].widths[1].bound == 0.5f && list.rungs[2].widths[1].bound == 0.5f);
    cm_configurations_close(&list);
    cm_configurations_close(&list);
    assert_int_equal(cm_live_blocks(), 0);
}

static void grown(void **state)
{
    (void)state;
    struct configurations list;
    struct width_rule     widths[N_LAYERS] = {{WIDTH_RATIO, 0.5f, 1, true}, {0}, {0}}, off[N_LAYERS] = {{0}};
    assert_int_equal(cm_configurations_open(NULL, 2, N_LAYERS, &list), CALMOE_OK);
    assert_int_equal(cm_configurations_find(&list, &exits, NULL), -1);
    assert_true(cm_configurations_add(&list, &exits, NULL) && cm_configurations_add(&list, &exits, widths));
    cm_fail_request(1);
    assert_int_equal(cm_configurations_grow(NULL, 3, &list), CALMOE_NO_MEMORY); /* and it is as it was */
    cm_fail_request(0);
    assert_int_equal(list.capacity, 2);
    assert_int_equal(cm_configurations_grow(NULL, 3, &list), CALMOE_OK);
    assert_int_equal(list.capacity, 5);
    assert_int_equal(list.n, 2);
    assert_null(list.rungs[0].widths);
    assert_ptr_equal(list.rungs[1].widths, list.widths + N_LAYERS); /* not those that were freed */
    assert_int_equal(cm_configurations_find(&list, &exits, off), 0);
    assert_int_equal(cm_configurations_find(&list, &exits, widths), 1);
    assert_int_equal(cm_configurations_find(&list, &none, widths), -1);
    assert_true(cm_configurations_add(&list, &none, widths));
    assert_int_equal(cm_configurations_find(&list, &none, widths), 2);
    cm_configurations_close(&list);
    assert_int_equal(cm_live_blocks(), 0);
}

static void in_words(void **state)
{
    (void)state;
    char               text[128];
    struct width_rule  widths[N_LAYERS] = {{WIDTH_FIXED, 0.0f, 2, true},
                                           {WIDTH_OFF, 0.0f, 0, false},
                                           {WIDTH_TOP_P, 0.9f, 1, true}};
    struct policy_rung rung = exits;
    cm_configuration_text(&rung, N_LAYERS, text, sizeof text);
    assert_string_equal(text, "softmax 1:0.5 shortlist 2:0.25");
    rung.k_tail = 1;
    rung.kv_fill = KV_LAZY;
    rung.widths = widths;
    cm_configuration_text(&rung, N_LAYERS, text, sizeof text);
    assert_string_equal(text, "softmax 1:0.5 shortlist 2:0.25, tail 1, lazy, width fixed:2 off top_p:0.9");
    cm_configuration_text(&rung, N_LAYERS, text, 10);
    assert_string_equal(text, "softmax 1");
    rung = none;
    widths[1] = widths[2] = widths[0];
    rung.widths = widths;
    cm_configuration_text(&rung, N_LAYERS, text, sizeof text);
    assert_string_equal(text, "width fixed:2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_once),
        cmocka_unit_test(grown),
        cmocka_unit_test(in_words),
    };
    return cmocka_run_group_tests_name("configurations", tests, NULL, NULL);
}
