/* test_costs_file.c - files of what parts cost: kept and read back to the bit, refused with the very sentence, and
 * under which name they are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <math.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/documents/costs_file.h"
#include "tests/support/temp_folder.h"

#define HEAD "{\"schema\": \"calmoe.costs.1\", \"version\": \"0.1.0\", "
#define MODEL "\"model\": {\"fingerprint\": \"0123456789abcdef\"}, "

static const struct {
    const char *text, *message; /* after "'c.json': " */
} faults[] = {
    {"{\"schema\": \"calmoe.policy.1\"}", "schema: found \"calmoe.policy.1\", wanted \"calmoe.costs.1\""},
    {HEAD MODEL "\"cost\": {}}", "cost: found an unknown member, wanted none of that name"},
    {HEAD "\"costs\": {}}", "model: found nothing, wanted a value"},
    {HEAD MODEL "\"machine\": 7, \"costs\": {}}", "machine: found 7, wanted a text"},
    {HEAD MODEL "\"x\": 7}", "x: found an unknown member, wanted none of that name"},
    {HEAD MODEL "\"costs\": []}", "costs: found an array of 0, wanted an object"},
    {HEAD MODEL "\"costs\": {\"layers\": 1}}", "costs.layers: found an unknown member, wanted none of that name"},
    {HEAD MODEL "\"costs\": {\"layer\": -1}}", "costs.layer: found -1, wanted a number from 0 to 1e+12"},
    {HEAD MODEL "\"costs\": {\"softmax\": \"1\"}}", "costs.softmax: found \"1\", wanted a number from 0 to 1e+12"},
};

static void every_fault_has_its_sentence(void **state)
{
    (void)state;
    struct temp_folder *folder = temp_folder_open();
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct calmoe_context ctx = {.log = NULL};
        struct costs_file     costs;
        char                  wanted[200];
        const char *path = temp_file_with(folder, "c.json", faults[i].text, strlen(faults[i].text));
        assert_int_equal(cm_costs_file_read(&ctx, path, &costs), CALMOE_BAD_FILE);
        snprintf(wanted, sizeof wanted, "'c.json': %s", faults[i].message);
        assert_string_equal(ctx.message, wanted);
        assert_true(costs.fingerprint[0] == '\0');
    }
    temp_folder_close(&folder);
}

/* What is not known stays so, and 0 is known. */
static void kept_and_read_back(void **state)
{
    (void)state;
    struct temp_folder   *folder = temp_folder_open();
    struct calmoe_context ctx = {.log = NULL};
    struct costs_file     costs = {.fingerprint = "0123456789abcdef", .machine = "A, B \"C\" \\D, 2 threads"}, back;
    for (int part = 0; part < PART_COUNT; part++) costs.prices.of[part] = part == 3 ? (double)NAN : part / 3.0;
    setenv("CALMOE_CACHE", temp_file(folder, "cache"), 1);
    char *path = cm_costs_path(&costs);
    assert_non_null(strstr(path, "/cache/costs-"));
    cm_costs_file_keep(&ctx, path, &costs);
    if (cm_costs_file_read(&ctx, path, &back) != CALMOE_OK) fail_msg("%s", ctx.message);
    assert_string_equal(back.fingerprint, costs.fingerprint);
    assert_string_equal(back.machine, "A, B C D, 2 threads"); /* what JSON would want escaped is left out */
    for (int part = 0; part < PART_COUNT; part++)
        assert_true(part == 3 ? isnan(back.prices.of[part]) : back.prices.of[part] == costs.prices.of[part]);
    costs.fingerprint[0] = '1'; /* another model, another file */
    char *other = cm_costs_path(&costs);
    assert_string_not_equal(path, other);
    cm_free(path);
    cm_free(other);
    setenv("CALMOE_CACHE", "", 1);
    assert_null(cm_costs_path(&costs));
    assert_int_equal(cm_costs_file_read(&ctx, "/nowhere/c.json", &back), CALMOE_IO);
    temp_folder_close(&folder);
    assert_int_equal(cm_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_has_its_sentence),
        cmocka_unit_test(kept_and_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
