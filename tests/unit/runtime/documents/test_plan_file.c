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
#include "runtime/documents/json.h"
#include "runtime/documents/plan_file.h"
#include "tests/support/folder_fixture.h"

#define HEAD "{\"schema\": \"calmoe.plan.1\", \"version\": \"0.1.0\", "
#define MODEL "\"model\": {\"fingerprint\": \"0123456789abcdef\"}, "
#define NODES "\"nodes\": 2, "
#define LAYERS "\"layers\": [[0, 1, 1], [1, 0, 0]]}"

/* the second schema */
#define HEAD2 "{\"schema\": \"calmoe.plan.2\", \"version\": \"0.1.0\", "
#define HEAD3 "{\"schema\": \"calmoe.plan.3\", \"version\": \"0.1.0\", "
#define MODEL2 "\"model\": {\"fingerprint\": \"0123456789abcdef\", \"width\": 64, \"dim\": 32, \"kv_heads\": 4}, "
#define CUTS2 "\"quantum\": 16, \"dense\": [1, 1], \"kv_heads\": [3, 1], "
#define SLICES2 "\"slices\": [{\"rows\": [48, 16], \"down\": [16, 16]}], "
#define LAYERS2 "\"layers\": [[0, {\"slice\": 0}], [{\"nodes\": [0, 1]}, 1]]}"
#define UP_TO_SLICES HEAD2 MODEL2 NODES CUTS2
#define UP_TO_LAYERS UP_TO_SLICES SLICES2

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
     "'p.json': schema: found \"calmoe.policy.1\", wanted \"calmoe.plan.1\" or \"calmoe.plan.2\" or "
     "\"calmoe.plan.3\""},
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
    {"first_schema_quantum", HEAD MODEL NODES "\"quantum\": 16, " LAYERS,
     "'p.json': quantum: found an unknown member, wanted none of that name"},
    {"first_schema_slice", HEAD MODEL NODES "\"layers\": [[0, {\"slice\": 0}]]}",
     "'p.json': layers[0][1]: found an object, wanted an integer from 0 to 1"},

    /* the second schema */
    {"no_quantum", HEAD2 MODEL2 NODES "\"dense\": [1, 1], " SLICES2 LAYERS2,
     "'p.json': quantum: found nothing, wanted a value"},
    {"quantum_0", HEAD2 MODEL2 NODES "\"quantum\": 0, " SLICES2 LAYERS2,
     "'p.json': quantum: found 0, wanted an integer from 1 to 2147483647"},
    {"no_width", HEAD2 MODEL NODES CUTS2 SLICES2 LAYERS2, "'p.json': model.width: found nothing, wanted a value"},
    {"dense_short", HEAD2 MODEL2 NODES "\"quantum\": 16, \"dense\": [1], " SLICES2 LAYERS2,
     "'p.json': dense: found an array of 1, wanted an array of 2"},
    {"dense_nothing", HEAD2 MODEL2 NODES "\"quantum\": 16, \"dense\": [0, 0], " SLICES2 LAYERS2,
     "'p.json': dense: found an array of 2, wanted numbers that are not all 0"},
    {"dense_negative", HEAD2 MODEL2 NODES "\"quantum\": 16, \"dense\": [2, -1], " SLICES2 LAYERS2,
     "'p.json': dense[1]: found -1, wanted an integer from 0 to 100000000"},
    {"heads_missing", HEAD2 MODEL2 NODES "\"quantum\": 16, \"dense\": [1, 1], \"kv_heads\": [1, 1], " SLICES2 LAYERS2,
     "'p.json': kv_heads: found an array of 2, wanted numbers that add up to 4"},
    {"no_slices", UP_TO_SLICES LAYERS2, "'p.json': slices: found nothing, wanted a value"},
    {"slice_unknown_member", UP_TO_SLICES "\"slices\": [{\"columns\": [1]}], " LAYERS2,
     "'p.json': slices[0].columns: found an unknown member, wanted none of that name"},
    {"slice_short", UP_TO_SLICES "\"slices\": [{\"rows\": [64], \"down\": [16, 16]}], " LAYERS2,
     "'p.json': slices[0].rows: found an array of 1, wanted an array of 2"},
    {"slice_too_little", UP_TO_SLICES "\"slices\": [{\"rows\": [32, 16], \"down\": [16, 16]}], " LAYERS2,
     "'p.json': slices[0].rows: found an array of 2, wanted numbers that add up to 64"},
    {"slice_too_much", UP_TO_SLICES "\"slices\": [{\"rows\": [48, 16], \"down\": [32, 16]}], " LAYERS2,
     "'p.json': slices[0].down: found an array of 2, wanted numbers that add up to 32"},
    {"slice_half_quanta", UP_TO_SLICES "\"slices\": [{\"rows\": [40, 24], \"down\": [16, 16]}], " LAYERS2,
     "'p.json': slices[0].rows[0]: found 40, wanted a multiple of the quantum 16"},
    {"slice_negative", UP_TO_SLICES "\"slices\": [{\"rows\": [80, -16], \"down\": [16, 16]}], " LAYERS2,
     "'p.json': slices[0].rows[0]: found 80, wanted an integer from 0 to 64"},
    {"no_such_slice", UP_TO_LAYERS "\"layers\": [[0, {\"slice\": 1}]]}",
     "'p.json': layers[0][1].slice: found 1, wanted an integer from 0 to 0"},
    {"slice_of_none", UP_TO_SLICES "\"slices\": [], \"layers\": [[0, {\"slice\": 0}]]}",
     "'p.json': layers[0][1].slice: found 0, wanted none, for the plan has no slices"},
    {"no_replica", UP_TO_LAYERS "\"layers\": [[{\"nodes\": []}, 0]]}",
     "'p.json': layers[0][0].nodes: found an array of 0, wanted an array of 1 to 2"},
    {"replica_out_of_range", UP_TO_LAYERS "\"layers\": [[{\"nodes\": [0, 2]}, 0]]}",
     "'p.json': layers[0][0].nodes[1]: found 2, wanted an integer from 0 to 1"},
    {"replica_twice", UP_TO_LAYERS "\"layers\": [[{\"nodes\": [1, 1]}, 0]]}",
     "'p.json': layers[0][0].nodes[1]: found 1, wanted a node that was not there before"},
    {"both_slice_and_nodes", UP_TO_LAYERS "\"layers\": [[{\"slice\": 0, \"nodes\": [1]}, 0]]}",
     "'p.json': layers[0][0]: found an object, wanted a node, {\"slice\": …} or {\"nodes\": […]}"},
    {"neither_slice_nor_nodes", UP_TO_LAYERS "\"layers\": [[{}, 0]]}",
     "'p.json': layers[0][0]: found an object, wanted a node, {\"slice\": …} or {\"nodes\": […]}"},
    {"place_text", UP_TO_LAYERS "\"layers\": [[\"0\", 0]]}",
     "'p.json': layers[0][0]: found \"0\", wanted an integer from 0 to 1"},
    {"second_schema_disk", UP_TO_LAYERS "\"layers\": [[\"disk\", 0]]}",
     "'p.json': layers[0][0]: found \"disk\", wanted an integer from 0 to 1"},
    {"third_schema_text", HEAD3 MODEL2 NODES CUTS2 SLICES2 "\"layers\": [[0, \"tape\"]]}",
     "'p.json': layers[0][1]: found \"tape\", wanted \"disk\""},
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
        assert_null(plan.plan.places);
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

/* 64 nodes, all three kinds of places. */
static struct plan_file make_plan(struct place places[15], struct slice slices[2])
{
    struct plan_file file = {.fingerprint = "fedcba9876543210",
                             .plan = {.n_nodes = 64, .n_layers = 3, .n_experts = 5, .width = 64 * 16, .dim = 128,
                                      .quantum = 16, .places = places, .n_slices = 2, .slices = slices,
                                      .n_kv_heads = 8}};
    for (int i = 0; i < 15; i++)
        places[i] = i % 3 == 0   ? (struct place){.kind = PLACE_PINNED, .node = i * 37 % 64}
                    : i % 3 == 1 ? (struct place){.kind = PLACE_SLICED, .slice = i % 2}
                                 : (struct place){.kind = PLACE_REPLICATED, .replicas =
                                     UINT64_C(1) << 63 | (uint64_t)i};
    for (int node = 0; node < 64; node++) {
        slices[0].rows[node] = 16;
        slices[0].down_rows[node] = node < 8 ? 16 : 0;
        file.plan.shares[node] = node;
    }
    slices[1].rows[63] = 64 * 16;
    slices[1].down_rows[0] = 128;
    file.plan.kv_heads[7] = 8;
    return file;
}

static void written_is_read(void **state)
{
    (void)state;
    struct place           places[15];
    struct slice           slices[2] = {{{0}, {0}}, {{0}, {0}}};
    const struct plan_file file = make_plan(places, slices);
    struct plan_file       read;
    struct calmoe_context  ctx = {0};
    const long             n_live = cm_live_blocks();
    assert_int_equal(cm_plan_file_write(&ctx, temp_file(folder, "plan.json"), &file), CALMOE_OK);
    if (cm_plan_file_read(&ctx, temp_file(folder, "plan.json"), &read) != CALMOE_OK) fail_msg("%s", ctx.message);
    assert_string_equal(read.fingerprint, file.fingerprint);
    assert_int_equal(cm_plan_check(&ctx, &read.plan, &file.plan), CALMOE_OK);
    assert_int_equal(read.plan.quantum, 16);
    assert_int_equal(read.plan.n_slices, 2);
    assert_memory_equal(read.plan.slices, slices, sizeof slices);
    assert_memory_equal(read.plan.shares, file.plan.shares, sizeof read.plan.shares);
    assert_memory_equal(read.plan.kv_heads, file.plan.kv_heads, sizeof read.plan.kv_heads);
    for (int i = 0; i < 15; i++) {
        const struct place *place = &read.plan.places[i];
        assert_int_equal(place->kind, places[i].kind);
        assert_int_equal(place->node, places[i].node);
        assert_int_equal(place->slice, places[i].slice);
        assert_true(place->replicas == places[i].replicas);
    }
    cm_plan_file_close(&read);
    assert_null(read.plan.places);
    cm_plan_file_close(&read);
    assert_int_equal(cm_live_blocks(), n_live);
}

/* Of streamed experts the file says "disk", and only then is it the third schema. */
static void streamed_experts(void **state)
{
    (void)state;
    struct place          places[15];
    struct slice          slices[2] = {{{0}, {0}}, {{0}, {0}}};
    struct plan_file      file = make_plan(places, slices), read;
    struct calmoe_context ctx = {0};
    char                  text[20000] = "";
    for (int round = 0; round < 2; round++) {
        if (round > 0)
            for (int i = 0; i < 15; i += 2) cm_plan_stream(&file.plan, i / 5, i % 5);
        assert_int_equal(cm_plan_file_write(&ctx, temp_file(folder, "plan.json"), &file), CALMOE_OK);
        if (cm_plan_file_read(&ctx, temp_file(folder, "plan.json"), &read) != CALMOE_OK) fail_msg("%s", ctx.message);
        assert_int_equal(cm_plan_n_streamed(&read.plan, -1), round * 8);
        assert_int_equal(cm_plan_n_streamed(&read.plan, 1), round * 2);
        for (int i = 0; i < 15; i++) assert_int_equal(read.plan.places[i].is_streamed, round > 0 && i % 2 == 0);
        assert_int_equal(cm_plan_check(&ctx, &read.plan, &file.plan), CALMOE_OK);
        cm_plan_file_close(&read);
        FILE *written = fopen(temp_file(folder, "plan.json"), "rb");
        assert_non_null(written);
        text[fread(text, 1, sizeof text - 1, written)] = '\0';
        fclose(written);
        assert_int_equal(strstr(text, "calmoe.plan.3") != NULL, round > 0);
        assert_int_equal(strstr(text, "\"disk\"") != NULL, round > 0);
    }
}

static void both_schemas_are_read(void **state)
{
    (void)state;
    static const char     first[] = HEAD MODEL NODES LAYERS, second[] = UP_TO_LAYERS LAYERS2;
    struct calmoe_context ctx = {0};
    struct plan_file      file;
    assert_int_equal(parse(first, sizeof first - 1, &ctx, &file), CALMOE_OK);
    assert_true(file.plan.n_nodes == 2 && file.plan.n_layers == 2 && file.plan.n_experts == 3);
    assert_true(file.plan.width == 0 && file.plan.n_kv_heads == 0 && file.plan.shares[0] == 1);
    for (int i = 0; i < 6; i++) {
        static const int nodes[] = {0, 1, 1, 1, 0, 0};
        assert_int_equal(file.plan.places[i].kind, PLACE_PINNED);
        assert_int_equal(file.plan.places[i].node, nodes[i]);
    }
    cm_plan_file_close(&file);
    if (parse(second, sizeof second - 1, &ctx, &file) != CALMOE_OK) fail_msg("%s", ctx.message);
    assert_int_equal(cm_place_of(&file.plan, 0, 1)->kind, PLACE_SLICED);
    assert_int_equal(cm_place_of(&file.plan, 1, 0)->replicas, 3);
    assert_int_equal(cm_place_of(&file.plan, 1, 1)->node, 1);
    assert_true(file.plan.slices[0].rows[0] == 48 && file.plan.kv_heads[0] == 3);
    cm_plan_file_close(&file);
}

static void places_that_fail(void **state)
{
    (void)state;
    struct place           places[15];
    struct slice           slices[2] = {{{0}, {0}}, {{0}, {0}}};
    const struct plan_file plan = make_plan(places, slices);
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
    (void)state;
    static const char     text[] = UP_TO_LAYERS LAYERS2;
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
        assert_int_equal(plan.plan.places != NULL, status == CALMOE_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_is_told), cmocka_unit_test(limits),
        cmocka_unit_test(streamed_experts), cmocka_unit_test(both_schemas_are_read),
        cmocka_unit_test(too_deep),           cmocka_unit_test(too_long),
        cmocka_unit_test(written_is_read),    cmocka_unit_test(places_that_fail),
        cmocka_unit_test(memory_runs_out),    cmocka_unit_test(other_values),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
