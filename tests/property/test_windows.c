/* test_windows.c - attention over a window, and with sinks: the second use of the attention mixer. A golden model
 * without them is given a window and sinks after it was opened, so that there is one to compare with. Its logits are
 * the same bits for any threads, chunks, level of instructions and size of the window's ring; inside the window they
 * are the full model's, and behind it they are not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/random.h"
#include "runtime/engine/handles.h"
#include "runtime/mixers/attention.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/thin.h"

enum { LENGTH = 1400, WINDOW = 70, LAYER = 1, MAX_VOCAB = 1024, MAX_HEADS = 64 };

static const char path[] = CALMOE_SOURCE_DIR "/tests/golden/mixtral.gguf";

static int32_t tokens[LENGTH];
static float   sinks[MAX_HEADS];

struct how {
    int         window; /* of one layer, the others see all; 0 = none */
    float       sink;   /* of its heads, about; NAN = no sinks        */
    int         threads, max_rows, n_chunk;
    const char *isa;
};

/* Whether the layer is the last one, so that no other row sees what it gives, and whether a row sees its chunk of
 * `window` positions. */
static bool is_last, is_chunked;

static int layer_of(const calmoe_model *model) { return is_last ? model->spec.n_layers - 1 : LAYER; }

struct opened {
    calmoe_context *context;
    calmoe_model   *model;
    calmoe_engine  *engine;
    calmoe_session *session;
};

static struct opened open_how(const struct how *how)
{
    struct opened o = {0};
    calmoe_engine_options  engine = running_options(how->threads, how->isa);
    calmoe_session_options session;
    calmoe_session_options_init(&session);
    session.context = 8192;
    engine.max_rows = how->max_rows;
    running_must(NULL, calmoe_context_open(NULL, &o.context));
    running_must(o.context, calmoe_model_open(o.context, path, NULL, &o.model));
    struct attention_spec *spec = &o.model->spec.layers[layer_of(o.model)].attention;
    spec->window = how->window;
    spec->is_chunked = is_chunked;
    assert_true(spec->n_heads <= MAX_HEADS);
    running_must(o.context, calmoe_engine_open(o.model, &engine, &o.engine));
    if (!isnan(how->sink)) {
        struct attention_weights *weights = o.engine->weights->layers[layer_of(o.model)].mixer.weights;
        for (int head = 0; head < spec->n_heads; head++) sinks[head] = how->sink + 0.25f * (float)head;
        weights->sinks = sinks;
    }
    running_must(o.context, calmoe_session_open(o.engine, &session, &o.session));
    return o;
}

static void close_all(struct opened *o)
{
    calmoe_session_close(&o->session);
    calmoe_engine_close(&o->engine);
    calmoe_model_close(&o->model);
    calmoe_context_close(&o->context);
}

/* Reads tokens `begin` to `end` and keeps all logits, (LENGTH, n_vocab). */
static void read_tokens(struct opened *o, int begin, int end, int n_chunk, float *logits)
{
    const size_t n_vocab = (size_t)o->model->spec.n_vocab;
    for (int at = begin, n; at < end; at += n) {
        n = end - at < n_chunk ? end - at : n_chunk;
        const calmoe_chunk chunk = {o->session, tokens + at, n, CALMOE_LOGITS_ALL};
        running_must(o->context, calmoe_engine_step(o->engine, &chunk, 1));
        memcpy(logits + (size_t)at * n_vocab, calmoe_session_logits(o->session, 0),
               (size_t)n * n_vocab * sizeof *logits);
    }
}

/* *n_vocab: of the model. The caller frees what it gets. */
static float *logits_of(const struct how *how, int *n_vocab)
{
    struct opened o = open_how(how);
    *n_vocab = o.model->spec.n_vocab;
    float *logits = malloc((size_t)LENGTH * (size_t)*n_vocab * sizeof *logits);
    assert_non_null(logits);
    read_tokens(&o, 0, LENGTH, how->n_chunk, logits);
    close_all(&o);
    return logits;
}

static int first_difference(const float *a, const float *b, int n_vocab)
{
    int position = 0;
    while (position < LENGTH && memcmp(a + position * n_vocab, b + position * n_vocab,
                                       (size_t)n_vocab * sizeof *a) == 0)
        position++;
    return position;
}

/* What most tests compare with: the logits of one window, with sinks and without. They are computed once, those with
 * sinks in plain C, and freed behind the last test. */
static float *with_sinks, *without_sinks;

static const float *wanted_logits(bool has_sinks, int *n_vocab)
{
    static const struct how hows[] = {{WINDOW, NAN, 1, 128, 128, NULL}, {WINDOW, 0.5f, 1, 128, 128, "ref"}};
    static int              known_n_vocab;
    float **const           kept = has_sinks ? &with_sinks : &without_sinks;
    if (!*kept) *kept = logits_of(&hows[has_sinks], &known_n_vocab);
    *n_vocab = known_n_vocab;
    return *kept;
}

static float *room_for_logits(int n_vocab)
{
    float *logits = calloc((size_t)LENGTH * (size_t)n_vocab, sizeof *logits);
    assert_non_null(logits);
    return logits;
}

static int choose_tokens(void **state)
{
    struct random random = cm_random(7);
    for (int i = 0; i < LENGTH; i++) tokens[i] = (int32_t)(cm_random_unit(&random) * 200.0);
    return open_folder(state);
}

static int free_wanted(void **state)
{
    free(with_sinks);
    free(without_sinks);
    return close_folder(state);
}

static void inside_the_window_nothing_is_missing(void **state)
{
    (void)state;
    const struct how full = {0, NAN, 2, 128, 128, NULL};
    int n_vocab;
    float *a = logits_of(&full, &n_vocab);
    assert_int_equal(first_difference(a, wanted_logits(false, &n_vocab), n_vocab), WINDOW);
    free(a);
}

static void the_same_bits_however_it_is_read(void **state)
{
    (void)state;
    const struct how ways[] = {
        {WINDOW, 0.5f, 1, 8192, LENGTH, NULL}, /* no ring: the step could hold the whole context */
        {WINDOW, 0.5f, 2, 512, 512, NULL}, {WINDOW, 0.5f, 3, 128, full_or_thin(7, 97), NULL},
        {WINDOW, 0.5f, 2, 8, 1, NULL},
    };
    int n_vocab;
    const float *wanted = wanted_logits(true, &n_vocab);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (way_is_left_out((int)i, 2)) continue;
        float *found = logits_of(&ways[i], &n_vocab);
        if (first_difference(wanted, found, n_vocab) < LENGTH)
            fail_msg("way %zu: other logits at position %d", i, first_difference(wanted, found, n_vocab));
        free(found);
    }
}

static bool same_at(const float *a, const float *b, int n_vocab, int position)
{
    const size_t at = (size_t)position * (size_t)n_vocab;
    return memcmp(a + at, b + at, (size_t)n_vocab * sizeof *a) == 0;
}

/* The last row of a chunk sees what it would see by a window of the same length; the first one sees itself alone; and
 * this for any threads and cuts, also where a chunk ends inside a span of the cache. */
static void chunks_begin_anew(void **state)
{
    (void)state;
    enum { CHUNK = 700 };
    const struct how window = {CHUNK, NAN, 2, 128, 128, NULL};
    const struct how alone = {1, NAN, 2, 128, 128, NULL};
    const struct how ways[] = {{CHUNK, NAN, 1, 8192, LENGTH, "ref"}, {CHUNK, NAN, 3, 64, full_or_thin(7, 61), NULL}};
    int n_vocab;
    is_last = true;
    float *by_window = logits_of(&window, &n_vocab), *by_none = logits_of(&alone, &n_vocab), *first = NULL;
    is_chunked = true;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        float *found = logits_of(&ways[i], &n_vocab);
        for (int end = CHUNK; end <= LENGTH; end += CHUNK) assert_true(same_at(found, by_window, n_vocab, end - 1));
        assert_true(same_at(found, by_none, n_vocab, CHUNK));
        assert_false(same_at(found, by_window, n_vocab, CHUNK));
        assert_false(same_at(found, by_none, n_vocab, CHUNK + 1));
        if (first) assert_int_equal(first_difference(first, found, n_vocab), LENGTH);
        if (first) free(found);
        else first = found;
    }
    is_last = is_chunked = false;
    free(first);
    free(by_none);
    free(by_window);
}

static void a_sink_takes_its_share(void **state)
{
    (void)state;
    const struct how shut = {WINDOW, -INFINITY, 1, 128, 128, NULL};
    int n_vocab;
    const float *without = wanted_logits(false, &n_vocab);
    float       *with = logits_of(&shut, &n_vocab);
    assert_int_equal(first_difference(without, with, n_vocab), LENGTH);
    assert_int_equal(first_difference(without, wanted_logits(true, &n_vocab), n_vocab), 0);
    free(with);
}

/* Going back further than the ring remembers reads all again; what follows is the same. */
static void going_back(void **state)
{
    (void)state;
    static const int back_to[] = {LENGTH - 1, LENGTH - 20, 900, 100, 3, 0};
    const struct how how = {WINDOW, 0.5f, 2, 64, 64, NULL};
    int n_vocab;
    const float  *wanted = wanted_logits(true, &n_vocab);
    float        *found = room_for_logits(n_vocab);
    struct opened o = open_how(&how);
    read_tokens(&o, 0, LENGTH, 64, found);
    for (size_t i = 0; i < sizeof back_to / sizeof *back_to; i++) {
        if (way_is_left_out((int)i, 3)) continue; /* near, and further than the ring */
        running_must(o.context, calmoe_session_rewind(o.session, back_to[i]));
        const int from = calmoe_session_n_positions(o.session); /* pending tokens would be read by the next call */
        assert_true(from <= back_to[i]);
        running_must(o.context, calmoe_session_rewind(o.session, from));
        memset(found + (size_t)from * (size_t)n_vocab, 0, (size_t)(LENGTH - from) * (size_t)n_vocab * sizeof *found);
        read_tokens(&o, from, LENGTH, 64, found);
        assert_int_equal(first_difference(wanted, found, n_vocab), LENGTH);
    }
    close_all(&o);
    free(found);
}

/* Saved behind the window, by an engine whose ring has two spans, and restored where it has more or is none; the rest,
 * and what is read again after going back as far as the file allows, and further. */
static void what_is_restored_has_its_window(void **state)
{
    (void)state;
    enum { SAVED_AT = 1213 };
    static const struct how hows[] = {{WINDOW, 0.5f, 1, 64, 64, NULL}, {WINDOW, 0.5f, 2, 700, 300, NULL}};
    char path_of_file[600];
    int  n_vocab;
    const float *wanted = wanted_logits(true, &n_vocab);
    float       *found = room_for_logits(n_vocab);
    snprintf(path_of_file, sizeof path_of_file, "%s", temp_file(folder, "window.session"));
    for (int from = 0; from < 2; from++) {
        struct opened first = open_how(&hows[from]);
        read_tokens(&first, 0, SAVED_AT, 64, found);
        running_must(first.context, calmoe_session_save(first.session, path_of_file));
        close_all(&first);
        for (int to = full_or_thin(0, 1 - from); to < full_or_thin(2, 2 - from); to++) {
            calmoe_session_options options;
            struct opened second = open_how(&hows[to]);
            calmoe_session_close(&second.session);
            calmoe_session_options_init(&options);
            options.context = to ? LENGTH : 0;
            running_must(second.context, calmoe_session_restore(second.engine, path_of_file, &options,
                                                                &second.session));
            memset(found, 0, (size_t)LENGTH * (size_t)n_vocab * sizeof *found);
            read_tokens(&second, SAVED_AT, LENGTH, 64, found);
            assert_memory_equal(found + SAVED_AT * n_vocab, wanted + SAVED_AT * n_vocab,
                                (size_t)(LENGTH - SAVED_AT) * (size_t)n_vocab * sizeof *found);
            static const int back_to[] = {1024 + WINDOW - 1, 1024 + WINDOW - 2};
            for (int i = 0; i < 2; i++) {
                running_must(second.context, calmoe_session_rewind(second.session, back_to[i]));
                assert_int_equal(calmoe_session_n_positions(second.session), i == 0 ? back_to[i] : 0);
                read_tokens(&second, back_to[i], LENGTH, 64, found);
                assert_memory_equal(found + back_to[i] * n_vocab, wanted + back_to[i] * n_vocab,
                                    (size_t)(LENGTH - back_to[i]) * (size_t)n_vocab * sizeof *found);
            }
            close_all(&second);
        }
    }
    free(found);
}

/* ---- answers of a model that has windows, longer than its ring ---- */

enum { N_READ = 700, N_SPOKEN = 400 };

struct speaking {
    int         exit;     /* tokens leave after so many layers; 0 = none does */
    const char *kv_fill;
    int         lossless; /* leaving is drafting                              */
};

struct spoken {
    int32_t tokens[N_SPOKEN];
    char    hash[65]; /* of all logits */
};

static calmoe_policy *leave_after(struct running *r, const struct speaking *how)
{
    return running_exits(r, how->exit > 0 ? "always" : NULL, 1.0f, &how->exit, 1, how->kv_fill, 0);
}

static struct spoken speak(const struct speaking *how, int n_threads, int max_rows)
{
    calmoe_engine_options  engine = running_options(n_threads, NULL);
    calmoe_session_options options;
    struct spoken spoken;
    engine.max_rows = max_rows;
    struct running r = running_open(CALMOE_SOURCE_DIR "/tests/golden/gptoss.gguf", &engine, NULL);
    calmoe_policy *policy = leave_after(&r, how);
    calmoe_session *session = NULL;
    calmoe_session_options_init(&options);
    options.context = 2048;
    options.ignore_end = options.hash_logits = 1;
    options.policy = policy;
    options.lossless = how->lossless;
    options.audit = CALMOE_AUDIT_NEVER;
    running_must(r.context, calmoe_session_open(r.engine, &options, &session));
    running_must(r.context, calmoe_session_feed_tokens(session, tokens, N_READ));
    for (int i = 0; i < N_SPOKEN; i++) running_must(r.context, calmoe_session_next(session, &spoken.tokens[i]));
    running_must(r.context, calmoe_session_logit_hash(session, spoken.hash));
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    running_close(&r);
    return spoken;
}

/* Drafts that are taken back give the plain answer; exits give the same answer in steps of any size. */
static void drafts_and_exits(void **state)
{
    (void)state;
    static const struct speaking plain = {0}, drafted = {.exit = 2, .lossless = CALMOE_LOSSLESS_ALWAYS};
    static const char *const fills[] = {"propagate", "lazy", "catch_up"};
    const struct spoken wanted = speak(&plain, 2, 512), found = speak(&drafted, 1, 8);
    assert_memory_equal(found.tokens, wanted.tokens, sizeof wanted.tokens);
    for (int i = full_or_thin(0, 2); i < 3; i++) {
        const struct speaking leaving = {.exit = 2, .kv_fill = fills[i]};
        const struct spoken at_once = speak(&leaving, 2, 512), in_pieces = speak(&leaving, 1, 8);
        assert_string_equal(in_pieces.hash, at_once.hash);
        assert_string_not_equal(at_once.hash, wanted.hash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inside_the_window_nothing_is_missing),
        cmocka_unit_test(the_same_bits_however_it_is_read),
        cmocka_unit_test(chunks_begin_anew),
        cmocka_unit_test(a_sink_takes_its_share),
        cmocka_unit_test(going_back),
        cmocka_unit_test(what_is_restored_has_its_window),
        cmocka_unit_test(drafts_and_exits),
    };
    return cmocka_run_group_tests_name("windows", tests, choose_tokens, free_wanted);
}
