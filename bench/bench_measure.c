/* bench/bench_measure.c - the tests: reading a prompt, and generating token by token.
 *
 * Tokens are random with a fixed seed: what is computed does not depend on which they are, but which
 * experts they are routed to does, so random ones spread over them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

enum { MAX_ROWS = 512, SEED = 20240229 };

struct bench_run {
    const struct front *front;
    calmoe_session    **sessions; /* (n_sessions)              */
    calmoe_chunk       *chunks;   /* (n_sessions)              */
    int32_t            *tokens;   /* (n_sessions, n_tokens)    */
    int                 n_sessions;
    int                 n_tokens; /* of each session           */
};

/* splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z          = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z          = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* The first session reads all its tokens, MAX_ROWS in a step. */
static calmoe_status read_prompt(const struct bench_run *run)
{
    for (int at = 0; at < run->n_tokens; at += MAX_ROWS) {
        const int          left  = run->n_tokens - at;
        const calmoe_chunk chunk = {run->sessions[0], run->tokens + at, left < MAX_ROWS ? left : MAX_ROWS,
                                    left <= MAX_ROWS ? CALMOE_LOGITS_LAST : CALMOE_LOGITS_NONE};
        const calmoe_status status = calmoe_engine_step(run->front->engine, &chunk, 1);
        if (status != CALMOE_OK) return status;
    }
    return CALMOE_OK;
}

/* All sessions take one token a step, as if each had been sampled. */
static calmoe_status generate(const struct bench_run *run)
{
    for (int at = 0; at < run->n_tokens; at++) {
        for (int i = 0; i < run->n_sessions; i++) {
            const calmoe_chunk chunk = {run->sessions[i],
                                        run->tokens + (size_t)i * (size_t)run->n_tokens + at, 1,
                                        CALMOE_LOGITS_LAST};
            run->chunks[i] = chunk;
        }
        const calmoe_status status = calmoe_engine_step(run->front->engine, run->chunks, run->n_sessions);
        if (status != CALMOE_OK) return status;
    }
    return CALMOE_OK;
}

static int length_of_prompt(const struct bench_plan *plan) { return plan->n_prompt; }
static int length_of_answer(const struct bench_plan *plan) { return plan->n_tokens; }

static const struct bench_test {
    const char *prefix; /* of the name: "pp" and the length                      */
    bool        is_batched; /* all sessions of the batch take part, else one only */
    int (*length)(const struct bench_plan *plan);
    calmoe_status (*run)(const struct bench_run *run);
} tests[] = {
    {"pp", false, length_of_prompt, read_prompt},
    {"tg", true, length_of_answer, generate},
};

int cm_bench_n_tests(void)
{
    return (int)(sizeof tests / sizeof tests[0]);
}

bool cm_bench_has_test(const struct bench_plan *plan, int test)
{
    return tests[test].length(plan) > 0;
}

static bool open_run(struct bench_run *run, int n_vocab)
{
    const size_t           n_sessions = (size_t)run->n_sessions;
    const size_t           n_tokens   = n_sessions * (size_t)run->n_tokens;
    uint64_t               state      = SEED;
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.context = run->n_tokens;
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
        if (!cm_front_succeeded(run->front, calmoe_session_open(run->front->engine, &options,
                                                                &run->sessions[i])))
            return false;
    return true;
}

static void close_run(struct bench_run *run)
{
    for (int i = 0; run->sessions != NULL && i < run->n_sessions; i++)
        calmoe_session_close(&run->sessions[i]);
    free(run->sessions);
    free(run->chunks);
    free(run->tokens);
}

/* One repetition from empty sessions; *rate in tokens per second. */
static bool repeat(const struct bench_run *run, const struct bench_test *test, double *rate)
{
    for (int i = 0; i < run->n_sessions; i++)
        if (!cm_front_succeeded(run->front, calmoe_session_rewind(run->sessions[i], 0))) return false;
    const double start = cm_seconds();
    if (!cm_front_succeeded(run->front, test->run(run))) return false;
    const double seconds = cm_seconds() - start;
    *rate = (double)run->n_sessions * (double)run->n_tokens / (seconds > 0 ? seconds : 1e-9);
    return true;
}

static int slower_first(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static bool fill_row(const struct bench_run *run, double *rates, int n_rates, struct bench_row *row)
{
    calmoe_stats stats = {.size = sizeof stats};
    if (!cm_front_succeeded(run->front, calmoe_engine_get_stats(run->front->engine, &stats))) return false;
    qsort(rates, (size_t)n_rates, sizeof rates[0], slower_first);
    row->median     = (rates[(n_rates - 1) / 2] + rates[n_rates / 2]) / 2;
    row->min        = rates[0];
    row->max        = rates[n_rates - 1];
    row->wait_share = stats.wait_share;
    row->isa        = stats.isa;
    row->n_threads  = stats.n_threads;
    row->bandwidth_share = row->peak_share = row->imbalance = NAN;
    return true;
}

bool cm_bench_measure(const struct front *front, const struct bench_plan *plan, int test_index,
                      struct bench_row *row)
{
    static double                  rates[BENCH_MAX_REPEATS];
    const struct bench_test *const test = &tests[test_index];
    struct bench_run               run  = {.front = front, .n_sessions = test->is_batched ? plan->batch : 1,
                                           .n_tokens = test->length(plan)};
    struct progress_bar            bar;
    row->batch     = run.n_sessions;
    row->n_repeats = plan->n_repeats;
    snprintf(row->test, sizeof row->test, "%s%d", test->prefix, run.n_tokens);
    cm_bar_begin(&bar, row->test);
    bool fine = open_run(&run, row->info.n_vocab) && repeat(&run, test, &rates[0]); /* warm-up */
    calmoe_engine_reset_stats(front->engine);
    for (int i = 0; fine && i < plan->n_repeats; i++) {
        (void)cm_bar_move(&bar, (double)(i + 1) / (plan->n_repeats + 1));
        fine = repeat(&run, test, &rates[i]);
    }
    fine = fine && fill_row(&run, rates, plan->n_repeats, row);
    cm_bar_end(&bar);
    close_run(&run);
    return fine;
}
