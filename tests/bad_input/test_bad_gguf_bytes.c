/* test_bad_gguf_bytes.c - a good GGUF file cut at every place, changed at every byte, opened while
 * memory runs out; and files that are merely much too large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/gguf_touch.h"
#include "tests/support/folder_fixture.h"

/* Every value type, every kind of array, tensors of plain and of block types. */
static struct gguf_builder *rich_file(void)
{
    struct gguf_builder *builder = builder_open();
    builder_add_u8(builder, "u8", 1);
    builder_add_i8(builder, "i8", -1);
    builder_add_u16(builder, "u16", 2);
    builder_add_i16(builder, "i16", -2);
    builder_add_u32(builder, "u32", 3);
    builder_add_i32(builder, "i32", -3);
    builder_add_u64(builder, "u64", 4);
    builder_add_i64(builder, "i64", -4);
    builder_add_f32(builder, "f32", 0.5F);
    builder_add_f64(builder, "f64", -0.5);
    builder_add_bool(builder, "bool", true);
    builder_add_string(builder, "string", "a text");
    builder_add_strings(builder, "strings", (const char *const[]){"one", "", "three"}, 3);
    builder_add_array(builder, "bools", META_BOOL, (bool[]){true, false}, 2);
    builder_add_i32s(builder, "i32s", (int32_t[]){1, -2, 3}, 3);
    builder_add_f32s(builder, "none", NULL, 0);
    builder_set_alignment(builder, 16);
    builder_add_tensor(builder, "f32", 0, 2, (uint64_t[]){3, 2}, NULL, 24);
    builder_add_tensor(builder, "q8_0", 8, 1, (uint64_t[]){32}, NULL, 34);
    builder_add_tensor(builder, "i64", 27, 3, (uint64_t[]){1, 1, 2}, NULL, 16);
    builder_add_tensor(builder, "q4_0", 2, 4, (uint64_t[]){32, 1, 1, 1}, NULL, 18);
    return builder;
}

/* The bytes in a block of exactly their size, so that a byte too far is seen by the sanitizer. */
static calmoe_status read_copy(const uint8_t *bytes, size_t n_bytes, struct calmoe_context *ctx)
{
    uint8_t *copy = malloc(n_bytes > 0 ? n_bytes : 1);
    assert_non_null(copy);
    if (n_bytes > 0) memcpy(copy, bytes, n_bytes);
    const long   n_live = cm_live_blocks();
    struct model_file *file = NULL;
    ctx->message[0] = '\0';
    const calmoe_status status = cm_model_file_parse(ctx, "f.gguf", copy, n_bytes, &file);
    assert_int_equal(file != NULL, status == CALMOE_OK);
    if (file != NULL) gguf_touch(file);
    else assert_memory_equal(ctx->message, "'f.gguf'", 8);
    cm_model_file_close(&file);
    assert_int_equal(cm_live_blocks(), n_live);
    free(copy);
    return status;
}

static void cut_anywhere(void **state)
{
    (void)state;
    struct gguf_builder  *builder = rich_file();
    struct calmoe_context ctx = {0};
    size_t                n_bytes;
    const uint8_t        *bytes = builder_bytes(builder, &n_bytes);
    const size_t          n_padding = 16 - 18 % 16; /* behind the last tensor */
    for (size_t n_kept = 0; n_kept <= n_bytes; n_kept++) {
        const calmoe_status status = read_copy(bytes, n_kept, &ctx);
        assert_int_equal(status, n_kept < n_bytes - n_padding ? CALMOE_BAD_FILE : CALMOE_OK);
    }
    builder_close(&builder);
}

static void changed_anywhere(void **state)
{
    (void)state;
    struct gguf_builder  *builder = rich_file();
    struct calmoe_context ctx = {0};
    size_t                n_bytes;
    uint8_t              *bytes = (uint8_t *)(uintptr_t)builder_bytes(builder, &n_bytes);
    int                   n_refused = 0;
    for (size_t at = 0; at < n_bytes; at++) {
        const uint8_t kept = bytes[at];
        const uint8_t others[] = {0,           1,           0x7f,        0x80,       0xff,
                                  kept ^ 0x01, kept ^ 0x80, kept ^ 0xff, kept ^ 0x20};
        for (size_t i = 0; i < sizeof others; i++) {
            bytes[at] = others[i];
            const calmoe_status status = read_copy(bytes, n_bytes, &ctx);
            assert_true(status == CALMOE_OK || status == CALMOE_BAD_FILE ||
                        status == CALMOE_UNSUPPORTED);
            n_refused += status != CALMOE_OK;
        }
        bytes[at] = kept;
    }
    assert_true(n_refused > 1000);
    assert_int_equal(read_copy(bytes, n_bytes, &ctx), CALMOE_OK);
    builder_close(&builder);
}

/* A model of three shards, so that what joins them is tried too. */
static const char *write_shards(void)
{
    for (int shard = 2; shard >= 0; shard--) {
        struct gguf_builder *builder = shard == 0 ? rich_file() : builder_open();
        builder_add_u16(builder, "split.no", (uint16_t)shard);
        builder_add_u16(builder, "split.count", 3);
        builder_add_i32(builder, "split.tensors.count", 6);
        char name[64];
        snprintf(name, sizeof name, "blk.%d", shard);
        if (shard > 0) builder_add_tensor(builder, name, 0, 1, (uint64_t[]){4}, NULL, 16);
        snprintf(name, sizeof name, "m-%05d-of-00003.gguf", shard + 1);
        builder_write(builder, temp_file(folder, name));
        builder_close(&builder);
    }
    return folder->file;
}

static void memory_runs_out(void **state)
{
    (void)state;
    const char           *path = write_shards();
    struct calmoe_context ctx = {0};
    const long            n_live = cm_live_blocks();
    long                  nth = 1;
    for (calmoe_status status = CALMOE_NO_MEMORY; status != CALMOE_OK; nth++) {
        struct model_file *file = NULL;
        ctx.message[0] = '\0';
        cm_fail_request(nth);
        status = cm_model_file_open(&ctx, path, &file);
        cm_fail_request(0);
        if (status == CALMOE_OK) {
            assert_int_equal(file->n_shards, 3);
            assert_int_equal(file->n_tensors, 6);
        } else {
            assert_int_equal(status, CALMOE_NO_MEMORY);
            assert_memory_equal(ctx.message, "no memory ", 10);
            assert_null(file);
        }
        cm_model_file_close(&file);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    assert_true(nth > 50); /* it did fail at many places */
}

/* The file, made longer without writing, is refused before memory of its size is asked for. */
static void refused_at_size(struct gguf_builder *builder, off_t n_bytes, const char *message)
{
    struct calmoe_context ctx = {0};
    struct model_file          *file = NULL;
    const char           *path = temp_file(folder, "large.gguf");
    builder_write(builder, path);
    assert_int_equal(truncate(path, n_bytes), 0);
    assert_int_equal(cm_model_file_open(&ctx, path, &file), CALMOE_UNSUPPORTED);
    assert_string_equal(ctx.message, message);
    assert_null(file);
    unlink(path);
    builder_close(&builder);
}

static void much_too_large(void **state)
{
    (void)state;
    struct gguf_builder *builder = builder_open();
    builder->n_tensors_told = (1 << 20) + 1;
    refused_at_size(builder, 64 << 20,
                    "'large.gguf' has 1048577 tensors; at most 1048576 are read");

    builder = builder_open();
    builder_add_raw_entry(builder, "k", 1, META_ARRAY, NULL, 0);
    builder_put(&builder->entries, META_U8, 4);
    builder_put(&builder->entries, 600 << 20, 8);
    refused_at_size(builder, 700 << 20,
                    "'large.gguf': key 0 'k' ends at byte 629145649; "
                    "metadata is read up to byte 536870912");
}

/* Names and offsets in the order that a simple sort or search likes least; it must not take minutes. */
static void many_names(void **state)
{
    (void)state;
    enum { N = 60000 };
    struct gguf_builder *builder = builder_open();
    for (int i = 0; i < N; i++) {
        char name[64];
        snprintf(name, sizeof name, "the.same.prefix.for.each.of.the.names.%05d", N - i);
        builder_add_u8(builder, name, 1);
        builder_add_tensor(builder, name, 24, 1, (uint64_t[]){8}, NULL, 8);
    }
    for (int i = 0; i < N; i++) builder_tensor(builder, i)->offset = 32 * (uint64_t)(N - 1 - i);
    size_t                n_bytes;
    const uint8_t        *bytes = builder_bytes(builder, &n_bytes);
    struct calmoe_context ctx = {0};
    struct model_file          *file = NULL;
    assert_int_equal(cm_model_file_parse(&ctx, "f.gguf", bytes, n_bytes, &file), CALMOE_OK);
    gguf_touch(file);
    cm_model_file_close(&file);
    builder_close(&builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_anywhere),   cmocka_unit_test(changed_anywhere),
        cmocka_unit_test(memory_runs_out), cmocka_unit_test(much_too_large),
        cmocka_unit_test(many_names),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
