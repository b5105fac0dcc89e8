/* test_adapters.c - sessions with adapters: the same bits, whoever stands in the step, with any threads, chunks and
 * instruction sets, in forks and in sessions that were saved. What adapters do: test_adapters_merged.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/pack.h>

#include "tests/support/adapter_fixture.h"
#include "tests/support/goldens.h"
#include "tests/support/random_adapter.h"
#include "tests/support/thin.h"
#include "tests/support/tiny_model.h"

enum { N_SESSIONS = 5 };

static float found[N_TOKENS * MAX_VOCAB], wanted[N_TOKENS * MAX_VOCAB];

struct way {
    int         n_threads, n_chunk;
    const char *isa;
};

static char          model_path[600], adapter_paths[2][600];
static float         alone[N_SESSIONS][N_TOKENS * MAX_VOCAB];
static const float   scales[N_SESSIONS][2] = {{1.0f, 0.0f}, {0.0f, 0.0f}, {0.0f, -0.5f}, {0.25f, 1.5f}, {2.0f, 0.0f}};

static void set_adapters(struct running *r, calmoe_adapter *const *adapters, calmoe_session *session, int i)
{
    calmoe_adapter *const turned[2] = {adapters[1], adapters[0]};
    const float           scales_turned[2] = {scales[i][1], scales[i][0]};
    running_must(r->context, i % 2 ? calmoe_session_set_adapters(session, adapters, scales[i], 2)
                                   : calmoe_session_set_adapters(session, turned, scales_turned, 2));
}

static void check_bits(const struct running *r, const char *what, int i, const float *logits, int first, int n)
{
    const size_t n_floats = (size_t)n * (size_t)r->n_vocab;
    if (memcmp(logits, alone[i] + (size_t)first * (size_t)r->n_vocab, n_floats * sizeof *logits) != 0)
        fail_msg("%s, session %d: other bits from position %d on", what, i, first);
}

/* All sessions in each step, with chunks of different lengths. */
static void read_together(struct running *r, calmoe_session **sessions, int n_chunk)
{
    for (;;) {
        calmoe_chunk chunks[N_SESSIONS];
        int n = 0;
        for (int i = 0; i < N_SESSIONS; i++) {
            const int at = calmoe_session_n_positions(sessions[i]), most = 1 + (n_chunk + i) % 5;
            const int left = N_TOKENS - at;
            if (left > 0)
                chunks[n++] = (calmoe_chunk){sessions[i], text + at, left < most ? left : most, CALMOE_LOGITS_ALL};
        }
        if (n == 0) return;
        running_must(r->context, calmoe_engine_step(r->engine, chunks, n));
        for (int c = 0; c < n; c++)
            for (int i = 0; i < N_SESSIONS; i++)
                for (int row = 0; sessions[i] == chunks[c].session && row < chunks[c].n_tokens; row++)
                    check_bits(r, "together", i, calmoe_session_logits(sessions[i], row),
                               calmoe_session_n_positions(sessions[i]) - chunks[c].n_tokens + row, 1);
    }
}

static void open_both(struct running *r, calmoe_adapter *adapters[2], bool is_turned)
{
    for (int i = 0; i < 2; i++) {
        const int which = is_turned ? 1 - i : i;
        adapters[which] = open_adapter(r, adapter_paths[which]);
    }
}

static void try_way(const struct way *way, bool is_first)
{
    struct running  r = open_model(model_path, way->n_threads, way->isa);
    calmoe_adapter *adapters[2];
    calmoe_session *sessions[N_SESSIONS];
    open_both(&r, adapters, !is_first);
    for (int i = 0; i < N_SESSIONS; i++) {
        running_must(r.context, calmoe_session_open(r.engine, NULL, &sessions[i]));
        set_adapters(&r, adapters, sessions[i], i);
        running_read(&r, sessions[i], text, N_TOKENS, way->n_chunk, found);
        if (is_first) memcpy(alone[i], found, sizeof found);
        check_bits(&r, "alone", i, found, 0, N_TOKENS);
        running_must(r.context, calmoe_session_rewind(sessions[i], 0));
    }
    read_together(&r, sessions, way->n_chunk);
    for (int i = 0; i < N_SESSIONS; i++) calmoe_session_close(&sessions[i]);
    for (int i = 0; i < 2; i++) calmoe_adapter_close(&adapters[i]);
    running_close(&r);
}

static void prepare(const char *path)
{
    snprintf(model_path, sizeof model_path, "%s", path);
    for (int i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "adapter%d.gguf", i);
        in_folder(adapter_paths[i], name);
        const struct random_adapter random = {.seed = 77 + (uint64_t)i, .rank = 5 - 2 * i, .size = 0.3f};
        random_adapter_write(path, &random, adapter_paths[i]);
    }
    struct running r = open_model(path, 1, NULL);
    make_text(r.n_vocab, 3);
    running_read(&r, r.session, text, N_TOKENS, N_TOKENS, wanted);
    running_close(&r);
}

/* Levels of instructions: all of them, or the best alone. */
static void try_model(const char *path, bool has_levels)
{
    struct way way = {1, N_TOKENS, NULL};
    prepare(path);
    try_way(&way, true);
    const size_t n_bytes = (size_t)N_TOKENS * sizeof *wanted; /* the first of all logits */
    assert_memory_equal(alone[1], wanted, n_bytes); /* scale 0 is the model as it is */
    assert_memory_not_equal(alone[0], wanted, n_bytes);
    way = (struct way){3, 4, NULL};
    try_way(&way, false);
    for (int i = 0; has_levels && (way.isa = running_isa(i)) != NULL && !tests_are_thin(); i++) {
        way.n_threads = 1 + i % 2;
        way.n_chunk = 1 + 3 * i;
        try_way(&way, false);
    }
}

static void the_same_bits(void **state)
{
    static const char *const names[] = {"qwen3moe", "deepseek3", "qwen35moe"};
    char path[600];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!golden_is_left_out(names[i])) try_model(golden_path(path, names[i]), i == 0);
    const struct tiny_model tiny = tiny_model_mixed(2); /* quantized weights, float32 adapters */
    in_folder(path, "mixed.gguf");
    tiny_model_write(&tiny, path);
    try_model(path, false);
}

/* Experts on disk, read into slots or mapped: what is added to them does not mind. */
static void experts_on_disk(void **state)
{
    char path[600], packed[600];
    (void)state;
    if (golden_is_left_out("qwen3moe")) return;
    prepare(golden_path(path, "qwen3moe"));
    in_folder(packed, "experts.packed");
    for (int way = 0; way < 4; way++) {
        calmoe_engine_options options = running_options(1 + way % 2, NULL);
        calmoe_adapter       *adapters[2];
        calmoe_disk_stats     disk = {.size = sizeof disk};
        options.kv_float32 = 1;
        options.max_rows = 4;
        options.packed = way >= 2 ? packed : NULL;
        if (way % 2) options.memory_limit = running_smallest_limit(path, options);
        struct running r = running_open(path, &options, NULL);
        if (way == 1) running_must(r.context, calmoe_pack(r.model, packed, NULL));
        open_both(&r, adapters, way % 2);
        set_adapters(&r, adapters, r.session, 3);
        running_read(&r, r.session, text, N_TOKENS, 1 + way, found);
        if (way == 0) memcpy(alone[3], found, sizeof found);
        check_bits(&r, "on disk", 3, found, 0, N_TOKENS);
        running_must(r.context, calmoe_engine_get_disk_stats(r.engine, &disk));
        assert_int_equal(disk.n_reads > 0, way % 2);
        for (int i = 0; i < 2; i++) calmoe_adapter_close(&adapters[i]);
        running_close(&r);
    }
    assert_memory_not_equal(alone[3], wanted, (size_t)N_TOKENS * sizeof *wanted);
}

/* ---- sessions that go on elsewhere ---- */

static void greedy(struct running *r, calmoe_session *session, int32_t *out, int n)
{
    for (int i = 0; i < n; i++) running_must(r->context, calmoe_session_next(session, &out[i]));
}

/* A fork has its session's adapters, a file of a session names them, and an adapter that was closed lives as long as a
 * session uses it. */
static void forks_and_files(void **state)
{
    enum { N = 9 };
    char    path[600], saved[600];
    int32_t forked[N], restored[N], ahead[N];
    float   scale;
    (void)state;
    prepare(golden_path(path, "qwen2moe"));
    in_folder(saved, "saved.session");
    struct running  r = open_model(model_path, 2, NULL);
    calmoe_session *fork = NULL, *other = NULL;
    calmoe_adapter *adapters[2], *used, *again;
    open_both(&r, adapters, false);
    running_must(r.context, calmoe_session_set_adapters(r.session, adapters, scales[3], 2));
    running_must(r.context, calmoe_session_feed_tokens(r.session, text, N_TOKENS));
    greedy(&r, r.session, ahead, 1);
    running_must(r.context, calmoe_session_fork(r.session, &fork));
    running_must(r.context, calmoe_session_save(r.session, saved));
    running_must(r.context, calmoe_session_restore(r.engine, saved, NULL, &other));
    assert_int_equal(calmoe_session_n_adapters(fork), 2);
    assert_int_equal(calmoe_session_n_adapters(other), 2);
    greedy(&r, r.session, ahead, N);
    calmoe_adapter_close(&adapters[0]);
    assert_int_equal(calmoe_engine_n_adapters(r.engine), 1);
    calmoe_session_close(&r.session);
    greedy(&r, fork, forked, N);
    greedy(&r, other, restored, N);
    assert_memory_equal(forked, ahead, sizeof ahead);
    assert_memory_equal(restored, ahead, sizeof ahead);
    running_must(r.context, calmoe_session_adapter(fork, 0, &used, &scale));
    calmoe_session_close(&other);
    calmoe_session_close(&fork);
    assert_int_equal(calmoe_session_restore(r.engine, saved, NULL, &other), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(calmoe_context_message(r.context), ", which is not open; 1 others are"));
    again = open_adapter(&r, adapter_paths[0]);
    running_must(r.context, calmoe_session_restore(r.engine, saved, NULL, &other));
    greedy(&r, other, restored, N);
    assert_memory_equal(restored, ahead, sizeof ahead);
    calmoe_session_close(&other);
    calmoe_adapter_close(&again);
    calmoe_adapter_close(&adapters[1]);
    running_close(&r);
}

/* Drafts by early exits and by what stood before are verified with the adapter: the same tokens. */
static void drafts(void **state)
{
    enum { N = 40 };
    char    path[600];
    int32_t plain[N], drafted[N];
    calmoe_session_options options;
    calmoe_speculation     speculation = {.size = sizeof speculation};
    (void)state;
    prepare(golden_path(path, "qwen3moe"));
    struct running  r = open_model(model_path, 2, NULL);
    calmoe_adapter *adapters[2];
    calmoe_session *session;
    calmoe_session_options_init(&options);
    options.lossless = CALMOE_LOSSLESS_ALWAYS;
    options.ignore_end = 1;
    open_both(&r, adapters, false);
    for (int i = 0; i < 2; i++) {
        running_must(r.context, calmoe_session_open(r.engine, &options, &session));
        running_must(r.context, calmoe_session_set_adapters(session, adapters, scales[3], 2));
        running_must(r.context, calmoe_session_feed_tokens(session, text, N_TOKENS));
        greedy(&r, session, i ? plain : drafted, N);
        running_must(r.context, calmoe_session_speculation(session, &speculation));
        if (i == 0) assert_true(speculation.drafted > 0);
        options.lossless = CALMOE_LOSSLESS_OFF;
        calmoe_session_close(&session);
    }
    assert_memory_equal(plain, drafted, sizeof plain);
    for (int i = 0; i < 2; i++) calmoe_adapter_close(&adapters[i]);
    running_close(&r);
}

/* Adapters with early exits of other sessions in the same steps: rows come and go, and each keeps its own. */
static void beside_a_policy(void **state)
{
    enum { N = 20 };
    char    path[600];
    int32_t alone_tokens[2][N], token;
    (void)state;
    prepare(golden_path(path, "llama"));
    for (int together = 0; together < 2; together++) {
        struct running  r = open_model(model_path, 2, NULL);
        calmoe_adapter *adapters[2];
        calmoe_session *sessions[2];
        calmoe_policy  *policy = running_exits(&r, "softmax", 0.2f, (const int[]){1, 2}, 2, "catch_up", 4);
        calmoe_session_options options;
        int n_seen[2] = {0};
        open_both(&r, adapters, false);
        calmoe_session_options_init(&options);
        options.ignore_end = 1;
        for (int i = 0; i < 2; i++) {
            options.policy = i ? policy : NULL;
            running_must(r.context, calmoe_session_open(r.engine, &options, &sessions[i]));
            if (i == 0) running_must(r.context, calmoe_session_set_adapters(sessions[0], adapters, scales[3], 2));
            running_must(r.context, calmoe_session_feed_tokens(sessions[i], text + i, (size_t)(N_TOKENS - i)));
        }
        for (int i = 0; i < 2 && !together; i++) greedy(&r, sessions[i], alone_tokens[i], N);
        while (together && (n_seen[0] < N || n_seen[1] < N)) {
            calmoe_event events[3]; /* r.session, with nothing to say, is one, too */
            int          n_events;
            running_must(r.context, calmoe_engine_next(r.engine, events, 3, &n_events));
            for (int e = 0; e < n_events; e++) {
                const int i = events[e].session == sessions[1];
                token = events[e].token;
                if (n_seen[i] < N) assert_int_equal(token, alone_tokens[i][n_seen[i]++]);
            }
        }
        for (int i = 0; i < 2; i++) calmoe_session_close(&sessions[i]);
        for (int i = 0; i < 2; i++) calmoe_adapter_close(&adapters[i]);
        calmoe_policy_close(&policy);
        running_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(experts_on_disk),
        cmocka_unit_test(forks_and_files),
        cmocka_unit_test(drafts),
        cmocka_unit_test(beside_a_policy),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
