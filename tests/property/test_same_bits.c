/* test_same_bits.c - a token's logits are the same bits, however it gets them: any number of threads, any cut of
 * the prompt, alone or in a batch, stepped or scheduled, at each level of instructions, and again after a rewind.
 *
 * Five sequences are read alone, in one piece, by one thread; that is what all else is compared with, by
 * memcmp. The models: some golden ones (odd widths), wide random ones of each type that calmoe_quantize()
 * writes, and mixtures of the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/quantize.h>

#include "base/random.h"
#include "base/team.h"
#include "runtime/engine/handles.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/thin.h"
#include "tests/support/tiny_model.h"

enum { N_SEQUENCES = 5, MAX_LENGTH = 230, N_WAYS_MAX = 16 };

static const int wide_lengths[N_SEQUENCES] = {MAX_LENGTH, 66, 1, 129, 17};
static const int short_lengths[N_SEQUENCES] = {40, 13, 1, 29, 7}; /* of golden models and slow levels */

struct subject { /* one model, and what it must answer */
    char    path[600];
    int     n_vocab;
    int     kv_float32;
    int     lengths[N_SEQUENCES];
    int32_t tokens[N_SEQUENCES][MAX_LENGTH];
    float  *logits[N_SEQUENCES]; /* (length, n_vocab) */
};

static struct subject subject;

static const float *logits_at(int sequence, int position)
{
    return subject.logits[sequence] + (size_t)position * (size_t)subject.n_vocab;
}

static void check_row(const char *way, int sequence, int position, const float *found)
{
    const float *wanted = logits_at(sequence, position);
    if (!found || memcmp(found, wanted, (size_t)subject.n_vocab * sizeof *found) != 0)
        fail_msg("%s, %s: other logits at position %d of sequence %d (%a instead of %a …)", subject.path, way,
                 position, sequence, found ? (double)found[0] : 0.0, (double)wanted[0]);
}

/* Rows whose logits the last step computed end at the session's last position. */
static void check_rows(const char *way, const calmoe_session *session, int sequence, int n_rows)
{
    const int first = calmoe_session_n_positions(session) - n_rows;
    for (int row = 0; row < n_rows; row++)
        check_row(way, sequence, first + row, calmoe_session_logits(session, row));
}

/* ---- ways to read the sequences ---- */

static struct running open_subject(calmoe_engine_options options)
{
    options.kv_float32 = subject.kv_float32;
    return running_open(subject.path, &options, NULL);
}

static void read_alone(const char *way, calmoe_engine_options options, int n_chunk, const int *lengths)
{
    struct running r = open_subject(options);
    for (int i = 0; i < N_SEQUENCES; i++) {
        running_must(r.context, calmoe_session_rewind(r.session, 0));
        for (int done = 0; done < lengths[i]; done += n_chunk) {
            const int n = lengths[i] - done < n_chunk ? lengths[i] - done : n_chunk;
            const calmoe_chunk chunk = {r.session, subject.tokens[i] + done, n, CALMOE_LOGITS_ALL};
            running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
            check_rows(way, r.session, i, n);
        }
    }
    running_close(&r);
}

/* Each step by another number of a team of five. */
static void read_by_crews(const char *way, const int *lengths)
{
    struct running r = open_subject(running_options(5, NULL));
    for (int i = 0; i < N_SEQUENCES; i++) {
        running_must(r.context, calmoe_session_rewind(r.session, 0));
        for (int done = 0, step = 0; done < lengths[i]; step++) {
            const int n = lengths[i] - done < 13 ? lengths[i] - done : 13;
            const calmoe_chunk chunk = {r.session, subject.tokens[i] + done, n, CALMOE_LOGITS_ALL};
            cm_team_call_up(r.engine->team, 1 + step * 3 % 5);
            running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
            check_rows(way, r.session, i, n);
            done += n;
        }
    }
    running_close(&r);
}

static void open_sessions(struct running *r, calmoe_session **sessions, const calmoe_session_options *options)
{
    for (int i = 0; i < N_SEQUENCES; i++)
        running_must(r->context, calmoe_session_open(r->engine, options, &sessions[i]));
}

static void close_sessions(calmoe_session **sessions)
{
    for (int i = 0; i < N_SEQUENCES; i++) calmoe_session_close(&sessions[i]);
}

/* Chunks of random length of some of the sessions, in random order, until all are read. */
static void read_in_batches(const char *way, calmoe_engine_options options, const int *lengths, uint64_t seed)
{
    struct random random = cm_random(seed);
    struct running r = open_subject(options);
    calmoe_session *sessions[N_SEQUENCES];
    open_sessions(&r, sessions, NULL);
    for (;;) {
        calmoe_chunk chunks[N_SEQUENCES];
        int of_chunk[N_SEQUENCES], n_chunks = 0, n_left = 0;
        const int first = (int)cm_random_below(&random, N_SEQUENCES);
        for (int j = 0; j < N_SEQUENCES; j++) {
            const int i = (first + 2 * j) % N_SEQUENCES; /* in each step another order */
            const int done = calmoe_session_n_positions(sessions[i]), left = lengths[i] - done;
            n_left += left;
            if (left == 0 || cm_random_below(&random, 4) == 0) continue;
            const int most = left < 70 ? left : 70;
            of_chunk[n_chunks] = i;
            chunks[n_chunks++] = (calmoe_chunk){sessions[i], subject.tokens[i] + done,
                                                1 + (int)cm_random_below(&random, (uint64_t)most), CALMOE_LOGITS_ALL};
        }
        if (n_left == 0) break;
        running_must(r.context, calmoe_engine_step(r.engine, chunks, n_chunks));
        for (int c = 0; c < n_chunks; c++) check_rows(way, chunks[c].session, of_chunk[c], chunks[c].n_tokens);
    }
    close_sessions(sessions);
    running_close(&r);
}

static int32_t best_of(const float *logits)
{
    int32_t best = 0;
    for (int32_t i = 1; i < subject.n_vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* The scheduler cuts and mixes; all sequences are fed before, and some tokens follow each. */
static void read_scheduled(const char *way, calmoe_engine_options options, const int *lengths)
{
    calmoe_session_options session_options;
    calmoe_session_options_init(&session_options);
    session_options.hash_logits = 1; /* so that each row's logits are computed */
    session_options.max_new_tokens = 3;
    session_options.ignore_end = 1;
    struct running r = open_subject(options);
    calmoe_session *sessions[N_SEQUENCES];
    calmoe_event events[N_SEQUENCES + 1];
    int n_events, n_first = 0, before[N_SEQUENCES] = {0};
    open_sessions(&r, sessions, &session_options);
    for (int i = 0; i < N_SEQUENCES; i++)
        running_must(r.context, calmoe_session_feed_tokens(sessions[i], subject.tokens[i], (size_t)lengths[i]));
    while (calmoe_engine_next(r.engine, events, N_SEQUENCES + 1, &n_events) == CALMOE_OK)
        for (int i = 0; i < N_SEQUENCES; i++) {
            const int now = calmoe_session_n_positions(sessions[i]);
            if (now > before[i] && now <= lengths[i]) check_rows(way, sessions[i], i, now - before[i]);
            for (int e = 0; e < n_events && now == lengths[i] && now > before[i]; e++) {
                if (events[e].session != sessions[i]) continue;
                assert_int_equal(events[e].token, best_of(logits_at(i, now - 1)));
                n_first++;
            }
            before[i] = now;
        }
    assert_int_equal(n_first, N_SEQUENCES);
    close_sessions(sessions);
    running_close(&r);
}

/* Reads, forgets a part, reads it again; then another sequence in its place, and the first again. */
static void read_again(const char *way, calmoe_engine_options options, const int *lengths)
{
    struct running r = open_subject(options);
    const int length = lengths[0], targets[] = {length - 1, length / 2, 1, 0};
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) { /* a state that stands before it is made again */
        for (int done = t > 0 ? targets[t - 1] : 0; done < length; done += 13) {
            const int n = length - done < 13 ? length - done : 13;
            const calmoe_chunk chunk = {r.session, subject.tokens[0] + done, n, CALMOE_LOGITS_ALL};
            running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
            check_rows(way, r.session, 0, n);
        }
        running_must(r.context, calmoe_session_rewind(r.session, targets[t]));
        assert_null(calmoe_session_logits(r.session, 0));
    }
    const calmoe_chunk other = {r.session, subject.tokens[3], lengths[3], CALMOE_LOGITS_LAST};
    running_must(r.context, calmoe_engine_step(r.engine, &other, 1));
    check_row(way, 3, lengths[3] - 1, calmoe_session_logits(r.session, 0));
    running_must(r.context, calmoe_session_rewind(r.session, 0));
    const calmoe_chunk again = {r.session, subject.tokens[0], length, CALMOE_LOGITS_LAST};
    running_must(r.context, calmoe_engine_step(r.engine, &again, 1));
    check_row(way, 0, length - 1, calmoe_session_logits(r.session, 0));
    running_close(&r);
}

/* ---- all ways ---- */

/* Reads the sequences alone, in one piece, by one thread, with the best instructions. */
static void prepare(const char *path, int kv_float32, const int *lengths, uint64_t seed)
{
    struct random random = cm_random(seed);
    snprintf(subject.path, sizeof subject.path, "%s", path);
    subject.kv_float32 = kv_float32;
    struct running r = open_subject(running_options(1, NULL));
    subject.n_vocab = r.n_vocab;
    for (int i = 0; i < N_SEQUENCES; i++) {
        subject.lengths[i] = lengths[i];
        for (int j = 0; j < lengths[i]; j++)
            subject.tokens[i][j] = (int32_t)cm_random_below(&random, (uint64_t)r.n_vocab);
        subject.logits[i] = malloc((size_t)lengths[i] * (size_t)r.n_vocab * sizeof(float));
        assert_non_null(subject.logits[i]);
        running_must(r.context, calmoe_session_rewind(r.session, 0));
        running_read(&r, r.session, subject.tokens[i], lengths[i], lengths[i], subject.logits[i]);
    }
    running_close(&r);
    const float *row = logits_at(0, lengths[0] - 1); /* a model that answers nothing would always agree */
    assert_true(row[best_of(row)] > row[0] || row[0] > row[1]);
    for (int i = 0; i < subject.n_vocab; i++) assert_true(row[i] - row[i] == 0.0f);
}

static void forget(void)
{
    for (int i = 0; i < N_SEQUENCES; i++) {
        free(subject.logits[i]);
        subject.logits[i] = NULL;
    }
}

static void check_all_ways(const int *lengths, const int *lengths_of_slow)
{
    const char *isa;
    for (int i = 0; (isa = running_isa(i)) != NULL; i++) {
        const int *now = strcmp(isa, "ref") == 0 || tests_are_thin() ? lengths_of_slow : lengths;
        read_alone(isa, running_options(2, isa), MAX_LENGTH, now);
        read_in_batches(isa, running_options(2, isa), lengths_of_slow, 7);
    }
    calmoe_engine_options five_rows = running_options(1, NULL);
    five_rows.max_rows = 5;
    read_alone("2 threads", running_options(2, NULL), MAX_LENGTH, lengths);
    read_scheduled("scheduled, 5 rows at most", five_rows, lengths_of_slow);
    read_by_crews("5 threads, of which some are called up", lengths_of_slow);
    if (tests_are_thin()) lengths = lengths_of_slow;
    read_again("rewound", running_options(2, NULL), lengths);
    read_in_batches("batches", running_options(2, NULL), lengths, 1);
    if (tests_are_thin()) return;
    read_alone("3 threads, chunks of 64", running_options(3, NULL), 64, lengths);
    read_alone("5 threads, chunks of 33", running_options(5, NULL), 33, lengths_of_slow);
    read_alone("chunks of 7", running_options(2, NULL), 7, lengths);
    read_alone("token by token", running_options(1, NULL), 1, lengths);
    read_alone("5 rows at most", five_rows, 5, lengths_of_slow);
    read_in_batches("batches by 3 threads", running_options(3, NULL), lengths_of_slow, 2);
    read_scheduled("scheduled", running_options(2, NULL), lengths);
}

static void check_model(const char *path, int kv_float32, const int *lengths)
{
    prepare(path, kv_float32, lengths, 11);
    check_all_ways(lengths, short_lengths);
    forget();
}

/* ---- the models ---- */

static void golden_models(void **state)
{
    (void)state;
    static const char *const names[] = {"mixtral", "qwen2moe", "granitemoeshared", "olmoe", "qwen3moe", "llama3",
                                        "llamabias", "gptoss", "qwen3next", "qwen35moe", "qwen3nextold", "qwen35",
                                        "gemma3", "gemma4moe", "gemma4", "deepseek2", "deepseek2old", "deepseek3",
                                        "hunyuan", "llama4", "lfm2", "lfm2moe", "granitehybrid", "granitehybridmoe",
                                        "nemotronh", "nemotronhmoe", "lagunam"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[600];
        if (golden_is_left_out(names[i])) continue;
        golden_path(path, names[i]);
        check_model(path, i % 2 == 0, short_lengths);
    }
}

/* An F32 file as calmoe_quantize() writes it. */
static void check_quantized(const struct tiny_model *tiny, const char *type, int kv_float32, const int *lengths)
{
    char in[600], out[600];
    calmoe_context *context = NULL;
    snprintf(in, sizeof in, "%s", temp_file(folder, "wide.gguf"));
    snprintf(out, sizeof out, "%s", temp_file(folder, "quantized.gguf"));
    tiny_model_write(tiny, in);
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, calmoe_quantize(context, in, out, type, NULL, NULL));
    calmoe_context_close(&context);
    check_model(out, kv_float32, lengths);
}

static void quantized(void **state)
{
    const struct tiny_model tiny = tiny_model_wide();
    if (tests_are_thin() && strcmp(*state, "q4_k") != 0) return; /* kernels are kernelcheck's */
    check_quantized(&tiny, *state, 0, wide_lengths);
}

/* The same with experts of width 96, which blocks of 256 do not divide: q8_0 takes their place there. */
static void quantized_narrow(void **state)
{
    struct tiny_model tiny = tiny_model_wide();
    tiny.expert_width = 96;
    tiny.seed = 2;
    check_quantized(&tiny, *state, 1, short_lengths);
}

static void mixed(void **state)
{
    const enum weight_type *types = *state;
    struct tiny_model tiny = tiny_model_wide();
    char path[600];
    snprintf(path, sizeof path, "%s", temp_file(folder, "mixed.gguf"));
    memcpy(tiny.types, types, sizeof tiny.types);
    tiny.has_head_norms = true;
    tiny_model_write(&tiny, path);
    check_model(path, 0, wide_lengths);
}

/* Windows, sinks and biases of everything; the experts as published files of that family have them. */
static void windows_sinks_and_biases(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_wide();
    char path[600];
    snprintf(path, sizeof path, "%s", temp_file(folder, "gpt-oss.gguf"));
    tiny.architecture = "gpt-oss";
    tiny.n_layers = 3;
    tiny.shared_width = 0;
    tiny.expert_width = 96;
    for (int part = 0; part < TINY_PART_COUNT; part++) tiny.types[part] = WEIGHT_Q8_0;
    tiny.types[TINY_ROUTER] = WEIGHT_F32;
    tiny.types[TINY_GATE] = tiny.types[TINY_UP] = tiny.types[TINY_DOWN] = WEIGHT_MXFP4;
    tiny_model_write(&tiny, path);
    check_model(path, 0, wide_lengths);
}

/* in the order of enum tiny_part: embedding, output, q, k, v, o, router, gate, up, down, shared gate, up, down */
static enum weight_type mixture_1[TINY_PART_COUNT] = {
    WEIGHT_Q5_K, WEIGHT_Q6_K, WEIGHT_Q5_0, WEIGHT_Q3_K,   WEIGHT_IQ4_XS, WEIGHT_Q5_K, WEIGHT_F32,
    WEIGHT_MXFP4, WEIGHT_Q3_K, WEIGHT_IQ4_XS, WEIGHT_Q5_0, WEIGHT_BF16,  WEIGHT_MXFP4};
static enum weight_type mixture_2[TINY_PART_COUNT] = {
    WEIGHT_Q4_1, WEIGHT_IQ4_NL, WEIGHT_Q2_K, WEIGHT_Q5_1,   WEIGHT_Q4_1, WEIGHT_F16, WEIGHT_BF16,
    WEIGHT_Q2_K, WEIGHT_Q5_1,   WEIGHT_IQ4_NL, WEIGHT_Q4_K, WEIGHT_Q8_0, WEIGHT_Q4_0};

#define QUANTIZED(test, type) {#test " " type, test, NULL, NULL, (char[]){type}}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_models),
        QUANTIZED(quantized, "q8_0"),
        QUANTIZED(quantized, "q4_0"),
        QUANTIZED(quantized, "q4_k"),
        QUANTIZED(quantized, "q6_k"),
        QUANTIZED(quantized, "f16"),
        QUANTIZED(quantized, "bf16"),
        QUANTIZED(quantized_narrow, "q8_0"),
        QUANTIZED(quantized_narrow, "q4_k"),
        {"mixed types 1", mixed, NULL, NULL, mixture_1},
        {"mixed types 2", mixed, NULL, NULL, mixture_2},
        cmocka_unit_test(windows_sinks_and_biases),
    };
    return cmocka_run_group_tests_name("same bits", tests, open_folder, close_folder);
}
