/* driver.c - models read in every way that changes what a step is. Prints a line with a hash of all logits for each.
 * Started by mpirun, all processes do this together (run.sh compares their lines with those of one process).
 *
 *     driver ASKED [uneven | whole | threads | cores | split | shared] MODEL.gguf...
 *
 * steps: in chunks, in batches of several sequences, behind a rewind and a fork, interrupted, generating; and what
 * ranks exchange is compared with what is predicted. The other things that are asked have a file each.
 * uneven: rank r has r + 1 times as much as rank 0; whole: the same, and experts are whole on ranks; threads: each has
 * two; cores: each has one on every core; split: this program begins MPI, and makes two
 * communicators, whose ranks run the models as if the others were not there; shared: rank 0 alone has files. */
#include "tests/ranks/driver.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <calmoe/placement.h>

#ifdef CALMOE_HAS_MPI
#include <mpi.h>
#endif

#include "base/random.h"
#include "runtime/engine/handles.h"
#include "runtime/forward/step_exchanges.h"

void must(const struct run *run, calmoe_status status)
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

void step(struct run *run, const int *n, int from, int logits)
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

/* Of the last step: of each layer, outputs of routed experts that each rank has where they are whole on ranks. */
enum { MAX_LAYERS = 64 };
static int32_t outputs[MAX_LAYERS][CM_MAX_RANKS];

static void count_outputs(void *user, const calmoe_routing_event *event)
{
    const struct run *run = user;
    int32_t borders[CM_MAX_RANKS + 1];
    cm_rank_borders(&run->engine->shares, run->model->spec.layers[event->layer].ffn.router.n_experts, 1, borders);
    for (int slot = 0, rank; slot < event->n; slot++) {
        for (rank = 0; event->experts[slot] >= borders[rank + 1];) rank++;
        outputs[event->layer][rank]++;
    }
}

/* Bytes of them that rank 0 receives. */
static uint64_t dealt_bytes(const struct run *run)
{
    uint64_t n = 0;
    for (int layer = 0; layer < run->n_layers; layer++) {
        struct exchange_deal deal = {.n_columns = run->model->spec.dim};
        for (int rank = 0; rank < CM_MAX_RANKS; rank++) deal.rows[rank + 1] = deal.rows[rank] + outputs[layer][rank];
        if (run->engine->shares.has_whole_experts && deal.rows[CM_MAX_RANKS] > 0)
            n += cm_exchange_deal_bytes(&run->engine->shares, &deal, 0);
    }
    return n;
}

/* The step that follows counts what is predicted; on rank 0, which receives logits. */
static void check_counts(struct run *run, const int *n, int n_rows, int n_logits, int logits)
{
    calmoe_ranks_stats stats = {.size = sizeof stats};
    calmoe_engine_reset_stats(run->engine);
    memset(outputs, 0, sizeof outputs);
    step(run, n, 20, logits);
    if (calmoe_ranks_count(run->ranks) == 1) return;
    must(run, calmoe_engine_get_ranks_stats(run->engine, &stats));
    const struct step_exchanges wanted = cm_step_exchanges(cm_decoder_spec(run->engine->decoder), &run->model->tensors,
                                                           &run->engine->shares, MAX_ROWS, n_rows, n_logits, 0);
    const uint64_t n_bytes = wanted.n_bytes - wanted.n_dealt_bytes + dealt_bytes(run);
    if (stats.n_exchanges == (uint64_t)wanted.n && stats.n_bytes_received == n_bytes) return;
    printf("FAIL %d rows, %d logits: %llu exchanges of %llu bytes; predicted %d of %llu\n", n_rows, n_logits,
           (unsigned long long)stats.n_exchanges, (unsigned long long)stats.n_bytes_received, wanted.n,
           (unsigned long long)n_bytes);
    exit(1);
}

void interrupt(struct run *run, int n_tokens)
{
    calmoe_session     *session = run->sessions[0];
    const calmoe_chunk  chunk = {session, run->tokens, n_tokens, CALMOE_LOGITS_LAST};
    const int           n = calmoe_session_n_positions(session);
    calmoe_session_interrupt(session);
    if (calmoe_engine_step(run->engine, &chunk, 1) != CALMOE_CANCELLED) {
        printf("FAIL an interrupted step went on\n");
        exit(1);
    }
    must(run, calmoe_session_rewind(session, n));
}

void generate(struct run *run, calmoe_session *session, int n)
{
    must(run, calmoe_session_feed_tokens(session, run->tokens + 30, 3));
    for (int i = 0; i < n; i++) {
        int32_t token;
        must(run, calmoe_session_next(session, &token));
        cm_sha256_add(&run->hash, &token, sizeof token);
        take_logits(run, session);
    }
}

void open_sessions(struct run *run, const calmoe_session_options *options)
{
    for (int i = 0; i < N_SESSIONS; i++)
        must(run, calmoe_session_open(run->engine, options, &run->sessions[i]));
}

void close_sessions(struct run *run)
{
    for (int i = 0; i <= N_SESSIONS; i++) calmoe_session_close(&run->sessions[i]);
}

void read_steps(struct run *run)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.ignore_end = 1;
    open_sessions(run, &options);
    step(run, (const int[]){7, 4, 1, 0}, 0, CALMOE_LOGITS_ALL);
    step(run, (const int[]){1, 1, 1, 0}, 8, CALMOE_LOGITS_ALL);
    must(run, calmoe_session_rewind(run->sessions[0], 5));
    step(run, (const int[]){6, 1, 5, 0}, 9, CALMOE_LOGITS_LAST);
    interrupt(run, 3);
    must(run, calmoe_session_fork(run->sessions[1], &run->sessions[N_SESSIONS]));
    step(run, (const int[]){0, 2, 1, 3}, 12, CALMOE_LOGITS_ALL);
    check_counts(run, (const int[]){0, 1, 0, 0}, 1, 1, CALMOE_LOGITS_LAST);
    check_counts(run, (const int[]){2, 3, 0, 4}, 9, 9, CALMOE_LOGITS_ALL);
    generate(run, run->sessions[N_SESSIONS], 3);
    must(run, calmoe_session_rewind(run->sessions[1], 0));
    step(run, (const int[]){0, 9, 0, 0}, 3, CALMOE_LOGITS_ALL);
    close_sessions(run);
}

/* ---- a model ---- */

static atomic_int n_choices;

static const struct asked {
    const char *name;
    void      (*read)(struct run *run);
    bool        has_exits;       /* the engine gets a file of fitted exits    */
    bool        has_draft_model; /* the same model once more drafts for it    */
    bool        has_plan;        /* the engine carries out a plan from a file */
    bool        has_source;      /* of choices: rank 0 chooses other experts  */
    bool        has_limit;       /* of memory                                 */
    bool        is_packed;       /* experts are packed in a file              */
} all_asked[] = {
    {.name = "steps", .read = read_steps},
    {.name = "leaving", .read = read_leaving, .has_exits = true},
    {.name = "chosen", .read = read_leaving, .has_exits = true, .has_source = true},
    {.name = "fitted", .read = read_fitted},
    {.name = "drafts", .read = read_drafts, .has_draft_model = true},
    {.name = "saved", .read = read_saved},
    {.name = "adapted", .read = read_adapted},
    {.name = "planned", .read = read_steps, .has_plan = true},
    {.name = "disk", .read = read_disk, .has_limit = true},
    {.name = "packed", .read = read_disk, .has_limit = true, .is_packed = true},
    {.name = "mapped", .read = read_steps, .is_packed = true},
    {.name = "failing", .read = read_failing, .has_limit = true},
};
enum { N_ASKED = sizeof all_asked / sizeof *all_asked };

/* Other experts than the router's, by what the token is; no rank but 0 is asked. */
static void choose(void *user, const calmoe_routing_choice *choice)
{
    const struct run *run = user;
    const int n_experts = run->model->spec.layers[choice->layer].ffn.router.n_experts;
    if (calmoe_ranks_own(run->ranks) > 0) printf("FAIL rank %d chooses experts\n", calmoe_ranks_own(run->ranks));
    for (int i = 0; i < choice->n; i++) {
        choice->experts[i] = (choice->experts[i] + choice->token % 3) % n_experts;
        choice->weights[i] *= 1.0f + 0.01f * (float)i;
    }
    atomic_fetch_add(&n_choices, 1);
}

/* As calmoe place makes one for this machine; of this rank's own. */
static const char *write_plan(const struct run *run)
{
    static char path[600];
    calmoe_placement_options options;
    calmoe_placement *placement;
    calmoe_placement_options_init(&options);
    must(run, calmoe_placement_open(run->model, &options, &placement));
    snprintf(path, sizeof path, "%s/plan.%d.json", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp",
             calmoe_ranks_own(run->ranks));
    must(run, calmoe_placement_write(placement, path));
    calmoe_placement_close(&placement);
    return path;
}

static void lead(struct run *run, const struct asked *asked)
{
    char          hex[65];
    struct random random = cm_random(11);
    for (int i = 0; i < N_TOKENS; i++) run->tokens[i] = (int32_t)cm_random_below(&random, (uint64_t)run->n_vocab);
    run->hash = cm_sha256();
    n_choices = 0;
    asked->read(run);
    if (asked->has_source && n_choices == 0) printf("FAIL nobody was asked for experts\n");
    cm_sha256_hex(&run->hash, hex);
    printf("%s %s\n", strrchr(run->path, '/') ? strrchr(run->path, '/') + 1 : run->path, hex);
    fflush(stdout);
}

/* The model at path; where files are shared, no rank but 0 may look there. */
static calmoe_status open_model(const struct run *run, const char *path, calmoe_model **out)
{
    calmoe_model_options options;
    calmoe_model_options_init(&options);
    if (run->is_shared) options.ranks = run->ranks;
    return calmoe_model_open(run->context, options.ranks && calmoe_ranks_own(run->ranks) > 0 ? "none.gguf" : path,
                             &options, out);
}

static void read_model(struct run *run, const struct asked *asked, const char *path)
{
    calmoe_model_info     info = {.size = sizeof info};
    calmoe_engine_options options;
    run->path = path;
    must(run, open_model(run, path, &run->model));
    must(run, calmoe_model_get_info(run->model, &info));
    run->n_vocab = info.n_vocab;
    run->n_layers = info.n_layers;
    calmoe_engine_options_init(&options);
    options.n_threads = run->n_threads;
    options.fixed_threads = 1;
    options.pin_threads = 0;
    options.max_rows = MAX_ROWS;
    options.ranks = run->ranks;
    options.whole_experts = run->has_whole_experts;
    options.routing = run->has_whole_experts && calmoe_ranks_own(run->ranks) == 0 ? count_outputs : NULL;
    options.routing_user = run;
    if (asked->has_source) options.routing_source = choose;
    options.routing_source_user = run;
    if (asked->has_exits) options.exits = write_exits(run);
    if (asked->has_plan) options.plan = write_plan(run);
    if (asked->has_draft_model) must(run, open_model(run, path, &run->draft_model));
    options.draft_model = run->draft_model;
    if (asked->is_packed) options.packed = pack_experts(run);
    if (asked->has_limit) limit_memory(run, &options);
    must(run, calmoe_engine_open(run->model, &options, &run->engine));
    if (asked->read == read_failing) let_reads_fail(run);
    if (calmoe_ranks_own(run->ranks) == 0) lead(run, asked);
    else must(run, calmoe_engine_follow(run->engine));
    calmoe_engine_close(&run->engine);
    calmoe_model_close(&run->draft_model);
    calmoe_model_close(&run->model);
}

#ifdef CALMOE_HAS_MPI
static MPI_Comm half;

static void split(calmoe_ranks_options *options)
{
    int rank, level;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &half);
    options->communicator = &half;
}

static void end_split(void)
{
    MPI_Comm_free(&half);
    MPI_Finalize();
}
#else
static void split(calmoe_ranks_options *options) { (void)options; }
static void end_split(void) {}
#endif

int main(int argc, char **argv)
{
    struct run           run = {.n_threads = 1};
    calmoe_ranks_options options;
    const char *const    how = argc > 2 ? argv[2] : "";
    const bool has_threads = strcmp(how, "threads") == 0;
    const bool has_cores = strcmp(how, "cores") == 0;
    const bool is_split = strcmp(how, "split") == 0;
    run.is_shared = strcmp(how, "shared") == 0;
    run.has_whole_experts = strcmp(how, "whole") == 0;
    const bool is_uneven = strcmp(how, "uneven") == 0 || run.has_whole_experts;
    int asked = 0;
    while (asked < N_ASKED && argc > 1 && strcmp(all_asked[asked].name, argv[1]) != 0) asked++;
    if (argc < 2 || asked == N_ASKED) return 2;
    calmoe_ranks_options_init(&options);
    must(&run, calmoe_context_open(NULL, &run.context));
    if (has_threads) run.n_threads = 2;
    if (has_cores) run.n_threads = 0;
    const char *rank = getenv("OMPI_COMM_WORLD_RANK") ? getenv("OMPI_COMM_WORLD_RANK") : getenv("PMI_RANK");
    if (is_uneven && rank) options.bandwidth = 10 * (1 + (double)strtol(rank, NULL, 10));
    if (is_split) split(&options);
    if (calmoe_ranks_launched() > 1) must(&run, calmoe_ranks_open(run.context, &options, &run.ranks));
    for (int i = is_uneven || has_threads || has_cores || is_split || run.is_shared ? 3 : 2; i < argc; i++)
        read_model(&run, &all_asked[asked], argv[i]);
    calmoe_ranks_close(&run.ranks, NULL);
    calmoe_context_close(&run.context);
    if (is_split) end_split();
    return 0;
}
