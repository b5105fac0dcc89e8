/* test_names.c - rows by their names, and names in sentences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/names.h"

static const struct row {
    int         number;
    const char *name;
} rows[] = {{7, "one"}, {8, "two"}, {9, "three"}};
static const char *const texts[] = {"alone"};

static void rows_are_found(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) assert_int_equal(cm_name_find(CM_NAMES(rows, name), rows[i].name), i);
    assert_int_equal(cm_name_find(CM_NAMES(rows, name), "on"), 3);
    assert_int_equal(cm_name_find(cm_names_from(CM_NAMES(rows, name), 1), "one"), 2);
    assert_int_equal(cm_name_find(cm_names_from(CM_NAMES(rows, name), 1), "three"), 1);
    assert_int_equal(cm_name_find(CM_TEXTS(texts), "alone"), 0);
}

static void names_are_told(void **state)
{
    (void)state;
    char text[NAMES_BYTES];
    assert_string_equal(cm_names_tell(CM_NAMES(rows, name), text), "one, two or three");
    assert_string_equal(cm_names_tell(cm_names_from(CM_NAMES(rows, name), 1), text), "two or three");
    assert_string_equal(cm_names_tell(CM_TEXTS(texts), text), "alone");
}

static void a_wrong_name_is_refused(void **state)
{
    (void)state;
    struct calmoe_context ctx = {.log = NULL};
    int row;
    assert_int_equal(cm_name_choose(&ctx, "number", CM_NAMES(rows, name), "two", &row), CALMOE_OK);
    assert_int_equal(row, 1);
    assert_int_equal(cm_name_choose(&ctx, "number", CM_NAMES(rows, name), "four", &row), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "number is 'four'; one, two or three is wanted");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found),
        cmocka_unit_test(names_are_told),
        cmocka_unit_test(a_wrong_name_is_refused),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
