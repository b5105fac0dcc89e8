/* test_model_writer.c - a written file says what its source says, but for what was dropped and added; it appears
 * whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/load/model_writer.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/folder_fixture.h"

static struct gguf_builder *builder;
static struct model_file *source;
static char path[600], part_path[700];

static void add_every_kind(struct gguf_builder *to)
{
    builder_add_u8(to, "a.u8", 200);
    builder_add_i8(to, "a.i8", -100);
    builder_add_u16(to, "a.u16", 60000);
    builder_add_i16(to, "a.i16", -30000);
    builder_add_u32(to, "a.u32", 4000000000u);
    builder_add_i32(to, "a.i32", -2000000000);
    builder_add_u64(to, "a.u64", UINT64_MAX);
    builder_add_i64(to, "a.i64", INT64_MIN);
    builder_add_f32(to, "a.f32", -0.5f);
    builder_add_f64(to, "a.f64", 1e300);
    builder_add_bool(to, "a.bool", true);
    builder_add_string(to, "a.text", "words");
    builder_add_string(to, "a.empty", "");
    builder_add_strings(to, "a.texts", (const char *const[]){"x", "", "a longer one"}, 3);
    builder_add_strings(to, "a.no_texts", NULL, 0);
    builder_add_i32s(to, "a.numbers", (int32_t[]){1, -2, 3}, 3);
    builder_add_f32s(to, "a.no_numbers", NULL, 0);
    builder_add_array(to, "a.bools", META_BOOL, (uint8_t[]){1, 0, 1, 1}, 4);
    builder_add_u32(to, "drop.this", 1);
    builder_add_u32(to, "drop", 2);
    builder_add_u32(to, "keep.drop.this", 3);
}

static calmoe_status open_writer(struct calmoe_context *ctx, struct model_writer **out)
{
    static const char *const dropped[] = {"drop.", "general.file_type"};
    static const struct new_meta_u32 added[] = {{"general.file_type", 7}, {"b.new", 123456789}};
    static struct new_tensor tensors[2];
    tensors[0] = (struct new_tensor){&source->tensors[1], 0, source->tensors[1].n_bytes}; /* in another order */
    tensors[1] = (struct new_tensor){&source->tensors[0], 1, source->tensors[0].n_bytes / 2};
    return cm_model_writer_open(ctx, path, source, dropped, 2, added, 2, tensors, 2, out);
}

static void check_entry(const struct model_file *written, const struct meta_entry *wanted)
{
    const struct meta_entry *found = cm_meta_entry(written, wanted->key);
    if (!found) fail_msg("key '%s' is lost", wanted->key);
    assert_int_equal(found->type, wanted->type);
    assert_int_equal(found->count, wanted->count);
    if (wanted->type == META_ARRAY) assert_int_equal(found->element_type, wanted->element_type);
    for (uint64_t i = 0; i < wanted->count; i++) {
        if (wanted->strings) {
            assert_int_equal(found->strings[i].n_bytes, wanted->strings[i].n_bytes);
            assert_memory_equal(found->strings[i].bytes, wanted->strings[i].bytes, (size_t)wanted->strings[i].n_bytes);
        } else {
            assert_int_equal(cm_meta_element_int(found, i), cm_meta_element_int(wanted, i));
            assert_true(cm_meta_element_float(found, i) == cm_meta_element_float(wanted, i));
        }
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct model_writer *writer = NULL;
    struct model_file *written = NULL;
    const uint8_t halves[6] = {1, 2, 3, 4, 5, 6};
    assert_int_equal(open_writer(NULL, &writer), CALMOE_OK);
    assert_int_equal(cm_model_writer_put(writer, source->tensors[1].bytes, source->tensors[1].n_bytes), CALMOE_OK);
    assert_int_equal(cm_model_writer_put(writer, halves, sizeof halves), CALMOE_OK);
    assert_int_not_equal(access(path, F_OK), 0); /* not before it is whole */
    assert_int_equal(cm_model_writer_finish(writer), CALMOE_OK);
    cm_model_writer_close(&writer);
    assert_null(writer);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(part_path, F_OK), 0);

    struct calmoe_context ctx = {0};
    if (cm_model_file_open(&ctx, path, &written) != CALMOE_OK) fail_msg("%s", ctx.message);
    int n_dropped = 0;
    for (uint64_t i = 0; i < source->n_entries; i++) {
        const char *key = source->entries[i].key;
        const bool is_dropped = strcmp(key, "drop.this") == 0 || strcmp(key, "general.file_type") == 0;
        n_dropped += is_dropped;
        if (!is_dropped) check_entry(written, &source->entries[i]);
    }
    assert_int_equal(n_dropped, 2);
    assert_null(cm_meta_entry(written, "drop.this"));
    assert_int_equal(written->n_entries, source->n_entries - 2 + 2);
    assert_int_equal(cm_meta_element_int(cm_meta_entry(written, "general.file_type"), 0), 7);
    assert_int_equal(cm_meta_element_int(cm_meta_entry(written, "b.new"), 0), 123456789);
    assert_int_equal(written->n_tensors, 2);
    assert_string_equal(written->tensors[0].name, "second");
    assert_memory_equal(written->tensors[0].bytes, source->tensors[1].bytes, (size_t)source->tensors[1].n_bytes);
    assert_int_equal(written->tensors[1].n_dims, 1);
    assert_int_equal(written->tensors[1].shape[0], 3);
    assert_int_equal(written->tensors[1].type, WEIGHT_F16);
    assert_memory_equal(written->tensors[1].bytes, halves, sizeof halves);
    cm_model_file_close(&written);
    unlink(path);
}

static void unfinished_leaves_nothing(void **state)
{
    (void)state;
    struct model_writer *writer = NULL;
    const long live = cm_live_blocks();
    assert_int_equal(open_writer(NULL, &writer), CALMOE_OK);
    assert_int_equal(access(part_path, F_OK), 0);
    cm_model_writer_close(&writer);
    cm_model_writer_close(&writer);
    assert_int_not_equal(access(part_path, F_OK), 0);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(cm_live_blocks(), live);
}

/* A disk without room: the writer says so at the latest when it finishes. */
static void no_room(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    struct calmoe_context ctx = {0};
    struct model_writer *writer = NULL;
    assert_int_equal(symlink("/dev/full", part_path), 0);
    calmoe_status status = open_writer(&ctx, &writer);
    if (status == CALMOE_OK) status = cm_model_writer_put(writer, source->tensors[1].bytes, source->tensors[1].n_bytes);
    if (status == CALMOE_OK) status = cm_model_writer_put(writer, "123456", 6);
    if (status == CALMOE_OK) status = cm_model_writer_finish(writer);
    assert_int_equal(status, CALMOE_IO);
    assert_non_null(strstr(ctx.message, "cannot write '"));
    cm_model_writer_close(&writer);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(part_path, F_OK), 0);
}

static int set_up(void **state)
{
    (void)state;
    folder = temp_folder_open();
    snprintf(path, sizeof path, "%s", temp_file(folder, "out.gguf"));
    snprintf(part_path, sizeof part_path, "%s.part", path);
    builder = builder_open();
    builder_add_u32(builder, "general.file_type", 0);
    add_every_kind(builder);
    builder_add_tensor_f32(builder, "first", 1, (uint64_t[]){3}, (float[]){1.0f, 2.0f, 3.0f});
    builder_add_tensor_f32(builder, "second", 2, (uint64_t[]){5, 2}, (float[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    size_t n_bytes;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    return cm_model_file_parse(NULL, "source.gguf", bytes, n_bytes, &source) == CALMOE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    cm_model_file_close(&source);
    builder_close(&builder);
    temp_folder_close(&folder);
    return cm_live_blocks() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(unfinished_leaves_nothing),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests_name("model writer", tests, set_up, tear_down);
}
