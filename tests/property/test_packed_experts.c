/* test_packed_experts.c - packed experts, mapped or read one by one, give the same bits as those of the model's own
 * file; and a packed file that is damaged, cut short, of another model, version or packing is refused in a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <calmoe/calmoe.h>
#include <calmoe/pack.h>

#include "tests/support/folder_fixture.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_TOKENS = 12, MAX_ROWS = 4 };

static char model_path[600], packed_path[700];

static void pack(const char *isa)
{
    calmoe_context     *context;
    calmoe_model       *model;
    calmoe_pack_options options;
    calmoe_pack_options_init(&options);
    options.isa = isa;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, calmoe_model_open(context, model_path, NULL, &model));
    running_must(context, calmoe_pack(model, packed_path, &options));
    running_must(context, calmoe_pack_check(model, packed_path));
    calmoe_model_close(&model);
    calmoe_context_close(&context);
}

/* Logits of some tokens (the caller frees them); *disk: what was read for them. */
static float *read_with(const char *packed, uint64_t limit, const char *isa, calmoe_disk_stats *disk)
{
    int32_t               tokens[N_TOKENS];
    calmoe_engine_options options = running_options(2, isa);
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = 3 + i * 7 % 25;
    options.max_rows = MAX_ROWS;
    options.packed = packed;
    options.memory_limit = limit;
    struct running r = running_open(model_path, &options, NULL);
    float *logits = malloc(N_TOKENS * (size_t)r.n_vocab * sizeof *logits);
    assert_non_null(logits);
    running_read(&r, r.session, tokens, N_TOKENS, MAX_ROWS, logits);
    disk->size = sizeof *disk;
    running_must(r.context, calmoe_engine_get_disk_stats(r.engine, disk));
    running_close(&r);
    return logits;
}

/* Of the packed file, whose experts are rounded up to whole pages of a disk. */
static uint64_t smallest_limit(const char *isa)
{
    calmoe_engine_options options = running_options(2, isa);
    options.max_rows = MAX_ROWS;
    options.packed = packed_path;
    return running_smallest_limit(model_path, options);
}

static void make_model(enum weight_type type, uint64_t seed)
{
    struct tiny_model tiny = tiny_model_wide();
    tiny.n_layers = type == WEIGHT_F16 ? 3 : 6;
    tiny.types[TINY_GATE] = tiny.types[TINY_UP] = tiny.types[TINY_DOWN] = type;
    tiny.seed = seed;
    snprintf(model_path, sizeof model_path, "%s", temp_file(folder, "model.gguf"));
    snprintf(packed_path, sizeof packed_path, "%s.packed", model_path);
    tiny_model_write(&tiny, model_path);
}

static void same_bits(const char *isa)
{
    calmoe_disk_stats disk;
    float *wanted = read_with(NULL, 0, isa, &disk);
    pack(isa);
    const uint64_t limit = smallest_limit(isa);
    for (int way = 0; way < 2; way++) {
        float *found = read_with(packed_path, way == 0 ? 0 : limit, isa, &disk);
        assert_memory_equal(found, wanted, N_TOKENS * sizeof *found);
        free(found);
    }
    free(wanted);
}

static void wide_models(void **state)
{
    (void)state;
    static const enum weight_type types[] = {WEIGHT_Q4_K, WEIGHT_F16};
    calmoe_disk_stats disk = {0};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        make_model(types[i], i + 1);
        same_bits(i == 0 ? NULL : "ref");
    }
    free(read_with(packed_path, smallest_limit("ref"), "ref", &disk)); /* such a limit leaves experts on disk */
    assert_true(disk.n_slots > 0);
}

static void without_gates(void **state)
{
    (void)state;
    if (golden_is_left_out("nemotronhmoe")) return;
    golden_path(model_path, "nemotronhmoe");
    snprintf(packed_path, sizeof packed_path, "%s", temp_file(folder, "golden.packed"));
    same_bits(NULL);
}

/* ---- files that are refused ---- */

static void check_refused(const char *isa, uint64_t limit, calmoe_status wanted, const char *words)
{
    calmoe_context       *context;
    calmoe_model         *model;
    calmoe_engine        *engine;
    calmoe_engine_options options = running_options(1, isa);
    options.packed = packed_path;
    options.memory_limit = limit;
    options.max_rows = MAX_ROWS;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, calmoe_model_open(context, model_path, NULL, &model));
    assert_int_equal(calmoe_engine_open(model, &options, &engine), wanted);
    if (!strstr(calmoe_context_message(context), words))
        fail_msg("'%s' is not in \"%s\"", words, calmoe_context_message(context));
    calmoe_model_close(&model);
    calmoe_context_close(&context);
}

/* The byte at a place becomes another one. */
static void change_byte(long at)
{
    FILE *file = fopen(packed_path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    const int byte = getc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_not_equal(putc(byte ^ 1, file), EOF);
    assert_int_equal(fclose(file), 0);
}

static void bad_files(void **state)
{
    (void)state;
    static const struct {
        long          at;
        calmoe_status status;
        const char   *words;
    } rows[] = {{0, CALMOE_BAD_FILE, "holds no packed experts"},
                {17, CALMOE_INVALID_ARGUMENT, "was written by version"},
                {35, CALMOE_BAD_FILE, "is damaged"},
                {64, CALMOE_BAD_FILE, "damaged"},
                {68, CALMOE_BAD_FILE, "damaged"},
                {73, CALMOE_BAD_FILE, "was cut short, or is damaged"},
                {81, CALMOE_BAD_FILE, "is damaged"},
                {150, CALMOE_BAD_FILE, "is damaged"}};
    make_model(WEIGHT_Q4_0, 1);
    pack(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        change_byte(rows[i].at);
        check_refused(NULL, 0, rows[i].status, rows[i].words);
        change_byte(rows[i].at);
    }
    change_byte(4096 + 77); /* in the first expert, which slots begin with */
    check_refused(NULL, smallest_limit(NULL), CALMOE_IO, "it is damaged there");
    change_byte(4096 + 77);
    check_refused("ref", 0, CALMOE_INVALID_ARGUMENT, "packed for other kernels than those of ref");
    assert_int_equal(truncate(packed_path, 100000), 0);
    check_refused(NULL, 0, CALMOE_BAD_FILE, "was cut short");
    assert_int_equal(truncate(packed_path, 0), 0);
    check_refused(NULL, 0, CALMOE_BAD_FILE, "holds no packed experts");
    pack(NULL);
    make_model(WEIGHT_Q4_0, 2);
    check_refused(NULL, 0, CALMOE_INVALID_ARGUMENT, "this one's fingerprint is");
}

static int stop(void *user, double fraction)
{
    (void)user;
    return fraction > 0.5;
}

/* Cut short while it is written: nothing of it is left, and what stood there before still stands. */
static void cancelled(void **state)
{
    (void)state;
    calmoe_context     *context;
    calmoe_model       *model;
    calmoe_pack_options options;
    char                part[800];
    make_model(WEIGHT_Q4_0, 3);
    pack(NULL);
    calmoe_pack_options_init(&options);
    options.progress = stop;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, calmoe_model_open(context, model_path, NULL, &model));
    assert_int_equal(calmoe_pack(model, packed_path, &options), CALMOE_CANCELLED);
    running_must(context, calmoe_pack_check(model, packed_path));
    snprintf(part, sizeof part, "%s.part", packed_path);
    assert_int_not_equal(access(part, F_OK), 0);
    assert_int_equal(calmoe_pack(model, "/nowhere/at/all", NULL), CALMOE_IO);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wide_models), cmocka_unit_test(without_gates), cmocka_unit_test(bad_files),
        cmocka_unit_test(cancelled),
    };
    return cmocka_run_group_tests_name("packed experts", tests, open_folder, close_folder);
}
