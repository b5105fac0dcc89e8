/* test_gguf.c - GGUF files that are well-formed, and the typed reads of their metadata. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/gguf_touch.h"
#include "tests/support/folder_fixture.h"

static struct calmoe_context ctx;

/* The builder's file, read; the bytes are the builder's. */
static struct gguf *parsed(struct gguf_builder *builder)
{
    size_t         n_bytes;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    struct gguf   *gguf = NULL;
    if (cm_gguf_parse(&ctx, "t.gguf", bytes, n_bytes, &gguf) != CALMOE_OK) fail_msg("%s", ctx.message);
    gguf_touch(gguf);
    return gguf;
}

/* ---- metadata ---- */

static struct gguf_builder *scalars(void)
{
    struct gguf_builder *builder = builder_open();
    builder_add_u8(builder, "u8", 200);
    builder_add_i8(builder, "i8", -100);
    builder_add_u16(builder, "u16", 60000);
    builder_add_i16(builder, "i16", -30000);
    builder_add_u32(builder, "u32", 4000000000U);
    builder_add_i32(builder, "i32", -2000000000);
    builder_add_u64(builder, "u64", 1ULL << 62);
    builder_add_i64(builder, "i64", INT64_MIN);
    builder_add_u64(builder, "huge", UINT64_MAX);
    builder_add_f32(builder, "f32", 1.5F);
    builder_add_f64(builder, "f64", -2.25);
    builder_add_f64(builder, "large", 1e300);
    builder_add_f32(builder, "nan", NAN);
    builder_add_f32(builder, "infinite", INFINITY);
    builder_add_bool(builder, "yes", true);
    builder_add_bool(builder, "no", false);
    builder_add_string(builder, "text", "h\xc3\xa9 \xff");
    builder_add_string(builder, "empty", "");
    builder_add_i32s(builder, "list", (int32_t[]){1, -2, 3}, 3);
    return builder;
}

static void integers_of_any_width(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int64_t     value;
    } wanted[] = {{"u8", 200},           {"i8", -100},     {"u16", 60000},
                  {"i16", -30000},       {"u32", 4000000000}, {"i32", -2000000000},
                  {"u64", 1LL << 62}, {"i64", INT64_MIN}};
    struct gguf_builder *builder = scalars();
    struct gguf         *gguf = parsed(builder);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        int64_t value = 1;
        assert_int_equal(cm_gguf_need_int(&ctx, gguf, wanted[i].key, INT64_MIN, INT64_MAX, &value),
                         CALMOE_OK);
        assert_true(value == wanted[i].value);
        assert_int_equal(cm_gguf_get_int(&ctx, gguf, wanted[i].key, wanted[i].value,
                                         wanted[i].value, &value),
                         CALMOE_OK);
    }
    cm_gguf_close(&gguf);
    builder_close(&builder);
}

/* Each refusal leaves *out as it was. */
static void check_int(const struct gguf *gguf, const char *key, int64_t min, int64_t max,
                      const char *message)
{
    int64_t value = 77;
    assert_int_equal(cm_gguf_get_int(&ctx, gguf, key, min, max, &value), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, message);
    assert_int_equal(value, 77);
}

static void integers_refused(void **state)
{
    (void)state;
    struct gguf_builder *builder = scalars();
    struct gguf         *gguf = parsed(builder);
    int64_t              value = 77;
    check_int(gguf, "u8", 0, 199, "'t.gguf': key 'u8' is 200; wanted 0 to 199");
    check_int(gguf, "i8", -99, 99, "'t.gguf': key 'i8' is -100; wanted -99 to 99");
    check_int(gguf, "huge", INT64_MIN, INT64_MAX,
              "'t.gguf': key 'huge' is 18446744073709551615; "
              "wanted -9223372036854775808 to 9223372036854775807");
    check_int(gguf, "f32", 0, 9, "'t.gguf': key 'f32' has type f32; wanted an integer");
    check_int(gguf, "yes", 0, 9, "'t.gguf': key 'yes' has type bool; wanted an integer");
    check_int(gguf, "text", 0, 9, "'t.gguf': key 'text' has type string; wanted an integer");
    check_int(gguf, "list", 0, 9, "'t.gguf': key 'list' is an array of i32; wanted an integer");
    assert_int_equal(cm_gguf_get_int(&ctx, gguf, "absent", 0, 9, &value), CALMOE_OK);
    assert_int_equal(value, 77);
    assert_int_equal(cm_gguf_need_int(&ctx, gguf, "absent", 0, 9, &value), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'t.gguf': key 'absent' is missing; wanted an integer");
    cm_gguf_close(&gguf);
    builder_close(&builder);
}

static void check_float(const struct gguf *gguf, const char *key, double min, double max,
                        const char *message)
{
    float value = 77;
    assert_int_equal(cm_gguf_get_float(&ctx, gguf, key, min, max, &value), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, message);
    assert_true(value == 77);
}

static void floats(void **state)
{
    (void)state;
    struct gguf_builder *builder = scalars();
    struct gguf         *gguf = parsed(builder);
    float                value = 77;
    assert_int_equal(cm_gguf_get_float(&ctx, gguf, "f32", 0, 2, &value), CALMOE_OK);
    assert_true(value == 1.5F);
    assert_int_equal(cm_gguf_get_float(&ctx, gguf, "f64", -3, 0, &value), CALMOE_OK);
    assert_true(value == -2.25F);
    assert_int_equal(cm_gguf_get_float(&ctx, gguf, "infinite", 0, INFINITY, &value), CALMOE_OK);
    assert_true(isinf(value));
    assert_int_equal(cm_gguf_get_float(&ctx, gguf, "absent", 0, 0, &value), CALMOE_OK);
    assert_true(isinf(value));
    check_float(gguf, "f32", 2, 3, "'t.gguf': key 'f32' is 1.5; wanted 2 to 3");
    check_float(gguf, "nan", -1e30, 1e30, "'t.gguf': key 'nan' is nan; wanted -1e+30 to 1e+30");
    check_float(gguf, "infinite", 0, 1e30, "'t.gguf': key 'infinite' is inf; wanted 0 to 1e+30");
    check_float(gguf, "large", 0, INFINITY, "'t.gguf': key 'large' is 1e+300; wanted 0 to inf");
    check_float(gguf, "u8", 0, 300, "'t.gguf': key 'u8' has type u8; wanted a float");
    cm_gguf_close(&gguf);
    builder_close(&builder);
}

static void bools_and_strings(void **state)
{
    (void)state;
    struct gguf_builder *builder = scalars();
    struct gguf         *gguf = parsed(builder);
    bool                 yes = false;
    struct gguf_string   text = {"kept", 4};
    assert_int_equal(cm_gguf_get_bool(&ctx, gguf, "yes", &yes), CALMOE_OK);
    assert_true(yes);
    assert_int_equal(cm_gguf_get_bool(&ctx, gguf, "no", &yes), CALMOE_OK);
    assert_false(yes);
    assert_int_equal(cm_gguf_get_bool(&ctx, gguf, "u8", &yes), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'t.gguf': key 'u8' has type u8; wanted a bool");

    assert_int_equal(cm_gguf_get_string(&ctx, gguf, "absent", &text), CALMOE_OK);
    assert_string_equal(text.bytes, "kept");
    assert_int_equal(cm_gguf_need_string(&ctx, gguf, "absent", &text), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'t.gguf': key 'absent' is missing; wanted a string");
    assert_int_equal(cm_gguf_need_string(&ctx, gguf, "text", &text), CALMOE_OK);
    assert_int_equal(text.n_bytes, 5);
    assert_memory_equal(text.bytes, "h\xc3\xa9 \xff", 5);
    assert_int_equal(cm_gguf_need_string(&ctx, gguf, "empty", &text), CALMOE_OK);
    assert_int_equal(text.n_bytes, 0);
    assert_int_equal(cm_gguf_get_string(&ctx, gguf, "f64", &text), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'t.gguf': key 'f64' has type f64; wanted a string");
    cm_gguf_close(&gguf);
    builder_close(&builder);
}

static void arrays(void **state)
{
    (void)state;
    struct gguf_builder *builder = builder_open();
    builder_add_strings(builder, "tokens", (const char *const[]){"a", "", "\xe2\x96\x81"}, 3);
    builder_add_array(builder, "u64s", GGUF_U64, (uint64_t[]){1, UINT64_MAX}, 2);
    builder_add_array(builder, "i8s", GGUF_I8, (int8_t[]){-1, 1}, 2);
    builder_add_array(builder, "bools", GGUF_BOOL, (uint8_t[]){1, 0, 1}, 3);
    builder_add_f32s(builder, "scores", (float[]){-1.5F, 2}, 2);
    builder_add_array(builder, "f64s", GGUF_F64, (double[]){0.1}, 1);
    builder_add_strings(builder, "none", NULL, 0);
    struct gguf *gguf = parsed(builder);

    const struct gguf_entry *tokens = cm_gguf_entry(gguf, "tokens");
    assert_int_equal(tokens->type, GGUF_ARRAY);
    assert_int_equal(tokens->element_type, GGUF_STRING);
    assert_int_equal(tokens->count, 3);
    assert_memory_equal(tokens->strings[2].bytes, "\xe2\x96\x81", 3);
    assert_int_equal(cm_gguf_element_int(cm_gguf_entry(gguf, "u64s"), 0), 1);
    assert_int_equal(cm_gguf_element_int(cm_gguf_entry(gguf, "i8s"), 0), -1);
    assert_int_equal(cm_gguf_element_int(cm_gguf_entry(gguf, "bools"), 2), 1);
    assert_true(cm_gguf_element_float(cm_gguf_entry(gguf, "scores"), 0) == -1.5);
    assert_true(cm_gguf_element_float(cm_gguf_entry(gguf, "f64s"), 0) == 0.1);
    assert_true(cm_gguf_element_float(cm_gguf_entry(gguf, "u64s"), 1) > 1.8e19);
    assert_int_equal(cm_gguf_entry(gguf, "none")->count, 0);
    assert_non_null(cm_gguf_entry(gguf, "none")->strings);
    assert_null(cm_gguf_entry(gguf, "token"));
    assert_null(cm_gguf_entry(gguf, ""));
    cm_gguf_close(&gguf);
    builder_close(&builder);
}

/* ---- tensors ---- */

static void tensor_is_found(void **state)
{
    (void)state;
    struct gguf_builder *builder = builder_open();
    const float          values[] = {1, 2, 3, 4, 5, 6};
    builder_set_alignment(builder, 64);
    builder_add_tensor_f32(builder, "w", 2, (uint64_t[]){3, 2}, values);
    builder_add_tensor(builder, "q", 12, 3, (uint64_t[]){512, 3, 2}, NULL, 2 * 3 * 2 * 144);
    builder_add_tensor(builder, "ids", 26, 1, (uint64_t[]){5}, NULL, 20);
    struct gguf *gguf = parsed(builder);

    const struct gguf_tensor *tensor = cm_gguf_tensor(gguf, "w");
    assert_non_null(tensor);
    assert_int_equal(tensor->type, WEIGHT_F32);
    assert_int_equal(tensor->n_dims, 2);
    assert_int_equal(tensor->shape[0], 3);
    assert_int_equal(tensor->shape[1], 2);
    assert_int_equal(tensor->shape[2], 1);
    assert_int_equal(tensor->n_bytes, sizeof values);
    assert_memory_equal(tensor->bytes, values, sizeof values);
    tensor = cm_gguf_tensor(gguf, "q");
    assert_true(tensor->is_weight);
    assert_int_equal(tensor->type, WEIGHT_Q4_K);
    assert_int_equal(tensor->n_bytes, 1728);
    tensor = cm_gguf_tensor(gguf, "ids");
    assert_false(tensor->is_weight);
    assert_int_equal(tensor->file_id, 26);
    assert_int_equal(tensor->n_bytes, 20);
    assert_null(cm_gguf_tensor(gguf, "v"));
    assert_null(cm_gguf_tensor(gguf, ""));
    cm_gguf_close(&gguf);
    builder_close(&builder);
}

static void tensors_in_any_order_with_gaps(void **state)
{
    (void)state;
    enum { N = 50 };
    struct gguf_builder *builder = builder_open();
    for (int i = 0; i < N; i++) {
        const char name[] = {(char)('a' + i % 26), (char)('a' + i / 26), '\0'};
        float      values[8];
        for (int k = 0; k < 8; k++) values[k] = (float)((i * 7) % N);
        builder_add_tensor_f32(builder, name, 1, (uint64_t[]){8}, values);
    }
    for (int i = 0; i < N; i++) builder_tensor(builder, i)->offset = 32 * (uint64_t)((i * 7) % N);
    for (int i = 0; i < N; i++) builder_tensor(builder, i)->shape[0] = (uint64_t)(1 + i % 8);
    for (int i = 0; i < N; i++) /* what now lies at offset 32 n was added as number n */
        memcpy(builder_tensor(builder, (i * 7) % N)->bytes, &(float){(float)i}, sizeof(float));
    struct gguf *gguf = parsed(builder);
    for (int i = 0; i < N; i++) {
        const char name[] = {(char)('a' + i % 26), (char)('a' + i / 26), '\0'};
        float      first;
        memcpy(&first, cm_gguf_tensor(gguf, name)->bytes, sizeof first);
        assert_true(first == (float)i);
    }
    cm_gguf_close(&gguf);
    builder_close(&builder);
}

/* Each type of ours has the size of its blocks. */
static void each_weight_type(void **state)
{
    (void)state;
    struct gguf_builder *builder = builder_open();
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        const struct weight_type_row *row = &cm_weight_types[type];
        builder_add_tensor(builder, row->name, row->file_id, 2,
                           (uint64_t[]){2 * (uint64_t)row->n_elements, 3}, NULL,
                           6 * (size_t)row->n_bytes);
    }
    struct gguf *gguf = parsed(builder);
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        const struct gguf_tensor *tensor = cm_gguf_tensor(gguf, cm_weight_types[type].name);
        assert_true(tensor->is_weight);
        assert_int_equal(tensor->type, type);
        assert_int_equal(tensor->n_bytes, 6 * cm_weight_types[type].n_bytes);
    }
    cm_gguf_close(&gguf);
    builder_close(&builder);
}

static void limits_are_allowed(void **state)
{
    (void)state;
    static char          key[GGUF_MAX_KEY_BYTES + 1];
    char                 name[GGUF_MAX_NAME_BYTES];
    struct gguf_builder *builder = builder_open();
    memset(key, 'k', sizeof key - 1);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    builder->version = 2;
    builder_add_u8(builder, key, 1);
    builder_set_alignment(builder, 8);
    builder_add_tensor(builder, name, 0, 4, (uint64_t[]){1, 1, 1, 2}, NULL, 8);
    struct gguf *gguf = parsed(builder);
    assert_int_equal(gguf->version, 2);
    assert_non_null(cm_gguf_entry(gguf, key));
    assert_non_null(cm_gguf_tensor(gguf, name));
    cm_gguf_close(&gguf);
    builder_close(&builder);
}

/* As vocabularies without weights are published: nothing follows the metadata. */
static void no_tensors_no_padding(void **state)
{
    (void)state;
    struct gguf_builder *builder = builder_open();
    struct gguf         *gguf = parsed(builder);
    assert_int_equal(gguf->n_entries + gguf->n_tensors, 0);
    assert_null(cm_gguf_tensor(gguf, "w"));
    cm_gguf_close(&gguf);
    builder_add_string(builder, "k", "odd");
    gguf = parsed(builder);
    cm_gguf_close(&gguf);
    builder_close(&builder);
}

/* ---- files ---- */

static void files(void **state)
{
    (void)state;
    const long           n_live = cm_live_blocks();
    struct gguf_builder *builder = scalars();
    builder_add_tensor_random(builder, "w", 2, (uint64_t[]){16, 4}, 1, 0.02F);
    builder_add_u16(builder, "split.count", 0); /* some writers say so */
    builder_write(builder, temp_file(folder, "one.gguf"));
    struct gguf *gguf = NULL;
    assert_int_equal(cm_gguf_open(&ctx, temp_file(folder, "one.gguf"), &gguf), CALMOE_OK);
    gguf_touch(gguf);
    assert_int_equal(gguf->n_shards, 1);
    assert_string_equal(gguf->name, "one.gguf");
    assert_int_equal(gguf->n_file_bytes, gguf->maps[0].n_bytes);
    cm_gguf_close(&gguf);
    assert_null(gguf);
    cm_gguf_close(&gguf);
    cm_gguf_close(NULL);
    builder_close(&builder);

    assert_int_equal(cm_gguf_open(&ctx, "/no/such/model.gguf", &gguf), CALMOE_IO);
    assert_string_equal(ctx.message, "cannot open '/no/such/model.gguf': No such file or directory");
    assert_int_equal(cm_gguf_open(&ctx, folder->path, &gguf), CALMOE_IO);
    assert_int_equal(cm_live_blocks(), n_live);
}

/* Files that another writer made. */
static void published_writer(void **state)
{
    (void)state;
    static const char *const paths[] = {CALMOE_SOURCE_DIR "/tests/golden/olmoe.gguf",
                                        CALMOE_SOURCE_DIR "/tests/golden/mixtral.gguf"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct gguf       *gguf = NULL;
        struct gguf_string architecture = {0};
        if (cm_gguf_open(&ctx, paths[i], &gguf) != CALMOE_OK) fail_msg("%s", ctx.message);
        gguf_touch(gguf);
        assert_int_equal(cm_gguf_need_string(&ctx, gguf, "general.architecture", &architecture),
                         CALMOE_OK);
        assert_non_null(cm_gguf_tensor(gguf, "blk.0.ffn_gate_exps.weight"));
        assert_int_equal(cm_gguf_tensor(gguf, "blk.0.ffn_gate_exps.weight")->n_dims, 3);
        cm_gguf_close(&gguf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_any_width),
        cmocka_unit_test(integers_refused),
        cmocka_unit_test(floats),
        cmocka_unit_test(bools_and_strings),
        cmocka_unit_test(arrays),
        cmocka_unit_test(tensor_is_found),
        cmocka_unit_test(tensors_in_any_order_with_gaps),
        cmocka_unit_test(each_weight_type),
        cmocka_unit_test(limits_are_allowed),
        cmocka_unit_test(no_tensors_no_padding),
        cmocka_unit_test(files),
        cmocka_unit_test(published_writer),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
