/* test_fit_exits.c - exits that are fitted to a model by reading text: the same after a break, as good as an engine
 * finds them, and better than none. */
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

#include <calmoe/fit_exits.h>

#include "base/memory.h"
#include "base/random.h"
#include "runtime/engine/handles.h"
#include "runtime/documents/exits_file.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/tiny_model.h"
#include "tests/support/thin.h"

enum { N_LAYERS = 4, N_TOKENS = 700, N_MANY = 3000, N_HELD_OUT = 100, WINDOW = 32, MAX_FILE = 1 << 20 };

static char path[600], out[600], sums[620];
static int32_t tokens[N_MANY], held_out[N_HELD_OUT];
static const int layers[] = {1, 3};

static struct running open_tiny(int n_threads)
{
    calmoe_engine_options options = running_options(n_threads, NULL);
    options.max_rows = 48;
    struct running r = running_open(path, &options, NULL);
    calmoe_session_close(&r.session);
    return r;
}

static calmoe_fit_options fit_options(void)
{
    calmoe_fit_options options;
    calmoe_fit_options_init(&options);
    options.layers = layers;
    options.n_layers = 2;
    options.rank = 8;
    options.window = WINDOW;
    options.save_every = 0.0; /* after each window */
    return options;
}

static calmoe_fit_report fit(struct running *r, const calmoe_fit_options *options)
{
    calmoe_fit_report report = {.size = sizeof report};
    running_must(r->context, calmoe_fit_exits(r->engine, tokens, N_TOKENS, options, out, &report));
    assert_int_not_equal(access(sums, F_OK), 0); /* done: nothing to go on from */
    return report;
}

static size_t read_out(uint8_t *bytes)
{
    FILE *file = fopen(out, "rb");
    assert_non_null(file);
    const size_t n = fread(bytes, 1, MAX_FILE, file);
    fclose(file);
    assert_in_range(n, 1000, MAX_FILE - 1);
    return n;
}

/* ---- breaks ---- */

struct breaking {
    int n_calls, stop_at; /* 0: never */
};

static int stop_at(void *user, double fraction)
{
    struct breaking *breaking = user;
    assert_true(fraction > 0.0 && fraction <= 1.0);
    return ++breaking->n_calls == breaking->stop_at;
}

static void a_break_changes_no_bit(void **state)
{
    (void)state;
    static uint8_t wanted[MAX_FILE], found[MAX_FILE];
    struct running r = open_tiny(2);
    struct breaking breaking = {0, 0};
    calmoe_fit_options options = fit_options();
    options.progress = stop_at;
    options.progress_user = &breaking;
    const calmoe_fit_report whole = fit(&r, &options);
    const size_t n = read_out(wanted);
    const int n_calls = breaking.n_calls;
    assert_int_equal(whole.resumed, 0);
    assert_in_range(n_calls, 40, 60); /* 22 windows, 20 of them for classifiers, 2 judged */
    for (int stop = 1; stop < n_calls; stop += full_or_thin(9, 27)) {
        calmoe_fit_report report = {.size = sizeof report};
        unlink(out);
        for (int again = 0; again < 2; again++) { /* a second break, wherever the first was */
            breaking = (struct breaking){0, stop};
            const calmoe_status status = calmoe_fit_exits(r.engine, tokens, N_TOKENS, &options, out, &report);
            if (again == 1 && status == CALMOE_OK) break;
            assert_int_equal(status, CALMOE_CANCELLED);
            assert_string_equal(calmoe_context_message(r.context), "fitting exits was cancelled");
            assert_int_not_equal(access(out, F_OK), 0);
            assert_int_equal(access(sums, F_OK), 0);
        }
        breaking = (struct breaking){0, 0};
        if (access(out, F_OK) != 0) {
            report = fit(&r, &options);
            assert_int_equal(report.resumed, 1);
        }
        assert_int_equal(read_out(found), n);
        assert_memory_equal(found, wanted, n);
        report.resumed = 0;
        assert_memory_equal(&report, &whole, sizeof whole);
    }
    running_close(&r);
}

/* Sums of another fit, or broken ones, are not gone on from. */
static void other_sums_are_not_used(void **state)
{
    (void)state;
    static uint8_t wanted[MAX_FILE], found[MAX_FILE];
    struct running r = open_tiny(1);
    calmoe_fit_options options = fit_options();
    (void)fit(&r, &options);
    const size_t n = read_out(wanted);
    struct breaking breaking = {0, 12};
    options.progress = stop_at;
    options.progress_user = &breaking;
    options.window = WINDOW / 2;
    assert_int_equal(calmoe_fit_exits(r.engine, tokens, N_TOKENS, &options, out, NULL), CALMOE_CANCELLED);
    assert_int_equal(access(sums, F_OK), 0);
    options = fit_options();
    assert_int_equal(fit(&r, &options).resumed, 0);
    assert_int_equal(read_out(found), n);
    assert_memory_equal(found, wanted, n);
    FILE *file = fopen(sums, "wb");
    assert_non_null(file);
    fputs("CALMOEFS, but no more", file);
    fclose(file);
    assert_int_equal(fit(&r, &options).resumed, 0);
    assert_int_equal(read_out(found), n);
    assert_memory_equal(found, wanted, n);
    running_close(&r);
}

/* ---- what is told, against an engine that has the exits ---- */

/* Each token a sequence of its own: what is sampled after it, left at a layer or, for 0, in full. */
static int32_t answer_to(struct running *r, int32_t token, const char *measure, float threshold, int layer,
                         int *n_layers)
{
    calmoe_policy_options wish;
    calmoe_policy *policy = NULL;
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_depth depth;
    int32_t answer;
    calmoe_policy_options_init(&wish);
    calmoe_session_options_init(&options);
    wish.measure = measure;
    wish.threshold = threshold;
    wish.exit_layers = &layer;
    wish.n_exits = 1;
    if (layer > 0) running_must(r->context, calmoe_policy_make(r->model, &wish, &policy));
    options.policy = policy;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    calmoe_session_begin_answer(session);
    const calmoe_chunk chunk = {session, &token, 1, CALMOE_LOGITS_LAST};
    running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    running_must(r->context, calmoe_session_sample(session, &answer));
    depth = running_depth(session, 0);
    *n_layers = depth.layers;
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    return answer;
}

static void check_exit(struct running *plain, struct running *with, const calmoe_fitted_exit *exit)
{
    int n_before = 0, n_after = 0, n_sure = 0, n_chosen = 0, n_layers;
    for (int i = 0; i < N_HELD_OUT; i++) {
        const int32_t full = answer_to(plain, held_out[i], NULL, 0.0f, 0, &n_layers);
        n_before += answer_to(plain, held_out[i], "always", 1.0f, exit->layer, &n_layers) == full;
        n_after += answer_to(with, held_out[i], "always", 1.0f, exit->layer, &n_layers) == full;
        (void)answer_to(with, held_out[i], "softmax", 0.5f, exit->layer, &n_layers);
        n_sure += n_layers == exit->layer;
        if (!exit->has_classifier) continue;
        (void)answer_to(with, held_out[i], "classifier", 0.5f, exit->layer, &n_layers);
        n_chosen += n_layers == exit->layer;
    }
    assert_int_equal(n_before, lround(exit->before.agreement * N_HELD_OUT));
    assert_int_equal(n_after, lround(exit->after.agreement * N_HELD_OUT));
    assert_int_equal(n_sure, lround(exit->after.sure * N_HELD_OUT));
    assert_int_equal(n_chosen, lround(exit->chosen * N_HELD_OUT));
}

static void the_engine_finds_what_is_told(void **state)
{
    (void)state;
    struct running r = open_tiny(1);
    calmoe_fit_options options = fit_options();
    options.window = 1;
    options.held_out = held_out;
    options.save_every = 60.0;
    options.n_held_out = N_HELD_OUT;
    calmoe_fit_report report = {.size = sizeof report};
    running_must(r.context, calmoe_fit_exits(r.engine, tokens, N_MANY, &options, out, &report));
    assert_int_equal(report.n_fitted, N_MANY - N_MANY / 10); /* the others tell whether it helps */
    assert_int_equal(report.n_judged, N_HELD_OUT);
    assert_int_equal(report.n_layers, N_LAYERS);
    assert_int_equal(report.n_exits, 2);
    calmoe_engine_options with_exits = running_options(1, NULL);
    with_exits.exits = out;
    struct running with = running_open(path, &with_exits, NULL);
    int n_classifiers = 0;
    for (int i = 0; i < 2; i++) {
        const calmoe_fitted_exit *exit = &report.exits[i];
        assert_int_equal(exit->layer, layers[i]);
        assert_int_equal(exit->rank, 8);
        assert_int_equal(exit->is_dropped, 0);
        assert_true(exit->tried_after > exit->tried_before);
        assert_true(exit->after.agreement > exit->before.agreement + 0.02); /* it was not trained for exits */
        assert_true(exit->explained > 0.0 && exit->explained <= 1.0);
        if (layers[i] + 1 < N_LAYERS) { /* along the way is nearer to the full model than staying */
            assert_true(exit->skipped_before > 0.0);
            assert_true(exit->skipped_after < exit->skipped_before);
        }
        check_exit(&r, &with, exit);
        n_classifiers += exit->has_classifier;
    }
    assert_true(n_classifiers > 0);
    assert_true(report.exits[0].after.reached == report.exits[0].after.agreement);
    assert_true(report.exits[1].after.reached >= report.exits[1].after.agreement);
    running_close(&with);
    running_close(&r);
}

/* Translators only, classifiers only, and layers that the model chooses. */
static void parts_that_are_not_wanted(void **state)
{
    (void)state;
    struct running r = open_tiny(1);
    calmoe_fit_options options = fit_options();
    struct learned_exits exits;
    options.classifiers = 0;
    options.layers = NULL;
    calmoe_fit_report report = {.size = sizeof report};
    options.save_every = 60.0;
    running_must(r.context, calmoe_fit_exits(r.engine, tokens, N_MANY, &options, out, &report));
    running_must(NULL, cm_exits_file_read(NULL, out, &exits));
    assert_int_equal(report.n_exits, 2); /* of 4 layers: 2, 3, 3 */
    assert_int_equal(report.exits[0].layer, 2);
    assert_int_equal(report.exits[1].layer, 3);
    assert_int_equal(exits.n, !report.exits[0].is_dropped + !report.exits[1].is_dropped);
    assert_true(exits.n > 0);
    for (int i = 0; i < exits.n; i++) assert_true(exits.exits[i].rank == 8 && !exits.exits[i].classifier);
    assert_int_equal(report.exits[0].has_classifier, 0);
    cm_learned_exits_close(&exits);
    options = fit_options();
    options.rank = 0;
    options.memory = 0; /* a sample, as small as may be */
    report = fit(&r, &options);
    running_must(NULL, cm_exits_file_read(NULL, out, &exits));
    for (int i = 0; i < exits.n; i++) assert_true(exits.exits[i].rank == 0 && exits.exits[i].classifier);
    assert_memory_equal(&report.before, &report.after, sizeof report.before);
    assert_in_range(report.n_fitted, 256, N_TOKENS - 1);
    cm_learned_exits_close(&exits);
    running_close(&r);
}

/* ---- refusals ---- */

static void assert_refuses(struct running *r, const calmoe_fit_options *options, size_t n, const char *words)
{
    assert_int_equal(calmoe_fit_exits(r->engine, tokens, n, options, out, NULL), CALMOE_INVALID_ARGUMENT);
    if (!strstr(calmoe_context_message(r->context), words)) fail_msg("%s", calmoe_context_message(r->context));
}

#define REFUSES(member, value, words)                                                                       \
    do {                                                                                                    \
        calmoe_fit_options wrong = fit_options();                                                           \
        wrong.member = value;                                                                               \
        assert_refuses(&r, &wrong, N_TOKENS, words);                                                        \
    } while (0)

static void what_makes_no_sense(void **state)
{
    (void)state;
    static const int beyond[] = {1, N_LAYERS}, twice[] = {2, 2}, none[] = {0, 1};
    struct running r = open_tiny(1);
    calmoe_fit_options good = fit_options();
    calmoe_fit_report unsized = {.size = 0};
    REFUSES(layers, beyond, "exit layer 1 is 4; layers from 1 to 3, ascending, are wanted");
    REFUSES(layers, twice, "ascending");
    REFUSES(layers, none, "exit layer 0 is 0");
    REFUSES(n_layers, 17, "17 exit layers; 1 to 16");
    REFUSES(n_layers, 0, "0 exit layers");
    REFUSES(rank, 1000, "rank is 1000");
    REFUSES(rank, -1, "rank is -1");
    REFUSES(ridge, 0.0, "ridge is 0");
    REFUSES(ridge, (double)NAN, "ridge is");
    REFUSES(window, 100000, "window is 100000");
    REFUSES(window, -5, "window is -5");
    REFUSES(save_every, (double)NAN, "save_every");
    assert_refuses(&r, &good, 20, "20 tokens are 1 windows of 32; at least 2");
    good.rank = good.classifiers = 0;
    assert_refuses(&r, &good, N_TOKENS, "neither translators nor classifiers");
    good = fit_options();
    tokens[50] = r.n_vocab;
    assert_refuses(&r, &good, N_TOKENS, "token 50 of the text is");
    tokens[50] = 3;
    assert_int_equal(calmoe_fit_exits(NULL, tokens, N_TOKENS, NULL, out, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_fit_exits(r.engine, NULL, 1, NULL, out, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_fit_exits(r.engine, tokens, N_TOKENS, NULL, NULL, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_fit_exits(r.engine, tokens, N_TOKENS, &good, out, &unsized), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_fit_exits(r.engine, tokens, N_TOKENS, &good, "/nowhere/e.gguf", NULL), CALMOE_IO);
    running_must(r.context, calmoe_session_open(r.engine, NULL, &r.session));
    assert_refuses(&r, &good, N_TOKENS, "an engine without open sessions");
    calmoe_session_close(&r.session);
    calmoe_fit_options_init(NULL);
    running_close(&r);
    calmoe_engine_options with_exits = running_options(1, NULL);
    r = open_tiny(1);
    (void)fit(&r, &good);
    running_close(&r);
    with_exits.exits = out;
    r = running_open(path, &with_exits, NULL);
    calmoe_session_close(&r.session);
    assert_refuses(&r, &good, N_TOKENS, "an engine without exits");
    running_close(&r);
}

/* Whatever memory is not there; and the engine is as it was. */
static void no_memory(void **state)
{
    (void)state;
    struct running r = open_tiny(1);
    int n_layers, n_before = answer_to(&r, 40, "always", 1.0f, 1, &n_layers);
    calmoe_fit_options options = fit_options();
    calmoe_status status = CALMOE_NO_MEMORY;
    options.save_every = 60.0;
    for (long nth = 1; status != CALMOE_OK; nth += full_or_thin(1, 3)) {
        const long n_live = cm_live_blocks();
        cm_fail_request(nth);
        status = calmoe_fit_exits(r.engine, tokens, 4 * WINDOW, &options, out, NULL);
        cm_fail_request(0);
        if (status != CALMOE_OK) assert_int_equal(status, CALMOE_NO_MEMORY);
        assert_null(r.engine->exit_weights);
        assert_int_equal(cm_live_blocks(), n_live);
        unlink(sums);
    }
    assert_int_equal(answer_to(&r, 40, "always", 1.0f, 1, &n_layers), n_before);
    running_close(&r);
}

/* ---- the embedded model ---- */

/* n tokens that the model itself writes, at random: as text that it knows, and the same on every machine. */
static void write_text(struct running *r, uint64_t seed, int32_t *text, int n)
{
    enum { N_AT_ONCE = 200 };
    calmoe_sampler_options sampler;
    calmoe_session_options options;
    calmoe_sampler_options_init(&sampler);
    calmoe_session_options_init(&options);
    sampler.temperature = 0.8f;
    options.sampler = &sampler;
    options.ignore_end = 1;
    for (int done = 0; done < n; done += N_AT_ONCE) {
        calmoe_session *session = NULL;
        sampler.seed = seed + (uint64_t)done;
        running_must(r->context, calmoe_session_open(r->engine, &options, &session));
        running_must(r->context, calmoe_session_feed_text(session, "The ", 4, CALMOE_TOKENIZE_BOS));
        for (int i = done; i < n && i < done + N_AT_ONCE; i++)
            running_must(r->context, calmoe_session_next(session, &text[i]));
        calmoe_session_close(&session);
    }
}

/* What was trained to leave after each layer needs no translator: one that does not help is left out, and does no harm;
 * classifiers know where an exit is right. */
static void only_what_helps_is_kept(void **state)
{
    (void)state;
    if (tests_are_thin()) skip(); /* all of it ran on the tiny model */
    static const int early[] = {1, 2, 3};
    struct running r = {.n_vocab = 0};
    calmoe_engine_options options = running_options(1, NULL);
    calmoe_fit_report report = {.size = sizeof report};
    running_must(NULL, calmoe_context_open(NULL, &r.context));
    if (calmoe_model_open(r.context, NULL, NULL, &r.model) != CALMOE_OK) {
        calmoe_context_close(&r.context);
        skip();
    }
    running_must(r.context, calmoe_engine_open(r.model, &options, &r.engine));
    static int32_t text[4000], apart[1000];
    write_text(&r, 1, text, 4000);
    write_text(&r, 100001, apart, 1000);
    calmoe_fit_options wish = fit_options();
    wish.layers = early;
    wish.n_layers = 3;
    wish.rank = 16;
    wish.window = 256;
    wish.save_every = 60.0;
    wish.held_out = apart;
    wish.n_held_out = 1000;
    running_must(r.context, calmoe_fit_exits(r.engine, text, 4000, &wish, out, &report));
    for (int i = 0; i < 3; i++) {
        const calmoe_fitted_exit *exit = &report.exits[i];
        assert_int_equal(exit->rank, exit->is_dropped ? 0 : 16);
        if (exit->is_dropped) assert_true(exit->after.agreement == exit->before.agreement);
        else assert_true(exit->tried_after > exit->tried_before);
        assert_true(exit->after.agreement > exit->before.agreement - 0.05);
        assert_true(exit->has_classifier); /* what it is sure of agrees more often than the rest */
        assert_true(exit->chosen > 0.1 && exit->chosen < 0.9);
        assert_true(exit->chosen_agreement > exit->after.agreement + 0.03);
    }
    running_close(&r);
}

static int set_up(void **state)
{
    (void)state;
    struct random random = cm_random(12);
    struct tiny_model tiny = tiny_model();
    folder = temp_folder_open();
    tiny.n_layers = N_LAYERS;
    snprintf(path, sizeof path, "%s", temp_file(folder, "model.gguf"));
    snprintf(out, sizeof out, "%s", temp_file(folder, "exits.gguf"));
    snprintf(sums, sizeof sums, "%s.sums", out);
    tiny_model_write(&tiny, path);
    const uint64_t n_vocab = (uint64_t)tiny_model_n_vocab(&tiny);
    for (int i = 0; i < N_MANY; i++) tokens[i] = (int32_t)cm_random_below(&random, n_vocab);
    for (int i = 0; i < N_HELD_OUT; i++) held_out[i] = (int32_t)cm_random_below(&random, n_vocab);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_break_changes_no_bit),
        cmocka_unit_test(other_sums_are_not_used),
        cmocka_unit_test(the_engine_finds_what_is_told),
        cmocka_unit_test(parts_that_are_not_wanted),
        cmocka_unit_test(what_makes_no_sense),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(only_what_helps_is_kept),
    };
    return cmocka_run_group_tests_name("fitting exits", tests, set_up, close_folder);
}
