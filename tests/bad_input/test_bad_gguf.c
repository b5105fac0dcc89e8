/* test_bad_gguf.c - GGUF files with one fault each: the status and the very sentence that come back.
 *
 * The faults are listed in bad_gguf_list.inc. Each is read from memory and from a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/temp_folder.h"

enum { ALL = -1 };

struct fault {
    const char *name;
    void (*bend)(struct gguf_builder *builder);
    int           n_keep; /* bytes of the file that stay; ALL */
    calmoe_status status;
    const char   *message;
};

/* ---- what the list is made of ---- */

static void add_tensor(struct gguf_builder *builder, uint32_t file_id, uint32_t n_dims,
                       uint64_t ne0, uint64_t ne1, uint64_t ne2, uint64_t ne3)
{
    const uint64_t shape[] = {ne0, ne1, ne2, ne3};
    builder_add_tensor(builder, "c", file_id, n_dims, shape, NULL, 32);
}

/* 128 bytes of header and descriptions, then 64 bytes of data. */
static struct gguf_builder *good_file(void)
{
    struct gguf_builder *builder = builder_open();
    builder_add_string(builder, "general.architecture", "toy");
    builder_add_tensor(builder, "a", 0, 1, (uint64_t[]){8}, NULL, 32);
    builder_add_tensor(builder, "b", 0, 2, (uint64_t[]){4, 2}, NULL, 32);
    return builder;
}

static void add_key(struct gguf_builder *builder, const char *key, size_t n_bytes)
{
    builder_add_raw_entry(builder, key, n_bytes, META_U8, "\1", 1);
}

static void add_long_key(struct gguf_builder *builder, size_t n_bytes)
{
    static char key[70000];
    memset(key, 'k', sizeof key);
    add_key(builder, key, n_bytes);
}

/* A key whose length is a lie. */
static void add_key_length(struct gguf_builder *builder, uint64_t n_bytes)
{
    builder_put(&builder->entries, n_bytes, 8);
    builder_put_string(&builder->entries, "filler", 6);
    builder->n_entries++;
}

static void add_value(struct gguf_builder *builder, uint32_t type, const void *value, size_t n_bytes)
{
    builder_add_raw_entry(builder, "k", 1, type, value, n_bytes);
}

/* An array of which 18 bytes are there, whatever it announces. */
static void add_array(struct gguf_builder *builder, uint32_t element_type, uint64_t count)
{
    add_value(builder, META_ARRAY, NULL, 0);
    builder_put(&builder->entries, element_type, 4);
    builder_put(&builder->entries, count, 8);
    builder_put_string(&builder->entries, "0123456789", 10);
}

static void add_two_strings(struct gguf_builder *builder, uint64_t length_of_second)
{
    add_value(builder, META_ARRAY, NULL, 0);
    builder_put(&builder->entries, META_STRING, 4);
    builder_put(&builder->entries, 2, 8);
    builder_put_string(&builder->entries, "good", 4);
    builder_put(&builder->entries, length_of_second, 8);
}

static void add_filler(struct gguf_builder *builder)
{
    static const uint8_t zeros[14 * 65537];
    builder_add_array(builder, "filler", META_U8, zeros, sizeof zeros);
}

static void remove_tensors(struct gguf_builder *builder)
{
    builder_clear_tensors(builder);
    builder_add_string(builder, "k", "long enough for one more key or tensor");
}

static void set_name(struct gguf_builder *builder, const char *name, size_t n_bytes)
{
    builder_rename_tensor(builder, 1, name, n_bytes);
}

static void set_n_dims(struct gguf_builder *builder, uint32_t n_dims)
{
    builder_tensor(builder, 1)->n_dims = n_dims;
}

static void set_shape(struct gguf_builder *builder, int tensor, int d, uint64_t n)
{
    builder_tensor(builder, tensor)->shape[d] = n;
}

static void set_offset(struct gguf_builder *builder, int tensor, uint64_t offset)
{
    builder_tensor(builder, tensor)->offset = offset;
}

#define FAULT(name, n_keep, status, message, ...) \
    static void name(struct gguf_builder *builder) \
    {                                             \
        (void)builder;                            \
        __VA_ARGS__;                              \
    }
#include "tests/bad_input/bad_gguf_list.inc"
#undef FAULT

static const struct fault faults[] = {
#define FAULT(name, n_keep, status, message, ...) {#name, name, n_keep, CALMOE_##status, message},
#include "tests/bad_input/bad_gguf_list.inc"
#undef FAULT
};

enum { N_FAULTS = sizeof faults / sizeof faults[0] };

/* ---- the tests ---- */

static const uint8_t *bytes_of(const struct fault *fault, struct gguf_builder *builder,
                               size_t *n_bytes)
{
    fault->bend(builder);
    const uint8_t *bytes = builder_bytes(builder, n_bytes);
    if (fault->n_keep != ALL) *n_bytes = (size_t)fault->n_keep;
    return bytes;
}

/* True when the answer was the wanted one; else says what it was. */
static bool is_told(const struct fault *fault, const char *where, calmoe_status status,
                    const struct calmoe_context *ctx)
{
    if (status == fault->status && strcmp(ctx->message, fault->message) == 0) return true;
    print_error("%s, %s:\n  found  %s: %s\n  wanted %s: %s\n", fault->name, where,
                calmoe_status_name(status), ctx->message, calmoe_status_name(fault->status),
                fault->message);
    return false;
}

static void each_fault_is_told(struct temp_folder *folder)
{
    int n_wrong = 0;
    for (size_t i = 0; i < N_FAULTS; i++) {
        struct gguf_builder  *builder = good_file();
        struct calmoe_context ctx = {0};
        struct model_file          *file = NULL;
        const long            n_live = cm_live_blocks();
        size_t                n_bytes;
        const uint8_t        *bytes = bytes_of(&faults[i], builder, &n_bytes);
        calmoe_status         status;
        if (folder != NULL)
            status = cm_model_file_open(&ctx, temp_file_with(folder, "f.gguf", bytes, n_bytes), &file);
        else
            status = cm_model_file_parse(&ctx, "a/folder/f.gguf", bytes, n_bytes, &file);
        n_wrong += !is_told(&faults[i], folder != NULL ? "in a file" : "in memory", status, &ctx);
        assert_null(file);
        assert_int_equal(cm_live_blocks(), n_live);
        builder_close(&builder);
    }
    assert_int_equal(n_wrong, 0);
}

static void each_fault_is_told_in_memory(void **state)
{
    (void)state;
    each_fault_is_told(NULL);
}

static void each_fault_is_told_in_a_file(void **state)
{
    each_fault_is_told(*state);
}

/* So that each row fails for its own fault. */
static void good_file_is_good(void **state)
{
    (void)state;
    struct gguf_builder  *builder = good_file();
    size_t                n_bytes;
    const uint8_t        *bytes = builder_bytes(builder, &n_bytes);
    struct calmoe_context ctx = {0};
    struct model_file          *file = NULL;
    assert_int_equal(cm_model_file_parse(&ctx, "f.gguf", bytes, n_bytes, &file), CALMOE_OK);
    cm_model_file_close(&file);
    assert_null(file);
    builder_close(&builder);
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
        cmocka_unit_test(good_file_is_good),
        cmocka_unit_test(each_fault_is_told_in_memory),
        cmocka_unit_test(each_fault_is_told_in_a_file),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
