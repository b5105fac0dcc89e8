/* bench/bench_measure.c - the tests: reading a prompt, and generating token by token.
 *
 * Tokens are random with a fixed seed. The amount of computation does not depend on them, but the experts that they are
 * routed to do; random tokens spread over the experts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

enum { SEED = 20240229 };

struct run {
    const struct front  *front;
    struct bench_test    test;
    struct bench_replay *replay;
    const struct adapters *adapters; /* NULL = none                         */
    calmoe_session     **sessions; /* (n_sessions)                          */
    calmoe_chunk        *chunks;   /* (n_sessions)                          */
    int32_t             *tokens;   /* (n_sessions, n_positions)             */
    int                  n_sessions;
    int                  n_positions; /* of each session: depth + n_tokens  */
};

/* splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z          = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z          = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static int32_t *tokens_of(const struct run *run, int session)
{
    return run->tokens + (size_t)session * (size_t)run->n_positions;
}

/* Tells the replay to which sessions the rows of the next steps belong: -1 = row i to session i. */
static void tell_replay(const struct run *run, int session)
{
    if (run->replay != NULL) cm_bench_replay_rows(run->replay, session, run->n_sessions);
}

/* Reads positions [begin, end) of one session, as many in a step as fit. */
static calmoe_status read_positions(const struct run *run, int session, int begin, int end, int logits)
{
    tell_replay(run, session);
    for (int at = begin; at < end; at += BENCH_MAX_ROWS_IN_STEP) {
        const int  left = end - at;
        const bool is_last = left <= BENCH_MAX_ROWS_IN_STEP;
        if (cm_interrupted()) return CALMOE_CANCELLED;
        const calmoe_chunk chunk = {run->sessions[session], tokens_of(run, session) + at,
                                    is_last ? left : BENCH_MAX_ROWS_IN_STEP, is_last ? logits : CALMOE_LOGITS_NONE};
        const calmoe_status status = calmoe_engine_step(run->front->engine, &chunk, 1);
        if (status != CALMOE_OK) return status;
    }
    return CALMOE_OK;
}

/* All sessions read one token in each step, as if each had been sampled. */
static calmoe_status generate(const struct run *run)
{
    tell_replay(run, -1);
    for (int at = run->test.depth; at < run->n_positions; at++) {
        if (cm_interrupted()) return CALMOE_CANCELLED;
        for (int i = 0; i < run->n_sessions; i++) {
            const calmoe_chunk chunk = {run->sessions[i], tokens_of(run, i) + at, 1, CALMOE_LOGITS_LAST};
            run->chunks[i] = chunk;
        }
        const calmoe_status status = calmoe_engine_step(run->front->engine, run->chunks, run->n_sessions);
        if (status != CALMOE_OK) return status;
    }
    return CALMOE_OK;
}

static bool succeeded(const struct run *run, calmoe_status status)
{
    if (status == CALMOE_CANCELLED && cm_interrupted()) cm_say("interrupted");
    else return cm_front_succeeded(run->front, status);
    return false;
}

static bool open_run(struct run *run, int n_vocab)
{
    const size_t           n_sessions = (size_t)run->n_sessions;
    const size_t           n_tokens   = n_sessions * (size_t)run->n_positions;
    uint64_t               state      = SEED;
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.context = run->n_positions;
    run->sessions   = calloc(n_sessions, sizeof *run->sessions);
    run->chunks     = calloc(n_sessions, sizeof *run->chunks);
    run->tokens     = calloc(n_tokens, sizeof *run->tokens);
    if (run->sessions == NULL || run->chunks == NULL || run->tokens == NULL || n_vocab <= 0) {
        cm_say("no memory for %zu tokens", n_tokens);
        return false;
    }
    for (size_t i = 0; i < n_tokens; i++)
        run->tokens[i] = (int32_t)(next_random(&state) % (uint64_t)n_vocab);
    for (size_t i = 0; i < n_sessions; i++)
        if (!succeeded(run, calmoe_session_open(run->front->engine, &options, &run->sessions[i])) ||
            (run->adapters != NULL && !cm_adapters_use(run->front, run->adapters, run->sessions[i])))
            return false;
    for (int i = 0; i < run->n_sessions; i++) /* the positions before the test, not timed */
        if (!succeeded(run, read_positions(run, i, 0, run->test.depth, CALMOE_LOGITS_NONE))) return false;
    return true;
}

static void close_run(struct run *run)
{
    for (int i = 0; run->sessions != NULL && i < run->n_sessions; i++)
        calmoe_session_close(&run->sessions[i]);
    free(run->sessions);
    free(run->chunks);
    free(run->tokens);
}

/* One repetition; *rate in tokens per second. */
static bool repeat(const struct run *run, double *rate)
{
    for (int i = 0; i < run->n_sessions; i++)
        if (!succeeded(run, calmoe_session_rewind(run->sessions[i], run->test.depth))) return false;
    const double        start  = cm_seconds();
    const calmoe_status status = run->test.is_prompt ? read_positions(run, 0, run->test.depth, run->n_positions,
                                                                      CALMOE_LOGITS_LAST)
                                                     : generate(run);
    if (!succeeded(run, status)) return false;
    const double seconds = cm_seconds() - start;
    *rate = (double)run->n_sessions * (double)run->test.n_tokens / (seconds > 0 ? seconds : 1e-9);
    return true;
}

static int slower_first(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median_of(double *values, int n)
{
    qsort(values, (size_t)n, sizeof values[0], slower_first);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

static bool fill_row(const struct run *run, double *rates, double *reads, int n_rates, struct bench_row *row)
{
    calmoe_stats stats = {.size = sizeof stats};
    double       phases[CALMOE_N_PHASES];
    if (!succeeded(run, calmoe_engine_get_stats(run->front->engine, &stats)) ||
        !succeeded(run, calmoe_engine_get_phases(run->front->engine, phases, CALMOE_N_PHASES)))
        return false;
    row->median    = median_of(rates, n_rates);
    row->read_bytes_per_s = median_of(reads, n_rates + 1);
    row->min       = rates[0];
    row->max       = rates[n_rates - 1];
    row->isa       = stats.isa;
    row->n_threads = stats.n_threads;
    row->mean_threads = stats.mean_threads;
    cm_bench_figures(&stats, phases, row);
    return true;
}

static bool open_meter(const struct run *run, int n_threads, calmoe_read_meter **out)
{
    calmoe_machine_options options;
    calmoe_machine_options_init(&options);
    options.n_threads = n_threads;
    return succeeded(run, calmoe_read_meter_open(run->front->context, &options, out));
}

/* The better of two passes, since the first has to wake up the threads. */
static double read_rate(calmoe_read_meter *meter)
{
    const double first = calmoe_read_meter_pass(meter), second = calmoe_read_meter_pass(meter);
    return first > second ? first : second;
}

/* Runs two slices with counting and two without, in the order ABBA or BAAB: time with / time without - 1. */
static bool measure_group(const struct run *run, int group, double *cost)
{
    double seconds[2] = {0.0, 0.0}, rate;
    for (int i = 0; i < 4; i++) {
        const int is_on = (i == 0 || i == 3) == (group % 2 == 0);
        calmoe_engine_set_counting(run->front->engine, is_on);
        const double start = cm_seconds();
        if (!repeat(run, &rate)) return false; /* it first rewinds, which completes the counts */
        seconds[is_on] += cm_seconds() - start;
    }
    *cost = seconds[1] / seconds[0] - 1.0;
    return true;
}

/* Measures what counting costs. Slices are short and alternate, so that other work on the machine affects both kinds
 * alike. */
static bool measure_counting(const struct run *run, int n_slices, struct bench_row *row)
{
    static double costs[BENCH_MAX_SLICES / 4];
    const int     n = n_slices / 4;
    bool          fine = true;
    row->counting = row->counting_low = row->counting_high = NAN;
    for (int i = 0; fine && i < n; i++) fine = measure_group(run, i, &costs[i]);
    calmoe_engine_set_counting(run->front->engine, 1);
    if (!fine || n == 0) return fine;
    row->counting = median_of(costs, n); /* sorts */
    const int rank = (int)(n / 2.0 - 0.98 * sqrt(n)); /* of the interval's ends, from either side */
    if (rank >= 1) {
        row->counting_low  = costs[rank - 1];
        row->counting_high = costs[n - rank];
    }
    return true;
}

/* From which nodes the repetitions read weights. */
static bool fill_nodes(const struct run *run, struct bench_row *row)
{
    const double n_tokens = (double)row->n_repeats * run->test.n_tokens * run->test.batch;
    row->remote_bytes = 0;
    for (int i = 0; i < row->n_nodes; i++) {
        calmoe_node_stats node = {.size = sizeof node};
        double            n_bytes = 0;
        uint64_t          by_phase[CALMOE_N_PHASES];
        if (!succeeded(run, calmoe_engine_get_node_stats(run->front->engine, i, &node)) ||
            !succeeded(run, calmoe_engine_get_node_phases(run->front->engine, i, NULL, by_phase, CALMOE_N_PHASES)))
            return false;
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++) n_bytes += (double)by_phase[phase];
        row->node_reads[i] = n_bytes / n_tokens;
        row->remote_bytes += (double)node.n_remote_bytes / n_tokens;
    }
    return true;
}

/* What the repetitions exchanged with other ranks. */
static bool fill_ranks(const struct run *run, struct bench_row *row)
{
    const double       n_tokens = (double)row->n_repeats * run->test.n_tokens * run->test.batch;
    calmoe_ranks_stats stats = {.size = sizeof stats};
    row->n_ranks = calmoe_ranks_count(run->front->ranks);
    if (row->n_ranks == 1) return true;
    if (!succeeded(run, calmoe_engine_get_ranks_stats(run->front->engine, &stats))) return false;
    row->exchanges        = (double)stats.n_exchanges / n_tokens;
    row->exchange_bytes   = (double)stats.n_bytes_received / n_tokens;
    row->exchange_seconds = stats.seconds / n_tokens;
    return true;
}

/* What the repetitions read from disk. */
static bool fill_disk(const struct run *run, struct bench_row *row)
{
    row->disk.size   = sizeof row->disk;
    row->disk_tokens = (double)row->n_repeats * run->test.n_tokens * run->test.batch;
    return succeeded(run, calmoe_engine_get_disk_stats(run->front->engine, &row->disk));
}

static void name_test(const struct bench_test *test, int n_adapters, char *name, size_t n_name)
{
    char depth[16] = "";
    if (test->depth > 0) snprintf(depth, sizeof depth, "@%d", test->depth);
    snprintf(name, n_name, "%s%d%s%s", test->is_prompt ? "pp" : "tg", test->n_tokens, depth,
             n_adapters > 0 ? "+lora" : "");
}

bool cm_bench_measure(const struct front *front, const struct bench_plan *plan, const struct bench_test *test,
                      struct bench_replay *replay, struct bench_row *row)
{
    static double       rates[BENCH_MAX_REPEATS], reads[BENCH_MAX_REPEATS + 1];
    calmoe_read_meter  *meter = NULL;
    struct run          run = {.front = front, .test = *test, .replay = replay, .adapters = plan->adapters,
                               .n_sessions = test->batch, .n_positions = test->depth + test->n_tokens};
    struct progress_bar bar;
    row->test      = *test;
    row->n_repeats = plan->n_repeats;
    row->n_adapters = plan->adapters != NULL ? plan->adapters->n : 0;
    name_test(test, row->n_adapters, row->name, sizeof row->name);
    cm_bar_begin(&bar, row->name);
    bool fine = open_run(&run, row->model->info.n_vocab) && open_meter(&run, row->n_threads, &meter) &&
                repeat(&run, &rates[0]); /* warm-up */
    calmoe_engine_reset_stats(front->engine);
    reads[0] = read_rate(meter);
    for (int i = 0; fine && i < plan->n_repeats; i++) {
        (void)cm_bar_move(&bar, (double)(i + 1) / (plan->n_repeats + 1));
        fine = repeat(&run, &rates[i]);
        reads[i + 1] = read_rate(meter);
    }
    fine = fine && fill_row(&run, rates, reads, plan->n_repeats, row) && fill_nodes(&run, row) &&
           fill_ranks(&run, row) && fill_disk(&run, row) && measure_counting(&run, plan->n_slices, row);
    calmoe_read_meter_close(&meter);
    cm_bar_end(&bar);
    close_run(&run);
    return fine;
}
