/* test_exits.c - policies at work: what leaves, when and how wide, what it does to others (nothing), and the keys and
 * values that it leaves behind. Each session's outputs depend on its own tokens and policy only. */
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
#include "runtime/mixers/attention.h"
#include "runtime/forward/decoder_parts.h" /* looks inside: the states that a step left */
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/thin.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 5, N_EXPERTS = 8, N_USED = 3, N_PROMPT = 7, N_NEW = 12, MAX_SESSIONS = 6 };

static char path[600], norms_path[600], dense_path[600], many_path[600];

static const int32_t prompt[N_PROMPT] = {40, 41, 42, 43, 44, 45, 46};

/* ---- sessions ---- */

struct leaving { /* of one session */
    const char *measure;
    float       threshold;
    int         layers[3], n_layers;
    const char *schedule;
    int         k_tail;
    const char *width;
    float       bound;
    int         k;
};

#define DEPTH(name, bound, ...)                                                                             \
    {.measure = name, .threshold = bound, .layers = {__VA_ARGS__},                                          \
     .n_layers = (int)(sizeof (int[]){__VA_ARGS__} / sizeof(int)), .k_tail = -1}

static calmoe_policy *make_policy(struct running *r, const struct leaving *leaving)
{
    calmoe_policy_options options;
    calmoe_policy *policy = NULL;
    calmoe_policy_options_init(&options);
    options.measure = leaving->measure;
    options.threshold = leaving->threshold;
    options.exit_layers = leaving->layers;
    options.n_exits = leaving->n_layers;
    options.schedule = leaving->schedule;
    options.tau = leaving->schedule ? 4.0f : 0.0f;
    options.length = leaving->schedule ? N_NEW : 0;
    options.k_tail = leaving->measure ? leaving->k_tail : -1;
    options.width = leaving->width;
    options.width_bound = leaving->bound;
    if (leaving->k) options.width_k = leaving->k;
    running_must(r->context, calmoe_policy_make(r->model, &options, &policy));
    return policy;
}

struct answer { /* of one session: for each new token, what chose it */
    int          n;
    int32_t      tokens[N_NEW];
    calmoe_depth depths[N_NEW];
    char         hash[65];
};

static calmoe_session *open_session(struct running *r, const calmoe_policy *policy, int n_prompt)
{
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_session_options_init(&options);
    options.hash_logits = 1;
    options.ignore_end = 1;
    options.policy = policy;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    running_must(r->context, calmoe_session_feed_tokens(session, prompt, (size_t)n_prompt));
    return session;
}

/* Lets N_NEW tokens come, then one step more, so that the hash holds N_NEW decode steps. */
static struct answer run_alone(struct running *r, const struct leaving *leaving, int n_prompt)
{
    struct answer answer = {0};
    calmoe_policy *policy = leaving ? make_policy(r, leaving) : NULL;
    calmoe_session *session = open_session(r, policy, n_prompt);
    for (; answer.n < N_NEW; answer.n++) {
        running_must(r->context, calmoe_session_next(session, &answer.tokens[answer.n]));
        answer.depths[answer.n] = running_depth(session, session->logits.n - 1);
    }
    running_must(r->context, calmoe_session_logit_hash(session, answer.hash));
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    return answer;
}

static void assert_same(const struct answer *a, const struct answer *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->tokens, b->tokens, sizeof a->tokens);
    running_same_depths(a->depths, b->depths, N_NEW);
    assert_string_equal(a->hash, b->hash);
}

static struct running open_model(const char *file, int n_threads, const char *isa)
{
    calmoe_engine_options options = running_options(n_threads, isa);
    options.max_rows = 16;
    return running_open(file, &options, NULL);
}

/* ---- OFF ---- */

/* Policies that cannot change anything: the bits of OFF. */
static void what_leaves_nothing_out_is_off(void **state)
{
    (void)state;
    static const struct leaving plans[] = {
        DEPTH("softmax", 1.0f, 1, 2, 3),
        DEPTH("shortlist", 1.0f, 1, 4),
        {.measure = "softmax", .threshold = 1.0f, .layers = {2}, .n_layers = 1, .k_tail = 0},
        {.width = "fixed", .k = N_USED},
        {.width = "top_p", .bound = 1.0f, .k = N_USED},
        {.width = "ratio", .bound = 1e-30f},
    };
    FOR_THREADS(threads, 3) {
        struct running r = open_model(path, threads, NULL);
        const struct answer off = run_alone(&r, NULL, N_PROMPT);
        for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
            const struct answer on = run_alone(&r, &plans[i], N_PROMPT);
            assert_string_equal(on.hash, off.hash);
            assert_memory_equal(on.tokens, off.tokens, sizeof on.tokens);
            for (int t = 0; t < N_NEW; t++) {
                assert_int_equal(on.depths[t].layers, N_LAYERS);
                assert_int_equal(on.depths[t].experts, N_LAYERS * N_USED);
            }
        }
        running_close(&r);
    }
}

/* ---- exits ---- */

static const struct leaving mixed[] = {
    DEPTH("always", 1.0f, 1),
    DEPTH("always", 1.0f, 4),
    DEPTH("softmax", 0.0005f, 1, 2, 3),
    DEPTH("softmax", 0.002f, 3),
    DEPTH("state", 0.6f, 2, 3, 4),
    DEPTH("shortlist", 0.0005f, 2, 4),
    {.measure = "state", .threshold = 0.8f, .layers = {2, 3}, .n_layers = 2, .schedule = "code", .k_tail = -1},
    {.measure = "softmax", .threshold = 0.001f, .layers = {1}, .n_layers = 1, .schedule = "paper", .k_tail = -1},
    {.measure = "always", .threshold = 1.0f, .layers = {2}, .n_layers = 1, .k_tail = 0},
    {.measure = "always", .threshold = 1.0f, .layers = {1}, .n_layers = 1, .k_tail = 1},
    {.measure = "softmax", .threshold = 0.001f, .layers = {3}, .n_layers = 1, .k_tail = 2},
    {.width = "fixed", .k = 1},
    {.width = "ratio", .bound = 0.9f},
    {.width = "top_p", .bound = 0.5f},
    {.measure = "always", .threshold = 1.0f, .layers = {3}, .n_layers = 1, .k_tail = 0, .width = "fixed", .k = 2},
};
enum { N_MIXED = sizeof mixed / sizeof *mixed };

/* A static exit after each layer: all new tokens but the first, which the prompt's last row gives. */
static void static_exits(void **state)
{
    (void)state;
    struct running r = open_model(path, 2, NULL);
    const struct answer off = run_alone(&r, NULL, N_PROMPT);
    for (int layer = 1; layer < N_LAYERS; layer++)
        for (int k_tail = -1; k_tail <= N_USED; k_tail++) {
            const struct leaving leaving = {.measure = "always", .threshold = 1.0f, .layers = {layer}, .n_layers = 1,
                                      .k_tail = k_tail};
            uint64_t counts[N_LAYERS];
            calmoe_stats stats = {.size = sizeof stats};
            calmoe_engine_reset_stats(r.engine);
            const struct answer on = run_alone(&r, &leaving, N_PROMPT);
            const int n_steps = N_NEW - 1, in_tail = k_tail < 0 ? 0 : (N_LAYERS - layer) * k_tail;
            running_same_depths(&on.depths[0], &off.depths[0], 1);
            assert_int_equal(on.tokens[0], off.tokens[0]);
            assert_string_not_equal(on.hash, off.hash);
            for (int t = 1; t < N_NEW; t++) {
                assert_int_equal(on.depths[t].layers, layer);
                assert_int_equal(on.depths[t].experts, layer * N_USED + in_tail);
                assert_true(on.depths[t].confidence == 1.0f);
            }
            running_must(r.context, calmoe_engine_get_stats(r.engine, &stats));
            running_must(r.context, calmoe_engine_get_exit_counts(r.engine, counts, N_LAYERS));
            for (int i = 0; i < N_LAYERS; i++) assert_int_equal(counts[i], i == layer ? n_steps : 0);
            assert_int_equal(stats.n_exits, n_steps);
            assert_int_equal(stats.n_layers_run, N_PROMPT * N_LAYERS + n_steps * (k_tail < 0 ? layer : N_LAYERS));
            assert_int_equal(stats.n_experts_run,
                             N_PROMPT * N_LAYERS * N_USED + n_steps * (layer * N_USED + in_tail));
        }
    running_close(&r);
}

/* The mixed plans do what they are here for. */
static void thresholds_let_some_go(void **state)
{
    (void)state;
    struct running r = open_model(path, 2, NULL);
    for (int i = 2; i < 8; i++) {
        const struct answer on = run_alone(&r, &mixed[i], N_PROMPT);
        int n_left = 0;
        for (int t = 1; t < N_NEW; t++) n_left += on.depths[t].layers < N_LAYERS;
        if (n_left == 0) fail_msg("leaving %d lets nobody leave", i);
        for (int t = 1; t < N_NEW; t++) assert_true(on.depths[t].confidence > 0.0f);
    }
    running_close(&r);
}

/* Alone: the same for any threads and level. */
static void the_same_for_threads_and_levels(void **state)
{
    (void)state;
    static struct answer wanted[N_MIXED];
    struct running first = open_model(path, 1, "ref");
    for (int i = 0; i < N_MIXED; i++) wanted[i] = run_alone(&first, &mixed[i], N_PROMPT);
    running_close(&first);
    FOR_THREADS(threads, 3)
        for (int level = 0; running_isa(level); level++) {
            struct running r = open_model(path, threads, running_isa(level));
            for (int i = 0; i < N_MIXED; i++) {
                const struct answer answer = run_alone(&r, &mixed[i], N_PROMPT);
                assert_same(&answer, &wanted[i]);
            }
            running_close(&r);
        }
}

/* In company: sessions with other policies and none, with longer and shorter prompts, in one batch. */
static void check_company(struct running *r, const int *plans, int n)
{
    struct answer wanted[MAX_SESSIONS], got[MAX_SESSIONS] = {{0}};
    calmoe_policy *policies[MAX_SESSIONS] = {NULL};
    calmoe_session *sessions[MAX_SESSIONS];
    for (int i = 0; i < n; i++) wanted[i] = run_alone(r, plans[i] < 0 ? NULL : &mixed[plans[i]], 2 + i);
    for (int i = 0; i < n; i++) {
        if (plans[i] >= 0) policies[i] = make_policy(r, &mixed[plans[i]]);
        sessions[i] = open_session(r, policies[i], 2 + i);
    }
    for (bool goes_on = true; goes_on;) {
        calmoe_event events[MAX_SESSIONS + 1];
        int n_events;
        goes_on = false;
        running_must(r->context, calmoe_engine_next(r->engine, events, MAX_SESSIONS + 1, &n_events));
        for (int e = 0; e < n_events; e++)
            for (int i = 0; i < n; i++) {
                if (events[e].session != sessions[i] || got[i].n == N_NEW) continue;
                calmoe_depth *depth = &got[i].depths[got[i].n];
                *depth = running_depth(sessions[i], sessions[i]->logits.n - 1);
                got[i].tokens[got[i].n++] = events[e].token;
                if (got[i].n == N_NEW)
                    running_must(r->context, calmoe_session_logit_hash(sessions[i], got[i].hash));
            }
        for (int i = 0; i < n; i++) goes_on |= got[i].n < N_NEW;
    }
    for (int i = 0; i < n; i++) {
        assert_same(&got[i], &wanted[i]);
        calmoe_session_close(&sessions[i]);
        calmoe_policy_close(&policies[i]);
    }
}

static void the_same_in_company(void **state)
{
    (void)state;
    static const int batches[][MAX_SESSIONS] = {
        {-1, 0, 1, -1, 2, 3}, {4, 5, -1, 6, 7, -1}, {8, 9, 10, 0, -1, 2}, {11, 12, 13, -1, 14, 0}, {0, 0, 0, 0, 0, 0},
    };
    FOR_THREADS(threads, 3) {
        struct running r = open_model(path, threads, NULL);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) check_company(&r, batches[b], MAX_SESSIONS);
        running_close(&r);
    }
}

/* ---- an answer that is known: all of it in one step gives what token after token gave ---- */

static void read_forced(struct running *r, const struct leaving *leaving, const int32_t *tokens, int n_chunk,
                        float *logits, calmoe_depth *depths)
{
    calmoe_policy *policy = make_policy(r, leaving);
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_session_options_init(&options);
    options.policy = policy;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    const calmoe_chunk first = {session, prompt, N_PROMPT, CALMOE_LOGITS_NONE};
    running_must(r->context, calmoe_engine_step(r->engine, &first, 1));
    calmoe_session_begin_answer(session);
    for (int done = 0; done < N_NEW; done += n_chunk) {
        const int n = N_NEW - done < n_chunk ? N_NEW - done : n_chunk;
        const calmoe_chunk chunk = {session, tokens + done, n, CALMOE_LOGITS_ALL};
        running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
        for (int row = 0; row < n; row++) {
            memcpy(logits + (size_t)(done + row) * (size_t)r->n_vocab, calmoe_session_logits(session, row),
                   (size_t)r->n_vocab * sizeof *logits);
            depths[done + row] = running_depth(session, row);
        }
    }
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
}

static void teacher_forced_is_the_same(void **state)
{
    (void)state;
    static const int chunks[] = {2, 5, N_NEW};
    int32_t tokens[N_NEW];
    for (int i = 0; i < N_NEW; i++) tokens[i] = 40 + (i * 7) % 23;
    struct running r = open_model(path, 2, NULL);
    const size_t n = (size_t)N_NEW * (size_t)r.n_vocab;
    float *one = malloc(n * sizeof *one), *many = malloc(n * sizeof *many);
    assert_non_null(one);
    assert_non_null(many);
    for (int i = 0; i < N_MIXED; i++) {
        calmoe_depth depths[N_NEW], again[N_NEW];
        read_forced(&r, &mixed[i], tokens, 1, one, depths);
        for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
            read_forced(&r, &mixed[i], tokens, chunks[c], many, again);
            assert_memory_equal(one, many, n * sizeof *one);
            running_same_depths(depths, again, N_NEW);
        }
    }
    free(one);
    free(many);
    running_close(&r);
}

/* ---- the shortlist ---- */

/* The first token of an answer, read with a policy: its depth, and the logits that it gives. */
static calmoe_depth read_one(struct running *r, const struct leaving *leaving, int32_t token, float *logits)
{
    calmoe_policy *policy = make_policy(r, leaving);
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_depth depth;
    calmoe_session_options_init(&options);
    options.policy = policy;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    calmoe_session_begin_answer(session);
    const calmoe_chunk chunk = {session, &token, 1, CALMOE_LOGITS_LAST};
    running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    depth = running_depth(session, -1);
    memcpy(logits, calmoe_session_logits(session, 0), (size_t)r->n_vocab * sizeof *logits);
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    return depth;
}

/* A row leaves if the likeliest token of the whole vocabulary is on the list, and with the whole vocabulary's logits.
 * How many of the first n_tokens left. */
static int check_shortlist(struct running *r, int n_tokens)
{
    static const struct leaving by_list = DEPTH("shortlist", 1e-9f, 2), always = DEPTH("always", 1.0f, 2);
    const int n_short = cm_shortlist_length(r->n_vocab);
    const size_t n_bytes = (size_t)r->n_vocab * sizeof(float);
    float *found = malloc(n_bytes), *wanted = malloc(n_bytes);
    int n_left = 0;
    assert_non_null(found);
    assert_non_null(wanted);
    assert_int_equal(n_short, 256);
    for (int32_t token = 0; token < n_tokens; token++) {
        int best = -1;
        assert_int_equal(read_one(r, &always, token, wanted).layers, 2);
        for (int i = 0; i < r->n_vocab; i++)
            if (r->model->usable[i] && (best < 0 || wanted[i] > wanted[best])) best = i;
        const calmoe_depth depth = read_one(r, &by_list, token, found);
        assert_true(depth.confidence > 0.0f);
        assert_int_equal(depth.layers, best < n_short ? 2 : N_LAYERS);
        if (best < n_short) assert_memory_equal(found, wanted, n_bytes);
        else assert_memory_not_equal(found, wanted, n_bytes);
        n_left += best < n_short;
    }
    free(found);
    free(wanted);
    return n_left;
}

static void a_shortlist_is_confirmed(void **state)
{
    (void)state;
    struct running r = open_model(many_path, 2, NULL);
    uint8_t *usable = r.model->usable;
    memset(usable, 1, (size_t)r.n_vocab);
    assert_in_range(check_shortlist(&r, 100), 5, 95);
    memset(usable + cm_shortlist_length(r.n_vocab), 0, (size_t)(r.n_vocab - cm_shortlist_length(r.n_vocab)));
    assert_int_equal(check_shortlist(&r, 20), 20); /* nothing beyond the list may be sampled */
    running_close(&r);
}

/* ---- keys and values of skipped layers ---- */

/* y = row x of a packed matrix; any kernel gives these bits. */
static void multiply_row(const struct matrix *matrix, const struct vector_ops *ops, const float *x, const float *bias,
                         float *y)
{
    struct activations in;
    void *memory = cm_alloc(NULL, cm_activations_bytes(1, matrix->n_columns), 1, "a test");
    assert_non_null(memory);
    cm_activations_place(&in, 1, matrix->n_columns, memory);
    memcpy(in.values, x, (size_t)matrix->n_columns * sizeof *x);
    ops->quantize(&in, 0, 0, matrix->n_columns, cm_matrix_kind(matrix));
    matrix->kernel->multiply(matrix, 0, matrix->n_rows, &in, NULL, 1, y, (size_t)matrix->n_rows);
    for (int i = 0; bias && i < matrix->n_rows; i++) y[i] += bias[i];
    cm_free(memory);
}

/* What the caches hold of a position in a layer, and what a plain computation says of the state there. */
static void check_kv(const struct decoder *d, const struct kv_cache *cache, int index, int position, const float *state)
{
    const struct model_spec *spec = d->batch.spec;
    const struct attention_spec *attention = &spec->layers[index].attention;
    const struct attention_weights *layer = cm_attention_weights(&d->batch, index);
    const int size = attention->head_size, value_size = attention->value_size, n_pairs = d->batch.rope.n_pairs;
    const size_t key_bytes = cache->layers[index].key_bytes;
    const size_t value_bytes = cache->layers[index].region_bytes - key_bytes;
    float normed[1024], k[1024], v[1024], cosines[128], sines[128];
    static uint8_t keys[1 << 20], values[1 << 20];
    d->batch.ops->rms_norm(state, layer->norm, spec->norm_eps, spec->dim, normed);
    multiply_row(&layer->k.parts[0].matrix, d->batch.ops, normed, layer->k_bias, k);
    multiply_row(&layer->v.parts[0].matrix, d->batch.ops, normed, layer->v_bias, v);
    if (attention->k_norm == NORM_ALL_HEADS)
        d->batch.ops->rms_norm(k, layer->k_norm, spec->norm_eps, layer->k.n_rows, k);
    cm_rope_row(&d->batch.rope, position, cosines, sines);
    assert_true(key_bytes <= sizeof keys && value_bytes <= sizeof values);
    for (int head = 0; head < attention->n_kv_heads; head++) {
        float *at = k + head * size;
        if (attention->k_norm == NORM_EACH_HEAD)
            d->batch.ops->rms_norm(at, layer->k_norm, spec->norm_eps, size, at);
        if (n_pairs > 0) d->batch.ops->rope(at, cosines, sines, 2 * n_pairs, spec->ropes[attention->rope].pairing);
        /* Stored over a copy of what is there: nothing may change. */
        const struct kv_region region = cm_kv_region(cache, index, head, 0);
        memcpy(keys, region.keys, key_bytes);
        memcpy(values, region.values, value_bytes);
        d->batch.ops->store_kv(at, v + head * value_size, keys, values, cache->type, size, value_size, position);
        assert_memory_equal(keys, region.keys, key_bytes);
        assert_memory_equal(values, region.values, value_bytes);
    }
}

static void propagated_keys_and_values(void **state)
{
    (void)state;
    static const char whole_norms[] = CALMOE_SOURCE_DIR "/tests/golden/olmoe.gguf";
    static const char windows[] = CALMOE_SOURCE_DIR "/tests/golden/gptoss.gguf";
    const char *const files[] = {path, norms_path, dense_path, whole_norms, windows};
    for (size_t f = 0; f < sizeof files / sizeof *files; f++)
        FOR_THREADS(threads, 3)
            for (int exit = 1, n_layers = N_LAYERS; exit < n_layers; exit++) {
                struct running r = open_model(files[f], threads, NULL);
                n_layers = r.engine->model->spec.n_layers;
                const struct leaving leaving = DEPTH("always", 1.0f, exit);
                calmoe_policy *policy = make_policy(&r, &leaving);
                calmoe_session *session = open_session(&r, policy, N_PROMPT);
                int32_t token;
                for (int i = 0; i < 3; i++) running_must(r.context, calmoe_session_next(session, &token));
                const struct decoder *d = r.engine->decoder; /* the row that left stands at 0, with its state */
                assert_int_equal(d->batch.n_rows, 0);
                for (int layer = exit; layer < n_layers; layer++)
                    check_kv(d, &session->state.kv, layer, N_PROMPT + 1, d->batch.x);
                calmoe_session_close(&session);
                calmoe_policy_close(&policy);
                running_close(&r);
            }
}

/* ---- costs ---- */

/* Layers that nobody runs are not read, and a step allocates nothing. */
static void what_is_skipped_costs_nothing(void **state)
{
    (void)state;
    struct running r = open_model(path, 1, NULL);
    static const uint64_t touched[] = {N_LAYERS * N_USED, N_LAYERS, 4 * N_USED, N_USED};
    uint64_t bytes[4];
    static const struct leaving plans[] = {
        {.width = "fixed", .k = N_USED}, {.width = "fixed", .k = 1}, DEPTH("always", 1.0f, 4),
        DEPTH("always", 1.0f, 1)};
    for (int i = 0; i < 4; i++) {
        calmoe_policy *policy = make_policy(&r, &plans[i]);
        calmoe_session *session = open_session(&r, policy, N_PROMPT);
        calmoe_stats stats = {.size = sizeof stats};
        int32_t token;
        running_must(r.context, calmoe_session_next(session, &token));
        calmoe_engine_reset_stats(r.engine);
        const long n_requests = cm_requests();
        for (int t = 0; t < 4; t++) running_must(r.context, calmoe_session_next(session, &token));
        assert_int_equal(cm_requests(), n_requests);
        running_must(r.context, calmoe_engine_get_stats(r.engine, &stats));
        bytes[i] = stats.n_weight_bytes;
        assert_int_equal(stats.n_experts_touched, 4 * touched[i]);
        calmoe_session_close(&session);
        calmoe_policy_close(&policy);
    }
    assert_true(bytes[1] < bytes[0]);
    assert_true(bytes[2] < bytes[0]);
    assert_true(bytes[3] < bytes[2]);
    const struct layer *layer = &r.engine->weights->layers[2];
    const uint64_t shared = layer->experts.banks[BANK_SHARED].experts[0].n_bytes;
    const uint64_t routed = layer->experts.banks[BANK_ROUTED].experts[0].n_bytes;
    const struct attention_weights *mixer = layer->mixer.weights;
    const uint64_t dense = mixer->q.n_bytes + mixer->o.n_bytes + layer->router.n_bytes + layer->shared_gate.n_bytes;
    assert_int_equal(bytes[0] - bytes[1], 4 * N_LAYERS * (N_USED - 1) * routed);
    assert_int_equal(bytes[2] - bytes[3], 4 * 3 * (dense + shared + N_USED * routed));
    running_close(&r);
}

static void write_model(const struct tiny_model *tiny, const char *name, char *to)
{
    snprintf(to, 600, "%s", temp_file(folder, name));
    tiny_model_write(tiny, to);
}

static int set_up(void **state)
{
    (void)state;
    folder = temp_folder_open();
    struct tiny_model tiny = tiny_model_mixed(N_LAYERS);
    write_model(&tiny, "exits.gguf", path);
    tiny.n_vocab = 1024;
    write_model(&tiny, "many.gguf", many_path);
    tiny.n_vocab = 0;
    tiny.architecture = "qwen3moe";
    tiny.has_biases = false;
    tiny.shared_width = 0;
    tiny.has_head_norms = true;
    write_model(&tiny, "norms.gguf", norms_path);
    tiny.architecture = "llama";
    tiny.has_head_norms = false;
    tiny.n_experts = 0;
    write_model(&tiny, "dense.gguf", dense_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_leaves_nothing_out_is_off),
        cmocka_unit_test(static_exits),
        cmocka_unit_test(thresholds_let_some_go),
        cmocka_unit_test(the_same_for_threads_and_levels),
        cmocka_unit_test(the_same_in_company),
        cmocka_unit_test(teacher_forced_is_the_same),
        cmocka_unit_test(a_shortlist_is_confirmed),
        cmocka_unit_test(propagated_keys_and_values),
        cmocka_unit_test(what_is_skipped_costs_nothing),
    };
    return cmocka_run_group_tests_name("early exits and widths", tests, set_up, close_folder);
}
