/* runtime/engine/lossless.c - see lossless.h. A round:
 *
 *   draft      the pending token runs the layers up to an exit; if it is sure enough there, it leaves (it waits), and
 *              the exit's logits say the next token, which is run likewise
 *   verify     the first token that does not leave, or the last one allowed, goes through all layers; those that wait
 *              join it where they left, and all have the logits that plain steps would give them, to the bit
 *   read       one by one, as calmoe_session_next() is called: the sampler draws from the verified logits; while what
 *              it draws is what was drafted, the next token is read already
 *
 * Or a smaller decoder drafts (drafter.h), or, where the last tokens stood before in the sequence (lookup.h), what
 * followed them there is the draft; and all of it goes through all layers in one step.
 *
 * So the tokens, and the sampler's random numbers, are those of plain steps. Drafts are drawn with the numbers that the
 * sampler will use, so that they are the same wherever the two distributions are close. Verified logits stay where the
 * step left them; another step of the engine, by another session, takes them away, and their tokens are read anew. */
#include "runtime/engine/lossless.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/options.h"
#include "runtime/engine/handles.h"
#include "runtime/engine/lookup.h"
#include "runtime/engine/speculation.h"

enum { MAX_DRAFTS = 4, MAX_ROWS = LOOKUP_MOST + 1, LOOKED_UP = SPECULATION_MAX_ARMS };

struct way { /* an arm of the controller */
    int                kind; /* CALMOE_DRAFTS_BY_*        */
    struct policy_rung rung; /* of exits; zeros of others */
    int                n_drafts;
};

struct draft_counts {
    uint64_t rounds, drafted, accepted;
};

struct drafts {
    struct speculation control;
    bool               is_always;
    int                n_ways;
    struct way         ways[SPECULATION_MAX_ARMS];
    /* the last round: row i of the step's logits is of position first + i */
    uint64_t step;
    int      first, n_rows, n_read;
    int32_t  tokens[MAX_ROWS]; /* row i's                                              */
    int      layers[MAX_ROWS]; /* that token i was drafted from, 0: not by layers; i > 0 */
    int      kind;             /* CALMOE_DRAFTS_BY_*                                   */
    int      arm;              /* of a round whose end is not noted yet; or LOOKED_UP  */
    bool     is_open;
    double   ns;
    uint64_t n_plain, n_turns;
    struct draft_counts by[CALMOE_N_DRAFT_KINDS];
    uint64_t *drafted, *accepted;    /* (n_layers) by the layers that were run */
    int      most_looked_up;         /* that a step has room for               */
    struct lookup lookup;
};

/* What a round costs is the machine's and the model's, and so an answer need not find out what the one before knew. */
struct known_drafts {
    struct speculation control;
    int                n_ways;
    struct way         ways[SPECULATION_MAX_ARMS];
};

/* ---- opening ---- */

static void draft_rung(struct policy_rung *rung)
{
    rung->kv_fill = KV_CATCH_UP;
    rung->max_pending = MAX_DRAFTS;
    rung->k_tail = TAIL_NONE;
    rung->widths = NULL;
}

static struct way *add_way(struct drafts *drafts, int kind, int n_drafts)
{
    struct way *way = &drafts->ways[drafts->n_ways++];
    *way = (struct way){.kind = kind, .n_drafts = n_drafts};
    return way;
}

static void add_exits(struct drafts *drafts, const struct policy_rung *rung, int n_drafts)
{
    struct way *way = add_way(drafts, CALMOE_DRAFTS_BY_EXITS, n_drafts);
    way->rung = *rung;
    draft_rung(&way->rung);
}

/* A decoder's drafts: which of its ways there are, by how many it drafts. */
static const struct reader_ways {
    enum drafter_kind drafter;
    int               kind;
    int               n_drafts[2];
} reader_ways[] = {
    {DRAFTER_FURTHER, CALMOE_DRAFTS_BY_FURTHER, {1, 3}},
    {DRAFTER_MODEL, CALMOE_DRAFTS_BY_MODEL, {2, 4}},
};
enum { N_READER_WAYS = sizeof reader_ways / sizeof *reader_ways };

static calmoe_status open_readers(calmoe_session *session, struct drafts *drafts, int most)
{
    CM_TRY(cm_drafters_open(session->engine));
    for (int i = 0; i < N_READER_WAYS; i++) {
        const struct reader_ways *ways = &reader_ways[i];
        CM_TRY(cm_draft_reader_open(session, ways->drafter, &session->readers[ways->drafter]));
        for (int j = 0; j < 2 && session->readers[ways->drafter]; j++)
            if (ways->n_drafts[j] <= most) add_way(drafts, ways->kind, ways->n_drafts[j]);
    }
    return CALMOE_OK;
}

/* One arm for each number of drafts, by the policy's exits. */
static void ways_of_policy(struct drafts *drafts, const struct policy_rung *rung, int most)
{
    for (int n = 1; n <= most; n++) add_exits(drafts, rung, n);
}

/* Where nothing is said: after a third of the layers, and after half; one draft, or three. Later exits agree more
 * often, but leave too little to win: after four fifths of the layers, drafts that are always right save a tenth. */
static void ways_by_default(struct drafts *drafts, int n_layers, int most)
{
    const int layers[] = {n_layers / 3, n_layers / 2};
    for (int i = 0; i < 2; i++) {
        const struct policy_exit always = {.layer = layers[i], .measure = MEASURE_ALWAYS,
                                           .threshold = {.schedule = SCHEDULE_CONSTANT, .lambda = 1.0f}};
        const struct policy_rung rung = {.n_exits = 1, .exits = {always}};
        if (always.layer < 1 || (i > 0 && always.layer == layers[0])) continue;
        for (int n = 1; n <= 3 && n <= most; n += 2) add_exits(drafts, &rung, n);
    }
}

static bool is_known(const struct known_drafts *known, const struct drafts *drafts)
{
    if (known->n_ways != drafts->n_ways) return false;
    for (int i = 0; i < known->n_ways; i++)
        if (known->ways[i].kind != drafts->ways[i].kind || known->ways[i].n_drafts != drafts->ways[i].n_drafts ||
            !cm_same_exits(&known->ways[i].rung, &drafts->ways[i].rung))
            return false;
    return true;
}

static calmoe_status begin_control(calmoe_engine *engine, struct drafts *drafts)
{
    if (!engine->known_drafts)
        engine->known_drafts = cm_alloc(engine->ctx, 1, sizeof *engine->known_drafts, "drafts");
    if (!engine->known_drafts) return CALMOE_NO_MEMORY;
    cm_speculation_begin(&drafts->control, drafts->n_ways);
    if (is_known(engine->known_drafts, drafts)) drafts->control = engine->known_drafts->control;
    return CALMOE_OK;
}

static calmoe_status open_parts(calmoe_session *session, struct drafts *drafts)
{
    calmoe_engine *engine = session->engine;
    const struct model_spec *spec = &engine->model->spec;
    const size_t n_layers = (size_t)spec->n_layers;
    const int most = engine->options.max_rows - 1 < MAX_DRAFTS ? engine->options.max_rows - 1 : MAX_DRAFTS;
    drafts->drafted = cm_alloc(engine->ctx, n_layers, sizeof *drafts->drafted, "drafts");
    drafts->accepted = cm_alloc(engine->ctx, n_layers, sizeof *drafts->accepted, "drafts");
    if (!drafts->drafted || !drafts->accepted) return CALMOE_NO_MEMORY;
    CM_TRY(open_readers(session, drafts, most));
    const int n_readers = drafts->n_ways;
    if (session->rung) ways_of_policy(drafts, session->rung, most);
    else ways_by_default(drafts, spec->n_layers, most);
    CM_TRY(begin_control(engine, drafts));
    cm_lookup_begin(&drafts->lookup);
    drafts->most_looked_up = engine->options.max_rows - 1 < LOOKUP_MOST ? engine->options.max_rows - 1 : LOOKUP_MOST;
    CM_TRY(cm_decoder_reserve_logits(engine->decoder, drafts->most_looked_up + 1));
    if (drafts->n_ways == n_readers) return CALMOE_OK;
    CM_TRY(cm_session_let_wait(session, MAX_DRAFTS));
    return cm_engine_need_exits(engine);
}

calmoe_status cm_drafts_open(calmoe_session *session, const calmoe_session_options *options)
{
    calmoe_context *ctx = session->engine->ctx;
    if (options->lossless < CALMOE_LOSSLESS_OFF || options->lossless > CALMOE_LOSSLESS_ALWAYS)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "lossless is %d; one of CALMOE_LOSSLESS_*, %d to %d, is wanted",
                       options->lossless, CALMOE_LOSSLESS_OFF, CALMOE_LOSSLESS_ALWAYS);
    if (options->lossless == CALMOE_LOSSLESS_OFF) return CALMOE_OK;
    if (session->rung && session->rung->n_exits == 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "lossless with a policy that has no exits: nothing would draft");
    struct drafts *drafts = session->drafts = cm_alloc(ctx, 1, sizeof *drafts, "drafts");
    if (!drafts) return CALMOE_NO_MEMORY;
    CM_TRY(open_parts(session, drafts));
    drafts->is_always = options->lossless == CALMOE_LOSSLESS_ALWAYS;
    session->rung = NULL;
    return CALMOE_OK;
}

static void leave_known(struct known_drafts *known, const struct drafts *drafts)
{
    known->control = drafts->control;
    known->n_ways = drafts->n_ways;
    memcpy(known->ways, drafts->ways, sizeof known->ways);
}

void cm_drafts_close(calmoe_session *session)
{
    struct drafts *drafts = session->drafts;
    if (!drafts) return;
    if (session->engine->known_drafts) leave_known(session->engine->known_drafts, drafts);
    for (int i = 0; i < N_DRAFTERS; i++) cm_draft_reader_close(&session->readers[i]);
    cm_free(drafts->drafted);
    cm_free(drafts->accepted);
    cm_free(drafts);
    session->drafts = NULL;
}

void cm_known_drafts_close(struct known_drafts **known)
{
    cm_free(*known);
    *known = NULL;
}

double cm_drafts_cost(const calmoe_session *session, int arm)
{
    return cm_speculation_cost(&session->drafts->control, arm);
}

void cm_drafts_forget(calmoe_session *session)
{
    if (!session->drafts) return;
    session->drafts->n_rows = 0;
    cm_lookup_forget(&session->drafts->lookup, session->n_positions);
}

/* ---- a round ---- */

/* Token i of the round: it leaves by the rule, or goes through all layers and takes those along that wait. Those are of
 * positions first … first + i - 1, one each, so that row i of the logits is position first + i's. */
static calmoe_status step(calmoe_session *session, int i, const struct policy_rung *rule)
{
    calmoe_engine *engine = session->engine;
    const struct drafts *drafts = session->drafts;
    cm_step_begin(engine);
    cm_step_add_waiting(engine, session);
    cm_step_add(engine, session, drafts->first + i, drafts->tokens[i], true, rule);
    return cm_step_run(engine, NULL);
}

/* No token more is to be read: those that wait go through all layers. */
static calmoe_status drive(calmoe_session *session)
{
    calmoe_engine *engine = session->engine;
    cm_step_begin(engine);
    cm_step_add_waiting(engine, session);
    cm_exits_drive(engine->exits, &session->sequence, session->drafts->first + MAX_DRAFTS + 1);
    return cm_step_run(engine, NULL);
}

static void count_drafts(struct drafts *drafts, int layers, int n)
{
    drafts->drafted[layers] += (uint64_t)n;
    drafts->by[drafts->kind].drafted += (uint64_t)n;
}

/* Draws the token that follows row i, as a draft from so many layers. False: there is none that may come. */
static bool draft(calmoe_session *session, int i, int layers)
{
    struct drafts *drafts = session->drafts;
    const calmoe_engine *engine = session->engine;
    const float *logits = engine->step.logits + (size_t)i * (size_t)engine->model->spec.n_vocab;
    drafts->tokens[i + 1] = cm_sampler_pick(session->sampler, logits, engine->model->usable);
    if (drafts->tokens[i + 1] < 0) return false;
    cm_sampler_suppose(session->sampler, drafts->tokens[i + 1]);
    drafts->layers[i + 1] = layers;
    count_drafts(drafts, layers, 1);
    return true;
}

static calmoe_status run_exits(calmoe_session *session, const struct way *way, int n_drafts)
{
    struct drafts *drafts = session->drafts;
    const calmoe_engine *engine = session->engine;
    for (int i = 0;;) {
        CM_TRY(step(session, i, i < n_drafts ? &way->rung : NULL));
        const int layers = engine->step.outcomes[i].layers;
        if (layers == engine->model->spec.n_layers) {
            drafts->n_rows = i + 1;
            return CALMOE_OK;
        }
        const bool is_there = draft(session, i++, layers);
        const int32_t token = drafts->tokens[i];
        if (is_there && (session->ignores_end || !cm_token_ends_generation(engine->model->tokenizer, token))) continue;
        drafts->n_rows = i; /* the token that ends an answer is never read */
        return drive(session);
    }
}

/* Drafts that stand in the round's tokens already: all rows at once. */
static calmoe_status run_drafted(calmoe_session *session, const struct way *way, int n_drafts)
{
    struct drafts *drafts = session->drafts;
    (void)way;
    for (int i = 1; i <= n_drafts; i++) drafts->layers[i] = 0;
    cm_step_begin(session->engine);
    for (int i = 0; i <= n_drafts; i++)
        cm_step_add(session->engine, session, drafts->first + i, drafts->tokens[i], true, NULL);
    CM_TRY(cm_step_run(session->engine, NULL));
    drafts->n_rows = n_drafts + 1;
    count_drafts(drafts, 0, n_drafts);
    return CALMOE_OK;
}

static calmoe_status run_by(calmoe_session *session, enum drafter_kind drafter, const struct way *way, int n_drafts)
{
    struct drafts *drafts = session->drafts;
    int            n;
    CM_TRY(cm_draft_reader_draft(session, session->readers[drafter], n_drafts, drafts->tokens + 1, &n));
    return run_drafted(session, way, n);
}

static calmoe_status run_further(calmoe_session *session, const struct way *way, int n_drafts)
{
    return run_by(session, DRAFTER_FURTHER, way, n_drafts);
}

static calmoe_status run_model(calmoe_session *session, const struct way *way, int n_drafts)
{
    return run_by(session, DRAFTER_MODEL, way, n_drafts);
}

/* The ways to draft: each makes a round of at most so many drafts, which is verified then. way NULL where it is not
 * an arm of the controller. */
static calmoe_status (*const runs[CALMOE_N_DRAFT_KINDS])(calmoe_session *session, const struct way *way, int n_drafts) =
    {
        [CALMOE_DRAFTS_BY_EXITS] = run_exits,
        [CALMOE_DRAFTS_BY_LOOKUP] = run_drafted,
        [CALMOE_DRAFTS_BY_FURTHER] = run_further,
        [CALMOE_DRAFTS_BY_MODEL] = run_model,
};

/* way NULL: the drafts are looked up. */
static calmoe_status run_round(calmoe_session *session, const struct way *way, int n_drafts)
{
    struct drafts *drafts = session->drafts;
    drafts->kind = way ? way->kind : CALMOE_DRAFTS_BY_LOOKUP;
    drafts->first = session->n_positions;
    drafts->tokens[0] = session->tokens[session->n_positions];
    drafts->n_rows = drafts->n_read = 0;
    cm_sampler_mark(session->sampler);
    cm_sampler_suppose(session->sampler, drafts->tokens[0]);
    session->kept_first = drafts->first;
    const calmoe_status status = runs[drafts->kind](session, way, n_drafts);
    cm_sampler_return(session->sampler);
    session->kept_first = -1;
    drafts->by[drafts->kind].rounds += status == CALMOE_OK;
    if (status == CALMOE_OK) return CALMOE_OK;
    drafts->n_rows = 0;
    cm_waiting_rewind(session->sequence.waiting, session->n_positions);
    cm_session_stand_again(session, false);
    return status;
}

/* The next row of the round is what a plain step would have brought. */
static void take(calmoe_session *session)
{
    struct drafts *drafts = session->drafts;
    calmoe_engine *engine = session->engine;
    const int row = drafts->n_read++;
    if (row > 0) {
        drafts->accepted[drafts->layers[row]]++;
        drafts->by[drafts->kind].accepted++;
    }
    cm_session_give_logits(session, row, 1);
    cm_session_keep_row(session, session->n_positions++, &engine->step.outcomes[row]); /* it is drafts->tokens[row] */
    cm_sequence_state_note(&session->state, session->n_positions + drafts->n_rows - drafts->n_read);
    cm_session_hash(session);
    if (engine->profiler) cm_profiler_exit(engine->profiler, engine->model->spec.n_layers - 1);
}

/* ---- reading ---- */

static bool is_ahead(const calmoe_session *session)
{
    const struct drafts *drafts = session->drafts;
    return drafts->step == session->engine->n_steps && drafts->n_read < drafts->n_rows &&
           drafts->first + drafts->n_read == session->n_positions &&
           drafts->tokens[drafts->n_read] == session->tokens[session->n_positions];
}

/* Drafts that the context has room for, and that the answer may still take. */
static int most_drafts(const calmoe_session *session, int n_wanted)
{
    int most = session->context - session->n_positions - 1;
    if (session->answer.max_new > 0 && session->answer.max_new - session->answer.n_new - 1 < most)
        most = session->answer.max_new - session->answer.n_new - 1;
    return n_wanted < most ? n_wanted : most;
}

static calmoe_status read_plainly(calmoe_session *session)
{
    const calmoe_chunk chunk = {.session = session, .tokens = session->tokens + session->n_positions, .n_tokens = 1,
                                .logits = CALMOE_LOGITS_LAST};
    return cm_chunks_read(session->engine, &chunk, 1, NULL);
}

/* Tokens that are looked up for the next round, and stand in it then; none behind one that ends the answer. */
static int look_up(calmoe_session *session)
{
    struct drafts *drafts = session->drafts;
    const struct tokenizer *tokenizer = session->engine->model->tokenizer;
    const bool is_turn = drafts->is_always ? drafts->n_ways == 0 || drafts->kind != CALMOE_DRAFTS_BY_LOOKUP
                                           : cm_speculation_may(&drafts->control);
    const int  most = is_turn ? most_drafts(session, drafts->most_looked_up) : 0;
    const int  n = cm_lookup_find(&drafts->lookup, session->tokens, session->n_known, drafts->tokens + 1, most);
    for (int i = 1; i <= n; i++)
        if (!session->ignores_end && cm_token_ends_generation(tokenizer, drafts->tokens[i])) return i - 1;
    return n;
}

/* How the pending token is read: the drafts of a round, 0 = plainly; *way NULL: they are looked up. */
static int choose_drafts(calmoe_session *session, const struct way **way)
{
    struct drafts *drafts = session->drafts;
    const int n_looked_up = look_up(session);
    *way = NULL;
    drafts->arm = LOOKED_UP;
    if (n_looked_up > 0) return n_looked_up;
    if (drafts->is_always && drafts->n_ways > 0) drafts->arm = (int)(drafts->n_turns++ % (uint64_t)drafts->n_ways);
    else drafts->arm = cm_speculation_choose(&drafts->control);
    if (drafts->arm == SPECULATION_PLAIN) return 0;
    *way = &drafts->ways[drafts->arm];
    return most_drafts(session, (*way)->n_drafts);
}

/* The last round is over: what was not read of it never will be. */
static void note_round(struct drafts *drafts)
{
    if (drafts->is_open && drafts->arm != LOOKED_UP)
        cm_speculation_note(&drafts->control, drafts->arm, drafts->n_read, drafts->ns);
    else if (drafts->is_open)
        cm_lookup_note(&drafts->lookup, drafts->n_rows - 1, drafts->n_read - 1,
                       cm_speculation_note_other(&drafts->control, drafts->n_read, drafts->ns));
    drafts->is_open = false;
}

/* The last round ran ahead of what was accepted of it: where it left the state behind that, nothing is read again. */
static void drop_rejected(calmoe_session *session)
{
    const struct drafts *drafts = session->drafts;
    const int at = drafts->n_read - 1;
    if (drafts->is_open && at < session->state.n_kept && session->n_positions == drafts->first + drafts->n_read &&
        session->state.n_seen == drafts->first + drafts->n_rows && drafts->n_read < drafts->n_rows)
        cm_sequence_state_take_kept(&session->state, at, session->n_positions);
}

calmoe_status cm_drafts_read(calmoe_session *session)
{
    struct drafts *drafts = session->drafts;
    const struct way *way;
    if (is_ahead(session)) {
        take(session);
        return CALMOE_OK;
    }
    const uint64_t again = cm_now_ns(); /* what was drafted in vain costs the round that did */
    drop_rejected(session);
    CM_TRY(cm_session_read_again(session));
    drafts->ns += (double)(cm_now_ns() - again);
    note_round(drafts);
    const uint64_t start = cm_now_ns();
    const int      n_drafts = choose_drafts(session, &way);
    if (n_drafts == 0) {
        CM_TRY(read_plainly(session));
        drafts->n_plain++;
        cm_speculation_note(&drafts->control, SPECULATION_PLAIN, 1, (double)(cm_now_ns() - start));
        return CALMOE_OK;
    }
    CM_TRY(cm_session_may_write(session, n_drafts + 1));
    if (n_drafts > session->state.n_kept) CM_TRY(cm_sequence_state_snapshot(&session->state, session->n_positions));
    drafts->step = ++session->engine->n_steps;
    CM_TRY(run_round(session, way, n_drafts));
    take(session);
    drafts->ns = (double)(cm_now_ns() - start);
    drafts->is_open = true;
    return CALMOE_OK;
}

/* ---- told ---- */

calmoe_status calmoe_session_speculation(const calmoe_session *session, calmoe_speculation *out)
{
    if (!session || !out || out->size < sizeof out->size)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_speculation: a session and speculation with its size set are needed");
    calmoe_speculation told = {.plain = session->drafts ? session->drafts->n_plain : 0};
    for (int kind = 0; session->drafts && kind < CALMOE_N_DRAFT_KINDS; kind++) {
        const struct draft_counts *by = &session->drafts->by[kind];
        told.rounds += told.rounds_by[kind] = by->rounds;
        told.drafted += told.drafted_by[kind] = by->drafted;
        told.accepted += told.accepted_by[kind] = by->accepted;
    }
    cm_options_give(out, &told, sizeof told);
    return CALMOE_OK;
}

calmoe_status calmoe_session_draft_counts(const calmoe_session *session, uint64_t *drafted, uint64_t *accepted, int n)
{
    if (!session || !drafted || !accepted || n < session->engine->model->spec.n_layers)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_draft_counts: a session and room for counts of each layer are needed");
    for (int layer = 0; layer < session->engine->model->spec.n_layers; layer++) {
        drafted[layer] = session->drafts ? session->drafts->drafted[layer] : 0;
        accepted[layer] = session->drafts ? session->drafts->accepted[layer] : 0;
    }
    return CALMOE_OK;
}
