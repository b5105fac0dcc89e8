/* test_session_file.c - sessions that are forked, saved and restored: they go on with the same bits, whatever was
 * pending or waiting; and files that are damaged, cut off, foreign or another model's are refused in one sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/engine/handles.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 5, N_PROMPT = 20, N_BEFORE = 9, N_AFTER = 9, CONTEXT = 64, HEAD_BYTES = 80, DIGITS = 64 };

/* Chat turns whose history holds answers without their thoughts. */
#define THOUGHTLESS                                                                                              \
    "{% for m in messages %}{% set c = m.content.split('</think>')[-1].lstrip('\\n') if m.role == 'assistant' "   \
    "else m.content %}{{ '<|im_start|>' + m.role + '\\n' + c + '<|im_end|>\\n' }}{% endfor %}"                     \
    "{{ '<|im_start|>assistant\\n' }}"

static char    deep_path[600], small_path[600], saved_path[600];
static int32_t prompt[N_PROMPT];

static struct running open_engine(const char *path, int n_threads, int max_rows)
{
    calmoe_engine_options options = running_options(n_threads, NULL);
    options.max_rows = max_rows;
    return running_open(path, &options, NULL);
}

static calmoe_session_options session_options(const calmoe_sampler_options *sampler, const calmoe_policy *policy)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.ignore_end = 1;
    options.hash_logits = 1;
    options.sampler = sampler;
    options.policy = policy;
    return options;
}

/* Tokens that were counted twice, or not at all, are drawn otherwise. */
static calmoe_sampler_options sampler_options(float temperature)
{
    calmoe_sampler_options options;
    calmoe_sampler_options_init(&options);
    options.temperature = temperature;
    options.repeat_penalty = 1.3f;
    options.seed = 11;
    return options;
}

static void feed(struct running *r, calmoe_session *session, int n)
{
    running_must(r->context, calmoe_session_feed_tokens(session, prompt, (size_t)n));
}

static int32_t next(struct running *r, calmoe_session *session)
{
    int32_t token;
    running_must(r->context, calmoe_session_next(session, &token));
    return token;
}

static void save(struct running *r, calmoe_session *session)
{
    running_must(r->context, calmoe_session_save(session, saved_path));
}

static calmoe_session *restore(struct running *r, const calmoe_session_options *options)
{
    calmoe_session *session = NULL;
    running_must(r->context, calmoe_session_restore(r->engine, saved_path, options, &session));
    return session;
}

static calmoe_session *fork_of(struct running *r, const calmoe_session *session)
{
    calmoe_session *copy = NULL;
    running_must(r->context, calmoe_session_fork(session, &copy));
    return copy;
}

/* ---- going on ---- */

struct rest { /* of an answer, and a prompt's token behind it, which reads what all layers keep */
    int32_t      tokens[N_AFTER];
    calmoe_depth depths[N_AFTER];
    float        logits[N_AFTER + 1][1024];
};

static void go_on(struct running *r, calmoe_session *session, struct rest *rest)
{
    const size_t n_bytes = (size_t)r->n_vocab * sizeof(float);
    memset(rest, 0, sizeof *rest);
    assert_true(r->n_vocab <= 1024);
    for (int t = 0; t <= N_AFTER; t++) {
        if (t == N_AFTER) feed(r, session, 1);
        const int32_t token = next(r, session);
        memcpy(rest->logits[t], calmoe_session_logits(session, session->logits.n - 1), n_bytes);
        if (t == N_AFTER) break;
        rest->tokens[t] = token;
        rest->depths[t] = running_depth(session, -1);
    }
}

static void assert_same(const struct rest *a, const struct rest *b)
{
    assert_memory_equal(a->tokens, b->tokens, sizeof a->tokens);
    running_same_depths(a->depths, b->depths, N_AFTER);
    assert_memory_equal(a->logits, b->logits, sizeof a->logits);
}

static const struct exits {
    const char *measure; /* NULL: no policy */
    float       threshold;
    int         layers[3], n_layers;
    const char *kv_fill;
    int         max_pending;
} exits[] = {
    {.measure = NULL},
    {"always", 1.0f, {1}, 1, "catch_up", 32},
    {"softmax", 0.006f, {1, 2, 3}, 3, "catch_up", 32},
    {"softmax", 0.006f, {1, 2, 4}, 3, "catch_up", 2},
    {"always", 1.0f, {2}, 1, "lazy", 32},
    {"softmax", 0.006f, {1, 2, 3}, 3, "lazy", 4},
    {"softmax", 0.006f, {2, 4}, 2, "propagate", 0},
};
enum { N_EXITS = sizeof exits / sizeof *exits };

static calmoe_policy *make_policy(struct running *r, const struct exits *from)
{
    return running_exits(r, from->measure, from->threshold, from->layers, from->n_layers, from->kv_fill,
                         from->max_pending);
}

static calmoe_session *open_answering(struct running *r, const calmoe_session_options *options)
{
    calmoe_session *session = NULL;
    running_must(r->context, calmoe_session_open(r->engine, options, &session));
    feed(r, session, N_PROMPT);
    for (int t = 0; t < N_BEFORE; t++) (void)next(r, session);
    return session;
}

/* In the middle of an answer; the original goes on first, last, and between. */
static void a_fork_goes_on_alike(void **state)
{
    (void)state;
    static struct rest wanted, of_copy, of_second;
    const calmoe_sampler_options sampler = sampler_options(0.8f);
    struct running r = open_engine(deep_path, 2, 16);
    for (int i = 0; i < N_EXITS; i++) {
        calmoe_policy *policy = make_policy(&r, &exits[i]);
        const calmoe_session_options options = session_options(&sampler, policy);
        calmoe_session *session = open_answering(&r, &options);
        calmoe_session *copy = fork_of(&r, session), *second = fork_of(&r, copy);
        char hashes[2][65];
        if (i == 1 || i == 4) assert_int_equal(copy->sequence.waiting->n, N_BEFORE - 1);
        assert_memory_equal(calmoe_session_logits(copy, 0), calmoe_session_logits(session, 0),
                            (size_t)r.n_vocab * sizeof(float));
        go_on(&r, copy, &of_copy);
        go_on(&r, session, &wanted);
        go_on(&r, second, &of_second);
        assert_same(&of_copy, &wanted);
        assert_same(&of_second, &wanted);
        running_must(r.context, calmoe_session_logit_hash(session, hashes[0]));
        running_must(r.context, calmoe_session_logit_hash(second, hashes[1]));
        assert_string_equal(hashes[0], hashes[1]);
        calmoe_session_close(&session); /* before its copies */
        calmoe_session_close(&copy);
        calmoe_session_close(&second);
        calmoe_policy_close(&policy);
    }
    running_close(&r);
}

/* By an engine with another number of threads and rows, another context, and rows that waited when it was saved. */
static void what_is_restored_goes_on_alike(void **state)
{
    (void)state;
    static struct rest wanted, found;
    const calmoe_sampler_options sampler = sampler_options(0.0f);
    struct running r = open_engine(deep_path, 2, 16), other = open_engine(deep_path, 1, 512);
    for (int i = 0; i < N_EXITS; i++)
        for (int lossless = CALMOE_LOSSLESS_OFF; lossless <= CALMOE_LOSSLESS_ALWAYS; lossless += 2) {
            calmoe_policy *policy = make_policy(&r, &exits[i]), *policy_there = make_policy(&other, &exits[i]);
            calmoe_session_options options = session_options(&sampler, policy);
            options.lossless = lossless;
            calmoe_session *session = open_answering(&r, &options), *unsaved = fork_of(&r, session);
            save(&r, session);
            options.policy = policy_there;
            options.context = i % 2 ? 0 : 128;
            calmoe_session *restored = restore(&other, &options);
            assert_int_equal(calmoe_session_n_positions(restored), N_PROMPT + N_BEFORE - 1);
            assert_int_equal(calmoe_session_n_tokens(restored), N_PROMPT + N_BEFORE);
            assert_int_equal(calmoe_session_context(restored), i % 2 ? CONTEXT : 128);
            go_on(&r, unsaved, &wanted);
            go_on(&other, restored, &found);
            assert_same(&found, &wanted);
            go_on(&r, session, &found); /* it may go on, too */
            assert_same(&found, &wanted);
            calmoe_session_close(&session);
            calmoe_session_close(&unsaved);
            calmoe_session_close(&restored);
            calmoe_policy_close(&policy);
            calmoe_policy_close(&policy_there);
        }
    running_close(&r);
    running_close(&other);
}

/* What was fed and not read, an end that was reached, limits, an empty session, an interrupted prompt. */
static void what_is_pending_stays_pending(void **state)
{
    (void)state;
    static struct rest wanted, found;
    struct running r = open_engine(deep_path, 1, 8);
    calmoe_session_options options = session_options(NULL, NULL);
    calmoe_session *session = NULL, *restored;
    int32_t token;
    running_must(r.context, calmoe_session_open(r.engine, &options, &session));
    save(&r, session);
    restored = restore(&r, NULL);
    assert_int_equal(calmoe_session_n_tokens(restored), 0);
    assert_int_equal(calmoe_session_next(restored, &token), CALMOE_END);
    calmoe_session_close(&restored);

    feed(&r, session, N_PROMPT);
    calmoe_session_interrupt(session);
    assert_int_equal(calmoe_session_next(session, &token), CALMOE_CANCELLED);
    save(&r, session);
    restored = restore(&r, &options);
    assert_int_equal(calmoe_session_n_positions(restored), 0);
    assert_int_equal(calmoe_session_n_tokens(restored), N_PROMPT);
    feed(&r, session, 0);
    go_on(&r, session, &wanted);
    go_on(&r, restored, &found); /* it is not interrupted */
    assert_same(&found, &wanted);
    calmoe_session_close(&restored);

    options.max_new_tokens = 3;
    restored = restore(&r, &options);
    for (int i = 0; i < 2; i++) (void)next(&r, restored);
    save(&r, restored);
    calmoe_session *again = restore(&r, &options);
    (void)next(&r, again);
    assert_int_equal(calmoe_session_next(again, &token), CALMOE_END);
    save(&r, again);
    calmoe_session_close(&again);
    again = restore(&r, &options);
    assert_int_equal(calmoe_session_next(again, &token), CALMOE_END);
    calmoe_session_close(&again);
    calmoe_session_close(&restored);
    calmoe_session_close(&session);
    running_close(&r);
}

/* ---- conversations ---- */

static void say(struct running *r, calmoe_session *session, const char *system, const char *user)
{
    running_must(r->context, calmoe_session_feed_chat(session, system, user));
}

/* The next turn goes back over the last answer, whose thought leaves the history; a first turn stays the first. */
static void conversations_go_on(void **state)
{
    (void)state;
    struct running r = open_engine(small_path, 1, 64);
    calmoe_session_options options = session_options(NULL, NULL);
    calmoe_session *session = NULL;
    options.context = 400;
    running_must(r.context, calmoe_session_open(r.engine, &options, &session));
    for (int turn = 0; turn < 3; turn++) {
        calmoe_session *copy = fork_of(&r, session);
        save(&r, session);
        calmoe_session *restored = restore(&r, &options);
        assert_int_equal(calmoe_session_turn_begin(restored), calmoe_session_turn_begin(session));
        calmoe_session *all[] = {session, copy, restored};
        for (int i = 0; i < 3; i++) {
            say(&r, all[i], "the", turn ? "and" : "hello");
            running_must(r.context, calmoe_session_feed_text(all[i], "a</think>b", 10, CALMOE_TOKENIZE_SPECIAL));
            for (int t = 0; t < 4; t++) (void)next(&r, all[i]);
            assert_int_equal(all[i]->n_known, session->n_known);
            assert_memory_equal(all[i]->tokens, session->tokens, (size_t)session->n_known * sizeof *session->tokens);
        }
        calmoe_session_close(&copy);
        calmoe_session_close(&restored);
    }
    calmoe_session_close(&session);
    running_close(&r);
}

/* ---- files that are refused ---- */

struct bytes {
    uint8_t *at;
    size_t   n;
};

static struct bytes read_saved(void)
{
    struct bytes bytes = {malloc(1 << 22), 0};
    FILE *file = fopen(saved_path, "rb");
    assert_non_null(file);
    assert_non_null(bytes.at);
    bytes.n = fread(bytes.at, 1, 1 << 22, file);
    fclose(file);
    return bytes;
}

static void seal(struct bytes bytes)
{
    char hex[65];
    struct sha256 sha = cm_sha256();
    cm_sha256_add(&sha, bytes.at, bytes.n - DIGITS);
    cm_sha256_hex(&sha, hex);
    memcpy(bytes.at + bytes.n - DIGITS, hex, DIGITS);
}

static struct bytes saved_conversation(struct running *r)
{
    calmoe_session_options options = session_options(NULL, NULL);
    calmoe_session *session = NULL;
    options.context = 100;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    say(r, session, "the", "hello");
    (void)next(r, session);
    save(r, session);
    calmoe_session_close(&session);
    return read_saved();
}

/* The status; a failure leaves no session and one sentence. What is opened runs. */
static calmoe_status parse(struct running *r, struct bytes bytes)
{
    calmoe_session_options options = session_options(NULL, NULL);
    calmoe_session *session = NULL;
    int32_t token;
    options.context = 0;
    const calmoe_status status = cm_session_parse(r->engine, "a.session", bytes.at, bytes.n, &options, &session);
    assert_true((status == CALMOE_OK) == (session != NULL));
    if (status != CALMOE_OK && !strstr(calmoe_context_message(r->context), "a.session"))
        fail_msg("%s", calmoe_context_message(r->context));
    if (session && calmoe_session_n_tokens(session) + 2 < calmoe_session_context(session)) {
        running_must(r->context, calmoe_session_feed_tokens(session, prompt, 1));
        const calmoe_status ran = calmoe_session_next(session, &token);
        assert_true(ran == CALMOE_OK || ran == CALMOE_NOT_FINITE); /* keys and values may be any bytes */
    }
    calmoe_session_close(&session);
    return status;
}

static void flipped_and_cut_files_are_refused(void **state)
{
    (void)state;
    struct running r = open_engine(small_path, 1, 64);
    struct bytes whole = saved_conversation(&r);
    assert_int_equal(parse(&r, whole), CALMOE_OK);
    for (size_t i = 0; i < whole.n; i++) {
        whole.at[i] ^= (uint8_t)(1 << i % 8);
        assert_int_not_equal(parse(&r, whole), CALMOE_OK);
        whole.at[i] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t n = 0; n < whole.n; n += n < 400 ? 1 : 97)
        assert_int_equal(parse(&r, (struct bytes){whole.at, n}), CALMOE_BAD_FILE);
    assert_int_equal(parse(&r, (struct bytes){whole.at, whole.n + 1}), CALMOE_BAD_FILE);
    assert_int_equal(parse(&r, whole), CALMOE_OK);
    free(whole.at);
    running_close(&r);
}

/* With a digest that fits, anything is refused or runs. */
static void sealed_lies_do_no_harm(void **state)
{
    (void)state;
    struct running r = open_engine(small_path, 1, 64);
    struct bytes whole = saved_conversation(&r), lie = {malloc(whole.n), whole.n};
    struct random random = cm_random(3);
    int n_opened = 0;
    assert_non_null(lie.at);
    for (int i = 0; i < 3000; i++) {
        memcpy(lie.at, whole.at, whole.n);
        const int n = 1 + (int)cm_random_below(&random, 3);
        for (int k = 0; k < n; k++) {
            const size_t most = i % 4 ? 300 : whole.n; /* mostly in the head, the tokens and the texts */
            lie.at[cm_random_below(&random, most)] = (uint8_t)cm_random_u64(&random);
        }
        seal(lie);
        n_opened += parse(&r, lie) == CALMOE_OK;
    }
    assert_true(n_opened > 100 && n_opened < 2900);
    free(lie.at);
    free(whole.at);
    running_close(&r);
}

struct fault {
    size_t      at; /* of a u32 that is set to */
    uint32_t    value;
    calmoe_status status;
    const char *words;
};

static void each_fault_has_its_sentence(void **state)
{
    (void)state;
    static const struct fault faults[] = {
        {0, 0x4d4c4143, CALMOE_OK, NULL}, /* "CALM": as it is */
        {0, 0x46554747, CALMOE_BAD_FILE, "'a.session' is no session: it does not begin with CALMOESE"},
        {8, 3, CALMOE_UNSUPPORTED, "'a.session' is a session of version 3; this version reads 1 and 2"},
        {8, 2, CALMOE_BAD_FILE, "its head holds numbers that cannot be"}, /* neither a source nor adapters */
        {12, 32, CALMOE_INVALID_ARGUMENT, "has keys and values of 32 bits; the engine was opened for 16"},
        {16, 0, CALMOE_INVALID_ARGUMENT, "is a session of another model than '"},
        {32, 0, CALMOE_BAD_FILE, "its head holds numbers that cannot be"},
        {32, 1 << 25, CALMOE_BAD_FILE, "its head holds"},
        {36, 101, CALMOE_BAD_FILE, "its head holds"},
        {36, 90, CALMOE_BAD_FILE, "a session of 90 tokens, "},
        {40, 1000, CALMOE_BAD_FILE, "its head holds"},
        {40, 0, CALMOE_BAD_FILE, "tokens, 0 of them read, has "},
        {44, 99, CALMOE_BAD_FILE, "its head holds"},
        {44, 0xfffffffe, CALMOE_BAD_FILE, "its head holds"},
        {48, 0x80000000, CALMOE_BAD_FILE, "its head holds"},
        {52, 64, CALMOE_BAD_FILE, "its head holds"},
        {52, 16, CALMOE_BAD_FILE, "its head holds"},
        {56, 99, CALMOE_BAD_FILE, "its head holds"},
        {64, 1 << 30, CALMOE_BAD_FILE, "its head holds"},
        {68, 1, CALMOE_BAD_FILE, " bytes; a session of "},
        {72, 1, CALMOE_BAD_FILE, " bytes; a session of "},
        {HEAD_BYTES, 1 << 20, CALMOE_BAD_FILE, "token 0 is 1048576, of "},
        {HEAD_BYTES + 4, 0xffffffff, CALMOE_BAD_FILE, "token 1 is -1, of "},
    };
    struct running r = open_engine(small_path, 1, 64);
    struct bytes whole = saved_conversation(&r), lie = {malloc(whole.n), whole.n};
    uint32_t n_tokens;
    assert_non_null(lie.at);
    memcpy(&n_tokens, whole.at + 36, sizeof n_tokens);
    for (size_t i = 0; i <= sizeof faults / sizeof *faults; i++) {
        const bool is_text = i == sizeof faults / sizeof *faults; /* a NUL in a turn's text */
        const struct fault fault = is_text ? (struct fault){HEAD_BYTES + 4 * n_tokens, 0, CALMOE_BAD_FILE,
                                                            "a turn holds a byte 0"} : faults[i];
        memcpy(lie.at, whole.at, whole.n);
        memcpy(lie.at + fault.at, &fault.value, sizeof fault.value);
        seal(lie);
        if (parse(&r, lie) != fault.status || (fault.words && !strstr(calmoe_context_message(r.context), fault.words)))
            fail_msg("fault %zu: %s", i, calmoe_context_message(r.context));
    }
    whole.at[whole.n - 1] ^= 1;
    assert_int_equal(parse(&r, whole), CALMOE_BAD_FILE);
    assert_non_null(strstr(calmoe_context_message(r.context), "its bytes are not those that were written"));
    free(lie.at);
    free(whole.at);
    running_close(&r);
}

static void other_engines_and_options(void **state)
{
    (void)state;
    struct running r = open_engine(small_path, 1, 64), deep = open_engine(deep_path, 1, 64);
    calmoe_engine_options engine = running_options(1, NULL);
    calmoe_session_options options = session_options(NULL, NULL);
    calmoe_session *session = NULL;
    free(saved_conversation(&r).at);
    assert_int_equal(calmoe_session_restore(deep.engine, saved_path, NULL, &session), CALMOE_INVALID_ARGUMENT);
    assert_null(session);
    engine.kv_float32 = 1;
    struct running wide = running_open(small_path, &engine, NULL);
    assert_int_equal(calmoe_session_restore(wide.engine, saved_path, NULL, &session), CALMOE_INVALID_ARGUMENT);
    options.context = 8;
    assert_int_equal(calmoe_session_restore(r.engine, saved_path, &options, &session), CALMOE_FULL);
    assert_non_null(strstr(calmoe_context_message(r.context), " tokens, and the context is to have room for 8"));
    options.context = -1;
    assert_int_equal(calmoe_session_restore(r.engine, saved_path, &options, &session), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_restore(r.engine, "/nowhere/at/all", NULL, &session), CALMOE_IO);
    assert_int_equal(calmoe_session_restore(r.engine, small_path, NULL, &session), CALMOE_BAD_FILE);
    assert_int_equal(calmoe_session_restore(r.engine, NULL, NULL, &session), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_restore(NULL, saved_path, NULL, &session), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_save(NULL, saved_path), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_save(r.session, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_save(r.session, "/nowhere/at/all"), CALMOE_IO);
    assert_int_equal(calmoe_session_fork(NULL, &session), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_fork(r.session, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_n_tokens(NULL), 0);
    running_close(&wide);
    running_close(&r);
    running_close(&deep);
}

/* A session that stopped having numbers is no use to anybody; before that place it is. */
static void without_numbers_nothing_is_saved(void **state)
{
    (void)state;
    struct running r = open_engine(small_path, 1, 64);
    int32_t token;
    feed(&r, r.session, 5);
    (void)calmoe_session_next(r.session, &token); /* it may end the answer */
    r.session->broke.position = 3; /* as a step would have noted it */
    r.session->broke.after = 1;
    calmoe_session *copy = fork_of(&r, r.session);
    assert_int_equal(calmoe_session_save(copy, saved_path), CALMOE_NOT_FINITE);
    assert_non_null(strstr(calmoe_context_message(r.context), "from position 3 on the session holds NaN"));
    calmoe_session_close(&copy);
    running_must(r.context, calmoe_session_rewind(r.session, 3));
    feed(&r, r.session, 5);
    (void)calmoe_session_next(r.session, &token); /* it may end the answer */
    save(&r, r.session);
    running_close(&r);
}

/* A file that cannot be completed leaves what was there under its name, and nothing beside it. */
static void files_are_whole_or_not_at_all(void **state)
{
    (void)state;
    struct running r = open_engine(small_path, 1, 64);
    char beside[700];
    const struct bytes before = saved_conversation(&r);
    snprintf(beside, sizeof beside, "%s.part", saved_path);
    assert_int_equal(access(beside, F_OK), -1);
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(symlink("/dev/full", beside), 0);
        feed(&r, r.session, 3);
        assert_int_equal(calmoe_session_save(r.session, saved_path), CALMOE_IO);
        assert_non_null(strstr(calmoe_context_message(r.context), "cannot write '"));
        assert_int_equal(access(beside, F_OK), -1);
        const struct bytes after = read_saved();
        assert_int_equal(after.n, before.n);
        assert_memory_equal(after.at, before.at, before.n);
        free(after.at);
    }
    free(before.at);
    running_close(&r);
}

static int set_up(void **state)
{
    (void)state;
    folder = temp_folder_open();
    struct tiny_model tiny = tiny_model_wide();
    tiny.n_layers = N_LAYERS;
    snprintf(deep_path, sizeof deep_path, "%s", temp_file(folder, "deep.gguf"));
    tiny_model_write(&tiny, deep_path);
    tiny = tiny_model();
    tiny.context = 400;
    tiny.chat_template = THOUGHTLESS;
    snprintf(small_path, sizeof small_path, "%s", temp_file(folder, "small.gguf"));
    tiny_model_write(&tiny, small_path);
    snprintf(saved_path, sizeof saved_path, "%s", temp_file(folder, "saved.session"));
    for (int i = 0; i < N_PROMPT; i++) prompt[i] = 40 + (i * 7) % 23;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fork_goes_on_alike),
        cmocka_unit_test(what_is_restored_goes_on_alike),
        cmocka_unit_test(what_is_pending_stays_pending),
        cmocka_unit_test(conversations_go_on),
        cmocka_unit_test(flipped_and_cut_files_are_refused),
        cmocka_unit_test(sealed_lies_do_no_harm),
        cmocka_unit_test(each_fault_has_its_sentence),
        cmocka_unit_test(other_engines_and_options),
        cmocka_unit_test(without_numbers_nothing_is_saved),
        cmocka_unit_test(files_are_whole_or_not_at_all),
    };
    return cmocka_run_group_tests_name("sessions in files", tests, set_up, close_folder);
}
