/* test_learned_exits.c - an engine with an exits file: what the head reads is translated, to the bit of a plain
 * computation; classifiers decide; who is OFF notices nothing; policies that were made with other exits are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"
#include "runtime/mixers/attention.h"
#include "runtime/forward/decoder_parts.h" /* looks inside: the states that a step left */
#include "runtime/documents/exits_file.h"
#include "runtime/documents/policy_file.h"
#include "tests/support/learned.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/thin.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 5, N_PROMPT = 7, N_NEW = 10, N_SESSIONS = 4, DIM = 256, RANK = 19 };

static char path[600], exits_path[600], plain_path[600];
static const int32_t prompt[N_PROMPT] = {40, 41, 42, 43, 44, 45, 46};

struct leaving {
    const char *measure;
    float       threshold;
    int         layers[2], n_layers;
    int         k_tail;
    const char *kv_fill; /* NULL: at once */
};

static const struct leaving leavings[] = {
    {"softmax", 0.0005f, {1, 3}, 2, -1, NULL},   {"shortlist", 0.0005f, {2, 3}, 2, -1, NULL},
    {"classifier", 0.5f, {1, 3}, 2, -1, NULL},   {"state", 0.6f, {3, 4}, 2, -1, NULL},
    {"always", 1.0f, {3}, 1, -1, NULL},          {"always", 1.0f, {3}, 1, 1, NULL},
    {"classifier", 0.55f, {3}, 1, 0, NULL},      {"softmax", 0.005f, {1, 3}, 2, -1, "lazy"},
    {"classifier", 0.75f, {1, 3}, 2, -1, "lazy"}, /* some leave here, some there, some not */
};
enum { N_LEAVINGS = sizeof leavings / sizeof *leavings };

static struct running open_with(const char *exits, int n_threads, const char *isa)
{
    calmoe_engine_options options = running_options(n_threads, isa);
    options.max_rows = 16;
    options.exits = exits;
    return running_open(path, &options, NULL);
}

static calmoe_status make_policy(struct running *r, const struct leaving *leaving, calmoe_policy **out)
{
    calmoe_policy_options options;
    calmoe_policy_options_init(&options);
    options.measure = leaving->measure;
    options.threshold = leaving->threshold;
    options.exit_layers = leaving->layers;
    options.n_exits = leaving->n_layers;
    options.k_tail = leaving->k_tail;
    options.kv_fill = leaving->kv_fill;
    return calmoe_policy_make(r->model, &options, out);
}

static calmoe_status open_session(struct running *r, const calmoe_policy *policy, calmoe_session **out)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.hash_logits = 1;
    options.ignore_end = 1;
    options.policy = policy;
    return calmoe_session_open(r->engine, &options, out);
}

struct answer {
    char         hash[65];
    int32_t      tokens[N_NEW];
    calmoe_depth depths[N_NEW];
    int          n;
};

static struct answer run_alone(struct running *r, const struct leaving *leaving, int n_prompt)
{
    struct answer answer = {.n = 0};
    calmoe_policy *policy = NULL;
    calmoe_session *session = NULL;
    if (leaving) running_must(r->context, make_policy(r, leaving, &policy));
    running_must(r->context, open_session(r, policy, &session));
    running_must(r->context, calmoe_session_feed_tokens(session, prompt, (size_t)n_prompt));
    for (; answer.n < N_NEW; answer.n++) {
        running_must(r->context, calmoe_session_next(session, &answer.tokens[answer.n]));
        answer.depths[answer.n] = running_depth(session, -1);
    }
    running_must(r->context, calmoe_session_logit_hash(session, answer.hash));
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    return answer;
}

static void assert_same(const struct answer *a, const struct answer *b)
{
    assert_string_equal(a->hash, b->hash);
    assert_memory_equal(a->tokens, b->tokens, sizeof a->tokens);
    running_same_depths(a->depths, b->depths, N_NEW);
}

/* ---- who does not leave ---- */

static void off_is_exact(void **state)
{
    (void)state;
    static const struct leaving never = {"softmax", 1.0f, {1, 3}, 2, -1, NULL};
    struct running plain = open_with(NULL, 2, NULL), r = open_with(exits_path, 2, NULL);
    const struct answer wanted = run_alone(&plain, NULL, N_PROMPT), off = run_alone(&r, NULL, N_PROMPT);
    assert_same(&off, &wanted);
    const struct answer asked = run_alone(&r, &never, N_PROMPT);
    assert_string_equal(asked.hash, wanted.hash);
    /* where there is no translator, the head reads what it read before */
    static const struct leaving elsewhere = {"always", 1.0f, {4}, 1, -1, NULL};
    const struct answer a = run_alone(&plain, &elsewhere, N_PROMPT), b = run_alone(&r, &elsewhere, N_PROMPT);
    assert_same(&a, &b);
    running_close(&r);
    running_close(&plain);
}

/* ---- who leaves: the head of h + up (down h) + bias ---- */

static void multiply_row(const struct matrix *matrix, const struct vector_ops *ops, const float *x, float *y)
{
    struct activations in;
    void *memory = cm_alloc(NULL, cm_activations_bytes(1, matrix->n_columns), 1, "a test");
    assert_non_null(memory);
    cm_activations_place(&in, 1, matrix->n_columns, memory);
    memcpy(in.values, x, (size_t)matrix->n_columns * sizeof *x);
    ops->quantize(&in, 0, 0, matrix->n_columns, cm_matrix_kind(matrix));
    matrix->kernel->multiply(matrix, 0, matrix->n_rows, &in, NULL, 1, y, (size_t)matrix->n_rows);
    cm_free(memory);
}

/* up (down state) */
static void translate(const struct learned_exit *exit, const float *state, float *product)
{
    float low[RANK];
    for (int r = 0; r < exit->rank; r++) {
        low[r] = 0.0f;
        for (int i = 0; i < DIM; i++) low[r] = fmaf(exit->down[r * DIM + i], state[i], low[r]);
    }
    for (int i = 0; i < DIM; i++) {
        product[i] = 0.0f;
        for (int r = 0; r < exit->rank; r++) product[i] = fmaf(exit->up[i * exit->rank + r], low[r], product[i]);
    }
}

static void head_of_translated(const struct decoder *d, const struct learned_exit *exit, const float *state,
                               float *logits)
{
    float translated[DIM], normed[DIM];
    translate(exit, state, translated);
    for (int i = 0; i < DIM; i++) translated[i] = (state[i] + exit->bias[i]) + translated[i];
    d->batch.ops->rms_norm(translated, d->weights->output_norm, d->batch.spec->norm_eps, DIM, normed);
    multiply_row(&d->weights->output.parts[0].matrix, d->batch.ops, normed, logits);
}

static void the_head_reads_what_is_translated(void **state)
{
    (void)state;
    struct learned_exits exits;
    running_must(NULL, cm_exits_file_read(NULL, exits_path, &exits));
    static const struct leaving all[] = {
        {"always", 1.0f, {3}, 1, -1, NULL}, {"softmax", 1e-9f, {3}, 1, -1, NULL},
        {"classifier", 1e-9f, {3}, 1, -1, NULL}, {"shortlist", 1e-9f, {3}, 1, -1, NULL}};
    for (int i = 0; i < 4; i++)
        FOR_THREADS(threads, 3) {
            struct running r = open_with(exits_path, threads, NULL);
            calmoe_policy *policy = NULL;
            calmoe_session *session = NULL;
            int32_t token;
            running_must(r.context, make_policy(&r, &all[i], &policy));
            running_must(r.context, open_session(&r, policy, &session));
            running_must(r.context, calmoe_session_feed_tokens(session, prompt, N_PROMPT));
            const struct decoder *d = r.engine->decoder; /* the row that left stands at 0, with its state */
            for (int t = 0; t < 3 || (d->batch.n_rows > 0 && t < 40); t++) /* a winner off the list stays */
                running_must(r.context, calmoe_session_next(session, &token));
            if (d->batch.n_rows > 0) fail_msg("leaving %d: nobody leaves", i);
            float *wanted = malloc((size_t)r.n_vocab * sizeof *wanted);
            assert_non_null(wanted);
            head_of_translated(d, &exits.exits[1], d->batch.x, wanted);
            assert_memory_equal(wanted, calmoe_session_logits(session, 0), (size_t)r.n_vocab * sizeof *wanted);
            if (i == 2) {
                double sum = (double)exits.exits[1].classifier_bias;
                calmoe_depth depth;
                for (int j = 0; j < DIM; j++) sum += (double)exits.exits[1].classifier[j] * (double)d->batch.x[j];
                depth = running_depth(session, 0);
                assert_true(fabs((double)depth.confidence - 1.0 / (1.0 + exp(-sum))) < 1e-6);
            }
            free(wanted);
            calmoe_session_close(&session);
            calmoe_policy_close(&policy);
            running_close(&r);
        }
    cm_learned_exits_close(&exits);
}

/* ---- the layers that were skipped: keys and values of h + path_l (up (down h) + bias) ---- */

/* Of the last position, all heads. */
static void read_values(const calmoe_session *session, int layer, float *values)
{
    const struct attention_spec *spec = &session->engine->model->spec.layers[layer].attention;
    const size_t n = (size_t)spec->value_size, at = (size_t)(session->n_positions - 1) * n;
    for (int head = 0; head < spec->n_kv_heads; head++)
        memcpy(values + (size_t)head * n, (const float *)cm_kv_region(&session->state.kv, layer, head, 0).values + at,
               n * sizeof *values);
}

static void skipped_layers_follow_the_path(void **state)
{
    (void)state;
    static const struct leaving always[] = {{"always", 1.0f, {1}, 1, -1, NULL}, {"always", 1.0f, {3}, 1, -1, NULL}};
    struct learned_exits exits;
    running_must(NULL, cm_exits_file_read(NULL, exits_path, &exits));
    calmoe_engine_options options = running_options(2, NULL);
    options.exits = exits_path;
    options.kv_float32 = 1;
    struct running r = running_open(path, &options, NULL);
    const struct decoder *d = r.engine->decoder; /* the row that left stands at 0, with its state */
    for (int i = 0; i < 2; i++) {
        const struct learned_exit *exit = &exits.exits[i];
        calmoe_policy *policy = NULL;
        calmoe_session *session = NULL;
        float product[DIM], moved[DIM], normed[DIM], wanted[DIM], values[DIM];
        int32_t token;
        running_must(r.context, make_policy(&r, &always[i], &policy));
        running_must(r.context, open_session(&r, policy, &session));
        running_must(r.context, calmoe_session_feed_tokens(session, prompt, N_PROMPT));
        for (int t = 0; t < 2; t++) running_must(r.context, calmoe_session_next(session, &token));
        assert_int_equal(d->batch.n_rows, 0);
        translate(exit, d->batch.x, product);
        for (int layer = exit->layer; layer < N_LAYERS; layer++) {
            const struct attention_weights *weights = cm_attention_weights(&d->batch, layer);
            const size_t n = (size_t)weights->v.n_rows;
            for (int j = 0; j < DIM; j++) moved[j] = d->batch.x[j] + exit->path[layer] * (exit->bias[j] + product[j]);
            assert_true(layer == exit->layer || memcmp(moved, d->batch.x, sizeof moved) != 0);
            d->batch.ops->rms_norm(moved, weights->norm, d->batch.spec->norm_eps, DIM, normed);
            multiply_row(&weights->v.parts[0].matrix, d->batch.ops, normed, wanted);
            for (size_t j = 0; weights->v_bias && j < n; j++) wanted[j] += weights->v_bias[j];
            read_values(session, layer, values);
            assert_memory_equal(values, wanted, n * sizeof *values);
        }
        calmoe_session_close(&session);
        calmoe_policy_close(&policy);
    }
    running_close(&r);
    cm_learned_exits_close(&exits);
}

/* ---- the same bits ---- */

static void the_same_for_threads_and_levels(void **state)
{
    (void)state;
    static struct answer wanted[N_LEAVINGS];
    struct running first = open_with(exits_path, 1, "ref"), plain = open_with(NULL, 1, "ref");
    for (int i = 0; i < N_LEAVINGS; i++) {
        int n_left = 0;
        wanted[i] = run_alone(&first, &leavings[i], N_PROMPT);
        for (int t = 1; t < N_NEW; t++) n_left += wanted[i].depths[t].layers < N_LAYERS;
        if (n_left == 0) fail_msg("leaving %d lets nobody leave", i);
        if (strcmp(leavings[i].measure, "classifier") == 0) continue;
        const struct answer untranslated = run_alone(&plain, &leavings[i], N_PROMPT);
        assert_string_not_equal(untranslated.hash, wanted[i].hash);
    }
    for (int i = N_LEAVINGS - 2; i < N_LEAVINGS; i++) { /* late or at once */
        struct leaving at_once = leavings[i];
        at_once.kv_fill = NULL;
        const struct answer answer = run_alone(&first, &at_once, N_PROMPT);
        assert_same(&answer, &wanted[i]);
    }
    running_close(&plain);
    running_close(&first);
    FOR_THREADS(threads, 3)
        for (int level = 0; running_isa(level); level++) {
            if (level > 0 && way_is_left_out(level, 3)) continue;
            struct running r = open_with(exits_path, threads, running_isa(level));
            for (int i = 0; i < N_LEAVINGS; i++) {
                const struct answer answer = run_alone(&r, &leavings[i], N_PROMPT);
                assert_same(&answer, &wanted[i]);
            }
            running_close(&r);
        }
}

/* Sessions of all kinds in one batch, each as if it were alone. */
static void check_company(struct running *r, const int *plans)
{
    struct answer wanted[N_SESSIONS], got[N_SESSIONS] = {{.n = 0}};
    calmoe_policy *policies[N_SESSIONS] = {NULL};
    calmoe_session *sessions[N_SESSIONS] = {NULL};
    for (int i = 0; i < N_SESSIONS; i++)
        wanted[i] = run_alone(r, plans[i] < 0 ? NULL : &leavings[plans[i]], 2 + i);
    for (int i = 0; i < N_SESSIONS; i++) {
        if (plans[i] >= 0) running_must(r->context, make_policy(r, &leavings[plans[i]], &policies[i]));
        running_must(r->context, open_session(r, policies[i], &sessions[i]));
        running_must(r->context, calmoe_session_feed_tokens(sessions[i], prompt, (size_t)(2 + i)));
    }
    for (int n_done = 0; n_done < N_SESSIONS;) {
        calmoe_event events[N_SESSIONS + 1];
        int n_events;
        running_must(r->context, calmoe_engine_next(r->engine, events, N_SESSIONS + 1, &n_events));
        for (int e = 0; e < n_events; e++)
            for (int i = 0; i < N_SESSIONS; i++) {
                if (events[e].session != sessions[i] || got[i].n == N_NEW) continue;
                got[i].depths[got[i].n] = running_depth(sessions[i], -1);
                got[i].tokens[got[i].n++] = events[e].token;
                if (got[i].n < N_NEW) continue;
                running_must(r->context, calmoe_session_logit_hash(sessions[i], got[i].hash));
                n_done++;
            }
    }
    for (int i = 0; i < N_SESSIONS; i++) {
        assert_same(&got[i], &wanted[i]);
        calmoe_session_close(&sessions[i]);
        calmoe_policy_close(&policies[i]);
    }
}

static void the_same_in_company(void **state)
{
    (void)state;
    static const int batches[][N_SESSIONS] = {{0, 1, -1, 2}, {4, 4, 4, 4}, {3, 5, 6, 0}, {2, -1, 2, 1}, {7, 0, 8, 2}};
    FOR_THREADS(threads, 3) {
        struct running r = open_with(exits_path, threads, NULL);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) check_company(&r, batches[b]);
        running_close(&r);
    }
}

/* ---- costs ---- */

static uint64_t bytes_of_step(struct running *r, const struct leaving *leaving)
{
    calmoe_policy *policy = NULL;
    calmoe_session *session = NULL;
    calmoe_stats stats = {.size = sizeof stats};
    int32_t token;
    running_must(r->context, make_policy(r, leaving, &policy));
    running_must(r->context, open_session(r, policy, &session));
    running_must(r->context, calmoe_session_feed_tokens(session, prompt, N_PROMPT));
    running_must(r->context, calmoe_session_next(session, &token));
    calmoe_engine_reset_stats(r->engine);
    const long n_requests = cm_requests();
    running_must(r->context, calmoe_session_next(session, &token));
    assert_int_equal(cm_requests(), n_requests);
    running_must(r->context, calmoe_engine_get_stats(r->engine, &stats));
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    return stats.n_weight_bytes;
}

static void translators_are_counted(void **state)
{
    (void)state;
    static const struct leaving always = {"always", 1.0f, {3}, 1, -1, NULL}, asks = {"softmax", 1.0f, {3}, 1, -1, NULL};
    struct running plain = open_with(NULL, 2, NULL), r = open_with(exits_path, 2, NULL);
    const struct exit_weight *weight = &r.engine->exit_weights->layers[3];
    const uint64_t n_bytes = weight->down.n_bytes + weight->up.n_bytes;
    assert_true(n_bytes >= (uint64_t)2 * RANK * DIM * sizeof(float));
    assert_int_equal(bytes_of_step(&r, &always), bytes_of_step(&plain, &always) + n_bytes);
    assert_int_equal(bytes_of_step(&r, &asks), bytes_of_step(&plain, &asks) + n_bytes);
    running_close(&r);
    running_close(&plain);
}

/* ---- refusals ---- */

static void write_policy(const char *to, const struct running *r, const char *exits, enum exit_measure measure)
{
    struct policy policy = {.n_layers = N_LAYERS, .n_rungs = 1};
    memcpy(policy.fingerprint, r->model->fingerprint, sizeof policy.fingerprint);
    snprintf(policy.exits, sizeof policy.exits, "%s", exits);
    policy.rungs[0] = (struct policy_rung){.delta = 0.01, .epsilon = 0.05, .n_prompts = 1500, .p = 0.01, .n_exits = 1,
                                           .k_tail = TAIL_NONE};
    policy.rungs[0].exits[0] = (struct policy_exit){3, measure, {SCHEDULE_CONSTANT, 0.5f, 0.0f, 0}};
    running_must(NULL, cm_policy_file_write(NULL, to, &policy));
}

/* With the exits of the policy's making only. */
static void policies_know_their_exits(void **state)
{
    (void)state;
    const char *at = temp_file(folder, "policy.json");
    static const char *const files[] = {NULL, NULL, NULL};
    const char *engines[3] = {files[0], exits_path, plain_path};
    char fingerprints[3][17];
    for (int i = 0; i < 3; i++) {
        struct running r = open_with(engines[i], 1, NULL);
        snprintf(fingerprints[i], sizeof fingerprints[i], "%s", cm_engine_exits(r.engine));
        running_close(&r);
    }
    assert_string_equal(fingerprints[0], "");
    assert_string_not_equal(fingerprints[1], fingerprints[2]);
    for (int made = 0; made < 3; made++)
        for (int run = 0; run < 3; run++) {
            struct running r = open_with(engines[run], 1, NULL);
            calmoe_policy *policy = NULL;
            calmoe_session *session = NULL;
            write_policy(at, &r, fingerprints[made], MEASURE_SOFTMAX);
            running_must(r.context, calmoe_policy_open(r.model, at, &policy));
            assert_string_equal(policy->policy.exits, fingerprints[made]);
            const calmoe_status status = open_session(&r, policy, &session);
            assert_int_equal(status, made == run ? CALMOE_OK : CALMOE_INVALID_ARGUMENT);
            if (made != run) assert_non_null(strstr(calmoe_context_message(r.context), "the policy was calibrated"));
            calmoe_session_close(&session);
            calmoe_policy_close(&policy);
            running_close(&r);
        }
}

static void assert_engine_refuses(calmoe_model *model, calmoe_context *context, const char *exits, calmoe_status status,
                                  const char *words)
{
    calmoe_engine_options options = running_options(1, NULL);
    calmoe_engine *engine = NULL;
    options.exits = exits;
    assert_int_equal(calmoe_engine_open(model, &options, &engine), status);
    assert_null(engine);
    if (!strstr(calmoe_context_message(context), words)) fail_msg("%s", calmoe_context_message(context));
}

static void exits_that_do_not_fit(void **state)
{
    (void)state;
    static const int layers[] = {1, 3};
    static const struct leaving by_classifier = {"classifier", 0.5f, {2}, 1, -1, NULL};
    struct running r = open_with(exits_path, 1, NULL), plain = open_with(NULL, 1, NULL);
    calmoe_policy *policy = NULL;
    calmoe_session *session = NULL;
    /* a layer without a classifier, and an engine without any */
    running_must(r.context, make_policy(&r, &by_classifier, &policy));
    assert_int_equal(open_session(&r, policy, &session), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(calmoe_context_message(r.context), "the policy's exit after layer 2 is decided by "
                        "'classifier'; the engine has exits without one for that layer");
    calmoe_policy_close(&policy);
    running_must(plain.context, make_policy(&plain, &by_classifier, &policy));
    assert_int_equal(open_session(&plain, policy, &session), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(calmoe_context_message(plain.context), "no exits file with one"));
    calmoe_policy_close(&policy);
    /* files */
    struct learned_exits exits = learned_random("0123456789abcdef", N_LAYERS, DIM, layers, 2, 4, 5);
    const char *at = temp_file(folder, "other.gguf");
    running_must(NULL, cm_exits_file_write(NULL, at, &exits));
    assert_engine_refuses(r.model, r.context, at, CALMOE_INVALID_ARGUMENT, "for a model with fingerprint 0123456789ab");
    memcpy(exits.model, r.model->fingerprint, sizeof exits.model);
    exits.n_layers--;
    running_must(NULL, cm_exits_file_write(NULL, at, &exits));
    assert_engine_refuses(r.model, r.context, at, CALMOE_INVALID_ARGUMENT, "for 4 layers of width 256");
    assert_engine_refuses(r.model, r.context, "/nowhere", CALMOE_IO, "/nowhere");
    assert_engine_refuses(r.model, r.context, path, CALMOE_BAD_FILE, "a file of exits");
    cm_learned_exits_close(&exits);
    running_close(&plain);
    running_close(&r);
}

/* Memory that is not there, at any request of the opening. */
static void no_memory(void **state)
{
    (void)state;
    struct running r = open_with(NULL, 1, NULL);
    bool is_fine = false;
    for (long nth = 1; !is_fine; nth++) {
        calmoe_engine_options options = running_options(1, NULL);
        calmoe_engine *engine = NULL;
        options.max_rows = 4;
        options.exits = exits_path;
        const long n_live = cm_live_blocks();
        cm_fail_request(nth);
        is_fine = calmoe_engine_open(r.model, &options, &engine) == CALMOE_OK;
        cm_fail_request(0);
        assert_int_equal(engine != NULL, is_fine);
        calmoe_engine_close(&engine);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    running_close(&r);
}

static int set_up(void **state)
{
    (void)state;
    static const int layers[] = {1, 3};
    struct tiny_model tiny = tiny_model_mixed(N_LAYERS);
    folder = temp_folder_open();
    snprintf(path, sizeof path, "%s", temp_file(folder, "model.gguf"));
    tiny_model_write(&tiny, path);
    snprintf(exits_path, sizeof exits_path, "%s", temp_file(folder, "exits.gguf"));
    snprintf(plain_path, sizeof plain_path, "%s", temp_file(folder, "classifiers.gguf"));
    struct running r = open_with(NULL, 1, NULL);
    struct learned_exits exits = learned_random(r.model->fingerprint, N_LAYERS, DIM, layers, 2, RANK, 1);
    struct learned_exits plain = learned_random(r.model->fingerprint, N_LAYERS, DIM, layers, 2, 0, 2);
    running_must(NULL, cm_exits_file_write(NULL, exits_path, &exits));
    running_must(NULL, cm_exits_file_write(NULL, plain_path, &plain));
    cm_learned_exits_close(&exits);
    cm_learned_exits_close(&plain);
    running_close(&r);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_is_exact),
        cmocka_unit_test(the_head_reads_what_is_translated),
        cmocka_unit_test(skipped_layers_follow_the_path),
        cmocka_unit_test(the_same_for_threads_and_levels),
        cmocka_unit_test(the_same_in_company),
        cmocka_unit_test(translators_are_counted),
        cmocka_unit_test(policies_know_their_exits),
        cmocka_unit_test(exits_that_do_not_fit),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("learned exits", tests, set_up, close_folder);
}
