/* test_sessions_go_on.c - every golden model, and so every way to mix positions that there is: a session that was
 * forked, or saved and restored by an engine with other threads, rows, context and instruction set, or interrupted,
 * gives the bits of the one that read all tokens itself; and so it does after it went back, and between drafts. Of
 * models that have a twin (goldens.h) those sessions are looked at that fork, save and go back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"

enum { N_BEFORE = 23, N_ALL = 36, MAX_VOCAB = 2048 };

static int32_t tokens[N_ALL];
static char    saved[600];

static calmoe_session_options session_options(int context)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.context = context;
    options.ignore_end = 1;
    return options;
}

static struct running open_model(const char *path, int n_threads, int max_rows, int kv_float32, const char *isa)
{
    calmoe_engine_options options = running_options(n_threads, isa);
    options.max_rows = max_rows;
    options.kv_float32 = kv_float32;
    const calmoe_session_options session = session_options(0);
    return running_open(path, &options, &session);
}

/* The rest by way of calmoe_session_next(), which reads again what had to be forgotten: the last token's logits. */
static void read_rest(struct running *r, calmoe_session *session, int from, float *logits)
{
    int32_t token;
    running_must(r->context, calmoe_session_feed_tokens(session, tokens + from, (size_t)(N_ALL - from)));
    running_must(r->context, calmoe_session_next(session, &token));
    memcpy(logits, calmoe_session_logits(session, 0), (size_t)r->n_vocab * sizeof *logits);
}

static void check_model(const char *path, int kv_float32)
{
    static float wanted[N_ALL * MAX_VOCAB], found[N_ALL * MAX_VOCAB];
    struct running r = open_model(path, 2, 16, kv_float32, NULL);
    struct running other = open_model(path, 1, 512, kv_float32, "ref");
    calmoe_session *copy = NULL, *restored = NULL;
    assert_true(r.n_vocab <= MAX_VOCAB);
    const size_t n_bytes = (size_t)r.n_vocab * sizeof(float), n_rest = N_ALL - N_BEFORE;
    running_read(&r, r.session, tokens, N_BEFORE, 7, wanted);
    running_must(r.context, calmoe_session_fork(r.session, &copy));
    running_must(r.context, calmoe_session_save(r.session, saved));
    running_read(&r, r.session, tokens + N_BEFORE, (int)n_rest, 4, wanted);
    running_read(&r, copy, tokens + N_BEFORE, (int)n_rest, 16, found);
    if (memcmp(found, wanted, n_rest * n_bytes) != 0) fail_msg("%s: a fork gives other logits", path);

    for (int context = 0; context <= N_ALL + 4; context += N_ALL + 4) {
        const calmoe_session_options options = session_options(context);
        running_must(other.context, calmoe_session_restore(other.engine, saved, &options, &restored));
        running_read(&other, restored, tokens + N_BEFORE, (int)n_rest, 5, found);
        if (memcmp(found, wanted, n_rest * n_bytes) != 0) fail_msg("%s: what is restored gives other logits", path);
        const float *last = wanted + (n_rest - 1) * (size_t)r.n_vocab;
        for (int back = N_BEFORE + 3; back >= 0; back -= 13) {
            running_must(other.context, calmoe_session_rewind(restored, back));
            read_rest(&other, restored, back, found);
            if (memcmp(found, last, n_bytes) != 0) fail_msg("%s: other logits after it went back to %d", path, back);
            running_must(r.context, calmoe_session_rewind(copy, back));
            read_rest(&r, copy, back, found);
            if (memcmp(found, last, n_bytes) != 0) fail_msg("%s: a fork gives others after %d", path, back);
        }
        calmoe_session_close(&restored);
    }
    calmoe_session_close(&copy);
    running_close(&r);
    running_close(&other);
}

/* ---- interrupted, again and again, later and later ---- */

static struct {
    calmoe_session *session;
    int             n_until; /* events more; 0 = let it be */
} trap;

static void see_routing(void *user, const calmoe_routing_event *event)
{
    (void)user;
    (void)event;
    if (trap.n_until > 0 && --trap.n_until == 0) calmoe_session_interrupt(trap.session);
}

static void check_interrupted(const char *path)
{
    static float wanted[MAX_VOCAB], found[MAX_VOCAB];
    const calmoe_session_options session = session_options(0);
    calmoe_engine_options options = running_options(2, NULL);
    options.max_rows = 7;
    options.routing = see_routing;
    trap.n_until = 0;
    struct running r = running_open(path, &options, &session);
    int32_t token;
    int     n_cancelled = 0;
    read_rest(&r, r.session, 0, wanted);
    running_must(r.context, calmoe_session_rewind(r.session, 0));
    running_must(r.context, calmoe_session_feed_tokens(r.session, tokens, N_ALL));
    trap.session = r.session;
    calmoe_status status;
    for (int n = 1;; n += 17) {
        trap.n_until = n;
        status = calmoe_session_next(r.session, &token);
        if (status != CALMOE_CANCELLED) break;
        n_cancelled++;
        running_must(r.context, calmoe_session_feed_tokens(r.session, NULL, 0));
    }
    running_must(r.context, status);
    memcpy(found, calmoe_session_logits(r.session, 0), (size_t)r.n_vocab * sizeof *found);
    if (n_cancelled < 3 || memcmp(found, wanted, (size_t)r.n_vocab * sizeof *found) != 0)
        fail_msg("%s: other logits after %d interruptions", path, n_cancelled);
    running_close(&r);
}

/* ---- between drafts ---- */

enum { N_DRAFTED = 7 };

static int32_t next(struct running *r, calmoe_session *session)
{
    int32_t token;
    running_must(r->context, calmoe_session_next(session, &token));
    return token;
}

static void check_drafting(const char *path)
{
    struct running r = open_model(path, 1, 16, 0, NULL);
    calmoe_session_options options = session_options(0);
    calmoe_session *drafting = NULL, *other = NULL;
    int32_t wanted[N_DRAFTED + 2];
    options.lossless = CALMOE_LOSSLESS_ALWAYS;
    running_must(r.context, calmoe_session_feed_tokens(r.session, tokens, N_BEFORE));
    for (int t = 0; t < N_DRAFTED + 2; t++) wanted[t] = next(&r, r.session);
    running_must(r.context, calmoe_session_open(r.engine, &options, &drafting));
    running_must(r.context, calmoe_session_feed_tokens(drafting, tokens, N_BEFORE));
    for (int t = 0; t < N_DRAFTED; t++) {
        if (next(&r, drafting) != wanted[t]) fail_msg("%s: other token %d by drafts", path, t);
        for (int is_file = 0; is_file < 2; is_file++) {
            if (is_file) running_must(r.context, calmoe_session_save(drafting, saved));
            running_must(r.context, is_file ? calmoe_session_restore(r.engine, saved, &options, &other)
                                            : calmoe_session_fork(drafting, &other));
            for (int i = 1; i <= 2; i++)
                if (next(&r, other) != wanted[t + i])
                    fail_msg("%s: %s after token %d goes on otherwise", path, is_file ? "a file" : "a fork", t);
            calmoe_session_close(&other);
        }
    }
    calmoe_session_close(&drafting);
    running_close(&r);
}

static void golden_models(void **state)
{
    (void)state;
    const struct goldens all = goldens();
    char path[600];
    for (int i = 0; i < all.n; i++) {
        golden_path(path, all.names[i]);
        check_model(path, i % 2);
        if (golden_has_twin(all.names[i])) continue;
        check_interrupted(path);
        check_drafting(path);
    }
}

static int set_up(void **state)
{
    struct random random = cm_random(5);
    const int status = open_folder(state);
    snprintf(saved, sizeof saved, "%s", temp_file(folder, "saved.session"));
    for (int i = 0; i < N_ALL; i++) tokens[i] = (int32_t)cm_random_below(&random, 200);
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_models)};
    return cmocka_run_group_tests_name("sessions that go on", tests, set_up, close_folder);
}
