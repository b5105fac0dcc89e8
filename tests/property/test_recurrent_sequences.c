/* test_recurrent_sequences.c - sequences of models whose layers keep a state that cannot be taken back: whatever leaves
 * early, is drafted, audited, broken off, taken back or copied, the logits are the bits of a sequence that was read in
 * one way.
 *
 * The models are golden ones: delta nets, Mamba-2 and short convolutions, with attention between them. What they answer
 * at all: tests/golden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/documents/policy_file.h"
#include "runtime/engine/handles.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"

enum { N_PROMPT = 29, N_NEW = 9, N_SECOND = 3, N_LAST = 4, N_LONG = 330, MAX_FLOATS = 330 * 320 };
enum { N_FILLS = 3, N_MEASURES = 4 };

static const char *const models[] = {"qwen35moe", "qwen3next", "qwen35", "lfm2moe", "granitehybridmoe", "nemotronhmoe"};
enum { N_MODELS = sizeof models / sizeof *models };
static const char *const fills[N_FILLS] = {"propagate", "lazy", "catch_up"};

static const struct leaving {
    const char *measure;
    float       threshold;
    int         layers[3], n;
} leavings[N_MEASURES] = { /* some tokens leave at each of these, some at none */
    {"always", 1.0f, {2}, 1},
    {"softmax", 0.3f, {1, 2, 3}, 3},
    {"state", 0.6f, {2, 3}, 2},
    {"shortlist", 0.3f, {1, 3}, 2},
};

static struct running open_watched(const char *name, int n_threads, int max_rows, calmoe_routing_fn routing, void *user)
{
    char path[600];
    calmoe_engine_options options = running_options(n_threads, NULL);
    if (max_rows > 0) options.max_rows = max_rows;
    options.kv_float32 = 1;
    options.routing = routing;
    options.routing_user = user;
    snprintf(path, sizeof path, CALMOE_SOURCE_DIR "/tests/golden/%s.gguf", name);
    return running_open(path, &options, NULL);
}

static struct running open_golden(const char *name, int n_threads, int max_rows)
{
    return open_watched(name, n_threads, max_rows, NULL, NULL);
}

static void choose_tokens(const struct running *r, int32_t *tokens, int n)
{
    struct random random = cm_random(5);
    for (int i = 0; i < n; i++) tokens[i] = (int32_t)cm_random_below(&random, (uint64_t)r->n_vocab);
}

static calmoe_policy *make_policy(struct running *r, const struct leaving *leaving, const char *fill, int tail)
{
    calmoe_policy_options options;
    calmoe_policy *policy = NULL;
    calmoe_policy_options_init(&options);
    options.measure = leaving->measure;
    options.threshold = leaving->threshold;
    options.exit_layers = leaving->layers;
    options.n_exits = leaving->n;
    options.kv_fill = fill;
    options.k_tail = tail;
    running_must(r->context, calmoe_policy_make(r->model, &options, &policy));
    return policy;
}

static calmoe_session *open_session(struct running *r, const calmoe_policy *policy, int lossless)
{
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_session_options_init(&options);
    options.policy = policy;
    options.lossless = lossless;
    options.hash_logits = 1;
    options.ignore_end = 1;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    return session;
}

static void take(struct running *r, calmoe_session *session, int n)
{
    for (int i = 0; i < n; i++) {
        int32_t token;
        running_must(r->context, calmoe_session_next(session, &token));
    }
}

/* Two prompts and their answers; the hash of all logits. depths: of the tokens of the first answer; may be NULL. */
static void converse(struct running *r, calmoe_session *session, char hash[65], int *depths)
{
    int32_t tokens[N_PROMPT + N_SECOND];
    choose_tokens(r, tokens, N_PROMPT + N_SECOND);
    running_must(r->context, calmoe_session_feed_tokens(session, tokens, N_PROMPT));
    for (int i = 0; i < N_NEW; i++) {
        take(r, session, 1);
        if (depths) depths[i] = running_depth(session, -1).layers;
    }
    running_must(r->context, calmoe_session_feed_tokens(session, tokens + N_PROMPT, N_SECOND));
    take(r, session, N_LAST);
    running_must(r->context, calmoe_session_logit_hash(session, hash));
}

/* ---- exits ---- */

static void hash_under(struct running *r, const struct leaving *leaving, const char *fill, int tail, char hash[65],
                       int *depths)
{
    calmoe_policy *policy = make_policy(r, leaving, fill, tail);
    calmoe_session *session = open_session(r, policy, CALMOE_LOSSLESS_OFF);
    converse(r, session, hash, depths);
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
}

/* In other steps, by other threads, on two nodes: the same. Filled later or at once: the same. */
static void exits(void **state)
{
    (void)state;
    int n_left = 0, n_stayed = 0;
    for (int m = 0; m < N_MODELS; m++) {
        struct running one = open_golden(models[m], 1, 0), three = open_golden(models[m], 3, 5);
        setenv("HWLOC_SYNTHETIC", "numa:2 core:2 pu:1", 1);
        struct running nodes = open_golden(models[m], 0, 0);
        unsetenv("HWLOC_SYNTHETIC");
        for (int i = 0; i < N_MEASURES; i++)
            for (int tail = -1; tail < 1; tail++) {
                char hashes[N_FILLS][65], other[65];
                int depths[N_NEW], n_here = 0;
                for (int fill = 0; fill < N_FILLS; fill++) {
                    hash_under(&one, &leavings[i], fills[fill], tail, hashes[fill], depths);
                    hash_under(&three, &leavings[i], fills[fill], tail, other, NULL);
                    assert_string_equal(other, hashes[fill]);
                    hash_under(&nodes, &leavings[i], fills[fill], tail, other, NULL);
                    assert_string_equal(other, hashes[fill]);
                    for (int t = 0; t < N_NEW; t++) n_here += depths[t] < one.engine->model->spec.n_layers;
                }
                n_left += n_here;
                n_stayed += N_FILLS * N_NEW - n_here;
                assert_string_equal(hashes[0], hashes[1]);
                if (tail < 0 && n_here > 0) assert_string_not_equal(hashes[0], hashes[2]);
            }
        running_close(&one);
        running_close(&three);
        running_close(&nodes);
    }
    assert_true(n_left > 50 && n_stayed > 50);
}

/* Tokens of an answer that are known: one by one, and many at once where rows catch up; where skipped layers are filled
 * at once that would be out of order, and is refused. */
static void answers_at_once(void **state)
{
    (void)state;
    for (int fill = 0; fill < N_FILLS; fill++) {
        struct running r = open_golden(models[0], 2, 0);
        int32_t tokens[N_PROMPT + N_NEW];
        char hashes[2][65];
        choose_tokens(&r, tokens, N_PROMPT + N_NEW);
        calmoe_policy *policy = make_policy(&r, &leavings[1], fills[fill], -1);
        for (int at_once = 0; at_once < 2; at_once++) {
            calmoe_session *session = open_session(&r, policy, CALMOE_LOSSLESS_OFF);
            const calmoe_chunk prompt = {session, tokens, N_PROMPT, CALMOE_LOGITS_ALL};
            running_must(r.context, calmoe_engine_step(r.engine, &prompt, 1));
            calmoe_session_begin_answer(session);
            for (int i = 0; i < N_NEW; i += at_once ? N_NEW : 1) {
                const calmoe_chunk chunk = {session, tokens + N_PROMPT + i, at_once ? N_NEW : 1, CALMOE_LOGITS_ALL};
                const calmoe_status status = calmoe_engine_step(r.engine, &chunk, 1);
                const bool is_refused = at_once && fill < 2;
                if (!is_refused) running_must(r.context, status);
                else assert_int_equal(status, CALMOE_INVALID_ARGUMENT);
                if (is_refused) assert_non_null(strstr(calmoe_context_message(r.context), "keep a state"));
            }
            running_must(r.context, calmoe_session_logit_hash(session, hashes[at_once]));
            calmoe_session_close(&session);
        }
        if (fill == 2) assert_string_equal(hashes[0], hashes[1]);
        calmoe_policy_close(&policy);
        running_close(&r);
    }
}

/* ---- drafts and audits: the full model's logits ---- */

static void drafts(void **state)
{
    (void)state;
    for (int m = 0; m < N_MODELS; m++) {
        struct running r = open_golden(models[m], 2, 0);
        char plain[65], drafted[65];
        calmoe_session *session = open_session(&r, NULL, CALMOE_LOSSLESS_OFF);
        converse(&r, session, plain, NULL);
        calmoe_session_close(&session);
        for (int i = -1; i < N_MEASURES; i++) { /* -1: what the session chooses */
            calmoe_policy *policy = i < 0 ? NULL : make_policy(&r, &leavings[i], "catch_up", -1);
            calmoe_speculation told = {.size = sizeof told};
            session = open_session(&r, policy, CALMOE_LOSSLESS_ALWAYS);
            converse(&r, session, drafted, NULL);
            assert_string_equal(drafted, plain);
            running_must(r.context, calmoe_session_speculation(session, &told));
            assert_true(i > 0 || (told.drafted > 0 && told.accepted < told.drafted));
            calmoe_session_close(&session);
            calmoe_policy_close(&policy);
        }
        running_close(&r);
    }
}

static calmoe_policy *proven_policy(struct running *r, enum kv_fill fill)
{
    struct policy policy = {.n_layers = r->model->spec.n_layers, .n_rungs = 1};
    calmoe_policy *opened = NULL;
    memcpy(policy.fingerprint, r->model->fingerprint, sizeof policy.fingerprint);
    policy.rungs[0] = (struct policy_rung){
        .delta = 0.1, .epsilon = 0.05, .n_prompts = 1000, .p = 0.01, .loss = LOSS_TOKEN_DISAGREEMENT, .n_exits = 1,
        .exits = {{.layer = 2, .measure = MEASURE_ALWAYS, .threshold = {SCHEDULE_CONSTANT, 1.0f, 0.0f, 0}}},
        .kv_fill = fill, .max_pending = fill == KV_PROPAGATE ? 0 : 4, .k_tail = TAIL_NONE};
    const char *file = temp_file(folder, "policy.json");
    assert_int_equal(cm_policy_file_write(NULL, file, &policy), CALMOE_OK);
    running_must(r->context, calmoe_policy_open(r->model, file, &opened));
    return opened;
}

/* Of an answer that is audited whole, every token is tried by the policy first and then read in full. */
static void audits(void **state)
{
    (void)state;
    for (int fill = 0; fill < N_FILLS; fill++) {
        struct running r = open_golden(models[0], 2, 0);
        char plain[65], audited[65];
        calmoe_session *session = open_session(&r, NULL, CALMOE_LOSSLESS_OFF);
        converse(&r, session, plain, NULL);
        calmoe_session_close(&session);
        calmoe_policy *policy = proven_policy(&r, (enum kv_fill)fill);
        calmoe_session_options options;
        calmoe_session_options_init(&options);
        options.policy = policy;
        options.quality = 0.5;
        options.audit = CALMOE_AUDIT_REQUIRED;
        options.audit_share = 1.0;
        options.hash_logits = options.ignore_end = 1;
        running_must(r.context, calmoe_session_open(r.engine, &options, &session));
        converse(&r, session, audited, NULL);
        assert_string_equal(audited, plain);
        calmoe_session_close(&session);
        calmoe_policy_close(&policy);
        running_close(&r);
    }
}

/* ---- taken back, broken off, copied ---- */

static int32_t long_tokens[N_LONG];
static float   wanted[MAX_FLOATS];

/* A sequence of N_LONG tokens, and the logits of all of them, read in one way. */
static void read_long(struct running *r)
{
    choose_tokens(r, long_tokens, N_LONG);
    assert_true(N_LONG * r->n_vocab <= MAX_FLOATS);
    running_read(r, r->session, long_tokens, N_LONG, 64, wanted);
    running_must(r->context, calmoe_session_rewind(r->session, 0));
}

static struct running open_long(const char *name)
{
    struct running r = open_golden(name, 2, 64);
    read_long(&r);
    return r;
}

/* Steps by hand from position `from` on. */
static void check_rest(struct running *r, calmoe_session *session, int from)
{
    static float found[MAX_FLOATS];
    running_read(r, session, long_tokens + from, N_LONG - from, 64, found);
    assert_memory_equal(found, wanted + (size_t)from * (size_t)r->n_vocab,
                        (size_t)(N_LONG - from) * (size_t)r->n_vocab * sizeof *found);
}

static void taken_back(void **state)
{
    (void)state;
    static const int back_to[] = {N_LONG - 1, 300, 257, 256, 40, 1, 0};
    for (int m = 0; m < N_MODELS; m++) {
        struct running r = open_long(models[m]);
        for (size_t i = 0; i < sizeof back_to / sizeof *back_to; i++) {
            int32_t token; /* as sessions are fed, so that there are snapshots */
            running_must(r.context, calmoe_session_rewind(r.session, 0));
            running_must(r.context, calmoe_session_feed_tokens(r.session, long_tokens, N_LONG));
            running_must(r.context, calmoe_session_next(r.session, &token));
            running_must(r.context, calmoe_session_rewind(r.session, back_to[i]));
            assert_int_equal(calmoe_session_n_positions(r.session), back_to[i] >= 256 ? 256 : 0);
            check_rest(&r, r.session, back_to[i]);
        }
        running_must(r.context, calmoe_session_rewind(r.session, N_LONG)); /* where it stands */
        assert_int_equal(calmoe_session_n_positions(r.session), N_LONG);
        running_must(r.context, calmoe_session_rewind(r.session, 100));
        running_must(r.context, calmoe_session_rewind(r.session, 50)); /* of tokens that are yet to be read again */
        assert_int_equal(calmoe_session_rewind(r.session, 51), CALMOE_INVALID_ARGUMENT);
        check_rest(&r, r.session, 50);
        running_close(&r);
    }
}

/* Where a session was told that it will be gone back to, nothing is read again, nor by its fork. */
static void taken_back_to_returns(void **state)
{
    (void)state;
    static const int returns[] = {70, 201}, back_to[] = {205, 201, 200, 70, 69};
    for (int m = 0; m < N_MODELS; m++) {
        struct running r = open_long(models[m]);
        for (size_t i = 0; i < sizeof back_to / sizeof *back_to; i++) {
            int32_t         token;
            calmoe_session *fork = NULL;
            const int       wanted_at = back_to[i] >= 201 ? 201 : back_to[i] >= 70 ? 70 : 0;
            running_must(r.context, calmoe_session_rewind(r.session, 0));
            running_must(r.context, calmoe_session_will_return(r.session, returns, 2));
            running_must(r.context, calmoe_session_feed_tokens(r.session, long_tokens, 220));
            running_must(r.context, calmoe_session_next(r.session, &token));
            running_must(r.context, calmoe_session_fork(r.session, &fork));
            running_must(r.context, calmoe_session_rewind(r.session, back_to[i]));
            assert_int_equal(calmoe_session_n_positions(r.session), wanted_at);
            check_rest(&r, r.session, back_to[i]);
            running_must(r.context, calmoe_session_rewind(fork, back_to[i]));
            assert_int_equal(calmoe_session_n_positions(fork), wanted_at);
            check_rest(&r, fork, back_to[i]);
            calmoe_session_close(&fork);
        }
        assert_int_equal(calmoe_session_will_return(r.session, (const int[]){1, 2, 3, 4, 5}, 5),
                         CALMOE_INVALID_ARGUMENT);
        assert_int_equal(calmoe_session_will_return(r.session, (const int[]){-1}, 1), CALMOE_INVALID_ARGUMENT);
        running_close(&r);
    }
}

/* The session is interrupted while its step is in layer 2, as often as is still wanted. */
struct trap {
    calmoe_session *session;
    int             n_left;
};

static void interrupt_in_layer_2(void *user, const calmoe_routing_event *event)
{
    struct trap *trap = user;
    if (event->layer == 2 && trap->n_left > 0 && trap->n_left--) calmoe_session_interrupt(trap->session);
}

/* The states of some layers have taken in the tokens of a step that was broken off, others have not. */
static void broken_off(void **state)
{
    (void)state;
    static const int at[] = {290, 7, 0};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        struct trap trap = {.n_left = 0};
        struct running r = open_watched(models[i % 2], 2, 64, interrupt_in_layer_2, &trap);
        int32_t token;
        read_long(&r);
        trap.session = r.session;
        if (at[i] > 0) {
            running_must(r.context, calmoe_session_feed_tokens(r.session, long_tokens, (size_t)at[i]));
            running_must(r.context, calmoe_session_next(r.session, &token));
            running_must(r.context, calmoe_session_rewind(r.session, at[i]));
        }
        running_must(r.context, calmoe_session_feed_tokens(r.session, long_tokens + at[i], 5));
        trap.n_left = 1;
        assert_int_equal(calmoe_session_next(r.session, &token), CALMOE_CANCELLED);
        assert_int_equal(trap.n_left, 0);
        assert_int_equal(calmoe_session_n_positions(r.session), at[i] >= 256 ? 256 : 0);
        running_must(r.context, calmoe_session_rewind(r.session, at[i]));
        check_rest(&r, r.session, at[i]);
        running_close(&r);
    }
}

struct bytes {
    uint8_t *at;
    size_t   n, n_read;
};

static calmoe_status put(void *user, const void *bytes, size_t n)
{
    struct bytes *to = user;
    to->at = realloc(to->at, to->n + n);
    memcpy(to->at + to->n, bytes, n);
    to->n += n;
    return CALMOE_OK;
}

static calmoe_status get(void *user, void *bytes, size_t n)
{
    struct bytes *from = user;
    if (n > from->n - from->n_read) return CALMOE_BAD_FILE;
    memcpy(bytes, from->at + from->n_read, n);
    from->n_read += n;
    return CALMOE_OK;
}

/* Sequences that go on from where another one stands, by a copy and through bytes. */
static void copied(void **state)
{
    (void)state;
    enum { AT = 100 };
    for (int m = 0; m < N_MODELS; m++) {
        struct running r = open_long(models[m]);
        struct bytes bytes = {0};
        calmoe_session *fork = open_session(&r, NULL, CALMOE_LOSSLESS_OFF), *read = open_session(&r, NULL, 0);
        static float logits[MAX_FLOATS];
        running_read(&r, r.session, long_tokens, AT, 64, logits);
        cm_sequence_state_copy(&r.session->state, AT, &fork->state, &(int){0});
        assert_int_equal(cm_sequence_state_write(&r.session->state, AT, put, &bytes), CALMOE_OK);
        check_rest(&r, r.session, AT); /* the copies are of what was */
        assert_int_equal(cm_sequence_state_read(&read->state, AT, get, &bytes), CALMOE_OK);
        assert_int_equal(bytes.n_read, bytes.n);
        fork->n_positions = fork->n_known = read->n_positions = read->n_known = AT;
        check_rest(&r, fork, AT);
        check_rest(&r, read, AT);
        calmoe_session_close(&fork);
        calmoe_session_close(&read);
        free(bytes.at);
        running_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exits),      cmocka_unit_test(answers_at_once), cmocka_unit_test(drafts),
        cmocka_unit_test(audits),     cmocka_unit_test(taken_back),      cmocka_unit_test(broken_off),
        cmocka_unit_test(copied),     cmocka_unit_test(taken_back_to_returns),
    };
    return cmocka_run_group_tests_name("recurrent sequences", tests, open_folder, close_folder);
}
