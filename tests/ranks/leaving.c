/* leaving.c - policies of all kinds on several ranks: who leaves, what the layers behind an exit are given, what waits
 * and is caught up with, how many experts are run; fitted exits; and audits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <calmoe/fit_exits.h>

#include "base/random.h"
#include "runtime/documents/exits_file.h"
#include "runtime/documents/policy_file.h"
#include "runtime/engine/handles.h"
#include "tests/ranks/driver.h"
#include "tests/support/learned.h"

/* ---- fitted exits ---- */

enum { RANK_OF_TRANSLATORS = 19, TRANSLATED_LAYER = 1 };

const char *write_exits(const struct run *run)
{
    static char path[600];
    const char *const folder = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    const int layers[] = {TRANSLATED_LAYER};
    struct learned_exits exits = learned_random(run->model->fingerprint, run->n_layers, run->model->spec.dim, layers,
                                                run->n_layers > 1, RANK_OF_TRANSLATORS, 5);
    snprintf(path, sizeof path, "%s/exits.%d.gguf", folder, calmoe_ranks_own(run->ranks));
    must(run, cm_exits_file_write(run->context, path, &exits));
    cm_learned_exits_close(&exits);
    return path;
}

/* ---- policies ---- */

/* first: the first layer after which tokens may leave; they may after it and the next one. -1: only after the one that
 * has a translator and a classifier. */
static const struct kind {
    const char *measure;
    float       threshold;
    int         first;
    const char *kv_fill;
    int         max_pending, k_tail;
    const char *width;
    float       width_bound;
} kinds[] = {
    {"softmax", 0.02f, 1, "propagate", 0, -1, NULL, 0},
    {"lead", 0.2f, 1, "catch_up", 3, -1, "ratio", 0.6f},
    {"shortlist", 0.01f, 1, "lazy", 3, -1, NULL, 0},
    {"state", 0.5f, 2, "catch_up", 0, -1, NULL, 0},
    {"always", 1.0f, 1, "propagate", 0, -1, NULL, 0},
    {"always", 1.0f, 1, "lazy", 0, -1, NULL, 0},
    {"classifier", 0.5f, -1, "catch_up", 0, -1, NULL, 0}, /* where there is one */
    {"softmax", 0.02f, 1, NULL, 0, 1, NULL, 0},
    {NULL, 0, 0, NULL, 0, -1, "top_p", 0.5f},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds, MOST_EXITS = 2 };

static calmoe_policy *make(const struct run *run, const struct kind *kind)
{
    calmoe_policy_options options;
    calmoe_policy        *policy;
    int                   layers[MOST_EXITS], n = 0;
    calmoe_policy_options_init(&options);
    const int first = kind->first < 0 ? TRANSLATED_LAYER : kind->first;
    const int end = kind->first < 0 ? first + 1 : run->n_layers;
    for (int layer = first; layer < end && n < MOST_EXITS; layer++) layers[n++] = layer;
    options.measure = kind->measure;
    options.threshold = kind->threshold;
    options.exit_layers = kind->measure ? layers : NULL;
    options.n_exits = kind->measure ? n : 0;
    options.k_tail = kind->k_tail;
    options.width = kind->width;
    options.width_bound = kind->width_bound;
    options.kv_fill = kind->kv_fill;
    options.max_pending = kind->max_pending;
    must(run, calmoe_policy_make(run->model, &options, &policy));
    return policy;
}

struct depths {
    int n_rows, n_left;
};

/* Another step of answers: how deep its tokens went is the same, too. */
static void answer_step(struct run *run, const int *n, int from, struct depths *depths)
{
    step(run, n, from, CALMOE_LOGITS_ALL);
    for (int i = 0; i <= N_SESSIONS; i++)
        for (int row = 0; row < n[i]; row++) {
            calmoe_depth depth = {.size = sizeof depth};
            must(run, calmoe_session_depth(run->sessions[i], row, &depth));
            cm_sha256_add(&run->hash, &depth.layers, sizeof depth.layers);
            cm_sha256_add(&run->hash, &depth.experts, sizeof depth.experts);
            cm_sha256_add(&run->hash, &depth.confidence, sizeof depth.confidence);
            depths->n_rows++;
            depths->n_left += depth.layers < run->n_layers;
        }
}

/* Where a state of fixed size is filled at an exit, answers are read token by token: several is 1. */
static void answer(struct run *run, int several, struct depths *depths)
{
    step(run, (const int[]){5, 3, 2, 0}, 0, CALMOE_LOGITS_LAST);
    for (int i = 0; i < N_SESSIONS; i++) calmoe_session_begin_answer(run->sessions[i]);
    answer_step(run, (const int[]){1, 1, 1, 0}, 6, depths);
    answer_step(run, (const int[]){1, several, 1, 0}, 8, depths);
    answer_step(run, (const int[]){several, 1, 0, 0}, 11, depths);
    must(run, calmoe_session_rewind(run->sessions[0], calmoe_session_n_positions(run->sessions[0]) - 1));
    must(run, calmoe_session_fork(run->sessions[1], &run->sessions[N_SESSIONS]));
    answer_step(run, (const int[]){1, 1, 1, 1}, 15, depths);
    interrupt(run, several);
    answer_step(run, (const int[]){1, 0, several, 1}, 19, depths);
    answer_step(run, (const int[]){0, several, 0, 0}, 22, depths);
    generate(run, run->sessions[N_SESSIONS], 4);
    generate(run, run->sessions[0], 2);
}

static bool may_run(const struct run *run, const struct kind *kind)
{
    if (kind->measure && run->n_layers <= (kind->first > 0 ? kind->first : TRANSLATED_LAYER)) return false;
    return !kind->width || !cm_is_dense_model(&run->model->spec);
}

static void read_policies(struct run *run)
{
    struct depths depths = {0, 0};
    for (int i = 0; i < N_KINDS; i++) {
        calmoe_session_options options;
        if (!may_run(run, &kinds[i])) continue;
        calmoe_policy *policy = make(run, &kinds[i]);
        calmoe_session_options_init(&options);
        options.context = CONTEXT;
        options.ignore_end = 1;
        options.policy = policy;
        open_sessions(run, &options);
        const bool fills = !kinds[i].kv_fill || strcmp(kinds[i].kv_fill, "catch_up") != 0;
        answer(run, fills && run->sessions[0]->state.fixed_bytes > 0 ? 1 : 3, &depths);
        close_sessions(run);
        calmoe_policy_close(&policy);
    }
    if (depths.n_left > 0 && depths.n_left < depths.n_rows) return;
    printf("FAIL %s: %d of %d tokens left\n", run->path, depths.n_left, depths.n_rows);
    exit(1);
}

/* ---- audits ---- */

/* A proven policy of two rungs, by which all tokens leave. */
static calmoe_policy *open_proven(const struct run *run)
{
    static const double deltas[] = {0.01, 0.1};
    struct policy  policy = {.n_layers = run->n_layers, .n_rungs = 2};
    calmoe_policy *opened;
    char           path[600];
    snprintf(policy.fingerprint, sizeof policy.fingerprint, "%s", run->model->fingerprint);
    snprintf(policy.exits, sizeof policy.exits, "%s", cm_engine_exits(run->engine));
    for (int i = 0; i < policy.n_rungs; i++)
        policy.rungs[i] = (struct policy_rung){
            .delta = deltas[i], .epsilon = 0.05, .n_prompts = 1000, .p = 0.01, .loss = LOSS_TOKEN_DISAGREEMENT,
            .n_exits = 1, .exits = {{.layer = 1, .measure = MEASURE_ALWAYS, .threshold = {SCHEDULE_CONSTANT, 1, 0, 0}}},
            .kv_fill = KV_CATCH_UP, .max_pending = 2, .k_tail = TAIL_NONE};
    snprintf(path, sizeof path, "%s/policy.json", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    must(run, cm_policy_file_write(run->context, path, &policy));
    must(run, calmoe_policy_open(run->model, path, &opened));
    return opened;
}

static void read_audited(struct run *run)
{
    calmoe_session_options options;
    calmoe_audit           audit = {.size = sizeof audit};
    calmoe_policy         *policy = open_proven(run);
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.ignore_end = 1;
    options.policy = policy;
    options.quality = 0.1;
    options.audit = CALMOE_AUDIT_REQUIRED;
    options.audit_share = 0.5;
    must(run, calmoe_session_open(run->engine, &options, &run->sessions[0]));
    for (int i = 0; i < 4; i++) {
        must(run, calmoe_session_rewind(run->sessions[0], 0));
        generate(run, run->sessions[0], 8);
    }
    must(run, calmoe_session_audit(run->sessions[0], &audit));
    cm_sha256_add(&run->hash, &audit, sizeof audit);
    if (audit.n_tokens == 0 && printf("FAIL %s: no token was audited\n", run->path)) exit(1);
    calmoe_session_close(&run->sessions[0]);
    calmoe_policy_close(&policy);
}

void read_leaving(struct run *run)
{
    read_policies(run);
    if (run->n_layers > 1) read_audited(run);
}

/* ---- fitting ---- */

void read_fitted(struct run *run)
{
    enum { N_TEXT = 400 };
    struct random      random = cm_random(5);
    int32_t            text[N_TEXT];
    char               path[600], bytes[4096];
    calmoe_fit_options options;
    calmoe_fit_report  report = {.size = sizeof report};
    size_t             n;
    snprintf(path, sizeof path, "%s/fitted.gguf", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    for (int i = 0; i < N_TEXT; i++) text[i] = (int32_t)cm_random_below(&random, (uint64_t)run->n_vocab);
    calmoe_fit_options_init(&options);
    options.rank = 4;
    options.window = 40;
    must(run, calmoe_fit_exits(run->engine, text, N_TEXT, &options, path, &report));
    cm_sha256_add(&run->hash, &report, sizeof report);
    FILE *file = fopen(path, "rb");
    while (file && (n = fread(bytes, 1, sizeof bytes, file)) > 0) cm_sha256_add(&run->hash, bytes, n);
    if (!file || fclose(file) != 0) printf("FAIL %s: no exits were written\n", run->path);
}
