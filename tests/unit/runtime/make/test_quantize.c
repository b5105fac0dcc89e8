/* test_quantize.c - calmoe_quantize(): what it writes loads, keeps its shapes and metadata, and is as near to the
 * original as the type allows; and what it refuses leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <calmoe/quantize.h>

#include "base/memory.h"
#include "runtime/load/model_file.h"
#include "tests/support/running.h"
#include "tests/support/context_fixture.h"
#include "tests/support/tiny_model.h"

static char in_path[600], out_path[600], part_path[700];

/* How far the values may be from the original: root of the mean square, as a part of the original's. */
static const struct {
    const char *name;
    uint32_t    file_type;
    double      limit;
} types[] = {{"q8_0", 7, 0.006},  {"q4_0", 2, 0.10}, {"q4_k", 14, 0.085},
             {"q6_k", 18, 0.025}, {"f16", 1, 3e-4},  {"bf16", 32, 2.5e-3}, {"f32", 0, 0.0}};

enum { N_TYPES = sizeof types / sizeof *types };

static void write_wide(int expert_width, bool is_tied)
{
    struct tiny_model tiny = tiny_model_wide();
    tiny.expert_width = expert_width;
    tiny.is_tied = is_tied;
    tiny.n_layers = 1;
    tiny_model_write(&tiny, in_path);
}

static void quantize(const char *type)
{
    unlink(out_path);
    running_must(context, calmoe_quantize(context, in_path, out_path, type, NULL, NULL));
    assert_int_not_equal(access(part_path, F_OK), 0);
}

static struct model_file *open_gguf(const char *path)
{
    struct model_file *file = NULL;
    running_must(context, cm_model_file_open(context, path, &file));
    return file;
}

/* Root of the mean square of the difference, as a part of the original's. */
static double error_of(const struct file_tensor *a, const struct file_tensor *b)
{
    size_t n = 1;
    double squares = 0.0, differences = 0.0;
    for (int d = 0; d < a->n_dims; d++) n *= (size_t)a->shape[d];
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    assert_true(x && y);
    cm_weight_types[a->type].dequantize(a->bytes, x, n / (size_t)cm_weight_types[a->type].n_elements);
    cm_weight_types[b->type].dequantize(b->bytes, y, n / (size_t)cm_weight_types[b->type].n_elements);
    for (size_t i = 0; i < n; i++) {
        squares += (double)x[i] * (double)x[i];
        differences += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    }
    free(x);
    free(y);
    return sqrt(differences / squares);
}

static const char *type_name(const struct model_file *file, const char *tensor)
{
    const struct file_tensor *found = cm_file_tensor(file, tensor);
    assert_non_null(found);
    return cm_weight_types[found->type].name;
}

static void check_metadata(const struct model_file *from, const struct model_file *to, uint32_t file_type)
{
    int64_t value = -1;
    for (uint64_t i = 0; i < from->n_entries; i++) {
        const struct meta_entry *a = &from->entries[i], *b = cm_meta_entry(to, a->key);
        if (strcmp(a->key, "general.file_type") == 0) continue;
        assert_non_null(b);
        assert_int_equal(b->type, a->type);
        assert_int_equal(b->count, a->count);
        for (uint64_t j = 0; j < a->count; j++) {
            if (!a->strings) {
                assert_true(cm_meta_element_float(a, j) == cm_meta_element_float(b, j));
                continue;
            }
            assert_int_equal(a->strings[j].n_bytes, b->strings[j].n_bytes);
            assert_memory_equal(a->strings[j].bytes, b->strings[j].bytes, (size_t)a->strings[j].n_bytes);
        }
    }
    running_must(context, cm_meta_need_int(context, to, "general.file_type", 0, 1000, &value));
    assert_int_equal(value, file_type);
    running_must(context, cm_meta_need_int(context, to, "general.quantization_version", 0, 1000, &value));
    assert_int_equal(value, 2);
}

static void each_type(void **state)
{
    (void)state;
    write_wide(256, false);
    struct model_file *from = open_gguf(in_path);
    for (int t = 0; t < N_TYPES; t++) {
        double worst = 0.0;
        quantize(types[t].name);
        struct model_file *to = open_gguf(out_path);
        check_metadata(from, to, types[t].file_type);
        assert_int_equal(to->n_tensors, from->n_tensors);
        for (uint64_t i = 0; i < from->n_tensors; i++) {
            const struct file_tensor *a = &from->tensors[i], *b = &to->tensors[i];
            assert_string_equal(a->name, b->name);
            assert_memory_equal(a->shape, b->shape, sizeof a->shape);
            const bool stays = a->n_dims == 1 || strstr(a->name, "_norm") || strstr(a->name, "ffn_gate_inp");
            const bool is_finer = strcmp(types[t].name, "q4_k") == 0 && strcmp(a->name, "output.weight") == 0;
            assert_string_equal(cm_weight_types[b->type].name, stays ? "f32" : is_finer ? "q6_k" : types[t].name);
            const double error = error_of(a, b);
            if (stays) assert_true(error == 0.0);
            if (error > worst) worst = error;
        }
        printf("%s: relative error %.2g\n", types[t].name, worst);
        if (!(worst <= types[t].limit && (worst > 0.0 || types[t].limit == 0.0)))
            fail_msg("%s: relative error %.3g", types[t].name, worst);
        cm_model_file_close(&to);
    }
    cm_model_file_close(&from);
}

/* Rows that the type's blocks do not divide: blocks of 32, else as they are. */
static void rows_that_blocks_do_not_divide(void **state)
{
    (void)state;
    write_wide(96, false);
    quantize("q4_k");
    struct model_file *to = open_gguf(out_path);
    assert_string_equal(type_name(to, "blk.0.ffn_gate_exps.weight"), "q4_k");
    assert_string_equal(type_name(to, "blk.0.ffn_down_exps.weight"), "q8_0");
    cm_model_file_close(&to);
    write_wide(20, false);
    quantize("q4_0");
    to = open_gguf(out_path);
    assert_string_equal(type_name(to, "blk.0.ffn_gate_exps.weight"), "q4_0");
    assert_string_equal(type_name(to, "blk.0.ffn_down_exps.weight"), "f32");
    cm_model_file_close(&to);
    const calmoe_engine_options options = running_options(1, NULL);
    struct running r = running_open(out_path, &options, NULL); /* and it runs */
    running_close(&r);
}

static void a_tied_embedding_is_the_head(void **state)
{
    (void)state;
    write_wide(256, true);
    quantize("q4_k");
    struct model_file *to = open_gguf(out_path);
    assert_string_equal(type_name(to, "token_embd.weight"), "q6_k");
    assert_string_equal(type_name(to, "blk.0.attn_q.weight"), "q4_k");
    cm_model_file_close(&to);
}

/* Few numbers by which much is multiplied. */
static void taps_and_norms_keep_their_type(void **state)
{
    (void)state;
    static const struct { const char *golden, *kept[2], *converted; } rows[] = {
        {"lfm2", {"blk.0.shortconv.conv.weight", "blk.0.attn_norm.weight"}, "blk.0.shortconv.in_proj.weight"},
        {"nemotronh", {"blk.0.ssm_conv1d.weight", "blk.0.ssm_norm.weight"}, "blk.0.ssm_in.weight"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char golden[600];
        snprintf(golden, sizeof golden, CALMOE_SOURCE_DIR "/tests/golden/%s.gguf", rows[i].golden);
        unlink(out_path);
        running_must(context, calmoe_quantize(context, golden, out_path, "f16", NULL, NULL));
        struct model_file *to = open_gguf(out_path);
        for (int k = 0; k < 2; k++) assert_string_equal(type_name(to, rows[i].kept[k]), "f32");
        assert_string_equal(type_name(to, rows[i].converted), "f16");
        cm_model_file_close(&to);
    }
}

/* ---- what is quantized already ---- */

struct told {
    int n[CALMOE_N_TENSOR_FATES];
};

static void count_fates(void *user, const calmoe_quantized_tensor *tensor)
{
    struct told *told = user;
    told->n[tensor->fate]++;
    assert_true(tensor->n_columns > 0 && tensor->block > 0 && tensor->name[0] && tensor->from[0] && tensor->to[0]);
    if (tensor->fate == CALMOE_TENSOR_KEPT || tensor->fate == CALMOE_TENSOR_QUANTIZED ||
        tensor->fate == CALMOE_TENSOR_UNCHANGED)
        assert_string_equal(tensor->from, tensor->to);
}

static calmoe_status quantize_as(const char *in, const char *type, int quantized, struct told *told,
                                 calmoe_quantize_result *result)
{
    calmoe_quantize_options options;
    calmoe_quantize_options_init(&options);
    options.quantized = quantized;
    options.on_tensor = count_fates;
    options.on_tensor_user = told;
    options.n_threads = 2;
    *told = (struct told){{0}};
    *result = (calmoe_quantize_result){.size = sizeof *result};
    unlink(out_path);
    return calmoe_quantize(context, in, out_path, type, &options, result);
}

static void check_same_bytes(const char *path)
{
    struct model_file *from = open_gguf(path), *to = open_gguf(out_path);
    assert_int_equal(from->n_tensors, to->n_tensors);
    for (uint64_t i = 0; i < from->n_tensors; i++) {
        assert_int_equal(from->tensors[i].file_id, to->tensors[i].file_id);
        assert_memory_equal(from->tensors[i].bytes, to->tensors[i].bytes, (size_t)from->tensors[i].n_bytes);
    }
    cm_model_file_close(&to);
    cm_model_file_close(&from);
}

static int64_t file_type_of(const char *path)
{
    int64_t type = -1;
    struct model_file *file = open_gguf(path);
    running_must(context, cm_meta_need_int(context, file, "general.file_type", 0, 1000, &type));
    cm_model_file_close(&file);
    return type;
}

static void quantized_twice(void **state)
{
    (void)state;
    char first[700];
    struct told told;
    calmoe_quantize_result result;
    write_wide(256, false);
    quantize("q4_0");
    snprintf(first, sizeof first, "%s", temp_file(folder, "first.gguf"));
    assert_int_equal(rename(out_path, first), 0);

    assert_int_equal(quantize_as(first, "q8_0", CALMOE_QUANTIZED_REFUSE, &told, &result), CALMOE_UNSUPPORTED);
    assert_non_null(strstr(calmoe_context_message(context),
                           "'first.gguf' is quantized already: 12 of its tensors, such as 'token_embd.weight' (q4_0)"));
    assert_int_not_equal(access(out_path, F_OK), 0);

    running_must(context, quantize_as(first, "q8_0", CALMOE_QUANTIZED_KEEP, &told, &result));
    assert_int_equal(told.n[CALMOE_TENSOR_QUANTIZED], 12);
    assert_int_equal(told.n[CALMOE_TENSOR_CONVERTED], 0);
    assert_string_equal(result.type, "q4_0");
    assert_int_equal(file_type_of(out_path), 2);
    check_same_bytes(first);

    running_must(context, quantize_as(first, "q4_0", CALMOE_QUANTIZED_REFUSE, &told, &result)); /* nothing to do */
    assert_int_equal(told.n[CALMOE_TENSOR_UNCHANGED], 12);
    assert_true(result.relative_error == 0.0 && result.n_requantized == 0);
    check_same_bytes(first);

    running_must(context, quantize_as(first, "q8_0", CALMOE_QUANTIZED_CONVERT, &told, &result));
    assert_int_equal(told.n[CALMOE_TENSOR_CONVERTED], 12);
    assert_int_equal(result.n_requantized, 12);
    assert_true(result.relative_error > 0.0 && result.relative_error < 0.01);
    assert_string_equal(result.type, "q8_0");
    assert_int_equal(file_type_of(out_path), 7);
    struct model_file *from = open_gguf(first), *to = open_gguf(out_path);
    const char *const name = "blk.0.attn_q.weight";
    const double error = error_of(cm_file_tensor(from, name), cm_file_tensor(to, name));
    assert_true(error > 0.0 && error < 0.01);
    cm_model_file_close(&to);
    cm_model_file_close(&from);
}

/* general.file_type is what most weights are, not what was wanted. */
static void fallbacks_are_told(void **state)
{
    (void)state;
    struct told told;
    calmoe_quantize_result result;
    struct tiny_model tiny = tiny_model_wide();
    tiny.dim = 96;
    tiny.expert_width = tiny.shared_width = 96;
    tiny_model_write(&tiny, in_path);
    running_must(context, quantize_as(in_path, "q4_k", CALMOE_QUANTIZED_REFUSE, &told, &result));
    assert_int_equal(told.n[CALMOE_TENSOR_CONVERTED], 2); /* attn_output, whose rows are 256 wide */
    assert_int_equal(told.n[CALMOE_TENSOR_FALLBACK], 2 + 2 * 9);
    assert_string_equal(result.type, "q8_0");
    assert_int_equal(file_type_of(out_path), 7);
    struct stat file;
    assert_int_equal(stat(out_path, &file), 0);
    assert_true(result.n_bytes > 0 && result.n_bytes < (uint64_t)file.st_size);
}

/* ---- numbers that are none ---- */

static void check_bad_number(const char *tensor, size_t at, float value, const char *type, const char *sentence)
{
    struct told told;
    calmoe_quantize_result result;
    struct tiny_model tiny = tiny_model_wide();
    struct gguf_builder *builder = tiny_model_build(&tiny);
    const long live = cm_live_blocks();
    memcpy(tiny_tensor(builder, tensor)->bytes + 4 * at, &value, 4);
    builder_write(builder, in_path);
    builder_close(&builder);
    assert_int_equal(quantize_as(in_path, type, CALMOE_QUANTIZED_REFUSE, &told, &result), CALMOE_BAD_FILE);
    assert_string_equal(calmoe_context_message(context), sentence);
    assert_int_equal(cm_live_blocks(), live);
    assert_int_not_equal(access(out_path, F_OK), 0);
    assert_int_not_equal(access(part_path, F_OK), 0);
}

static void numbers_that_are_none(void **state)
{
    (void)state;
    check_bad_number("blk.1.attn_norm.weight", 2, NAN, "q8_0",
                     "'in.gguf': tensor 'blk.1.attn_norm.weight' holds 1 NaN and 0 infinite weights, the first a NaN "
                     "at element 2");
    check_bad_number("blk.1.ffn_up_exps.weight", (256 * 3 + 4) * 256 + 5, -INFINITY, "q4_k",
                     "'in.gguf': tensor 'blk.1.ffn_up_exps.weight' holds 0 NaN and 1 infinite weights, the first "
                     "infinite at expert 3, row 4, column 5");
}

static void numbers_that_do_not_fit(void **state)
{
    (void)state;
    check_bad_number("blk.0.attn_k.weight", 256 * 6 + 7, 65520.0f, "f16",
                     "'in.gguf': tensor 'blk.0.attn_k.weight' has a weight that is too large for f16: 65520 at row 6, "
                     "column 7");
    static const char *const others[] = {"q8_0", "q4_0", "q4_k", "q6_k"};
    for (int i = 0; i < 4; i++) {
        char sentence[256];
        snprintf(sentence, sizeof sentence,
                 "'in.gguf': tensor 'blk.0.attn_k.weight' has a weight that is too large for %s: -3e+38 at row 6, "
                 "column 7",
                 others[i]);
        check_bad_number("blk.0.attn_k.weight", 256 * 6 + 7, -3e38f, others[i], sentence);
    }
    struct told told;
    calmoe_quantize_result result;
    running_must(context, quantize_as(in_path, "bf16", CALMOE_QUANTIZED_REFUSE, &told, &result));
}

/* The alignment that the original names is not that of the copy. */
static void another_alignment(void **state)
{
    (void)state;
    for (uint32_t alignment = 8; alignment <= 4096; alignment *= 8) {
        struct gguf_builder *builder = builder_open();
        float values[40];
        for (int i = 0; i < 40; i++) values[i] = (float)(i + 1);
        builder_add_string(builder, "general.architecture", "toy");
        builder_set_alignment(builder, alignment);
        builder_add_tensor_f32(builder, "a.bias", 1, (uint64_t[]){5}, values);
        builder_add_tensor_f32(builder, "b.weight", 2, (uint64_t[]){5, 3}, values);
        builder_add_tensor_f32(builder, "c.weight", 2, (uint64_t[]){4, 10}, values);
        builder_write(builder, in_path);
        builder_close(&builder);
        quantize("f16");
        struct model_file *from = open_gguf(in_path), *to = open_gguf(out_path);
        for (uint64_t i = 0; i < 3; i++) assert_true(error_of(&from->tensors[i], &to->tensors[i]) == 0.0);
        cm_model_file_close(&to);
        cm_model_file_close(&from);
    }
}

/* ---- refusals ---- */

static void check_refused(const char *in, const char *out, calmoe_status status, const char *part_of_sentence)
{
    const long live = cm_live_blocks();
    assert_int_equal(calmoe_quantize(context, in, out, "q8_0", NULL, NULL), status);
    if (!strstr(calmoe_context_message(context), part_of_sentence))
        fail_msg("'%s' is not in '%s'", part_of_sentence, calmoe_context_message(context));
    assert_int_equal(cm_live_blocks(), live);
}

static void what_is_refused(void **state)
{
    (void)state;
    char link_path[700], text_path[700];
    struct stat before, after;
    write_wide(256, false);
    unlink(out_path);
    assert_int_equal(stat(in_path, &before), 0);
    check_refused(in_path, in_path, CALMOE_INVALID_ARGUMENT, "is a file of the model that is read");
    snprintf(link_path, sizeof link_path, "%s", temp_file(folder, "link.gguf"));
    assert_int_equal(symlink(in_path, link_path), 0);
    check_refused(in_path, link_path, CALMOE_INVALID_ARGUMENT, "is a file of the model that is read");
    check_refused("/nowhere/in.gguf", out_path, CALMOE_IO, "/nowhere/in.gguf");
    check_refused(in_path, "/nowhere/out.gguf", CALMOE_IO, "cannot write '/nowhere/out.gguf");
    check_refused(in_path, folder->path, CALMOE_INVALID_ARGUMENT, "it is no regular file");
    check_refused(in_path, "/dev/null", CALMOE_INVALID_ARGUMENT, "cannot write '/dev/null': it is no regular file");
    snprintf(text_path, sizeof text_path, "%s", temp_file_with(folder, "text.gguf", "hello", 5));
    check_refused(text_path, out_path, CALMOE_BAD_FILE, "'text.gguf' is a text, not a model");
    assert_int_equal(stat(in_path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_not_equal(access(out_path, F_OK), 0);
    assert_int_not_equal(access(part_path, F_OK), 0);
    char folder_part[700];
    snprintf(folder_part, sizeof folder_part, "%s.part", folder->path);
    assert_int_not_equal(access(folder_part, F_OK), 0);
}

struct progress {
    double last;
    int    n_calls, stop_at;
};

static int on_progress(void *user, double fraction)
{
    struct progress *progress = user;
    assert_true(fraction >= progress->last && fraction >= 0.0 && fraction <= 1.0);
    progress->last = fraction;
    return ++progress->n_calls == progress->stop_at;
}

static calmoe_status quantize_watched(const char *type, struct progress *progress)
{
    calmoe_quantize_options options;
    calmoe_quantize_options_init(&options);
    options.progress = on_progress;
    options.progress_user = progress;
    return calmoe_quantize(context, in_path, out_path, type, &options, NULL);
}

/* At the first call, at the last, and between: no file is left, and one that was there stays as it was. */
static void stopped_at_any_point(void **state)
{
    (void)state;
    struct progress whole = {0};
    struct stat before, after;
    write_wide(256, false);
    unlink(out_path);
    running_must(context, quantize_watched("f16", &whole));
    assert_true(whole.n_calls > 10 && whole.last == 1.0);
    assert_int_equal(stat(out_path, &before), 0);
    for (int stop_at = 1; stop_at <= whole.n_calls; stop_at++) {
        struct progress progress = {.stop_at = stop_at};
        const long live = cm_live_blocks();
        if (stop_at % 2) unlink(out_path);
        else running_must(context, calmoe_quantize(context, in_path, out_path, "f16", NULL, NULL));
        assert_int_equal(quantize_watched("q8_0", &progress), CALMOE_CANCELLED);
        assert_int_equal(progress.n_calls, stop_at);
        assert_int_equal(cm_live_blocks(), live);
        assert_int_not_equal(access(part_path, F_OK), 0);
        assert_int_equal(stat(out_path, &after) == 0, stop_at % 2 == 0);
        if (stop_at % 2 == 0) assert_int_equal(before.st_size, after.st_size);
    }
}

/* ---- */

static int set_up(void **state)
{
    if (open_folder_and_context(state) != 0) return -1;
    snprintf(in_path, sizeof in_path, "%s", temp_file(folder, "in.gguf"));
    snprintf(out_path, sizeof out_path, "%s", temp_file(folder, "out.gguf"));
    snprintf(part_path, sizeof part_path, "%s.part", out_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type),
        cmocka_unit_test(rows_that_blocks_do_not_divide),
        cmocka_unit_test(a_tied_embedding_is_the_head),
        cmocka_unit_test(taps_and_norms_keep_their_type),
        cmocka_unit_test(quantized_twice),
        cmocka_unit_test(fallbacks_are_told),
        cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(numbers_that_do_not_fit),
        cmocka_unit_test(another_alignment),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(stopped_at_any_point),
    };
    return cmocka_run_group_tests_name("quantize", tests, set_up, close_folder_and_context);
}
