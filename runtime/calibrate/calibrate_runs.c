/* runtime/calibrate/calibrate_runs.c - the full model's answers; a policy on many prompts: losses and costs.
 *
 * Teacher-forced runs read a whole answer in one chunk, at the speed of prompts: a token's logits do not depend on
 * chunks, so this is what token after token would give, keys and values of the policy included. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/calibrate/calibrate_parts.h"
#include "runtime/sample/likeliest.h"

static int32_t *answer_of(const struct calmoe_calibration *c, int32_t *of, int prompt)
{
    return of + (size_t)prompt * (size_t)c->options.answer_tokens;
}

static int n_vocab_of(const struct calmoe_calibration *c) { return c->engine->model->spec.n_vocab; }

static int32_t winner_of(const struct calmoe_calibration *c, const float *logits)
{
    return cm_likeliest_token(logits, n_vocab_of(c), c->engine->model->usable);
}

/* ---- prompts into lanes ---- */

calmoe_status cm_calibrate_load(struct calmoe_calibration *c, int first, int n)
{
    struct lanes *lanes = &c->lanes;
    lanes->n = n;
    for (int i = 0; i < n; i++) {
        struct lane         *lane = &lanes->at[i];
        const calmoe_prompt *prompt = c->prompts[first + i];
        lane->session->rung = NULL;
        (void)calmoe_session_rewind(lane->session, 0);
        lane->prompt = first + i;
        lane->n_prompt = lane->n_tokens = prompt->n_tokens;
        lane->tokens = prompt->tokens;
    }
    return cm_lanes_read(lanes, CALMOE_LOGITS_LAST, NULL, NULL);
}

calmoe_status cm_calibrate_force(struct calmoe_calibration *c, const struct policy_rung *rung, lane_rows_fn rows,
                                 void *user)
{
    cm_lanes_begin(&c->lanes, rung);
    for (int i = 0; i < c->lanes.n; i++) {
        struct lane *lane = &c->lanes.at[i];
        lane->tokens = answer_of(c, c->full.forced, lane->prompt);
        lane->n_tokens = c->full.n_forced[lane->prompt] - 1; /* the last one has nothing after it to predict */
    }
    return cm_lanes_read(&c->lanes, CALMOE_LOGITS_ALL, rows, user);
}

/* ---- free-running answers ---- */

struct writing { /* answers as they grow */
    struct calmoe_calibration *calibration;
    int32_t                   *answers;
    int                       *n_answers;
    bool                       is_over[MAX_LANES];
    int                        next[MAX_LANES]; /* lane → of its last token */
};

static void write_token(void *user, const struct lane *lane, int first, int n)
{
    struct writing                  *writing = user;
    const struct calmoe_calibration *c = writing->calibration;
    const int                        which = (int)(lane - c->lanes.at);
    if (first + n < lane->n_tokens) return; /* a prompt in parts */
    const int32_t token = winner_of(c, calmoe_session_logits(lane->session, 0));
    int          *n_answer = &writing->n_answers[lane->prompt];
    answer_of(c, writing->answers, lane->prompt)[(*n_answer)++] = token;
    writing->is_over[which] = *n_answer == c->options.answer_tokens ||
                              cm_token_ends_generation(c->engine->model->tokenizer, token);
}

/* The lanes' prompts are answered under the rung. The prompt's last token is read again for the first token's logits.
 * */
static calmoe_status write_answers(struct calmoe_calibration *c, const struct policy_rung *rung, int32_t *answers,
                                   int *n_answers)
{
    struct writing writing = {.calibration = c, .answers = answers, .n_answers = n_answers};
    bool           is_first = true, any = true;
    for (int i = 0; i < c->lanes.n; i++) n_answers[c->lanes.at[i].prompt] = 0;
    for (; any; is_first = false) {
        any = false;
        for (int i = 0; i < c->lanes.n; i++) {
            struct lane *lane = &c->lanes.at[i];
            const int    n = n_answers[lane->prompt];
            if (is_first) {
                (void)calmoe_session_rewind(lane->session, lane->n_prompt - 1);
                lane->session->rung = NULL;
                lane->tokens = c->prompts[lane->prompt]->tokens + lane->n_prompt - 1;
            } else {
                lane->tokens = answer_of(c, answers, lane->prompt) + n - 1;
                if (n == 1) {
                    lane->session->rung = rung;
                    calmoe_session_begin_answer(lane->session);
                }
            }
            lane->n_tokens = writing.is_over[i] ? 0 : 1;
            any |= lane->n_tokens > 0;
        }
        if (any) CM_TRY(cm_lanes_read(&c->lanes, CALMOE_LOGITS_LAST, write_token, &writing));
    }
    return CALMOE_OK;
}

/* ---- the full model ---- */

static void note_winners(void *user, const struct lane *lane, int first, int n)
{
    struct calmoe_calibration *c = user;
    int32_t *winners = answer_of(c, c->full.winners, lane->prompt);
    for (int i = 0; i < n; i++)
        winners[first + i] = winner_of(c, calmoe_session_logits(lane->session, i));
}

static int n_different(const int32_t *a, const int32_t *b, int n)
{
    int sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] != b[i];
    return sum;
}

/* Tokens without the one that ends an answer: references do not have it, and no text shows it. */
static int n_said(const struct calmoe_calibration *c, const int32_t *answer, int n)
{
    return n > 0 && cm_token_ends_generation(c->engine->model->tokenizer, answer[n - 1]) ? n - 1 : n;
}

static double answer_loss(const struct calmoe_calibration *c, const int32_t *answer, int n, const int32_t *wanted,
                          int n_wanted, int32_t *scratch)
{
    n        = n_said(c, answer, n);
    n_wanted = n_said(c, wanted, n_wanted);
    return c->loss == LOSS_EXACT_MATCH ? cm_exact_match_loss(answer, n, wanted, n_wanted)
                                       : cm_rouge_l_loss(answer, n, wanted, n_wanted, 1.0, scratch);
}

static int n_reference(const struct calmoe_calibration *c, int prompt)
{
    const int n = c->prompts[prompt]->n_answer;
    return n < c->options.answer_tokens ? n : c->options.answer_tokens;
}

static calmoe_status finish_prompt(struct calmoe_calibration *c, int p)
{
    const int32_t *forced = answer_of(c, c->full.forced, p), *winners = answer_of(c, c->full.winners, p);
    const int      n_rows = c->full.n_forced[p] - 1;
    int32_t        scratch[MAX_ANSWER + 1];
    if (!c->has_references) {
        if (n_rows > 0 && n_different(winners, forced + 1, n_rows) > 0)
            return cm_fail(c->ctx, CALMOE_SYSTEM, "two runs of the full model disagree on prompt %d: nothing can be "
                           "measured against it", p);
        return CALMOE_OK;
    }
    if (cm_loss_kinds[c->loss].is_free_running)
        c->full.loss[p] = answer_loss(c, answer_of(c, c->full.answers, p), c->full.n_answers[p], c->prompts[p]->answer,
                                      n_reference(c, p), scratch);
    else if (n_rows > 0) c->full.loss[p] = cm_token_disagreement(winners, forced + 1, n_rows);
    return CALMOE_OK;
}

calmoe_status cm_calibrate_answers(struct calmoe_calibration *c)
{
    const bool reads_references = c->has_references && !cm_loss_kinds[c->loss].is_free_running;
    for (int first = 0, n; first < c->n_prompts; first += n) {
        CM_TRY(cm_calibrate_progress(c, (double)first / c->n_prompts));
        n = c->n_prompts - first < c->lanes.n_open ? c->n_prompts - first : c->lanes.n_open;
        CM_TRY(cm_calibrate_load(c, first, n));
        if (!reads_references) CM_TRY(write_answers(c, NULL, c->full.answers, c->full.n_answers));
        for (int p = first; p < first + n; p++) {
            c->full.n_forced[p] = reads_references ? n_reference(c, p) : c->full.n_answers[p];
            const int32_t *from = reads_references ? c->prompts[p]->answer : answer_of(c, c->full.answers, p);
            memcpy(answer_of(c, c->full.forced, p), from, (size_t)c->full.n_forced[p] * sizeof *from);
        }
        CM_TRY(cm_calibrate_force(c, NULL, note_winners, c));
        for (int p = first; p < first + n; p++) CM_TRY(finish_prompt(c, p));
    }
    return CALMOE_OK;
}

/* ---- a policy ---- */

struct run { /* of one trial on the prompts in the lanes */
    struct calmoe_calibration *calibration;
    struct trial              *trial;
    uint8_t                   *kept;    /* (max_rows, n_layers)                   */
    uint8_t                   *on_disk; /* (max_rows, n_layers) of the kept; NULL: nobody asks */
    int32_t                   *depths;  /* (max_rows)                             */
    uint8_t                   *refused; /* (max_rows)                             */
    float                     *full;    /* (rows of all lanes, n_vocab) or NULL   */
    float                     *scratch; /* (2, n_vocab), with full                */
    size_t                     full_row[MAX_LANES];
    int32_t                   *answers; /* (n_prompts, answer_tokens), free-running */
    int                       *n_answers;
    double                     sums[MAX_LANES];
};

static void note_kept(void *user, int layer, const struct row *rows, int n_rows, const struct routing *routing)
{
    const struct run *run = user;
    const calmoe_engine *engine = run->calibration->engine;
    const int n_layers = engine->model->spec.n_layers;
    for (int r = 0; r < n_rows; r++) {
        const size_t at = (size_t)rows[r].index * (size_t)n_layers + (size_t)layer;
        const int    n = cm_n_kept(routing, r);
        run->kept[at] = (uint8_t)n;
        if (!run->on_disk) continue;
        run->on_disk[at] = 0;
        for (int slot = 0; slot < n; slot++) {
            const int32_t expert = routing->experts[(size_t)r * (size_t)routing->n_slots + (size_t)slot];
            run->on_disk[at] = (uint8_t)(run->on_disk[at] + cm_place_of(&engine->plan, layer, expert)->is_streamed);
        }
    }
}

/* Experts that a row read from disk, in the layers that it ran: with a tail all, but without what it left out there. */
static double reads_of(const struct run *run, int row, int n_layers_run)
{
    const struct policy_rung *rung = run->trial->rung;
    const int n_layers = run->calibration->engine->model->spec.n_layers;
    double    sum = 0.0;
    if (rung && rung->k_tail != TAIL_NONE) n_layers_run = n_layers;
    for (int layer = 0; run->on_disk && layer < n_layers_run; layer++)
        sum += run->on_disk[(size_t)row * (size_t)n_layers + (size_t)layer];
    return sum;
}

/* Every row has logits, so rows of logits are the step's rows. */
static void add_costs(const struct run *run, const struct lane *lane, int n)
{
    const struct calmoe_calibration *c = run->calibration;
    const int             begin = lane->session->logits.first, n_layers = c->engine->model->spec.n_layers;
    struct trial         *trial = run->trial;
    for (int i = 0; i < n; i++) {
        const struct row_outcome *depth = &c->engine->step.outcomes[begin + i];
        run->depths[i] = depth->layers;
        run->refused[i] = (uint8_t)depth->n_refused;
        trial->layers += depth->layers;
        trial->experts += depth->n_experts;
        trial->parts.of[PART_READ] += reads_of(run, begin + i, depth->layers);
        trial->n_layer_runs += trial->rung && trial->rung->k_tail != TAIL_NONE ? n_layers : depth->layers;
    }
    const struct token_depths tokens = {n, run->depths, run->kept + (size_t)begin * (size_t)n_layers, run->refused};
    cm_count_parts(c->part_tables, trial->rung, &tokens, &trial->parts);
    trial->cost = cm_parts_cost(&trial->parts, &c->prices);
    trial->n_tokens += (uint64_t)n;
}

static void compare_rows(void *user, const struct lane *lane, int first, int n)
{
    struct run                      *run = user;
    const struct calmoe_calibration *c = run->calibration;
    const int      n_vocab = n_vocab_of(c), which = (int)(lane - c->lanes.at);
    const int32_t *winners = answer_of(c, c->full.winners, lane->prompt) + first;
    const int32_t *wanted = c->has_references ? answer_of(c, c->full.forced, lane->prompt) + first + 1 : winners;
    for (int i = 0; i < n; i++) {
        const float  *logits = calmoe_session_logits(lane->session, i);
        const int32_t winner = winner_of(c, logits);
        run->trial->n_differ += winner != winners[i];
        if (!run->full) {
            run->sums[which] += winner != wanted[i];
            continue;
        }
        const size_t bytes = (size_t)n_vocab * sizeof(float);
        memcpy(run->scratch, logits, bytes);
        memcpy(run->scratch + n_vocab, run->full + (run->full_row[which] + (size_t)(first + i)) * (size_t)n_vocab,
               bytes);
        run->sums[which] += cm_total_variation(cm_decoder_ops(c->engine->decoder), run->scratch,
                                               run->scratch + n_vocab, n_vocab);
    }
    add_costs(run, lane, n);
}

static void keep_logits(void *user, const struct lane *lane, int first, int n)
{
    const struct run *run = user;
    const size_t      n_vocab = (size_t)n_vocab_of(run->calibration);
    const int         which = (int)(lane - run->calibration->lanes.at);
    for (int i = 0; i < n; i++)
        memcpy(run->full + (run->full_row[which] + (size_t)(first + i)) * n_vocab,
               calmoe_session_logits(lane->session, i), n_vocab * sizeof(float));
}

static double loss_of(const struct run *run, const struct lane *lane, int which)
{
    const struct calmoe_calibration *c = run->calibration;
    const int p = lane->prompt;
    double    loss;
    if (cm_loss_kinds[c->loss].is_free_running) {
        int32_t    scratch[MAX_ANSWER + 1];
        const bool to_reference = c->has_references;
        loss = answer_loss(c, answer_of(c, run->answers, p), run->n_answers[p],
                           to_reference ? c->prompts[p]->answer : answer_of(c, c->full.answers, p),
                           to_reference ? n_reference(c, p) : c->full.n_answers[p], scratch);
    } else {
        /* An answer of one token comes from the prompt, which is read in full. */
        loss = c->full.n_forced[p] > 1 ? run->sums[which] / (c->full.n_forced[p] - 1) : 0.0;
    }
    return c->has_references ? cm_excess_loss(loss, c->full.loss[p]) : loss;
}

static calmoe_status run_trial(struct run *run, struct trial *trial)
{
    struct calmoe_calibration *c = run->calibration;
    run->trial = trial;
    memset(run->sums, 0, sizeof run->sums);
    CM_TRY(cm_calibrate_force(c, trial->rung, compare_rows, run));
    if (trial->losses && cm_loss_kinds[c->loss].is_free_running)
        CM_TRY(write_answers(c, trial->rung, run->answers, run->n_answers));
    for (int i = 0; i < c->lanes.n && trial->losses; i++)
        trial->losses[c->lanes.at[i].prompt] = loss_of(run, &c->lanes.at[i], i);
    return CALMOE_OK;
}

static calmoe_status open_run(struct calmoe_calibration *c, struct run *run)
{
    const struct model_spec *spec = &c->engine->model->spec;
    const size_t n_rows = (size_t)c->engine->options.max_rows, n_layers = (size_t)spec->n_layers;
    const size_t n_answer = (size_t)c->options.answer_tokens, n_prompts = (size_t)c->n_prompts;
    run->calibration = c;
    run->kept = cm_alloc(c->ctx, n_rows * n_layers, sizeof *run->kept, "calibration");
    if (c->options.resident) {
        run->on_disk = cm_alloc(c->ctx, n_rows * n_layers, sizeof *run->on_disk, "calibration");
        if (!run->on_disk) return CALMOE_NO_MEMORY;
    }
    run->depths = cm_alloc(c->ctx, n_rows, sizeof *run->depths, "calibration");
    run->refused = cm_alloc(c->ctx, n_rows, sizeof *run->refused, "calibration");
    if (!run->kept || !run->depths || !run->refused) return CALMOE_NO_MEMORY;
    if (c->loss == LOSS_TOTAL_VARIATION) {
        const size_t n_full = (size_t)c->lanes.n_open * n_answer, n_vocab = (size_t)spec->n_vocab;
        run->full = cm_alloc(c->ctx, n_full * n_vocab, sizeof *run->full, "calibration");
        run->scratch = cm_alloc(c->ctx, 2 * n_vocab, sizeof *run->scratch, "calibration");
        for (size_t i = 0; i < MAX_LANES; i++) run->full_row[i] = i * n_answer;
        if (!run->full || !run->scratch) return CALMOE_NO_MEMORY;
    }
    if (cm_loss_kinds[c->loss].is_free_running) {
        run->answers = cm_alloc(c->ctx, n_prompts * n_answer, sizeof *run->answers, "calibration");
        run->n_answers = cm_alloc(c->ctx, n_prompts, sizeof *run->n_answers, "calibration");
        if (!run->answers || !run->n_answers) return CALMOE_NO_MEMORY;
    }
    return CALMOE_OK;
}

static void close_run(struct run *run)
{
    cm_free(run->kept);
    cm_free(run->on_disk);
    cm_free(run->depths);
    cm_free(run->refused);
    cm_free(run->full);
    cm_free(run->scratch);
    cm_free(run->answers);
    cm_free(run->n_answers);
}

static calmoe_status run_all(struct run *run, int first, int n, struct trial *trials, int n_trials)
{
    struct calmoe_calibration *c = run->calibration;
    for (int done = 0, now; done < n; done += now) {
        now = n - done < c->lanes.n_open ? n - done : c->lanes.n_open;
        CM_TRY(cm_calibrate_load(c, first + done, now));
        if (run->full) CM_TRY(cm_calibrate_force(c, NULL, keep_logits, run));
        for (int i = 0; i < n_trials; i++) {
            CM_TRY(cm_calibrate_progress(c, (done + now * (double)i / n_trials) / n));
            CM_TRY(run_trial(run, &trials[i]));
        }
    }
    return CALMOE_OK;
}

calmoe_status cm_calibrate_run(struct calmoe_calibration *c, int first, int n, struct trial *trials, int n_trials)
{
    struct run    run = {0};
    calmoe_status status = open_run(c, &run);
    const struct step_observer observer = {&run, .routing = note_kept};
    c->lanes.observer = &observer;
    if (status == CALMOE_OK) status = run_all(&run, first, n, trials, n_trials);
    c->lanes.observer = NULL;
    close_run(&run);
    return status;
}
