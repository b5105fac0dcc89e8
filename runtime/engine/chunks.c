/* runtime/engine/chunks.c - chunks of sessions' tokens are read in one step: checked, made rows, run, and kept. */
#include "runtime/engine/handles.h"

static int logits_of(const calmoe_chunk *chunk)
{
    return chunk->logits == CALMOE_LOGITS_ALL ? chunk->n_tokens : chunk->logits == CALMOE_LOGITS_LAST ? 1 : 0;
}

static calmoe_status check_chunk(const calmoe_engine *engine, const calmoe_chunk *chunks, int i)
{
    const calmoe_chunk *chunk = &chunks[i];
    const calmoe_session *session = chunk->session;
    calmoe_context *ctx = engine->ctx;
    if (!session || session->engine != engine)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "chunk %d has no session of this engine", i);
    for (int j = 0; j < i; j++)
        if (chunks[j].session == session)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "chunks %d and %d are of the same session", j, i);
    if (cm_session_is_interrupted(session)) return cm_session_cancelled(session);
    if (!chunk->tokens || chunk->n_tokens < 1)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "chunk %d has %d tokens; at least one is wanted", i,
                       chunk->n_tokens);
    if (chunk->logits < CALMOE_LOGITS_NONE || chunk->logits > CALMOE_LOGITS_ALL)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "chunk %d wants logits %d; 0 to 2 is wanted", i, chunk->logits);
    for (int j = 0; j < chunk->n_tokens; j++)
        if (chunk->tokens[j] < 0 || chunk->tokens[j] >= engine->model->spec.n_vocab)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "token %d of chunk %d is %d; 0 to %d is wanted", j, i,
                           (int)chunk->tokens[j], engine->model->spec.n_vocab - 1);
    if (chunk->n_tokens > cm_session_chunk_limit(session, session->n_positions))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "chunk %d has %d tokens of an answer; this model's layers keep a state, and a policy that fills "
                       "those that it skips takes 1 at a time ('catch_up' takes any number)", i, chunk->n_tokens);
    if (chunk->n_tokens > session->context - session->n_positions)
        return cm_fail(ctx, CALMOE_FULL, "the context of %d tokens is full: %d are in it, %d more do not fit",
                       session->context, session->n_positions, chunk->n_tokens);
    return cm_session_may_write(chunk->session, chunk->n_tokens);
}

static calmoe_status check_chunks(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    int64_t n_rows = 0, n_logits = 0;
    for (int i = 0; i < n_chunks; i++) {
        CM_TRY(check_chunk(engine, chunks, i));
        n_rows += chunks[i].n_tokens;
        n_logits += logits_of(&chunks[i]);
    }
    if (n_rows > engine->options.max_rows)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "%lld tokens in one step; the engine was opened for %d",
                       (long long)n_rows, engine->options.max_rows);
    return cm_decoder_reserve_logits(engine->decoder, (int)n_logits);
}

/* A token of an answer may leave early, but not the second reading of an audited one. */
static const struct policy_rung *rung_of(const calmoe_session *session, int position)
{
    return cm_session_is_answer(session, position) && session->audit.state != AUDIT_IN_FULL ? session->rung : NULL;
}

static void add_chunk(calmoe_engine *engine, const calmoe_chunk *chunk)
{
    calmoe_session *session = chunk->session;
    cm_session_give_logits(session, engine->step.n_logits, logits_of(chunk));
    for (int i = 0; i < chunk->n_tokens; i++) {
        const int position = session->n_positions + i;
        cm_step_add(engine, session, position, chunk->tokens[i], i >= chunk->n_tokens - session->logits.n,
                    rung_of(session, position));
    }
}

/* The chunk's tokens, whose rows are given, are now part of the sequence. */
static void keep_chunk(const calmoe_chunk *chunk, const struct row *rows)
{
    calmoe_session *session = chunk->session;
    const bool is_again = session->n_positions < session->n_again;
    cm_sequence_state_note(&session->state, session->n_positions + chunk->n_tokens);
    if (cm_session_note_audit(session)) {
        cm_session_stand_again(session, true);
        if (session->sequence.waiting) cm_waiting_rewind(session->sequence.waiting, session->n_positions);
        return;
    }
    for (int i = 0; i < chunk->n_tokens && !is_again; i++) {
        session->tokens[session->n_positions + i] = chunk->tokens[i];
        cm_session_keep_row(session, session->n_positions + i, &rows[i].came);
    }
    session->n_positions += chunk->n_tokens;
    if (session->n_known < session->n_positions) session->n_known = session->n_positions;
    if (is_again) session->logits.n = 0;
    else cm_session_hash(session);
    if (session->kept.n_top >= 0) cm_session_keep_logprobs(session);
}

/* The step failed. */
static void drop_chunk(calmoe_session *session)
{
    session->logits.n = 0;
    cm_session_stand_again(session, false);
}

/* As many at once as a step may have. */
calmoe_status cm_session_catch_up(calmoe_session *session)
{
    calmoe_engine  *engine = session->engine;
    struct waiting *waiting = session->sequence.waiting;
    calmoe_status   status = cm_session_may_write(session, 0);
    if (waiting && waiting->n > 0) engine->n_steps++; /* logits of the last step are gone */
    while (waiting && waiting->n > 0 && status == CALMOE_OK) {
        const int n = waiting->n < engine->options.max_rows ? waiting->n : engine->options.max_rows;
        cm_step_begin(engine);
        cm_exits_drive(engine->exits, &session->sequence, waiting->rows[n - 1].position + 1);
        status = cm_step_run(engine, NULL);
    }
    if (status != CALMOE_OK) drop_chunk(session);
    return status;
}

/* Rows that wait may join any step of their session: together they must not be more than a step may have. */
static calmoe_status make_room(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    int n_rows = 0;
    for (int i = 0; i < n_chunks; i++) {
        const struct waiting *waiting = chunks[i].session->sequence.waiting;
        n_rows += chunks[i].n_tokens + (waiting ? waiting->n : 0);
    }
    for (int i = 0; i < n_chunks && n_rows > engine->options.max_rows; i++) {
        struct waiting *waiting = chunks[i].session->sequence.waiting;
        if (!waiting) continue;
        n_rows -= waiting->n;
        CM_TRY(cm_session_catch_up(chunks[i].session));
    }
    return CALMOE_OK;
}

static calmoe_status take_snapshots(const calmoe_chunk *chunks, int n_chunks)
{
    for (int i = 0; i < n_chunks; i++) {
        calmoe_session *session = chunks[i].session;
        if (!cm_session_wants_snapshot(session)) continue;
        CM_TRY(cm_session_catch_up(session)); /* a snapshot has all rows before it */
        CM_TRY(cm_session_snapshot(session));
    }
    return CALMOE_OK;
}

static calmoe_status run_chunks(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks,
                                const struct step_observer *observers)
{
    CM_TRY(check_chunks(engine, chunks, n_chunks));
    CM_TRY(make_room(engine, chunks, n_chunks));
    CM_TRY(take_snapshots(chunks, n_chunks));
    engine->n_steps++;
    cm_step_begin(engine);
    for (int i = 0; i < n_chunks; i++) add_chunk(engine, &chunks[i]);
    const calmoe_status status = engine->step.n_rows > 0 ? cm_step_run(engine, observers) : CALMOE_OK;
    const struct row *rows = engine->step.rows; /* of all chunks, one after the other */
    for (int i = 0; i < n_chunks; rows += chunks[i++].n_tokens) {
        if (status == CALMOE_OK) keep_chunk(&chunks[i], rows);
        else drop_chunk(chunks[i].session);
    }
    for (int r = 0; r < engine->step.n_rows && status == CALMOE_OK && cm_engine_profiles(engine); r++)
        cm_profiler_exit(engine->profiler, engine->step.rows[r].came.layers - 1);
    for (int i = 0; i < n_chunks && status == CALMOE_OK; i++)
        for (int j = 0; j < N_DRAFTERS && chunks[i].n_tokens > 1; j++)
            cm_draft_reader_follow(chunks[i].session, chunks[i].session->readers[j]);
    return status;
}

calmoe_status cm_session_read_again(calmoe_session *session)
{
    calmoe_engine *engine = session->engine;
    cm_session_stand_again(session, true);
    while (session->n_positions < session->n_again) {
        const int most = cm_session_rows_at_once(session), max_rows = engine->options.max_rows;
        const calmoe_chunk chunk = {.session = session, .tokens = session->tokens + session->n_positions,
                                    .n_tokens = most < max_rows ? most : max_rows,
                                    .logits = cm_session_logits_again(session)};
        CM_TRY(run_chunks(engine, &chunk, 1, NULL));
    }
    return CALMOE_OK;
}

calmoe_status cm_engine_run(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks,
                            const struct step_observer *observers)
{
    for (int i = 0; i < n_chunks; i++) {
        calmoe_session *session = chunks[i].session;
        const bool is_ours = session && session->engine == engine;
        const bool is_again = is_ours && chunks[i].tokens == session->tokens + session->n_positions &&
                              session->n_positions < session->n_again; /* that is what the chunk is for */
        if (is_ours && !is_again) CM_TRY(cm_session_read_again(session));
    }
    return run_chunks(engine, chunks, n_chunks, observers);
}

calmoe_status calmoe_engine_step(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    if (!engine || n_chunks < 0 || (!chunks && n_chunks > 0))
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_step: engine and chunks are needed");
    for (int i = 0; i < n_chunks; i++)
        if (chunks[i].session && chunks[i].session->n_known > cm_session_n_read(chunks[i].session))
            return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT,
                           "chunk %d: its session was fed %d tokens that are not read yet; "
                           "calmoe_session_next() reads them",
                           i, chunks[i].session->n_known - cm_session_n_read(chunks[i].session));
    CM_TRY(cm_engine_run(engine, chunks, n_chunks, NULL));
    return cm_chunks_check_logits(chunks, n_chunks);
}
