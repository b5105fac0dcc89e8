/* test_trace.c - routing traces: what is written is read; an engine's routing arrives whole; files that were cut,
 * bent or never were traces are told, not believed; and a replayed choice is what the experts get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <calmoe/trace.h>

#include "base/memory.h"
#include "runtime/stats/trace.h"
#include "tests/support/running.h"
#include "tests/support/context_fixture.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 3, N_EXPERTS = 5, N_USED = 2, N_TOKENS = 4, N_CHOICE = N_LAYERS * N_USED };
enum { RECORD = 8 + N_CHOICE * 4, FILE_BYTES = TRACE_HEADER_BYTES + N_TOKENS * RECORD };

static char                path[600], model_path[600];

static calmoe_trace_info tiny_info(void)
{
    const calmoe_trace_info info = {sizeof info, "0123456789abcdef", N_LAYERS, N_EXPERTS, N_USED};
    return info;
}

/* Token i of the test's trace. */
static void fill_token(int i, int32_t experts[N_CHOICE], float weights[N_CHOICE])
{
    for (int layer = 0; layer < N_LAYERS; layer++)
        for (int slot = 0; slot < N_USED; slot++) {
            experts[layer * N_USED + slot] = (i + layer + slot) % N_EXPERTS;
            weights[layer * N_USED + slot] = 0.25f * (float)(i + 1) - 0.125f * (float)slot; /* exact in float16 */
        }
}

static void write_trace(void)
{
    const calmoe_trace_info info = tiny_info();
    calmoe_trace_writer    *writer;
    int32_t experts[N_CHOICE];
    float   weights[N_CHOICE];
    running_must(context, calmoe_trace_writer_open(context, path, &info, &writer));
    for (int i = 0; i < N_TOKENS; i++) {
        const calmoe_trace_token token = {10 + i, 1000 * i, experts, weights};
        fill_token(i, experts, weights);
        running_must(context, calmoe_trace_writer_add(writer, &token));
    }
    running_must(context, calmoe_trace_writer_close(&writer));
    assert_null(writer);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    calmoe_trace_reader *reader;
    calmoe_trace_info    info = {.size = sizeof info};
    calmoe_trace_token   token;
    int32_t experts[N_CHOICE];
    float   weights[N_CHOICE];
    write_trace();
    running_must(context, calmoe_trace_reader_open(context, path, &reader));
    running_must(context, calmoe_trace_reader_get_info(reader, &info));
    assert_string_equal(info.fingerprint, "0123456789abcdef");
    assert_int_equal(info.n_layers, N_LAYERS);
    assert_int_equal(info.n_experts, N_EXPERTS);
    assert_int_equal(info.n_used, N_USED);
    for (int i = 0; i < N_TOKENS; i++) {
        running_must(context, calmoe_trace_reader_next(reader, &token));
        fill_token(i, experts, weights);
        assert_int_equal(token.position, 10 + i);
        assert_int_equal(token.token, 1000 * i);
        assert_memory_equal(token.experts, experts, sizeof experts);
        assert_memory_equal(token.weights, weights, sizeof weights);
    }
    assert_int_equal(calmoe_trace_reader_next(reader, &token), CALMOE_END);
    calmoe_trace_reader_close(&reader);
    calmoe_trace_reader_close(&reader);
}

static void read_file(uint8_t bytes[FILE_BYTES])
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, FILE_BYTES, file), FILE_BYTES);
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
}

/* The first status that is not OK, and its sentence in the context. */
static calmoe_status read_bytes(const uint8_t *bytes, size_t n_bytes)
{
    calmoe_trace_reader *reader;
    calmoe_trace_token   token;
    const char   *bent = temp_file_with(folder, "bent", bytes, n_bytes);
    calmoe_status status = calmoe_trace_reader_open(context, bent, &reader);
    while (status == CALMOE_OK) status = calmoe_trace_reader_next(reader, &token);
    calmoe_trace_reader_close(&reader);
    return status;
}

static const struct fault {
    const char   *name;
    size_t        at;
    uint8_t       bytes[4];
    size_t        n_bytes;
    calmoe_status status;
    const char   *sentence;
} faults[] = {
    {"magic", 0, {'X'}, 1, CALMOE_BAD_FILE, "no routing trace"},
    {"version", 8, {2}, 1, CALMOE_UNSUPPORTED, "version 2"},
    {"header size", 12, {49}, 1, CALMOE_BAD_FILE, "a header of 49 bytes"},
    {"fingerprint", 16, {'G'}, 1, CALMOE_BAD_FILE, "the fingerprint"},
    {"no layer", 32, {0}, 1, CALMOE_BAD_FILE, "number of layers"},
    {"many layers", 32, {0xff, 0xff, 0xff, 0xff}, 4, CALMOE_BAD_FILE, "number of layers"},
    {"many experts", 36, {0xff, 0xff, 0xff, 0x7f}, 4, CALMOE_BAD_FILE, "number of experts"},
    {"more used than there are", 40, {6}, 1, CALMOE_BAD_FILE, "number of experts used"},
    {"none used", 40, {0}, 1, CALMOE_BAD_FILE, "number of experts used"},
    {"expert", 48 + 8, {5}, 1, CALMOE_BAD_FILE, "token 0, layer 0: an expert that the model does not have"},
    {"expert beyond", 48 + 8 + 8, {0xff, 0xff}, 2, CALMOE_BAD_FILE, "token 0, layer 1: an expert that the model"},
    {"expert twice", 48 + 8, {1}, 1, CALMOE_BAD_FILE, "token 0, layer 0: the same expert twice"},
    {"infinite", 48 + RECORD + 8 + 4, {0x00, 0x7c}, 2, CALMOE_BAD_FILE, "token 1, layer 0: a weight"},
    {"no number", 48 + RECORD + 8 + 4, {0x01, 0xfe}, 2, CALMOE_BAD_FILE, "token 1, layer 0: a weight"},
};

static void bent_files_are_told(void **state)
{
    (void)state;
    uint8_t bytes[FILE_BYTES], bent[FILE_BYTES];
    write_trace();
    read_file(bytes);
    assert_int_equal(read_bytes(bytes, sizeof bytes), CALMOE_END);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        const struct fault *fault = &faults[i];
        memcpy(bent, bytes, sizeof bent);
        memcpy(bent + fault->at, fault->bytes, fault->n_bytes);
        const calmoe_status status = read_bytes(bent, sizeof bent);
        if (status != fault->status || !strstr(calmoe_context_message(context), fault->sentence))
            fail_msg("%s: %s, '%s'", fault->name, calmoe_status_name(status), calmoe_context_message(context));
    }
}

/* Cut anywhere: whole tokens come, the rest is told. No single wrong byte does harm. */
static void cut_and_random_files_do_no_harm(void **state)
{
    (void)state;
    uint8_t bytes[FILE_BYTES];
    write_trace();
    read_file(bytes);
    const long n_blocks = cm_live_blocks();
    for (size_t n = 0; n < FILE_BYTES; n++) {
        const bool is_whole = n >= TRACE_HEADER_BYTES && (n - TRACE_HEADER_BYTES) % RECORD == 0;
        assert_int_equal(read_bytes(bytes, n), is_whole ? CALMOE_END : CALMOE_BAD_FILE);
    }
    for (size_t at = 0; at < FILE_BYTES; at++) {
        bytes[at] ^= 0xff;
        const calmoe_status status = read_bytes(bytes, sizeof bytes);
        assert_true(status == CALMOE_END || status == CALMOE_BAD_FILE || status == CALMOE_UNSUPPORTED);
        bytes[at] ^= 0xff;
    }
    assert_int_equal(cm_live_blocks(), n_blocks);
}

static void wrong_writing_is_told(void **state)
{
    (void)state;
    calmoe_trace_writer *writer;
    calmoe_trace_info    info = tiny_info();
    int32_t experts[N_CHOICE];
    float   weights[N_CHOICE];
    calmoe_trace_token   token = {0, 0, experts, weights};
    info.n_used = 6;
    assert_int_equal(calmoe_trace_writer_open(context, path, &info, &writer), CALMOE_INVALID_ARGUMENT);
    info = tiny_info();
    info.fingerprint[3] = 'x';
    assert_int_equal(calmoe_trace_writer_open(context, path, &info, &writer), CALMOE_INVALID_ARGUMENT);
    info = tiny_info();
    assert_int_equal(calmoe_trace_writer_open(context, "/nowhere/at/all", &info, &writer), CALMOE_IO);
    assert_null(writer);
    assert_int_equal(calmoe_trace_writer_open(NULL, path, &info, &writer), CALMOE_INVALID_ARGUMENT);
    running_must(context, calmoe_trace_writer_open(context, path, &info, &writer));
    fill_token(0, experts, weights);
    experts[3] = N_EXPERTS;
    assert_int_equal(calmoe_trace_writer_add(writer, &token), CALMOE_INVALID_ARGUMENT);
    fill_token(0, experts, weights);
    weights[0] = NAN;
    assert_int_equal(calmoe_trace_writer_add(writer, &token), CALMOE_INVALID_ARGUMENT);
    fill_token(0, experts, weights);
    token.position = -1;
    assert_int_equal(calmoe_trace_writer_add(writer, &token), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_trace_writer_add(writer, NULL), CALMOE_INVALID_ARGUMENT);
    weights[0] = 1e9f; /* more than float16 holds */
    token.position = 0;
    running_must(context, calmoe_trace_writer_add(writer, &token));
    running_must(context, calmoe_trace_writer_close(&writer));
    calmoe_trace_reader *reader;
    running_must(context, calmoe_trace_reader_open(context, path, &reader));
    running_must(context, calmoe_trace_reader_next(reader, &token));
    assert_true(token.weights[0] == 65504.0f);
    calmoe_trace_reader_close(&reader);
    assert_int_equal(calmoe_trace_reader_open(context, "/nowhere/at/all", &reader), CALMOE_IO);
    assert_int_equal(calmoe_trace_reader_open(context, NULL, &reader), CALMOE_INVALID_ARGUMENT);
}

/* ---- with an engine ---- */

enum { MODEL_TOKENS = 100, MODEL_CHOICE = 2 * 3 };

struct seen { /* by the routing callback, in any order of tokens */
    int32_t experts[MODEL_TOKENS][MODEL_CHOICE];
    float   weights[MODEL_TOKENS][MODEL_CHOICE];
};

static struct seen recorded;

static void note(void *user, const calmoe_routing_event *event)
{
    struct seen *seen = user;
    memcpy(seen->experts[event->position] + 3 * event->layer, event->experts, 3 * sizeof(int32_t));
    memcpy(seen->weights[event->position] + 3 * event->layer, event->weights, 3 * sizeof(float));
}

static void read_tokens(const calmoe_engine_options *options, float *last_logit)
{
    struct running running = running_open(model_path, options, NULL);
    int32_t        tokens[MODEL_TOKENS];
    for (int i = 0; i < MODEL_TOKENS; i++) tokens[i] = (7 * i) % running.n_vocab;
    for (int at = 0; at < MODEL_TOKENS; at += at == 0 ? 70 : 1) { /* a long chunk, then single tokens */
        const calmoe_chunk chunk = {running.session, tokens + at, at == 0 ? 70 : 1, CALMOE_LOGITS_LAST};
        running_must(running.context, calmoe_engine_step(running.engine, &chunk, 1));
    }
    *last_logit = calmoe_session_logits(running.session, 0)[0];
    running_close(&running);
}

static void write_model(void)
{
    struct tiny_model tiny = tiny_model_wide(); /* 2 layers, 3 of 8 experts */
    tiny_model_write(&tiny, model_path);
}

static void an_engine_is_recorded(void **state)
{
    (void)state;
    const calmoe_trace_info info = {sizeof info, "00000000000000ff", 2, 8, 3};
    calmoe_engine_options   options = running_options(2, NULL);
    calmoe_trace_writer    *writer;
    calmoe_trace_reader    *reader;
    calmoe_trace_token      token;
    float logit;
    write_model();
    options.routing = note;
    options.routing_user = &recorded;
    read_tokens(&options, &logit);
    running_must(context, calmoe_trace_writer_open(context, path, &info, &writer));
    options.routing = calmoe_trace_writer_see;
    options.routing_user = writer;
    read_tokens(&options, &logit);
    running_must(context, calmoe_trace_writer_close(&writer));
    running_must(context, calmoe_trace_reader_open(context, path, &reader));
    for (int i = 0; i < MODEL_TOKENS; i++) {
        running_must(context, calmoe_trace_reader_next(reader, &token));
        assert_int_equal(token.position, i);
        assert_memory_equal(token.experts, recorded.experts[i], sizeof recorded.experts[i]);
        for (int j = 0; j < MODEL_CHOICE; j++)
            assert_true(fabsf(token.weights[j] - recorded.weights[i][j]) <= 1e-3f);
    }
    assert_int_equal(calmoe_trace_reader_next(reader, &token), CALMOE_END);
    calmoe_trace_reader_close(&reader);
}

static void a_writer_of_another_shape_fails_at_the_end(void **state)
{
    (void)state;
    const calmoe_trace_info info = {sizeof info, "00000000000000ff", 1, 8, 3};
    calmoe_engine_options   options = running_options(1, NULL);
    calmoe_trace_writer    *writer;
    float logit;
    write_model();
    (void)unlink(path); /* an older file would stay as it was */
    running_must(context, calmoe_trace_writer_open(context, path, &info, &writer));
    options.routing = calmoe_trace_writer_see;
    options.routing_user = writer;
    read_tokens(&options, &logit);
    assert_int_equal(calmoe_trace_writer_close(&writer), CALMOE_INVALID_ARGUMENT);
    assert_int_not_equal(access(path, F_OK), 0);
}

enum choosing { AS_IT_IS, FIXED, TWICE, BEYOND, NO_NUMBER };

static void choose(void *user, const calmoe_routing_choice *choice)
{
    const enum choosing how = *(const enum choosing *)user;
    if (how == AS_IT_IS) return;
    for (int slot = 0; slot < choice->n; slot++) {
        choice->experts[slot] = how == TWICE ? 1 : how == BEYOND ? 6 + slot : slot + choice->layer;
        choice->weights[slot] = how == NO_NUMBER ? NAN : 0.5f;
    }
}

static void choices_are_replaced_where_they_are_sound(void **state)
{
    (void)state;
    enum choosing         how = AS_IT_IS;
    calmoe_engine_options options = running_options(2, NULL);
    float plain, logit;
    write_model();
    options.routing = note;
    options.routing_user = &recorded;
    read_tokens(&options, &plain);
    options.routing_source = choose;
    options.routing_source_user = &how;
    for (how = AS_IT_IS; how <= NO_NUMBER; how++) {
        read_tokens(&options, &logit);
        assert_true(isfinite(logit));
        assert_true((logit == plain) == (how != FIXED));
        for (int i = 0; how == FIXED && i < MODEL_TOKENS; i++)
            for (int j = 0; j < MODEL_CHOICE; j++) {
                assert_int_equal(recorded.experts[i][j], j % 3 + j / 3);
                assert_true(recorded.weights[i][j] == 0.5f);
            }
    }
}

static int open_all(void **state)
{
    if (open_folder_and_context(state) != 0) return -1;
    snprintf(path, sizeof path, "%s", temp_file(folder, "routing.trace"));
    snprintf(model_path, sizeof model_path, "%s", temp_file(folder, "model.gguf"));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(bent_files_are_told),
        cmocka_unit_test(cut_and_random_files_do_no_harm),
        cmocka_unit_test(wrong_writing_is_told),
        cmocka_unit_test(an_engine_is_recorded),
        cmocka_unit_test(a_writer_of_another_shape_fails_at_the_end),
        cmocka_unit_test(choices_are_replaced_where_they_are_sound),
    };
    return cmocka_run_group_tests(tests, open_all, close_folder_and_context);
}
