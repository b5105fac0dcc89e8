/* test_exits_catch_up.c - keys and values of skipped layers that come later: exact ones by "catch_up", those of the
 * exit's state by "lazy". What a token gives does not depend on when they come, nor on how a sequence is cut into
 * steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/thin.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 5, N_USED = 3, N_PROMPT = 5, N_TOKENS = 14, CONTEXT = 64, MAX_SESSIONS = 6 };

static char path[600];
static int32_t tokens[N_PROMPT + N_TOKENS + 1];

/* ---- plans ---- */

struct plan_of_exits {
    const char *measure;
    float       threshold;
    int         layers[4], n_layers;
    const char *kv_fill;
    int         max_pending;
    int         k_tail;
    const char *width;
    int         k;
};

#define EXITS(name, bound, fill, pending, ...)                                                              \
    {.measure = name, .threshold = bound, .layers = {__VA_ARGS__},                                          \
     .n_layers = (int)(sizeof (int[]){__VA_ARGS__} / sizeof(int)), .kv_fill = fill, .max_pending = pending, \
     .k_tail = -1}

/* Some rows leave at each of these, some at none; in every order of depths. */
static const struct plan_of_exits plans[] = {
    EXITS("always", 1.0f, "catch_up", 32, 1),
    EXITS("always", 1.0f, "catch_up", 1, 3),
    EXITS("always", 1.0f, "catch_up", 3, 4),
    EXITS("softmax", 0.0007f, "catch_up", 32, 1, 2, 3),
    EXITS("softmax", 0.0007f, "catch_up", 2, 1, 2, 3, 4),
    EXITS("state", 0.6f, "catch_up", 5, 2, 3, 4),
    EXITS("shortlist", 0.0005f, "catch_up", 32, 2, 4),
    EXITS("always", 1.0f, "lazy", 32, 1),
    EXITS("always", 1.0f, "lazy", 1, 3),
    EXITS("softmax", 0.0007f, "lazy", 32, 1, 2, 3),
    EXITS("softmax", 0.0007f, "lazy", 2, 1, 2, 3, 4),
    EXITS("state", 0.6f, "lazy", 5, 2, 3, 4),
    {.measure = "softmax", .threshold = 0.0007f, .layers = {1, 3}, .n_layers = 2, .kv_fill = "catch_up",
     .max_pending = 4, .k_tail = -1, .width = "fixed", .k = 2},
    {.measure = "softmax", .threshold = 0.0007f, .layers = {2}, .n_layers = 1, .kv_fill = "catch_up",
     .max_pending = 4, .k_tail = 1},
    {.measure = "softmax", .threshold = 0.0007f, .layers = {2}, .n_layers = 1, .kv_fill = "lazy", .max_pending = 4,
     .k_tail = 0},
};
enum { N_PLANS = sizeof plans / sizeof *plans, FIRST_LAZY = 7, N_LAZY = 5 };

static calmoe_policy *make_policy(struct running *r, const struct plan_of_exits *plan)
{
    calmoe_policy_options options;
    calmoe_policy *policy = NULL;
    calmoe_policy_options_init(&options);
    options.measure = plan->measure;
    options.threshold = plan->threshold;
    options.exit_layers = plan->layers;
    options.n_exits = plan->n_layers;
    options.kv_fill = plan->kv_fill;
    options.max_pending = plan->max_pending;
    options.k_tail = plan->k_tail;
    options.width = plan->width;
    if (plan->k) options.width_k = plan->k;
    running_must(r->context, calmoe_policy_make(r->model, &options, &policy));
    return policy;
}

static calmoe_session *open_session(struct running *r, const calmoe_policy *policy)
{
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.policy = policy;
    options.ignore_end = 1;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    return session;
}

static struct running open_engine(int n_threads, const char *isa, int max_rows)
{
    calmoe_engine_options options = running_options(n_threads, isa);
    options.max_rows = max_rows;
    return running_open(path, &options, NULL);
}

/* ---- reading tokens that are known ---- */

struct reading {
    int          n;
    calmoe_depth depths[N_TOKENS];
    float       *logits; /* (n, n_vocab) */
};

static struct reading reading_open(const struct running *r)
{
    struct reading reading = {.logits = malloc((size_t)N_TOKENS * (size_t)r->n_vocab * sizeof(float))};
    assert_non_null(reading.logits);
    return reading;
}

static void read_prompt(struct running *r, calmoe_session *session, int n)
{
    const calmoe_chunk chunk = {session, tokens, n, CALMOE_LOGITS_NONE};
    running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    calmoe_session_begin_answer(session);
}

/* Tokens of the answer up to `to`, n_chunk at once. */
static void read_answer(struct running *r, calmoe_session *session, int to, int n_chunk, struct reading *out)
{
    while (out->n < to) {
        const int n = to - out->n < n_chunk ? to - out->n : n_chunk;
        const calmoe_chunk chunk = {session, tokens + N_PROMPT + out->n, n, CALMOE_LOGITS_ALL};
        running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
        for (int row = 0; row < n; row++, out->n++) {
            memcpy(out->logits + (size_t)out->n * (size_t)r->n_vocab, calmoe_session_logits(session, row),
                   (size_t)r->n_vocab * sizeof(float));
            out->depths[out->n] = running_depth(session, row);
        }
    }
}

static struct reading read_all(struct running *r, calmoe_session *session, int n_chunk)
{
    struct reading reading = reading_open(r);
    read_prompt(r, session, N_PROMPT);
    read_answer(r, session, N_TOKENS, n_chunk, &reading);
    return reading;
}

static void assert_same(const struct running *r, const struct reading *a, const struct reading *b)
{
    assert_int_equal(a->n, b->n);
    running_same_depths(a->depths, b->depths, a->n);
    assert_memory_equal(a->logits, b->logits, (size_t)a->n * (size_t)r->n_vocab * sizeof(float));
}

/* A token that is no answer's goes through all layers, and with it all that waited. Its logits: until the next time. */
static const float *settle(struct running *r, calmoe_session *session)
{
    static float logits[1024];
    assert_in_range(r->n_vocab, 1, 1024);
    session->answer_begin = -1;
    const calmoe_chunk chunk = {session, tokens + N_PROMPT + N_TOKENS, 1, CALMOE_LOGITS_LAST};
    running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    if (session->sequence.waiting) assert_int_equal(session->sequence.waiting->n, 0);
    return memcpy(logits, calmoe_session_logits(session, 0), (size_t)r->n_vocab * sizeof *logits);
}

/* All keys and values of all layers; what was never written is zero. */
static void assert_same_kv(const calmoe_session *a, const calmoe_session *b)
{
    assert_int_equal(a->n_positions, b->n_positions);
    assert_int_equal(a->state.kv.n_parts, 1);
    const struct kv_store *stores[] = {&a->state.kv.parts[0].all, &b->state.kv.parts[0].all};
    assert_int_equal(stores[0]->span_bytes, stores[1]->span_bytes);
    assert_memory_equal(stores[0]->spans[0].bytes, stores[1]->spans[0].bytes, stores[0]->span_bytes);
}

/* The plans by threshold are here to let some go and others not, in changing order. */
static void thresholds_let_some_go(void **state)
{
    (void)state;
    struct running r = open_engine(2, NULL, 64);
    for (int i = 0; i < N_PLANS; i++) {
        calmoe_policy *policy = make_policy(&r, &plans[i]);
        calmoe_session *session = open_session(&r, policy);
        struct reading reading = read_all(&r, session, 1);
        int n_left = 0, n_deeper = 0;
        for (int t = 0; t < N_TOKENS; t++) {
            n_left += reading.depths[t].layers < N_LAYERS;
            n_deeper += t > 0 && reading.depths[t].layers > reading.depths[t - 1].layers;
        }
        if (n_left == 0) fail_msg("plan %d lets nobody leave", i);
        if (strcmp(plans[i].measure, "always") != 0 && n_deeper == 0) fail_msg("plan %d has one depth", i);
        free(reading.logits);
        calmoe_session_close(&session);
        calmoe_policy_close(&policy);
    }
    running_close(&r);
}

/* ---- catch_up: keys and values are OFF's ---- */

static bool is_exact(const struct plan_of_exits *plan)
{
    return strcmp(plan->kv_fill, "catch_up") == 0 && plan->k_tail < 0 && !plan->width;
}

static void caught_up_is_off(void **state)
{
    (void)state;
    for (int threads = full_or_thin(1, 3); threads <= 3; threads += 2) {
        struct running r = open_engine(threads, NULL, 64);
        calmoe_session *off = open_session(&r, NULL);
        struct reading full = read_all(&r, off, N_TOKENS);
        float last[1024];
        memcpy(last, settle(&r, off), (size_t)r.n_vocab * sizeof *last);
        for (int i = 0; i < N_PLANS; i++) {
            if (!is_exact(&plans[i])) continue;
            calmoe_policy *policy = make_policy(&r, &plans[i]);
            calmoe_session *session = open_session(&r, policy);
            struct reading some = read_all(&r, session, 1);
            assert_memory_not_equal(some.depths, full.depths, sizeof some.depths);
            assert_memory_equal(settle(&r, session), last, (size_t)r.n_vocab * sizeof *last);
            assert_same_kv(session, off);
            free(some.logits);
            calmoe_session_close(&session);
            calmoe_policy_close(&policy);
        }
        free(full.logits);
        calmoe_session_close(&off);
        running_close(&r);
    }
}

/* Each token that left gives what it gives where all tokens before it are a prompt's: OFF's keys and values. */
static void exits_see_exact_keys(void **state)
{
    (void)state;
    struct running r = open_engine(2, NULL, 64);
    for (int i = 0; i < N_PLANS; i++) {
        if (!is_exact(&plans[i])) continue;
        calmoe_policy *policy = make_policy(&r, &plans[i]);
        calmoe_session *session = open_session(&r, policy);
        struct reading all = read_all(&r, session, 1);
        calmoe_session_close(&session);
        for (int t = 0; t < N_TOKENS; t++) {
            calmoe_depth depth;
            session = open_session(&r, policy);
            read_prompt(&r, session, N_PROMPT + t);
            const calmoe_chunk chunk = {session, tokens + N_PROMPT + t, 1, CALMOE_LOGITS_LAST};
            running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
            depth = running_depth(session, -1);
            running_same_depths(&depth, &all.depths[t], 1);
            assert_memory_equal(calmoe_session_logits(session, 0), all.logits + (size_t)t * (size_t)r.n_vocab,
                                (size_t)r.n_vocab * sizeof(float));
            calmoe_session_close(&session);
        }
        free(all.logits);
        calmoe_policy_close(&policy);
    }
    running_close(&r);
}

/* ---- lazy: what propagate gives ---- */

static void lazy_is_propagated(void **state)
{
    (void)state;
    for (int threads = full_or_thin(1, 3); threads <= 3; threads += 2) {
        struct running r = open_engine(threads, NULL, 64);
        for (int i = FIRST_LAZY; i < FIRST_LAZY + N_LAZY; i++) {
            struct plan_of_exits at_once = plans[i];
            at_once.kv_fill = "propagate";
            at_once.max_pending = 0;
            calmoe_policy *policies[] = {make_policy(&r, &plans[i]), make_policy(&r, &at_once)};
            calmoe_session *sessions[] = {open_session(&r, policies[0]), open_session(&r, policies[1])};
            struct reading readings[2];
            for (int s = 0; s < 2; s++) {
                readings[s] = read_all(&r, sessions[s], 1);
                settle(&r, sessions[s]);
            }
            assert_same(&r, &readings[0], &readings[1]);
            assert_same_kv(sessions[0], sessions[1]);
            for (int s = 0; s < 2; s++) {
                free(readings[s].logits);
                calmoe_session_close(&sessions[s]);
                calmoe_policy_close(&policies[s]);
            }
        }
        running_close(&r);
    }
}

/* ---- the same however a sequence is read ---- */

static void check_readings(struct running *r, const struct reading *wanted, int n_chunk)
{
    static int n_checked;
    for (int i = 0; i < N_PLANS; i++) {
        if (way_is_left_out(n_checked++, 4)) continue;
        calmoe_policy *policy = make_policy(r, &plans[i]);
        calmoe_session *session = open_session(r, policy);
        struct reading found = read_all(r, session, n_chunk);
        assert_same(r, &found, &wanted[i]);
        free(found.logits);
        calmoe_session_close(&session);
        calmoe_policy_close(&policy);
    }
}

/* In chunks, in steps that have no room for all that wait, by any threads and level. */
static void the_same_however_it_is_read(void **state)
{
    (void)state;
    static const struct { int max_rows, n_chunk; } steps[] = {{64, 2}, {64, N_TOKENS}, {14, 5}, {5, 1}, {5, 5}};
    struct reading wanted[N_PLANS];
    struct running r = open_engine(1, "ref", 64);
    for (int i = 0; i < N_PLANS; i++) {
        calmoe_policy *policy = make_policy(&r, &plans[i]);
        calmoe_session *session = open_session(&r, policy);
        wanted[i] = read_all(&r, session, 1);
        calmoe_session_close(&session);
        calmoe_policy_close(&policy);
    }
    running_close(&r);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        r = open_engine(1 + (int)i % 2, NULL, steps[i].max_rows);
        check_readings(&r, wanted, steps[i].n_chunk);
        running_close(&r);
    }
    for (int level = 0; running_isa(level); level++) {
        r = open_engine(level == 0 ? 3 : 1, running_isa(level), 16);
        check_readings(&r, wanted, 3);
        running_close(&r);
    }
    for (int i = 0; i < N_PLANS; i++) free(wanted[i].logits);
}

/* Sessions of all kinds in one batch: at every step each has the next token, or two or none. */
static void check_company(struct running *r, const int *which, int n)
{
    calmoe_policy *policies[MAX_SESSIONS] = {NULL};
    calmoe_session *sessions[MAX_SESSIONS], *alone[MAX_SESSIONS];
    struct reading wanted[MAX_SESSIONS], found[MAX_SESSIONS];
    for (int s = 0; s < n; s++) {
        if (which[s] >= 0) policies[s] = make_policy(r, &plans[which[s]]);
        alone[s] = open_session(r, policies[s]);
        wanted[s] = read_all(r, alone[s], 1);
        sessions[s] = open_session(r, policies[s]);
        found[s] = reading_open(r);
        read_prompt(r, sessions[s], N_PROMPT);
    }
    for (int step = 0, goes_on = 1; goes_on; step++) {
        calmoe_chunk chunks[MAX_SESSIONS];
        int n_chunks = 0;
        goes_on = 0;
        for (int s = 0; s < n; s++) {
            const int left = N_TOKENS - found[s].n, wish = (step + s) % 3;
            const int n_tokens = wish < left ? wish : left;
            goes_on |= left > 0;
            if (n_tokens > 0)
                chunks[n_chunks++] = (calmoe_chunk){sessions[s], tokens + N_PROMPT + found[s].n, n_tokens,
                                                    CALMOE_LOGITS_ALL};
        }
        running_must(r->context, calmoe_engine_step(r->engine, chunks, n_chunks));
        for (int c = 0; c < n_chunks; c++)
            for (int s = 0; s < n; s++)
                for (int row = 0; chunks[c].session == sessions[s] && row < chunks[c].n_tokens; row++, found[s].n++) {
                    memcpy(found[s].logits + (size_t)found[s].n * (size_t)r->n_vocab,
                           calmoe_session_logits(sessions[s], row), (size_t)r->n_vocab * sizeof(float));
                    found[s].depths[found[s].n] = running_depth(sessions[s], row);
                }
    }
    for (int s = 0; s < n; s++) {
        assert_same(r, &found[s], &wanted[s]);
        settle(r, sessions[s]);
        settle(r, alone[s]);
        assert_same_kv(sessions[s], alone[s]);
        free(found[s].logits);
        free(wanted[s].logits);
        calmoe_session_close(&sessions[s]);
        calmoe_session_close(&alone[s]);
        calmoe_policy_close(&policies[s]);
    }
}

static void the_same_in_company(void **state)
{
    (void)state;
    static const int batches[][MAX_SESSIONS] = {
        {0, 3, -1, 7, 9, 4}, {1, 2, 5, 6, 8, 10}, {11, 12, 13, 14, -1, 3}, {3, 3, 3, 9, 9, 9}, {4, -1, 10, -1, 1, 8},
    };
    FOR_THREADS(threads, 3) {
        struct running r = open_engine(threads, NULL, threads == 2 ? 12 : 96);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) check_company(&r, batches[b], MAX_SESSIONS);
        running_close(&r);
    }
}

/* ---- rewinding ---- */

/* After each rewind the rest is read again, other tokens in between; the outcome is that of who never rewound. */
static void rewound(void **state)
{
    (void)state;
    struct running r = open_engine(2, NULL, 16);
    static const int32_t others[3] = {90, 91, 92};
    for (int i = 0; i < N_PLANS; i++) {
        calmoe_policy *policy = make_policy(&r, &plans[i]);
        calmoe_session *straight = open_session(&r, policy), *session = open_session(&r, policy);
        struct reading wanted = read_all(&r, straight, 1), found = reading_open(&r);
        float last[1024];
        memcpy(last, settle(&r, straight), (size_t)r.n_vocab * sizeof *last);
        read_prompt(&r, session, N_PROMPT);
        for (int t = 0; t < N_TOKENS; t += 2) {
            read_answer(&r, session, t, 1, &found);
            const calmoe_chunk astray = {session, others, 3, CALMOE_LOGITS_ALL};
            running_must(r.context, calmoe_engine_step(r.engine, &astray, 1));
            running_must(r.context, calmoe_session_rewind(session, N_PROMPT + t));
            if (session->sequence.waiting && session->sequence.waiting->n > 0)
                assert_true(session->sequence.waiting->rows[session->sequence.waiting->n - 1].position < N_PROMPT + t);
        }
        read_answer(&r, session, N_TOKENS, 1, &found);
        assert_same(&r, &found, &wanted);
        /* Behind the end the cache may hold what was rewound. */
        assert_memory_equal(settle(&r, session), last, (size_t)r.n_vocab * sizeof *last);
        free(wanted.logits);
        free(found.logits);
        calmoe_session_close(&session);
        calmoe_session_close(&straight);
        calmoe_policy_close(&policy);
    }
    running_close(&r);
}

/* A token that is audited is read by the policy, which may let it wait, and then in full: nothing of it waits, and
 * the keys and values are OFF's. */
static void audited(void **state)
{
    (void)state;
    struct running r = open_engine(2, NULL, 16);
    for (int i = 0; i < N_PLANS; i++) {
        if (!is_exact(&plans[i])) continue;
        calmoe_policy *policy = make_policy(&r, &plans[i]);
        calmoe_session *session = open_session(&r, policy), *off = open_session(&r, NULL);
        session->audit.share = 0.5;
        cm_audit_begin(&session->audit.test, AUDIT_EVER, 0.5, 1e-9);
        running_must(r.context, calmoe_session_feed_tokens(session, tokens, N_PROMPT));
        int32_t answer[N_TOKENS];
        for (int t = 0; t < N_TOKENS; t++) {
            running_must(r.context, calmoe_session_next(session, &answer[t]));
            const int n = session->sequence.waiting->n;
            if (n > 0) assert_true(session->sequence.waiting->rows[n - 1].position < session->n_positions);
            for (int w = 1; w < n; w++)
                assert_true(session->sequence.waiting->rows[w - 1].position <
                            session->sequence.waiting->rows[w].position);
        }
        assert_in_range(session->audit.n_tokens, 1, N_TOKENS - 2);
        running_must(r.context, calmoe_session_rewind(session, N_PROMPT + N_TOKENS - 1));
        settle(&r, session);
        running_must(r.context, calmoe_session_feed_tokens(off, tokens, N_PROMPT));
        running_must(r.context, calmoe_session_feed_tokens(off, answer, N_TOKENS - 1));
        running_must(r.context, calmoe_session_next(off, &answer[0]));
        running_must(r.context, calmoe_session_rewind(off, N_PROMPT + N_TOKENS - 1));
        settle(&r, off);
        assert_same_kv(session, off);
        calmoe_session_close(&off);
        calmoe_session_close(&session);
        calmoe_policy_close(&policy);
    }
    running_close(&r);
}

/* ---- how many wait, and what it costs ---- */

static void as_many_wait_as_may(void **state)
{
    (void)state;
    struct running r = open_engine(1, NULL, 64);
    for (int cap = 1; cap <= 4; cap++)
        for (int kind = 0; kind < 2; kind++) {
            const struct plan_of_exits plan = EXITS("always", 1.0f, kind ? "lazy" : "catch_up", cap, 2);
            calmoe_policy *policy = make_policy(&r, &plan);
            calmoe_session *session = open_session(&r, policy);
            struct reading reading = reading_open(&r);
            int n_wait = 0;
            read_prompt(&r, session, N_PROMPT);
            calmoe_engine_reset_stats(r.engine);
            for (int t = 0; t < N_TOKENS; t++) {
                read_answer(&r, session, t + 1, 1, &reading);
                n_wait = n_wait == cap ? 0 : n_wait + 1; /* no room for one more: all go on */
                assert_int_equal(session->sequence.waiting->n, n_wait);
                assert_int_equal(reading.depths[t].layers, 2);
                assert_int_equal(reading.depths[t].experts, 2 * N_USED);
            }
            settle(&r, session);
            calmoe_stats stats = {.size = sizeof stats};
            running_must(r.context, calmoe_engine_get_stats(r.engine, &stats));
            const int n_layers_run = kind ? N_TOKENS * 2 + N_LAYERS : (N_TOKENS + 1) * N_LAYERS;
            assert_int_equal(stats.n_layers_run, n_layers_run); /* each layer once */
            assert_int_equal(stats.n_exits, N_TOKENS);
            free(reading.logits);
            calmoe_session_close(&session);
            calmoe_policy_close(&policy);
        }
    running_close(&r);
}

/* Rows that catch up share what is read with the row that takes them along; a step allocates nothing. */
static void what_waits_is_read_once(void **state)
{
    (void)state;
    struct running r = open_engine(1, NULL, 64);
    uint64_t bytes[3];
    for (int kind = 0; kind < 3; kind++) {
        static const char *const fills[] = {"propagate", "lazy", "catch_up"};
        const struct plan_of_exits plan = EXITS("always", 1.0f, fills[kind], kind ? 8 : 0, 1);
        calmoe_policy *policy = make_policy(&r, &plan);
        calmoe_session *session = open_session(&r, policy);
        struct reading reading = reading_open(&r);
        read_prompt(&r, session, N_PROMPT);
        calmoe_engine_reset_stats(r.engine);
        const long n_requests = cm_requests();
        read_answer(&r, session, 6, 1, &reading);
        settle(&r, session);
        assert_int_equal(cm_requests(), n_requests);
        calmoe_stats stats = {.size = sizeof stats};
        running_must(r.context, calmoe_engine_get_stats(r.engine, &stats));
        bytes[kind] = stats.n_weight_bytes;
        free(reading.logits);
        calmoe_session_close(&session);
        calmoe_policy_close(&policy);
    }
    uint64_t of_keys = 0;
    for (int layer = 1; layer < N_LAYERS; layer++)
        of_keys += cm_fill_bytes(r.engine->decoder, layer, layer + 1);
    assert_int_equal(bytes[0] - bytes[1], 5 * of_keys);
    assert_true(bytes[2] > bytes[1]);
    running_close(&r);
}

static int set_up(void **state)
{
    (void)state;
    folder = temp_folder_open();
    struct tiny_model tiny = tiny_model_mixed(N_LAYERS);
    snprintf(path, sizeof path, "%s", temp_file(folder, "catch_up.gguf"));
    tiny_model_write(&tiny, path);
    for (int i = 0; i < N_PROMPT + N_TOKENS + 1; i++) tokens[i] = 40 + (i * 7) % 23;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresholds_let_some_go),
        cmocka_unit_test(caught_up_is_off),
        cmocka_unit_test(exits_see_exact_keys),
        cmocka_unit_test(lazy_is_propagated),
        cmocka_unit_test(the_same_however_it_is_read),
        cmocka_unit_test(the_same_in_company),
        cmocka_unit_test(rewound),
        cmocka_unit_test(audited),
        cmocka_unit_test(as_many_wait_as_may),
        cmocka_unit_test(what_waits_is_read_once),
    };
    return cmocka_run_group_tests_name("keys and values that come later", tests, set_up, close_folder);
}
