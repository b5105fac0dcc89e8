/* test_plan_file.c - placement plans: written, read back, and refused with the very sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/load/json.h"
#include "runtime/load/plan_file.h"
#include "tests/support/temp_folder.h"

#define HEAD "{\"schema\": \"calmoe.plan.1\", \"version\": \"0.1.0\", "
#define MODEL "\"model\": {\"fingerprint\": \"0123456789abcdef\"}, "
#define NODES "\"nodes\": 2, "
#define LAYERS "\"layers\": [[0, 1, 1], [1, 0, 0]]}"

static const struct {
    const char *name;
    const char *text;
    const char *message;
} faults[] = {
    /* not JSON */
    {"empty", "", "'p.json', line 1, column 0: the text ends too early"},
    {"blank", " \n ", "'p.json', line 2, column 1: the text ends too early"},
    {"no_json", "nodes = 2", "'p.json', line 1, column 5: not JSON"},
    {"cut", HEAD MODEL "\n\"nodes\": 2", "'p.json', line 2, column 10: the text ends too early"},
    {"trailing_comma", HEAD MODEL NODES "\"layers\": [[0,]]}",
     "'p.json', line 1, column 121: not JSON"},
    {"second_value", HEAD MODEL NODES LAYERS " {}",
     "'p.json', line 1, column 141: something follows the value"},
    {"member_twice", HEAD MODEL NODES NODES LAYERS,
     "'p.json', line 1, column 113: a member that was there before"},
    {"latin1", "{\"caf\xe9\": 1}", "'p.json', line 1, column 5: the text is not UTF-8"},
    {"nul_character", "{\"schema\": \"a\\u0000b\"}", "'p.json', line 1, column 21: a NUL character"},
    {"number_too_large", HEAD MODEL "\"nodes\": 123456789012345678901234567890, " LAYERS,
     "'p.json', line 1, column 133: a number that is too large"},
    {"comment", "// a plan\n" HEAD MODEL NODES LAYERS, "'p.json', line 1, column 1: not JSON"},

    /* not a plan */
    {"array", "[1, 2]", "'p.json': found an array of 2, wanted an object"},
    {"no_schema", "{}", "'p.json': schema: found nothing, wanted a value"},
    {"schema_number", "{\"schema\": 1}", "'p.json': schema: found 1, wanted a text"},
    {"schema_other", "{\"schema\": \"calmoe.policy.1\"}",
     "'p.json': schema: found \"calmoe.policy.1\", wanted \"calmoe.plan.1\""},
    {"unknown_member", HEAD MODEL NODES "\"colour\": \"red\", " LAYERS,
     "'p.json': colour: found an unknown member, wanted none of that name"},
    {"no_version", "{\"schema\": \"calmoe.plan.1\", " MODEL NODES LAYERS,
     "'p.json': version: found nothing, wanted a value"},
    {"version_number", "{\"schema\": \"calmoe.plan.1\", \"version\": 0.5, " MODEL NODES LAYERS,
     "'p.json': version: found the number 0.5, wanted a text"},
    {"no_model", HEAD NODES LAYERS, "'p.json': model: found nothing, wanted a value"},
    {"model_text", HEAD "\"model\": \"olmoe\", " NODES LAYERS,
     "'p.json': model: found \"olmoe\", wanted an object"},
    {"model_unknown_member",
     HEAD "\"model\": {\"name\": \"x\", \"fingerprint\": \"0123456789abcdef\"}, " NODES LAYERS,
     "'p.json': model.name: found an unknown member, wanted none of that name"},
    {"no_fingerprint", HEAD "\"model\": {}, " NODES LAYERS,
     "'p.json': model.fingerprint: found nothing, wanted a value"},
    {"fingerprint_number", HEAD "\"model\": {\"fingerprint\": 12}, " NODES LAYERS,
     "'p.json': model.fingerprint: found 12, wanted a text"},
    {"fingerprint_short", HEAD "\"model\": {\"fingerprint\": \"0123456789abcde\"}, " NODES LAYERS,
     "'p.json': model.fingerprint: found \"0123456789abcde\", wanted 16 digits 0-9a-f"},
    {"fingerprint_long", HEAD "\"model\": {\"fingerprint\": \"0123456789abcdef0\"}, " NODES LAYERS,
     "'p.json': model.fingerprint: found \"0123456789abcdef0\", wanted 16 digits 0-9a-f"},
    {"fingerprint_letters", HEAD "\"model\": {\"fingerprint\": \"0123456789ABCDEF\"}, " NODES LAYERS,
     "'p.json': model.fingerprint: found \"0123456789ABCDEF\", wanted 16 digits 0-9a-f"},

    /* nodes */
    {"no_nodes", HEAD MODEL LAYERS, "'p.json': nodes: found nothing, wanted a value"},
    {"nodes_0", HEAD MODEL "\"nodes\": 0, " LAYERS,
     "'p.json': nodes: found 0, wanted an integer from 1 to 64"},
    {"nodes_65", HEAD MODEL "\"nodes\": 65, " LAYERS,
     "'p.json': nodes: found 65, wanted an integer from 1 to 64"},
    {"nodes_real", HEAD MODEL "\"nodes\": 2.0, " LAYERS,
     "'p.json': nodes: found the number 2, wanted an integer from 1 to 64"},
    {"nodes_text", HEAD MODEL "\"nodes\": \"2\", " LAYERS,
     "'p.json': nodes: found \"2\", wanted an integer from 1 to 64"},
    {"nodes_null", HEAD MODEL "\"nodes\": null, " LAYERS,
     "'p.json': nodes: found null, wanted an integer from 1 to 64"},

    /* layers */
    {"no_layers", HEAD MODEL "\"nodes\": 2}", "'p.json': layers: found nothing, wanted a value"},
    {"layers_object", HEAD MODEL NODES "\"layers\": {\"0\": [1]}}",
     "'p.json': layers: found an object, wanted an array of 1 to 4096"},
    {"layers_none", HEAD MODEL NODES "\"layers\": []}",
     "'p.json': layers: found an array of 0, wanted an array of 1 to 4096"},
    {"layer_number", HEAD MODEL NODES "\"layers\": [0, 1]}",
     "'p.json': layers[0]: found 0, wanted an array of 1 to 4096"},
    {"layer_empty", HEAD MODEL NODES "\"layers\": [[], []]}",
     "'p.json': layers[0]: found an array of 0, wanted an array of 1 to 4096"},
    {"layer_shorter", HEAD MODEL NODES "\"layers\": [[0, 1, 0], [1, 0]]}",
     "'p.json': layers[1]: found an array of 2, wanted an array of 3"},
    {"layer_longer", HEAD MODEL NODES "\"layers\": [[0, 1], [1, 0], [0, 0, 0]]}",
     "'p.json': layers[2]: found an array of 3, wanted an array of 2"},
    {"layer_true", HEAD MODEL NODES "\"layers\": [[0, 1], true]}",
     "'p.json': layers[1]: found true, wanted an array of 2"},
    {"node_too_large", HEAD MODEL NODES "\"layers\": [[0, 1], [1, 2]]}",
     "'p.json': layers[1][1]: found 2, wanted an integer from 0 to 1"},
    {"node_negative", HEAD MODEL NODES "\"layers\": [[-1, 1]]}",
     "'p.json': layers[0][0]: found -1, wanted an integer from 0 to 1"},
    {"node_list", HEAD MODEL NODES "\"layers\": [[0, [1]]]}",
     "'p.json': layers[0][1]: found an array of 1, wanted an integer from 0 to 1"},
};

enum { N_FAULTS = sizeof faults / sizeof faults[0] };

static calmoe_status parse(const void *text, size_t n_bytes, struct calmoe_context *ctx,
                           struct plan_file *plan)
{
    return cm_plan_file_parse(ctx, "a/folder/p.json", text, n_bytes, plan);
}

static void each_fault_is_told(void **state)
{
    (void)state;
    int n_wrong = 0;
    for (size_t i = 0; i < N_FAULTS; i++) {
        struct calmoe_context ctx = {0};
        struct plan_file      plan;
        const long            n_live = cm_live_blocks();
        const calmoe_status   status = parse(faults[i].text, strlen(faults[i].text), &ctx, &plan);
        if (status != CALMOE_BAD_FILE || strcmp(ctx.message, faults[i].message) != 0) {
            print_error("%s:\n  found  %s\n  wanted %s\n", faults[i].name, ctx.message,
                        faults[i].message);
            n_wrong++;
        }
        assert_null(plan.node_of);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    assert_int_equal(n_wrong, 0);
}

/* A text of n_rows rows "[0,0,…]" of n_columns each, inside before and after. */
static char *long_text(const char *before, size_t n_rows, size_t n_columns, const char *after)
{
    const size_t row = 2 * n_columns + 2;
    char        *text = malloc(strlen(before) + n_rows * row + strlen(after) + 1);
    assert_non_null(text);
    memcpy(text, before, strlen(before));
    char *at = text + strlen(before);
    for (size_t r = 0; r < n_rows; r++) {
        *at++ = '[';
        for (size_t c = 0; c < n_columns; c++) {
            *at++ = '0';
            *at++ = c + 1 < n_columns ? ',' : ']';
        }
        *at++ = r + 1 < n_rows ? ',' : ' ';
    }
    memcpy(at, after, strlen(after) + 1);
    return text;
}

static void check_limit(char *text, const char *message)
{
    struct calmoe_context ctx = {0};
    struct plan_file      plan;
    const calmoe_status   status = parse(text, strlen(text), &ctx, &plan);
    if (message == NULL) {
        assert_int_equal(status, CALMOE_OK);
    } else {
        assert_string_equal(ctx.message, message);
        assert_int_equal(status, CALMOE_BAD_FILE);
    }
    cm_plan_file_close(&plan);
    free(text);
}

static void limits(void **state)
{
    (void)state;
    static const char before[] = HEAD MODEL NODES "\"layers\": [";
    check_limit(long_text(before, 4096, 2, "]}"), NULL);
    check_limit(long_text(before, 4097, 2, "]}"),
                "'p.json': layers: found an array of 4097, wanted an array of 1 to 4096");
    check_limit(long_text(before, 2, 4096, "]}"), NULL);
    check_limit(long_text(before, 2, 4097, "]}"),
                "'p.json': layers[0]: found an array of 4097, wanted an array of 1 to 4096");
}

static void too_deep(void **state)
{
    (void)state;
    char text[5000];
    memset(text, '[', sizeof text);
    struct calmoe_context ctx = {0};
    struct plan_file      plan;
    assert_int_equal(parse(text, sizeof text, &ctx, &plan), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message,
                        "'p.json', line 1, column 2049: values are nested too deeply");
}

static void too_long(void **state)
{
    (void)state;
    const size_t n_bytes = JSON_MAX_BYTES + 1;
    char        *text = malloc(n_bytes);
    assert_non_null(text);
    memset(text, ' ', n_bytes);
    struct calmoe_context ctx = {0};
    struct plan_file      plan;
    assert_int_equal(parse(text, n_bytes, &ctx, &plan), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'p.json' has 16777217 bytes; at most 16777216 are read");
    free(text);
}

static struct plan_file make_plan(int16_t *node_of)
{
    struct plan_file plan = {.fingerprint = "fedcba9876543210",
                             .n_nodes = 64,
                             .n_layers = 3,
                             .n_experts = 5,
                             .node_of = node_of};
    for (int i = 0; i < 15; i++) node_of[i] = (int16_t)(i * 37 % 64);
    return plan;
}

static void written_is_read(void **state)
{
    struct temp_folder    *folder = *state;
    int16_t                node_of[15];
    const struct plan_file plan = make_plan(node_of);
    struct plan_file       read;
    struct calmoe_context  ctx = {0};
    const long             n_live = cm_live_blocks();
    assert_int_equal(cm_plan_file_write(&ctx, temp_file(folder, "plan.json"), &plan), CALMOE_OK);
    assert_int_equal(cm_plan_file_read(&ctx, temp_file(folder, "plan.json"), &read), CALMOE_OK);
    assert_string_equal(read.fingerprint, plan.fingerprint);
    assert_int_equal(read.n_nodes, 64);
    assert_int_equal(read.n_layers, 3);
    assert_int_equal(read.n_experts, 5);
    assert_memory_equal(read.node_of, node_of, sizeof node_of);
    cm_plan_file_close(&read);
    assert_null(read.node_of);
    cm_plan_file_close(&read);
    assert_int_equal(cm_live_blocks(), n_live);
}

static void places_that_fail(void **state)
{
    (void)state;
    int16_t                node_of[15];
    const struct plan_file plan = make_plan(node_of);
    struct plan_file       read;
    struct calmoe_context  ctx = {0};
    assert_int_equal(cm_plan_file_write(&ctx, "/no/such/folder/p.json", &plan), CALMOE_IO);
    assert_string_equal(ctx.message,
                        "cannot write '/no/such/folder/p.json': No such file or directory");
    assert_int_equal(cm_plan_file_write(&ctx, "/dev/full", &plan), CALMOE_IO);
    assert_string_equal(ctx.message, "cannot write '/dev/full': No space left on device");
    assert_int_equal(cm_plan_file_read(&ctx, "/no/such/folder/p.json", &read), CALMOE_IO);
    assert_string_equal(ctx.message,
                        "cannot open '/no/such/folder/p.json': No such file or directory");
}

static void memory_runs_out(void **state)
{
    struct temp_folder   *folder = *state;
    static const char     text[] = HEAD MODEL NODES LAYERS;
    struct calmoe_context ctx = {0};
    const char           *path = temp_file_with(folder, "p.json", text, sizeof text - 1);
    const long            n_live = cm_live_blocks();
    long                  nth = 1;
    for (calmoe_status status = CALMOE_NO_MEMORY; status != CALMOE_OK; nth++) {
        struct plan_file plan;
        cm_fail_request(nth);
        status = cm_plan_file_read(&ctx, path, &plan);
        cm_fail_request(0);
        assert_true(status == CALMOE_OK || status == CALMOE_NO_MEMORY);
        assert_int_equal(plan.node_of != NULL, status == CALMOE_OK);
        cm_plan_file_close(&plan);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    assert_true(nth > 3);
}

/* The reads that a plan does not use. */
static void other_values(void **state)
{
    (void)state;
    static const char     text[] = "{\"a\": [1, 2.5, true, \"x\", -7]}";
    struct calmoe_context ctx = {0};
    struct json_document  document;
    struct json_value     list, absent;
    double                number = 0;
    bool                  yes = false;
    assert_int_equal(cm_json_parse(&ctx, "v.json", text, sizeof text - 1, &document), CALMOE_OK);
    const struct json_value root = cm_json_root(&document);
    assert_int_equal(cm_json_find(&ctx, &root, "b", &absent), CALMOE_OK);
    assert_null(absent.json);
    assert_int_equal(cm_json_member(&ctx, &root, "a", &list), CALMOE_OK);
    const struct json_value one = cm_json_element(&list, 0), real = cm_json_element(&list, 1);
    const struct json_value truth = cm_json_element(&list, 2), word = cm_json_element(&list, 3);
    assert_int_equal(cm_json_number(&ctx, &one, 0, 3, &number), CALMOE_OK);
    assert_true(number == 1);
    assert_int_equal(cm_json_number(&ctx, &real, 0, 3, &number), CALMOE_OK);
    assert_true(number == 2.5);
    assert_int_equal(cm_json_number(&ctx, &real, 0, 1, &number), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message,
                        "'v.json': a[1]: found the number 2.5, wanted a number from 0 to 1");
    assert_int_equal(cm_json_bool(&ctx, &truth, &yes), CALMOE_OK);
    assert_true(yes);
    assert_int_equal(cm_json_bool(&ctx, &word, &yes), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'v.json': a[3]: found \"x\", wanted true or false");
    assert_int_equal(cm_json_find(&ctx, &list, "b", &absent), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'v.json': a: found an array of 5, wanted an object");
    cm_json_close(&document);
    cm_json_close(&document);
}

static int open_folder(void **state)
{
    *state = temp_folder_open();
    return 0;
}

static int close_folder(void **state)
{
    temp_folder_close((struct temp_folder **)state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_is_told), cmocka_unit_test(limits),
        cmocka_unit_test(too_deep),           cmocka_unit_test(too_long),
        cmocka_unit_test(written_is_read),    cmocka_unit_test(places_that_fail),
        cmocka_unit_test(memory_runs_out),    cmocka_unit_test(other_values),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
