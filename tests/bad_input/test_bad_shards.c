/* test_bad_shards.c - models split over several GGUF files, of which one is wrong, renamed or gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/folder_fixture.h"

enum { N_SHARDS = 3 };

struct split { /* what the files of one case say; as given where there is no fault */
    int64_t     number[N_SHARDS];
    int64_t     count[N_SHARDS];
    int64_t     n_tensors; /* told by shard 0; -1 = the key is missing */
    const char *name[N_SHARDS];
    const char *tensor[N_SHARDS];
    int         n_bytes_of_third; /* cut to that; -1 = whole, 0 with no name = no file */
    const char *open;
};

static struct split good_split(void)
{
    return (struct split){.number = {0, 1, 2},
                          .count = {3, 3, 3},
                          .n_tensors = 3,
                          .name = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                   "m-00003-of-00003.gguf"},
                          .tensor = {"a", "b", "c"},
                          .n_bytes_of_third = -1,
                          .open = "m-00001-of-00003.gguf"};
}

#define SPLITS(X)                                                                                  \
    X(opened_at_second, INVALID_ARGUMENT,                                                          \
      "'m-00002-of-00003.gguf' is shard 2 of 3; open 'm-00001-of-00003.gguf'",                     \
      split->open = "m-00002-of-00003.gguf")                                                       \
    X(opened_at_renamed_second, INVALID_ARGUMENT, "'b.gguf' is shard 2 of 3; open the first one",  \
      split->name[1] = split->open = "b.gguf")                                                     \
    X(first_renamed, BAD_FILE,                                                                     \
      "'m.gguf' is shard 1 of 3, but its name does not end in '-00001-of-00003.gguf', "            \
      "so the others cannot be found",                                                             \
      split->name[0] = split->open = "m.gguf")                                                     \
    X(third_missing, IO,                                                                           \
      "'m-00001-of-00003.gguf' is the first of 3 shards, but shard 3 is missing: "                 \
      "cannot open 'FOLDER/m-00003-of-00003.gguf': No such file or directory",                     \
      split->name[2] = NULL)                                                                       \
    X(third_broken, BAD_FILE, "'m-00003-of-00003.gguf' ends at byte 60, inside key 1",             \
      split->n_bytes_of_third = 60)                                                                \
    X(swapped, BAD_FILE,                                                                           \
      "'m-00002-of-00003.gguf' says that it is shard 3 of 3; wanted shard 2 of 3",                 \
      split->name[1] = "m-00003-of-00003.gguf"; split->name[2] = "m-00002-of-00003.gguf")          \
    X(other_split, BAD_FILE,                                                                       \
      "'m-00003-of-00003.gguf' says that it is shard 3 of 4; wanted shard 3 of 3",                 \
      split->count[2] = 4)                                                                         \
    X(number_too_large, BAD_FILE,                                                                  \
      "'m-00003-of-00003.gguf': key 'split.no' is 3; wanted 0 to 2", split->number[2] = 3)         \
    X(count_too_large, BAD_FILE,                                                                   \
      "'m-00001-of-00003.gguf': key 'split.count' is 1025; wanted 0 to 1024",                      \
      split->count[0] = 1025)                                                                      \
    X(count_other_than_name, BAD_FILE,                                                             \
      "'m-00001-of-00003.gguf' is shard 1 of 2, but its name does not end in "                     \
      "'-00001-of-00002.gguf', so the others cannot be found",                                     \
      split->count[0] = 2)                                                                         \
    X(total_missing, BAD_FILE,                                                                     \
      "'m-00001-of-00003.gguf': key 'split.tensors.count' is missing; wanted an integer",          \
      split->n_tensors = -1)                                                                       \
    X(total_too_large, BAD_FILE,                                                                   \
      "'m-00001-of-00003.gguf' announces 4 tensors; its 3 shards hold 3", split->n_tensors = 4)    \
    X(total_too_small, BAD_FILE,                                                                   \
      "'m-00001-of-00003.gguf' announces 2 tensors; its 3 shards hold 3", split->n_tensors = 2)    \
    X(tensor_twice, BAD_FILE,                                                                      \
      "'m-00001-of-00003.gguf': shards 2 and 3 both hold a tensor 'b'", split->tensor[2] = "b")

#define DEFINE(name, status, message, ...) \
    static void name(struct split *split) \
    {                                     \
        __VA_ARGS__;                      \
    }
SPLITS(DEFINE)

static const struct {
    const char *name;
    void (*bend)(struct split *split);
    calmoe_status status;
    const char   *message;
} faults[] = {
#define ROW(name, status, message, ...) {#name, name, CALMOE_##status, message},
    SPLITS(ROW)
};

static void write_split(const struct split *split)
{
    for (int shard = 0; shard < N_SHARDS; shard++) {
        if (split->name[shard] == NULL) continue;
        struct gguf_builder *builder = builder_open();
        builder_add_u16(builder, "split.no", (uint16_t)split->number[shard]);
        builder_add_u16(builder, "split.count", (uint16_t)split->count[shard]);
        if (shard == 0 && split->n_tensors >= 0)
            builder_add_i32(builder, "split.tensors.count", (int32_t)split->n_tensors);
        const float values[4] = {(float)shard, 1, 2, 3};
        builder_add_tensor_f32(builder, split->tensor[shard], 1, (uint64_t[]){4}, values);
        if (shard == 2 && split->n_bytes_of_third >= 0) builder_clear_tensors(builder);
        size_t         n_bytes;
        const uint8_t *bytes = builder_bytes(builder, &n_bytes);
        if (shard == 2 && split->n_bytes_of_third >= 0) n_bytes = (size_t)split->n_bytes_of_third;
        temp_file_with(folder, split->name[shard], bytes, n_bytes);
        builder_close(&builder);
    }
}

static void remove_split(const struct split *split)
{
    for (int shard = 0; shard < N_SHARDS; shard++)
        if (split->name[shard] != NULL) unlink(temp_file(folder, split->name[shard]));
}

/* The sentence with the folder's path put in for FOLDER. */
static void expected(char *text, size_t n_bytes, const char *message)
{
    const char *place = strstr(message, "FOLDER");
    if (place == NULL) snprintf(text, n_bytes, "%s", message);
    else snprintf(text, n_bytes, "%.*s%s%s", (int)(place - message), message, folder->path, place + 6);
}

static void each_fault_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct split          split = good_split();
        struct calmoe_context ctx = {0};
        struct model_file          *file = NULL;
        char                  wanted[CM_MESSAGE_BYTES];
        const long            n_live = cm_live_blocks();
        faults[i].bend(&split);
        write_split(&split);
        expected(wanted, sizeof wanted, faults[i].message);
        print_message("%s\n", faults[i].name);
        assert_int_equal(cm_model_file_open(&ctx, temp_file(folder, split.open), &file), faults[i].status);
        assert_string_equal(ctx.message, wanted);
        assert_null(file);
        assert_int_equal(cm_live_blocks(), n_live);
        remove_split(&split);
    }
}

static void good_split_is_one_model(void **state)
{
    (void)state;
    struct split          split = good_split();
    struct calmoe_context ctx = {0};
    struct model_file          *file = NULL;
    const long            n_live = cm_live_blocks();
    write_split(&split);
    assert_int_equal(cm_model_file_open(&ctx, temp_file(folder, split.open), &file), CALMOE_OK);
    assert_int_equal(file->n_shards, 3);
    assert_int_equal(file->n_tensors, 3);
    assert_int_equal(file->n_entries, 3); /* of shard 0 */
    uint64_t n_file_bytes = 0;
    for (int shard = 0; shard < N_SHARDS; shard++) {
        const struct file_tensor *tensor = cm_file_tensor(file, split.tensor[shard]);
        assert_non_null(tensor);
        assert_int_equal(tensor->shard, shard);
        float first;
        memcpy(&first, tensor->bytes, sizeof first);
        assert_true(first == (float)shard);
        assert_true(tensor->bytes > file->maps[shard].bytes);
        n_file_bytes += file->maps[shard].n_bytes;
    }
    assert_int_equal(file->n_file_bytes, n_file_bytes);
    cm_model_file_close(&file);
    assert_int_equal(cm_live_blocks(), n_live);
    remove_split(&split);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_split_is_one_model),
        cmocka_unit_test(each_fault_is_told),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
