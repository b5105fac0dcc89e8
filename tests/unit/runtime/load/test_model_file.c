/* test_model_file.c - GGUF files that are well-formed, and the typed reads of their metadata. */
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
static struct model_file *parsed(struct gguf_builder *builder)
{
    size_t         n_bytes;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    struct model_file   *file = NULL;
    if (cm_model_file_parse(&ctx, "t.gguf", bytes, n_bytes, &file) != CALMOE_OK) fail_msg("%s", ctx.message);
    gguf_touch(file);
    return file;
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
    struct model_file         *file = parsed(builder);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        int64_t value = 1;
        assert_int_equal(cm_meta_need_int(&ctx, file, wanted[i].key, INT64_MIN, INT64_MAX, &value),
                         CALMOE_OK);
        assert_true(value == wanted[i].value);
        assert_int_equal(cm_meta_get_int(&ctx, file, wanted[i].key, wanted[i].value,
                                         wanted[i].value, &value),
                         CALMOE_OK);
    }
    cm_model_file_close(&file);
    builder_close(&builder);
}

/* Each refusal leaves *out as it was. */
static void check_int(const struct model_file *file, const char *key, int64_t min, int64_t max,
                      const char *message)
{
    int64_t value = 77;
    assert_int_equal(cm_meta_get_int(&ctx, file, key, min, max, &value), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, message);
    assert_int_equal(value, 77);
}

static void integers_refused(void **state)
{
    (void)state;
    struct gguf_builder *builder = scalars();
    struct model_file         *file = parsed(builder);
    int64_t              value = 77;
    check_int(file, "u8", 0, 199, "'t.gguf': key 'u8' is 200; wanted 0 to 199");
    check_int(file, "i8", -99, 99, "'t.gguf': key 'i8' is -100; wanted -99 to 99");
    check_int(file, "huge", INT64_MIN, INT64_MAX,
              "'t.gguf': key 'huge' is 18446744073709551615; "
              "wanted -9223372036854775808 to 9223372036854775807");
    check_int(file, "f32", 0, 9, "'t.gguf': key 'f32' has type f32; wanted an integer");
    check_int(file, "yes", 0, 9, "'t.gguf': key 'yes' has type bool; wanted an integer");
    check_int(file, "text", 0, 9, "'t.gguf': key 'text' has type string; wanted an integer");
    check_int(file, "list", 0, 9, "'t.gguf': key 'list' is an array of i32; wanted an integer");
    assert_int_equal(cm_meta_get_int(&ctx, file, "absent", 0, 9, &value), CALMOE_OK);
    assert_int_equal(value, 77);
    assert_int_equal(cm_meta_need_int(&ctx, file, "absent", 0, 9, &value), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'t.gguf': key 'absent' is missing; wanted an integer");
    cm_model_file_close(&file);
    builder_close(&builder);
}

static void check_float(const struct model_file *file, const char *key, double min, double max,
                        const char *message)
{
    float value = 77;
    assert_int_equal(cm_meta_get_float(&ctx, file, key, min, max, &value), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, message);
    assert_true(value == 77);
}

static void floats(void **state)
{
    (void)state;
    struct gguf_builder *builder = scalars();
    struct model_file         *file = parsed(builder);
    float                value = 77;
    assert_int_equal(cm_meta_get_float(&ctx, file, "f32", 0, 2, &value), CALMOE_OK);
    assert_true(value == 1.5F);
    assert_int_equal(cm_meta_get_float(&ctx, file, "f64", -3, 0, &value), CALMOE_OK);
    assert_true(value == -2.25F);
    assert_int_equal(cm_meta_get_float(&ctx, file, "infinite", 0, INFINITY, &value), CALMOE_OK);
    assert_true(isinf(value));
    assert_int_equal(cm_meta_get_float(&ctx, file, "absent", 0, 0, &value), CALMOE_OK);
    assert_true(isinf(value));
    check_float(file, "f32", 2, 3, "'t.gguf': key 'f32' is 1.5; wanted 2 to 3");
    check_float(file, "nan", -1e30, 1e30, "'t.gguf': key 'nan' is nan; wanted -1e+30 to 1e+30");
    check_float(file, "infinite", 0, 1e30, "'t.gguf': key 'infinite' is inf; wanted 0 to 1e+30");
    check_float(file, "large", 0, INFINITY, "'t.gguf': key 'large' is 1e+300; wanted 0 to inf");
    check_float(file, "u8", 0, 300, "'t.gguf': key 'u8' has type u8; wanted a float");
    cm_model_file_close(&file);
    builder_close(&builder);
}

static void bools_and_strings(void **state)
{
    (void)state;
    struct gguf_builder *builder = scalars();
    struct model_file         *file = parsed(builder);
    bool                 yes = false;
    struct meta_string   text = {"kept", 4};
    assert_int_equal(cm_meta_get_bool(&ctx, file, "yes", &yes), CALMOE_OK);
    assert_true(yes);
    assert_int_equal(cm_meta_get_bool(&ctx, file, "no", &yes), CALMOE_OK);
    assert_false(yes);
    assert_int_equal(cm_meta_get_bool(&ctx, file, "u8", &yes), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'t.gguf': key 'u8' has type u8; wanted a bool");

    assert_int_equal(cm_meta_get_string(&ctx, file, "absent", &text), CALMOE_OK);
    assert_string_equal(text.bytes, "kept");
    assert_int_equal(cm_meta_need_string(&ctx, file, "absent", &text), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'t.gguf': key 'absent' is missing; wanted a string");
    assert_int_equal(cm_meta_need_string(&ctx, file, "text", &text), CALMOE_OK);
    assert_int_equal(text.n_bytes, 5);
    assert_memory_equal(text.bytes, "h\xc3\xa9 \xff", 5);
    assert_int_equal(cm_meta_need_string(&ctx, file, "empty", &text), CALMOE_OK);
    assert_int_equal(text.n_bytes, 0);
    assert_int_equal(cm_meta_get_string(&ctx, file, "f64", &text), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'t.gguf': key 'f64' has type f64; wanted a string");
    cm_model_file_close(&file);
    builder_close(&builder);
}

static void arrays(void **state)
{
    (void)state;
    struct gguf_builder *builder = builder_open();
    builder_add_strings(builder, "tokens", (const char *const[]){"a", "", "\xe2\x96\x81"}, 3);
    builder_add_array(builder, "u64s", META_U64, (uint64_t[]){1, UINT64_MAX}, 2);
    builder_add_array(builder, "i8s", META_I8, (int8_t[]){-1, 1}, 2);
    builder_add_array(builder, "bools", META_BOOL, (uint8_t[]){1, 0, 1}, 3);
    builder_add_f32s(builder, "scores", (float[]){-1.5F, 2}, 2);
    builder_add_array(builder, "f64s", META_F64, (double[]){0.1}, 1);
    builder_add_strings(builder, "none", NULL, 0);
    struct model_file *file = parsed(builder);

    const struct meta_entry *tokens = cm_meta_entry(file, "tokens");
    assert_int_equal(tokens->type, META_ARRAY);
    assert_int_equal(tokens->element_type, META_STRING);
    assert_int_equal(tokens->count, 3);
    assert_memory_equal(tokens->strings[2].bytes, "\xe2\x96\x81", 3);
    assert_int_equal(cm_meta_element_int(cm_meta_entry(file, "u64s"), 0), 1);
    assert_int_equal(cm_meta_element_int(cm_meta_entry(file, "i8s"), 0), -1);
    assert_int_equal(cm_meta_element_int(cm_meta_entry(file, "bools"), 2), 1);
    assert_true(cm_meta_element_float(cm_meta_entry(file, "scores"), 0) == -1.5);
    assert_true(cm_meta_element_float(cm_meta_entry(file, "f64s"), 0) == 0.1);
    assert_true(cm_meta_element_float(cm_meta_entry(file, "u64s"), 1) > 1.8e19);
    assert_int_equal(cm_meta_entry(file, "none")->count, 0);
    assert_non_null(cm_meta_entry(file, "none")->strings);
    assert_null(cm_meta_entry(file, "token"));
    assert_null(cm_meta_entry(file, ""));
    cm_model_file_close(&file);
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
    struct model_file *file = parsed(builder);

    const struct file_tensor *tensor = cm_file_tensor(file, "w");
    assert_non_null(tensor);
    assert_int_equal(tensor->type, WEIGHT_F32);
    assert_int_equal(tensor->n_dims, 2);
    assert_int_equal(tensor->shape[0], 3);
    assert_int_equal(tensor->shape[1], 2);
    assert_int_equal(tensor->shape[2], 1);
    assert_int_equal(tensor->n_bytes, sizeof values);
    assert_memory_equal(tensor->bytes, values, sizeof values);
    tensor = cm_file_tensor(file, "q");
    assert_true(tensor->is_weight);
    assert_int_equal(tensor->type, WEIGHT_Q4_K);
    assert_int_equal(tensor->n_bytes, 1728);
    tensor = cm_file_tensor(file, "ids");
    assert_false(tensor->is_weight);
    assert_int_equal(tensor->file_id, 26);
    assert_int_equal(tensor->n_bytes, 20);
    assert_null(cm_file_tensor(file, "v"));
    assert_null(cm_file_tensor(file, ""));
    cm_model_file_close(&file);
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
    struct model_file *file = parsed(builder);
    for (int i = 0; i < N; i++) {
        const char name[] = {(char)('a' + i % 26), (char)('a' + i / 26), '\0'};
        float      first;
        memcpy(&first, cm_file_tensor(file, name)->bytes, sizeof first);
        assert_true(first == (float)i);
    }
    cm_model_file_close(&file);
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
    struct model_file *file = parsed(builder);
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        const struct file_tensor *tensor = cm_file_tensor(file, cm_weight_types[type].name);
        assert_true(tensor->is_weight);
        assert_int_equal(tensor->type, type);
        assert_int_equal(tensor->n_bytes, 6 * cm_weight_types[type].n_bytes);
    }
    cm_model_file_close(&file);
    builder_close(&builder);
}

static void limits_are_allowed(void **state)
{
    (void)state;
    static char          key[META_MAX_KEY_BYTES + 1];
    char                 name[FILE_MAX_NAME_BYTES];
    struct gguf_builder *builder = builder_open();
    memset(key, 'k', sizeof key - 1);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    builder->version = 2;
    builder_add_u8(builder, key, 1);
    builder_set_alignment(builder, 8);
    builder_add_tensor(builder, name, 0, 4, (uint64_t[]){1, 1, 1, 2}, NULL, 8);
    struct model_file *file = parsed(builder);
    assert_int_equal(file->version, 2);
    assert_non_null(cm_meta_entry(file, key));
    assert_non_null(cm_file_tensor(file, name));
    cm_model_file_close(&file);
    builder_close(&builder);
}

/* As vocabularies without weights are published: nothing follows the metadata. */
static void no_tensors_no_padding(void **state)
{
    (void)state;
    struct gguf_builder *builder = builder_open();
    struct model_file         *file = parsed(builder);
    assert_int_equal(file->n_entries + file->n_tensors, 0);
    assert_null(cm_file_tensor(file, "w"));
    cm_model_file_close(&file);
    builder_add_string(builder, "k", "odd");
    file = parsed(builder);
    cm_model_file_close(&file);
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
    struct model_file *file = NULL;
    assert_int_equal(cm_model_file_open(&ctx, temp_file(folder, "one.gguf"), &file), CALMOE_OK);
    gguf_touch(file);
    assert_int_equal(file->n_shards, 1);
    assert_string_equal(file->name, "one.gguf");
    assert_int_equal(file->n_file_bytes, file->maps[0].n_bytes);
    cm_model_file_close(&file);
    assert_null(file);
    cm_model_file_close(&file);
    cm_model_file_close(NULL);
    builder_close(&builder);

    assert_int_equal(cm_model_file_open(&ctx, "/no/such/model.gguf", &file), CALMOE_IO);
    assert_string_equal(ctx.message, "cannot open '/no/such/model.gguf': No such file or directory");
    assert_int_equal(cm_model_file_open(&ctx, folder->path, &file), CALMOE_IO);
    assert_int_equal(cm_live_blocks(), n_live);
}

/* Files that another writer made. */
static void published_writer(void **state)
{
    (void)state;
    static const char *const paths[] = {CALMOE_SOURCE_DIR "/tests/golden/olmoe.gguf",
                                        CALMOE_SOURCE_DIR "/tests/golden/mixtral.gguf"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct model_file       *file = NULL;
        struct meta_string architecture = {0};
        if (cm_model_file_open(&ctx, paths[i], &file) != CALMOE_OK) fail_msg("%s", ctx.message);
        gguf_touch(file);
        assert_int_equal(cm_meta_need_string(&ctx, file, "general.architecture", &architecture),
                         CALMOE_OK);
        assert_non_null(cm_file_tensor(file, "blk.0.ffn_gate_exps.weight"));
        assert_int_equal(cm_file_tensor(file, "blk.0.ffn_gate_exps.weight")->n_dims, 3);
        cm_model_file_close(&file);
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
