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
#include "runtime/engine/lossless_parts.h"

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
    cm_engine_count_kv(session->engine);
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

/* ---- reading ---- */

/* Is the pending token the next row of the last round? */
static bool is_ahead(const calmoe_session *session)
{
    const struct drafts *drafts = session->drafts;
    return drafts->step == session->engine->n_steps && drafts->n_read < drafts->n_rows &&
           drafts->first + drafts->n_read == session->n_positions &&
           drafts->tokens[drafts->n_read] == session->tokens[session->n_positions];
}

/* No row of the last round will be read any more. It ran ahead of what was accepted: where it left the state behind
 * that, nothing is read again. */
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
    if (!is_ahead(session)) {
        const struct way *way;
        const uint64_t start = cm_now_ns();
        drop_rejected(session);
        CM_TRY(cm_session_read_again(session));
        if (drafts->arm != SPECULATION_PLAIN) drafts->ns += (double)(cm_now_ns() - start); /* drafted in vain */
        const int n_drafts = cm_drafts_choose(session, &way);
        CM_TRY(cm_round_run(session, way, n_drafts));
    }
    cm_round_take(session);
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
