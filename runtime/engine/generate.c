/* runtime/engine/generate.c - the one loop that generates: sessions say what they want of the next step, what they are
 * granted is read, and where nothing is left to read the next token is sampled. For one session alone and for many in
 * one batch. */
#include "runtime/engine/handles.h"

/* One chunk for each session that the scheduler grants rows. */
static int make_chunks(calmoe_engine *engine, calmoe_session *const *sessions, int n)
{
    int n_chunks = 0;
    for (int i = 0; i < n; i++) engine->demands[i] = cm_session_demand(sessions[i]);
    cm_schedule(engine->demands, n, engine->options.max_rows,
                engine->step_rows > 0 ? engine->step_rows : engine->options.max_rows, engine->order);
    for (int i = 0; i < n; i++) {
        calmoe_session *session = sessions[i];
        const int n_granted = engine->demands[i].n_granted, logits = session->wants.logits;
        const bool is_last = n_granted == session->wants.n_unread;
        if (n_granted == 0) continue;
        if (is_last) cm_session_pick_audit(session, n_granted);
        engine->chunks[n_chunks++] = (calmoe_chunk){
            .session = session, .tokens = session->tokens + session->n_positions, .n_tokens = n_granted,
            .logits = logits == CALMOE_LOGITS_LAST && !is_last ? CALMOE_LOGITS_NONE : logits};
    }
    return n_chunks;
}

/* All that the session knew is read: its next token. */
static calmoe_event advance(calmoe_session *session)
{
    calmoe_event event = {.session = session, .token = -1};
    event.status = calmoe_session_sample(session, &event.token);
    if (event.status != CALMOE_OK) return event;
    /* The first of an answer: the sampler began anew when the text before it was fed. */
    if (session->answer_begin < 0) session->answer_begin = session->n_known;
    session->answer.n_new++;
    /* The token that ends an answer is not read: the next turn begins with the format's own ending. */
    if (!session->ignores_end && cm_token_ends_generation(session->engine->model->tokenizer, event.token))
        event.status = CALMOE_END;
    else if (session->n_known < session->context) session->tokens[session->n_known++] = event.token;
    else session->answer.is_full = true; /* the next call answers FULL */
    return event;
}

/* What the step brought the session: a token, or why its answer is over (once). False: nothing yet. */
static bool take_event(calmoe_session *session, int n_granted, calmoe_event *event)
{
    struct session_answer *answer = &session->answer;
    const bool is_read = n_granted > 0 && session->n_positions == session->n_known;
    *event = (calmoe_event){session, answer->has_ended ? CALMOE_OK : session->wants.over, -1};
    if (is_read) *event = advance(session);
    if (event->status == CALMOE_CANCELLED) { /* it may go on */
        const bool is_new = !answer->is_told;
        answer->is_told = true;
        return is_new;
    }
    if (event->status == CALMOE_END || event->status == CALMOE_FULL) {
        answer->has_ended = true;
        cm_session_end_answer(session);
    }
    return is_read || event->status != CALMOE_OK;
}

calmoe_status cm_generate(calmoe_engine *engine, calmoe_session *const *sessions, int n, calmoe_event *events,
                          int *n_events)
{
    *n_events = 0;
    const int n_chunks = make_chunks(engine, sessions, n);
    if (n_chunks > 0) {
        calmoe_session *first = engine->chunks[0].session; /* may draft behind the one token that it sampled */
        const bool may_draft = n_chunks == 1 && first->drafts && first->answer_begin >= 0 && first->wants.n_unread == 1;
        CM_TRY(!may_draft ? cm_chunks_read(engine, engine->chunks, n_chunks, NULL) : cm_drafts_read(first));
    }
    for (int i = 0; i < n; i++)
        *n_events += take_event(sessions[i], engine->demands[i].n_granted, &events[*n_events]);
    return n_chunks > 0 || *n_events > 0 ? CALMOE_OK : CALMOE_END;
}

calmoe_status calmoe_engine_next(calmoe_engine *engine, calmoe_event *events, int capacity, int *n_events)
{
    if (!engine || !events || !n_events || capacity < engine->n_sessions)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_next: engine, n_events and room for an event of each session are needed");
    calmoe_status status;
    do status = cm_generate(engine, engine->sessions, engine->n_sessions, events, n_events);
    while (status == CALMOE_CANCELLED); /* whose step it was is told before the next one */
    return status;
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
    calmoe_event event = {.token = -1};
    calmoe_status status;
    int n_events;
    do status = cm_generate(session->engine, &session, 1, &event, &n_events);
    while (status == CALMOE_CANCELLED || (status == CALMOE_OK && n_events == 0));
    *token = event.token;
    if (status == CALMOE_OK) status = event.status;
    else if (status == CALMOE_END && session->wants.over != CALMOE_OK) status = session->wants.over; /* once more */
    switch (status) {
    case CALMOE_CANCELLED: return cm_session_cancelled(session);
    case CALMOE_FULL:
        return cm_fail(session->engine->ctx, CALMOE_FULL, "the context of %d tokens is full", session->context);
    default: return status;
    }
}
