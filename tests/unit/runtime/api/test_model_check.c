/* test_model_check.c - calmoe_model_check(): each tensor with weights that are no numbers is named, with how many there
 * are and where the first stands, whatever its type, the number of threads, or the family of the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/calmoe.h>

#include "base/memory.h"
#include "kernels/half.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { MAX_FOUND = 8 };

static calmoe_context *context;

struct noted {
    char     name[64], place[96];
    uint64_t n_nan, n_infinite, first[4];
    int      first_is_nan;
};

struct notes {
    struct noted found[MAX_FOUND];
    int          n, n_calls, stop_at;
    double       last;
};

static void note(void *user, const calmoe_bad_tensor *tensor)
{
    struct notes *notes = user;
    assert_true(notes->n < MAX_FOUND);
    struct noted *noted = &notes->found[notes->n++];
    snprintf(noted->name, sizeof noted->name, "%s", tensor->name);
    snprintf(noted->place, sizeof noted->place, "%s", tensor->first_place);
    noted->n_nan = tensor->n_nan;
    noted->n_infinite = tensor->n_infinite;
    noted->first_is_nan = tensor->first_is_nan;
    memcpy(noted->first, tensor->first, sizeof noted->first);
}

static int on_progress(void *user, double fraction)
{
    struct notes *notes = user;
    assert_true(fraction >= notes->last && fraction <= 1.0);
    notes->last = fraction;
    return ++notes->n_calls == notes->stop_at;
}

static calmoe_status check(struct gguf_builder *builder, int n_threads, struct notes *notes)
{
    calmoe_model_options contents;
    calmoe_check_options options;
    calmoe_model *model = NULL;
    const int stop_at = notes->stop_at;
    calmoe_model_options_init(&contents);
    calmoe_check_options_init(&options);
    contents.contents_only = 1;
    options.on_bad = note;
    options.progress = on_progress;
    options.on_bad_user = options.progress_user = notes;
    options.n_threads = n_threads;
    *notes = (struct notes){.stop_at = stop_at};
    const char *path = temp_file(folder, "m.gguf");
    builder_write(builder, path);
    running_must(context, calmoe_model_open(context, path, &contents, &model));
    const calmoe_status status = calmoe_model_check(model, &options);
    calmoe_model_close(&model);
    return status;
}

static void set_float(struct gguf_builder *builder, const char *name, size_t at, float value)
{
    memcpy(tiny_tensor(builder, name)->bytes + 4 * at, &value, 4);
}

static void good_models_are_good(void **state)
{
    (void)state;
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        struct tiny_model tiny = tiny_model_wide();
        struct notes notes = {.stop_at = 0};
        for (int part = 0; part < TINY_PART_COUNT; part++) tiny.types[part] = (enum weight_type)type;
        struct gguf_builder *builder = tiny_model_build(&tiny);
        running_must(context, check(builder, 2, &notes));
        assert_int_equal(notes.n, 0);
        assert_true(notes.last == 1.0);
        builder_close(&builder);
    }
}

static void bad_floats_are_named(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_wide();
    struct gguf_builder *builder = tiny_model_build(&tiny);
    set_float(builder, "blk.0.ffn_norm.weight", 3, NAN);
    set_float(builder, "blk.1.attn_q.weight", 256 * 5 + 7, -INFINITY);
    /* far apart, so that several workers find some */
    set_float(builder, "blk.1.ffn_down_exps.weight", (7 * 256 + 255) * 256 + 255, NAN);
    set_float(builder, "blk.1.ffn_down_exps.weight", (2 * 256 + 20) * 256 + 30, INFINITY);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        struct notes notes = {.stop_at = 0};
        assert_int_equal(check(builder, n_threads, &notes), CALMOE_BAD_FILE);
        assert_string_equal(calmoe_context_message(context),
                            "'m.gguf': tensor 'blk.0.ffn_norm.weight' holds 1 NaN and 0 infinite weights, the first a "
                            "NaN at element 3");
        assert_int_equal(notes.n, 3);
        for (int i = 0; i < 3; i++) {
            const struct noted *found = &notes.found[i];
            if (strcmp(found->name, "blk.0.ffn_norm.weight") == 0) {
                assert_string_equal(found->place, "element 3");
                assert_int_equal(found->n_nan, 1);
            } else if (strcmp(found->name, "blk.1.attn_q.weight") == 0) {
                assert_string_equal(found->place, "row 5, column 7");
                assert_int_equal(found->n_infinite, 1);
            } else {
                assert_string_equal(found->name, "blk.1.ffn_down_exps.weight");
                assert_string_equal(found->place, "expert 2, row 20, column 30");
                assert_int_equal(found->n_nan, 1);
                assert_int_equal(found->n_infinite, 1);
                assert_false(found->first_is_nan);
                assert_memory_equal(found->first, ((uint64_t[]){30, 20, 2, 0}), sizeof found->first);
            }
        }
    }
    builder_close(&builder);
}

/* A scale that is no number makes all weights of its block none. */
static void bad_scales_are_named(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_wide();
    tiny.types[TINY_UP] = WEIGHT_Q4_K;
    struct gguf_builder *builder = tiny_model_build(&tiny);
    cm_store_u16(tiny_tensor(builder, "blk.0.ffn_up_exps.weight")->bytes + (size_t)144 * (256 * 3 + 9), 0x7e00);
    struct notes notes = {.stop_at = 0};
    assert_int_equal(check(builder, 2, &notes), CALMOE_BAD_FILE);
    assert_int_equal(notes.n, 1);
    assert_int_equal(notes.found[0].n_nan, 256);
    assert_string_equal(notes.found[0].place, "expert 3, row 9, column 0");
    builder_close(&builder);
}

static void what_cannot_be_read_is_said(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_wide();
    struct gguf_builder *builder = tiny_model_build(&tiny);
    struct notes notes = {.stop_at = 0};
    builder_add_tensor(builder, "ids", 26, 1, (uint64_t[]){4}, NULL, 16);
    running_must(context, check(builder, 1, &notes));
    builder_add_tensor(builder, "small.weight", 40, 1, (uint64_t[]){256}, NULL, 144);
    assert_int_equal(check(builder, 1, &notes), CALMOE_UNSUPPORTED);
    assert_string_equal(calmoe_context_message(context),
                        "tensor 'small.weight' has type nvfp4; weights of that type are not read by this version, "
                        "nor checked");
    set_float(builder, "blk.0.ffn_norm.weight", 3, NAN);
    assert_int_equal(check(builder, 1, &notes), CALMOE_BAD_FILE);
    builder_close(&builder);
}

static void checks_can_be_stopped(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_wide();
    struct gguf_builder *builder = tiny_model_build(&tiny);
    struct notes notes = {.stop_at = 0};
    running_must(context, check(builder, 1, &notes));
    const int n_calls = notes.n_calls;
    assert_true(n_calls > 3);
    for (int stop_at = 1; stop_at <= n_calls; stop_at++) {
        notes.stop_at = stop_at;
        assert_int_equal(check(builder, 1, &notes), CALMOE_CANCELLED);
    }
    builder_close(&builder);
}

static void wrong_arguments(void **state)
{
    (void)state;
    calmoe_check_options options;
    calmoe_model *model = NULL;
    const struct tiny_model tiny = tiny_model();
    const char *path = temp_file(folder, "m.gguf");
    tiny_model_write(&tiny, path);
    assert_int_equal(calmoe_model_check(NULL, NULL), CALMOE_INVALID_ARGUMENT);
    running_must(context, calmoe_model_open(context, path, NULL, &model));
    running_must(context, calmoe_model_check(model, NULL));
    calmoe_check_options_init(&options);
    options.n_threads = -1;
    assert_int_equal(calmoe_model_check(model, &options), CALMOE_INVALID_ARGUMENT);
    calmoe_model_close(&model);
}

static int set_up(void **state)
{
    open_folder(state);
    return calmoe_context_open(NULL, &context) == CALMOE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    calmoe_context_close(&context);
    return close_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_models_are_good),
        cmocka_unit_test(bad_floats_are_named),
        cmocka_unit_test(bad_scales_are_named),
        cmocka_unit_test(what_cannot_be_read_is_said),
        cmocka_unit_test(checks_can_be_stopped),
        cmocka_unit_test(wrong_arguments),
    };
    return cmocka_run_group_tests_name("model check", tests, set_up, tear_down);
}
