/* runtime/engine/generate.c - the one loop that generates: what is pending is read, and where nothing is left pending
 * the next token is sampled. For one session alone and for many in one batch. */
#include "runtime/engine/handles.h"

/* ---- when an answer is over ---- */

static bool is_at_limit(const struct session_answer *answer)
{
    return answer->max_new > 0 && answer->n_new >= answer->max_new;
}

static void end_answer(calmoe_session *session)
{
    session->answer.has_ended = true;
    cm_session_end_answer(session);
}

/* Answers that are over without another step: each is told once. One that was interrupted may go on. */
static void tell_ends(calmoe_session *const *sessions, int n, calmoe_event *events, int *n_events)
{
    for (int i = 0; i < n; i++) {
        calmoe_session *session = sessions[i];
        struct session_answer *answer = &session->answer;
        const bool is_interrupted = cm_session_is_interrupted(session), is_done = is_at_limit(answer);
        if (answer->has_ended || (!is_interrupted && !is_done && !answer->is_full)) continue;
        if (is_interrupted) answer->has_ended = true;
        else end_answer(session);
        const calmoe_status status = is_interrupted ? CALMOE_CANCELLED : is_done ? CALMOE_END : CALMOE_FULL;
        events[(*n_events)++] = (calmoe_event){session, status, -1};
    }
}

/* All that the session knew is read: its next token. */
static calmoe_event advance(calmoe_session *session)
{
    calmoe_event event = {.session = session, .status = CALMOE_END, .token = -1};
    int32_t token;
    const calmoe_status status = calmoe_session_sample(session, &token);
    if (status != CALMOE_OK && cm_session_logits(session, 0)) event.status = status; /* else: nothing to go on from */
    if (status == CALMOE_END) end_answer(session);
    if (status != CALMOE_OK) return event;
    if (session->answer_begin < 0) cm_session_begin_answer(session);
    session->answer.n_new++;
    event.token = token;
    /* The token that ends an answer is not read: the next turn begins with the format's own ending. */
    if (!session->ignores_end && cm_token_ends_generation(session->engine->model->tokenizer, token)) {
        end_answer(session);
        return event;
    }
    event.status = CALMOE_OK;
    if (session->n_known < session->context) session->tokens[session->n_known++] = token;
    else session->answer.is_full = true; /* the next call answers FULL */
    return event;
}

/* ---- reading ---- */

enum { LOGPROB_ROWS = 64 }; /* of a step whose logits are kept: a row of logits takes a vocabulary of memory */

static int n_pending(const calmoe_session *session)
{
    const bool is_idle = session->answer.has_ended || session->n_known <= session->n_again;
    return is_idle ? 0 : session->n_known - session->n_positions;
}

static int wanted_logits(const calmoe_session *session, bool is_last)
{
    if (session->n_positions < session->n_again) return cm_session_logits_again(session);
    if (session->logits.hashes || session->kept.n_top >= 0) return CALMOE_LOGITS_ALL;
    return is_last ? CALMOE_LOGITS_LAST : CALMOE_LOGITS_NONE;
}

/* One chunk for each session that the scheduler grants rows. */
static int make_chunks(calmoe_engine *engine, calmoe_session *const *sessions, int n)
{
    int n_chunks = 0;
    for (int i = 0; i < n; i++) {
        const int pending = n_pending(sessions[i]), at_once = cm_session_rows_at_once(sessions[i]);
        const int most = sessions[i]->kept.n_top >= 0 && at_once > LOGPROB_ROWS ? LOGPROB_ROWS : at_once;
        engine->demands[i] = (struct demand){.n_pending = pending < most ? pending : most,
                                             .last_step = sessions[i]->last_step};
    }
    cm_schedule(engine->demands, n, engine->options.max_rows,
                engine->step_rows > 0 ? engine->step_rows : engine->options.max_rows, engine->order);
    for (int i = 0; i < n; i++) {
        const struct demand *demand = &engine->demands[i];
        calmoe_session *session = sessions[i];
        const bool is_last = demand->n_granted == n_pending(session);
        if (is_last) cm_session_pick_audit(session, demand->n_granted);
        if (demand->n_granted > 0)
            engine->chunks[n_chunks++] = (calmoe_chunk){
                .session = session, .tokens = session->tokens + session->n_positions, .n_tokens = demand->n_granted,
                .logits = wanted_logits(session, is_last)};
    }
    return n_chunks;
}

/* A session that is alone in the step, and has the one token pending that it sampled, may draft. */
static calmoe_status run_chunks(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    calmoe_session *session = chunks[0].session;
    const bool may_draft = n_chunks == 1 && session->drafts && session->answer_begin >= 0 && n_pending(session) == 1;
    return !may_draft ? cm_engine_run(engine, chunks, n_chunks, NULL) : cm_drafts_read(session);
}

calmoe_status cm_generate(calmoe_engine *engine, calmoe_session *const *sessions, int n, calmoe_event *events,
                          int *n_events)
{
    *n_events = 0;
    tell_ends(sessions, n, events, n_events);
    const int n_chunks = make_chunks(engine, sessions, n);
    if (n_chunks == 0) return *n_events > 0 ? CALMOE_OK : CALMOE_END;
    const calmoe_status status = run_chunks(engine, engine->chunks, n_chunks);
    if (status == CALMOE_CANCELLED) tell_ends(sessions, n, events, n_events);
    if (status != CALMOE_OK) return status == CALMOE_CANCELLED ? CALMOE_OK : status;
    for (int i = 0; i < n_chunks; i++) {
        calmoe_session *session = engine->chunks[i].session;
        if (session->n_positions == session->n_known) events[(*n_events)++] = advance(session);
    }
    return CALMOE_OK;
}

calmoe_status calmoe_engine_next(calmoe_engine *engine, calmoe_event *events, int capacity, int *n_events)
{
    if (!engine || !events || !n_events || capacity < engine->n_sessions)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_next: engine, n_events and room for an event of each session are needed");
    return cm_generate(engine, engine->sessions, engine->n_sessions, events, n_events);
}

calmoe_status calmoe_engine_set_step_rows(calmoe_engine *engine, int n)
{
    if (!engine || n < 0)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT, "calmoe_engine_set_step_rows: an engine, "
                       "and a number of rows of 0 (any) or more, are needed");
    engine->step_rows = n;
    return CALMOE_OK;
}

calmoe_status calmoe_session_next(calmoe_session *session, int32_t *token)
{
    if (!session || !token)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_next: session and token are needed");
    calmoe_event event = {.status = CALMOE_OK};
    *token = -1;
    for (int n_events = 0; n_events == 0;) {
        if (cm_session_is_interrupted(session)) return cm_session_cancelled(session);
        CM_TRY(session->answer.is_full && !is_at_limit(&session->answer)
                   ? cm_fail(session->engine->ctx, CALMOE_FULL, "the context of %d tokens is full", session->context)
                   : cm_generate(session->engine, &session, 1, &event, &n_events));
    }
    *token = event.token;
    return event.status == CALMOE_CANCELLED ? cm_session_cancelled(session) : event.status;
}
