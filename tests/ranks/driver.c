/* driver.c - models read in every way that changes what a step is: in chunks, in batches of several sequences, behind a
 * rewind and a fork, interrupted, generating. Prints a line with a hash of all logits for each. Started by mpirun, all
 * processes do this together (run.sh compares their lines with those of one process), and what ranks exchange is
 * compared with what is predicted.
 *
 *     driver [uneven | threads] MODEL.gguf...
 *
 * uneven: rank r has r + 1 times as much as rank 0; threads: each has two. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <calmoe/calmoe.h>
#include <calmoe/ranks.h>

#include "base/random.h"
#include "base/sha256.h"
#include "runtime/engine/handles.h"
#include "runtime/forward/step_exchanges.h"

enum { MAX_ROWS = 12, CONTEXT = 64, N_TOKENS = 40, N_SESSIONS = 3 };

struct run {
    calmoe_context *context;
    calmoe_ranks   *ranks;
    int             n_threads;
    calmoe_engine  *engine;
    calmoe_session *sessions[N_SESSIONS + 1]; /* the last one: a fork */
    int             n_vocab;
    int32_t         tokens[N_TOKENS];
    struct sha256   hash;
};

static void must(const struct run *run, calmoe_status status)
{
    if (status == CALMOE_OK) return;
    printf("FAIL rank %d: %s\n", calmoe_ranks_own(run->ranks), calmoe_context_message(run->context));
    exit(1);
}

/* ---- steps ---- */

static void take_logits(struct run *run, const calmoe_session *session)
{
    const float *logits;
    for (int row = 0; (logits = calmoe_session_logits(session, row)) != NULL; row++)
        cm_sha256_add(&run->hash, logits, (size_t)run->n_vocab * sizeof *logits);
}

/* n[i] tokens of session i, in one step, from token `from` on. */
static void step(struct run *run, const int *n, int from, int logits)
{
    calmoe_chunk chunks[N_SESSIONS + 1];
    int          n_chunks = 0;
    for (int i = 0; i <= N_SESSIONS; i++)
        if (n[i] > 0)
            chunks[n_chunks++] = (calmoe_chunk){run->sessions[i], run->tokens + from + i, n[i], logits};
    must(run, calmoe_engine_step(run->engine, chunks, n_chunks));
    for (int i = 0; i <= N_SESSIONS; i++)
        if (n[i] > 0) take_logits(run, run->sessions[i]);
}

/* The step that follows counts what is predicted; on rank 0, which receives logits. */
static void check_counts(struct run *run, const int *n, int n_rows, int n_logits, int logits)
{
    calmoe_ranks_stats stats = {.size = sizeof stats};
    calmoe_engine_reset_stats(run->engine);
    step(run, n, 20, logits);
    if (calmoe_ranks_count(run->ranks) == 1) return;
    must(run, calmoe_engine_get_ranks_stats(run->engine, &stats));
    const struct step_exchanges wanted = cm_step_exchanges(cm_decoder_spec(run->engine->decoder), &run->engine->shares,
                                                           MAX_ROWS, n_rows, n_logits, 0);
    if (stats.n_exchanges == (uint64_t)wanted.n && stats.n_bytes_received == wanted.n_bytes) return;
    printf("FAIL %d rows, %d logits: %llu exchanges of %llu bytes; predicted %d of %llu\n", n_rows, n_logits,
           (unsigned long long)stats.n_exchanges, (unsigned long long)stats.n_bytes_received, wanted.n,
           (unsigned long long)wanted.n_bytes);
    exit(1);
}

/* An interrupted step is undone on all ranks. */
static void interrupt(struct run *run)
{
    calmoe_session     *session = run->sessions[0];
    const calmoe_chunk  chunk = {session, run->tokens, 3, CALMOE_LOGITS_LAST};
    const int           n = calmoe_session_n_positions(session);
    calmoe_session_interrupt(session);
    if (calmoe_engine_step(run->engine, &chunk, 1) != CALMOE_CANCELLED) {
        printf("FAIL an interrupted step went on\n");
        exit(1);
    }
    must(run, calmoe_session_rewind(session, n));
}

static void generate(struct run *run, calmoe_session *session)
{
    must(run, calmoe_session_feed_tokens(session, run->tokens + 30, 3));
    for (int i = 0; i < 3; i++) {
        int32_t token;
        must(run, calmoe_session_next(session, &token));
        cm_sha256_add(&run->hash, &token, sizeof token);
        take_logits(run, session);
    }
}

static void read_all(struct run *run)
{
    step(run, (const int[]){7, 4, 1, 0}, 0, CALMOE_LOGITS_ALL);
    step(run, (const int[]){1, 1, 1, 0}, 8, CALMOE_LOGITS_ALL);
    must(run, calmoe_session_rewind(run->sessions[0], 5));
    step(run, (const int[]){6, 1, 5, 0}, 9, CALMOE_LOGITS_LAST);
    interrupt(run);
    must(run, calmoe_session_fork(run->sessions[1], &run->sessions[N_SESSIONS]));
    step(run, (const int[]){0, 2, 1, 3}, 12, CALMOE_LOGITS_ALL);
    check_counts(run, (const int[]){0, 1, 0, 0}, 1, 1, CALMOE_LOGITS_LAST);
    check_counts(run, (const int[]){2, 3, 0, 4}, 9, 9, CALMOE_LOGITS_ALL);
    generate(run, run->sessions[N_SESSIONS]);
    must(run, calmoe_session_rewind(run->sessions[1], 0));
    step(run, (const int[]){0, 9, 0, 0}, 3, CALMOE_LOGITS_ALL);
}

/* ---- a model ---- */

static void lead(struct run *run, const char *path)
{
    calmoe_session_options options;
    char                   hex[65];
    struct random          random = cm_random(11);
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.ignore_end = 1;
    for (int i = 0; i < N_TOKENS; i++) run->tokens[i] = (int32_t)cm_random_below(&random, (uint64_t)run->n_vocab);
    for (int i = 0; i < N_SESSIONS; i++)
        must(run, calmoe_session_open(run->engine, &options, &run->sessions[i]));
    run->hash = cm_sha256();
    read_all(run);
    for (int i = 0; i <= N_SESSIONS; i++) calmoe_session_close(&run->sessions[i]);
    cm_sha256_hex(&run->hash, hex);
    printf("%s %s\n", strrchr(path, '/') ? strrchr(path, '/') + 1 : path, hex);
    fflush(stdout);
}

static void read_model(struct run *run, const char *path)
{
    calmoe_model         *model;
    calmoe_model_info     info = {.size = sizeof info};
    calmoe_engine_options options;
    must(run, calmoe_model_open(run->context, path, NULL, &model));
    must(run, calmoe_model_get_info(model, &info));
    run->n_vocab = info.n_vocab;
    calmoe_engine_options_init(&options);
    options.n_threads = run->n_threads;
    options.fixed_threads = 1;
    options.pin_threads = 0;
    options.max_rows = MAX_ROWS;
    options.ranks = run->ranks;
    must(run, calmoe_engine_open(model, &options, &run->engine));
    if (calmoe_ranks_own(run->ranks) == 0) lead(run, path);
    else must(run, calmoe_engine_follow(run->engine));
    calmoe_engine_close(&run->engine);
    calmoe_model_close(&model);
}

int main(int argc, char **argv)
{
    struct run           run = {.n_threads = 1};
    calmoe_ranks_options options;
    const bool           is_uneven = argc > 1 && strcmp(argv[1], "uneven") == 0;
    const bool           has_threads = argc > 1 && strcmp(argv[1], "threads") == 0;
    calmoe_ranks_options_init(&options);
    must(&run, calmoe_context_open(NULL, &run.context));
    if (has_threads) run.n_threads = 2;
    if (is_uneven && getenv("OMPI_COMM_WORLD_RANK"))
        options.bandwidth = 10 * (1 + (double)strtol(getenv("OMPI_COMM_WORLD_RANK"), NULL, 10));
    if (calmoe_ranks_launched() > 1) must(&run, calmoe_ranks_open(run.context, &options, &run.ranks));
    for (int i = is_uneven || has_threads ? 2 : 1; i < argc; i++) read_model(&run, argv[i]);
    calmoe_ranks_close(&run.ranks, NULL);
    calmoe_context_close(&run.context);
    return 0;
}
