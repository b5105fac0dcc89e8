/* bench/policy_measure.c - compares OFF and a policy on the same prompts. Both sides have their own sessions in one
 * engine. In each repetition both read the next prompts; then the steps of the answers are timed, with OFF first in one
 * repetition and the policy first in the next. Answers are greedy and continue after end tokens. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/policy_bench.h"

struct side {
    calmoe_session **sessions; /* (batch)               */
    int32_t         *tokens;   /* (batch, n_tokens + 1): the first is sampled after the prompt and is the same for
                                  both sides                                                                */
    bool             drafts;   /* a single session, which reads ahead of the tokens that it returns         */
    double           rate;
    struct policy_side *sums;
};

struct comparison {
    const struct front       *front;
    const struct policy_test *test;
    struct side               off, on;
    calmoe_chunk             *chunks; /* (batch) */
    int32_t                  *forced; /* (n_tokens): what the policy predicts after OFF's tokens          */
    double                    n_agreeing, n_compared, n_same_tokens, n_same_answers;
};

static bool succeeded(const struct comparison *c, calmoe_status status)
{
    return cm_front_succeeded(c->front, status);
}

static int32_t *answer_of(const struct comparison *c, const struct side *side, int i)
{
    return side->tokens + (size_t)i * (size_t)(c->test->n_tokens + 1);
}

/* ---- reading and answering ---- */

/* Feeds prompt `index` to a session in pieces; *token: the token that follows. */
static bool read_prompt(const struct comparison *c, calmoe_session *session, bool drafts, int index, int32_t *token)
{
    const struct prompts *prompts = c->test->prompts;
    const int32_t        *tokens = prompts->tokens + (size_t)(index % prompts->n) * (size_t)prompts->n_tokens;
    if (!succeeded(c, calmoe_session_rewind(session, 0))) return false;
    if (drafts)
        return succeeded(c, calmoe_session_feed_tokens(session, tokens, (size_t)prompts->n_tokens)) &&
               succeeded(c, calmoe_session_next(session, token));
    for (int at = 0, n; at < prompts->n_tokens; at += n) {
        const int left = prompts->n_tokens - at;
        n = left < BENCH_MAX_ROWS_IN_STEP ? left : BENCH_MAX_ROWS_IN_STEP;
        const calmoe_chunk chunk = {session, tokens + at, n, n == left ? CALMOE_LOGITS_LAST : CALMOE_LOGITS_NONE};
        if (cm_interrupted() || !succeeded(c, calmoe_engine_step(c->front->engine, &chunk, 1))) return false;
    }
    calmoe_session_begin_answer(session);
    return succeeded(c, calmoe_session_sample(session, token));
}

static bool read_prompts(const struct comparison *c, const struct side *side, int repetition)
{
    for (int i = 0; i < c->test->batch; i++)
        if (!read_prompt(c, side->sessions[i], side->drafts, repetition * c->test->batch + i, answer_of(c, side, i)))
            return false;
    return true;
}

static bool answer_by_drafts(const struct comparison *c, const struct side *side)
{
    for (int t = 0; t < c->test->n_tokens; t++)
        if (cm_interrupted() || !succeeded(c, calmoe_session_next(side->sessions[0], side->tokens + t + 1)))
            return false;
    return true;
}

static bool answer_by_steps(const struct comparison *c, const struct side *side)
{
    for (int t = 0; t < c->test->n_tokens; t++) {
        for (int i = 0; i < c->test->batch; i++)
            c->chunks[i] = (calmoe_chunk){side->sessions[i], answer_of(c, side, i) + t, 1, CALMOE_LOGITS_LAST};
        if (cm_interrupted() || !succeeded(c, calmoe_engine_step(c->front->engine, c->chunks, c->test->batch)))
            return false;
        for (int i = 0; i < c->test->batch; i++)
            if (!succeeded(c, calmoe_session_sample(side->sessions[i], answer_of(c, side, i) + t + 1))) return false;
    }
    return true;
}

/* Generates the answers and times them; the engine's counts are added to the side's sums. */
static bool time_answers(const struct comparison *c, struct side *side)
{
    calmoe_stats        stats = {.size = sizeof stats};
    struct policy_side *sums = side->sums;
    double              phases[CALMOE_N_PHASES];
    calmoe_engine_reset_stats(c->front->engine);
    const double start = cm_seconds();
    if (side->drafts ? !answer_by_drafts(c, side) : !answer_by_steps(c, side)) return false;
    const double seconds = cm_seconds() - start;
    if (!succeeded(c, calmoe_engine_get_stats(c->front->engine, &stats)) ||
        !succeeded(c, calmoe_engine_get_phases(c->front->engine, phases, CALMOE_N_PHASES)))
        return false;
    side->rate = (double)c->test->n_tokens * c->test->batch / (seconds > 0 ? seconds : 1e-9);
    sums->n_steps += (double)stats.n_steps;
    sums->n_tokens += (double)stats.n_rows;
    sums->seconds += stats.step_seconds;
    sums->wait_seconds += stats.wait_share * stats.step_seconds;
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++) sums->phase_seconds[phase] += phases[phase];
    sums->n_layers += (double)stats.n_layers_run;
    sums->n_experts += (double)stats.n_experts_run;
    sums->n_bytes += (double)stats.n_weight_bytes;
    return true;
}

/* ---- differences ---- */

static int32_t likeliest(const float *logits, int n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* The policy's token after each of OFF's tokens. The session has read the prompt. */
static bool force(const struct comparison *c, calmoe_session *session, const int32_t *tokens, int n_vocab)
{
    const int n_tokens = c->test->n_tokens;
    if (!succeeded(c, calmoe_session_rewind(session, c->test->prompts->n_tokens))) return false;
    for (int at = 0, n; at < n_tokens; at += n) {
        n = n_tokens - at < BENCH_MAX_ROWS_IN_STEP ? n_tokens - at : BENCH_MAX_ROWS_IN_STEP;
        const calmoe_chunk chunk = {session, tokens + at, n, CALMOE_LOGITS_ALL};
        if (cm_interrupted() || !succeeded(c, calmoe_engine_step(c->front->engine, &chunk, 1))) return false;
        for (int i = 0; i < n; i++) c->forced[at + i] = likeliest(calmoe_session_logits(session, i), n_vocab);
    }
    return true;
}

static bool compare(struct comparison *c, int n_vocab)
{
    const int n_tokens = c->test->n_tokens;
    for (int i = 0; i < c->test->batch; i++) {
        const int32_t *off = answer_of(c, &c->off, i), *on = answer_of(c, &c->on, i);
        int            n_same = 0;
        while (n_same < n_tokens && off[n_same + 1] == on[n_same + 1]) n_same++;
        c->n_same_tokens += n_same;
        c->n_same_answers += n_same == n_tokens;
        if (!c->on.drafts && !force(c, c->on.sessions[i], off, n_vocab)) return false;
        for (int t = 0; t < n_tokens; t++) c->n_agreeing += (c->on.drafts ? on[t + 1] : c->forced[t]) == off[t + 1];
        c->n_compared += n_tokens;
    }
    return true;
}

/* ---- all repetitions ---- */

static bool open_side(const struct comparison *c, bool is_off, struct policy_side *sums, struct side *side)
{
    const struct policy_test *test = c->test;
    calmoe_session_options    options;
    calmoe_session_options_init(&options);
    side->drafts       = !is_off && test->request->lossless;
    options.context    = test->prompts->n_tokens + test->n_tokens;
    options.policy     = is_off ? NULL : test->policy;
    options.quality    = options.policy != NULL ? test->quality : 0.0;
    options.lossless   = side->drafts ? CALMOE_LOSSLESS_WHERE_FASTER : CALMOE_LOSSLESS_OFF;
    options.ignore_end = side->drafts;
    side->sums      = sums;
    side->sessions  = calloc((size_t)test->batch, sizeof(calmoe_session *));
    side->tokens    = calloc((size_t)test->batch * (size_t)(test->n_tokens + 1), sizeof *side->tokens);
    bool fine = side->sessions != NULL && side->tokens != NULL;
    for (int i = 0; fine && i < test->batch; i++)
        fine = succeeded(c, calmoe_session_open(c->front->engine, &options, &side->sessions[i])) &&
               cm_adapters_use(c->front, test->adapters, side->sessions[i]);
    return fine;
}

static void close_side(const struct comparison *c, struct side *side)
{
    for (int i = 0; side->sessions != NULL && i < c->test->batch; i++) calmoe_session_close(&side->sessions[i]);
    free(side->sessions);
    free(side->tokens);
}

static int ascending(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static struct policy_rates summary(double *values, int n)
{
    qsort(values, (size_t)n, sizeof values[0], ascending);
    return (struct policy_rates){(values[(n - 1) / 2] + values[n / 2]) / 2, values[0], values[n - 1]};
}

/* Adds the tokens that left early since the statistics were reset. */
static bool add_exits(const struct comparison *c, struct policy_row *row)
{
    uint64_t  counts[sizeof row->exits / sizeof row->exits[0]];
    const int n_layers = row->model->info.n_layers;
    if (n_layers > (int)(sizeof counts / sizeof counts[0])) return true;
    if (!succeeded(c, calmoe_engine_get_exit_counts(c->front->engine, counts, n_layers))) return false;
    for (int i = 0; i < n_layers; i++) row->exits[i] += counts[i];
    return true;
}

/* Repetition i of both sides; -1 is the warm-up. */
static bool repeat(struct comparison *c, int i, struct policy_row *row)
{
    const bool off_first = i % 2 == 0;
    const int  group = i < 0 ? 0 : i;
    bool       fine = read_prompts(c, &c->off, group) && read_prompts(c, &c->on, group);
    if (fine && off_first) fine = time_answers(c, &c->off);
    fine = fine && time_answers(c, &c->on) && (i < 0 || add_exits(c, row));
    if (fine && !off_first) fine = time_answers(c, &c->off);
    return fine;
}

static void fill_row(const struct comparison *c, double rates[3][BENCH_MAX_REPEATS], struct policy_row *row)
{
    const struct policy_test *test = c->test;
    calmoe_rung_info          info = {.size = sizeof info};
    calmoe_speculation        drafts = {.size = sizeof drafts};
    const double              n_answers = (double)test->n_repeats * test->batch;
    row->off          = summary(rates[0], test->n_repeats);
    row->on           = summary(rates[1], test->n_repeats);
    row->ratio        = summary(rates[2], test->n_repeats);
    row->is_noisy     = row->ratio.max - row->ratio.min > BENCH_NOISE * row->ratio.median;
    row->rung         = calmoe_session_rung(c->on.sessions[0]);
    row->delta        = NAN;
    row->n_answers    = n_answers < test->prompts->n ? (int)n_answers : test->prompts->n;
    row->agreement    = c->n_agreeing / c->n_compared;
    row->same_tokens  = c->n_same_tokens / n_answers;
    row->same_answers = c->n_same_answers / n_answers;
    if (c->on.drafts && calmoe_session_speculation(c->on.sessions[0], &drafts) == CALMOE_OK) {
        row->n_rounds   = drafts.rounds;
        row->n_drafted  = drafts.drafted;
        row->n_accepted = drafts.accepted;
    }
    if (row->rung >= 0 && calmoe_policy_get_rung(test->policy, row->rung, &info) == CALMOE_OK && info.is_proven) {
        row->delta     = info.delta;
        row->member    = info.member;
        row->n_members = info.n_members;
        row->cost      = info.cost;
    }
}

static void put_name(const struct policy_request *request, struct policy_row *row)
{
    const char *const parts[] = {request->lossless ? "lossless" : NULL, request->file, request->quality,
                                 request->costs, request->exit, request->width, request->exits};
    size_t            n = 0;
    row->name[0] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i] == NULL || n >= sizeof row->name) continue;
        const int added = snprintf(row->name + n, sizeof row->name - n, "%s%s", n > 0 ? " " : "", parts[i]);
        n += added > 0 ? (size_t)added : 0;
    }
    cm_clean_text(row->name);
    for (char *at = row->name; *at != '\0'; at++)
        if (*at == '|' || *at == '"') *at = ' ';
}

bool cm_policy_measure(const struct front *front, const struct policy_test *test, struct policy_row *row)
{
    static double       rates[3][BENCH_MAX_REPEATS];
    struct comparison   c = {.front = front, .test = test};
    struct progress_bar bar;
    row->batch     = test->batch;
    row->n_prompt  = test->prompts->n_tokens;
    row->n_tokens  = test->n_tokens;
    row->n_repeats = test->n_repeats;
    put_name(test->request, row);
    c.chunks = calloc((size_t)test->batch, sizeof *c.chunks);
    c.forced = calloc((size_t)test->n_tokens, sizeof *c.forced);
    bool fine = c.chunks != NULL && c.forced != NULL && open_side(&c, true, &row->off_side, &c.off) &&
                open_side(&c, false, &row->on_side, &c.on);
    cm_bar_begin(&bar, row->name);
    fine = fine && repeat(&c, -1, row);
    row->off_side = row->on_side = (struct policy_side){0};
    for (int i = 0; fine && i < test->n_repeats; i++) {
        (void)cm_bar_move(&bar, (double)(i + 1) / (test->n_repeats + 1));
        fine = repeat(&c, i, row) && compare(&c, row->model->info.n_vocab);
        rates[0][i] = c.off.rate;
        rates[1][i] = c.on.rate;
        rates[2][i] = c.on.rate / c.off.rate;
    }
    cm_bar_end(&bar);
    if (fine) fill_row(&c, rates, row);
    else if (cm_interrupted()) cm_say("interrupted");
    close_side(&c, &c.off);
    close_side(&c, &c.on);
    free(c.chunks);
    free(c.forced);
    return fine;
}
