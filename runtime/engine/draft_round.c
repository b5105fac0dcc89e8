/* runtime/engine/draft_round.c - a round of a lossless session: its pending token, drafts behind it, all of them
 * verified in one step, and taken one by one; see lossless.c. A round without drafts is a plain step. */
#include "base/clock.h"
#include "runtime/engine/lossless_parts.h"

/* ---- running ---- */

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

/* Drafts that stand in the round's tokens already, or none: all rows at once. */
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

/* The ways to draft: each makes a round of at most so many drafts, which is verified then. way NULL where it is not an
 * arm of the controller. */
static calmoe_status (*const runs[CALMOE_N_DRAFT_KINDS])(calmoe_session *session, const struct way *way, int n_drafts) =
    {
        [CALMOE_DRAFTS_BY_EXITS] = run_exits,
        [CALMOE_DRAFTS_BY_LOOKUP] = run_drafted,
        [CALMOE_DRAFTS_BY_FURTHER] = run_further,
        [CALMOE_DRAFTS_BY_MODEL] = run_model,
};

calmoe_status cm_round_run(calmoe_session *session, const struct way *way, int n_drafts)
{
    struct drafts *drafts = session->drafts;
    const int kind = way ? way->kind : CALMOE_DRAFTS_BY_LOOKUP;
    drafts->start_ns = cm_now_ns();
    CM_TRY(cm_session_make_ready(session, n_drafts + 1, n_drafts > session->state.n_kept));
    drafts->step = ++session->engine->n_steps;
    drafts->first = session->n_positions;
    drafts->tokens[0] = session->tokens[session->n_positions];
    drafts->n_rows = drafts->n_read = 0;
    if (n_drafts > 0) drafts->kind = kind;
    session->kept_first = n_drafts > 0 ? drafts->first : -1;
    cm_sampler_mark(session->sampler);
    cm_sampler_suppose(session->sampler, drafts->tokens[0]);
    const calmoe_status status = runs[kind](session, way, n_drafts);
    cm_sampler_return(session->sampler);
    session->kept_first = -1;
    if (status != CALMOE_OK) {
        drafts->n_rows = 0;
        cm_session_drop_step(session);
        return status;
    }
    if (n_drafts > 0) drafts->by[kind].rounds++;
    else drafts->n_plain++;
    return CALMOE_OK;
}

/* ---- taking ---- */

void cm_round_take(calmoe_session *session)
{
    struct drafts *drafts = session->drafts;
    calmoe_engine *engine = session->engine;
    const int row = drafts->n_read++;
    if (row > 0) {
        drafts->accepted[drafts->layers[row]]++;
        drafts->by[drafts->kind].accepted++;
    }
    cm_session_take_row(session, row, drafts->n_rows - drafts->n_read); /* it is drafts->tokens[row] */
    if (engine->is_profiled) cm_profiler_exit(engine->profiler, engine->model->spec.n_layers - 1);
    if (row > 0) return;
    drafts->ns = (double)(cm_now_ns() - drafts->start_ns);
    drafts->is_open = true;
}
