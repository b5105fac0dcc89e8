/* runtime/engine/reading.c - sessions read chunks of tokens: those of a host are checked; what a session has to read
 * again comes before; then all are read in one step. */
#include "runtime/engine/handles.h"

/* ---- what a host hands over ---- */

static calmoe_status check_chunk(const calmoe_engine *engine, const calmoe_chunk *chunks, int i)
{
    const calmoe_chunk *chunk = &chunks[i];
    const calmoe_session *session = chunk->session;
    calmoe_context *ctx = engine->ctx;
    const int n_read = session ? cm_session_n_read(session) : 0;
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
    if (chunk->n_tokens > cm_session_chunk_limit(session, n_read))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "chunk %d has %d tokens of an answer; this model's layers keep a state, and a policy that fills "
                       "those that it skips takes 1 at a time ('catch_up' takes any number)", i, chunk->n_tokens);
    if (chunk->n_tokens > session->context - n_read)
        return cm_fail(ctx, CALMOE_FULL, "the context of %d tokens is full: %d are in it, %d more do not fit",
                       session->context, n_read, chunk->n_tokens);
    return CALMOE_OK;
}

static calmoe_status check_chunks(const calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    int64_t n_rows = 0;
    for (int i = 0; i < n_chunks; i++) {
        CM_TRY(check_chunk(engine, chunks, i));
        n_rows += chunks[i].n_tokens;
    }
    if (n_rows > engine->options.max_rows)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "%lld tokens in one step; the engine was opened for %d",
                       (long long)n_rows, engine->options.max_rows);
    return CALMOE_OK;
}

/* ---- reading ---- */

calmoe_status cm_session_read_again(calmoe_session *session)
{
    calmoe_engine *engine = session->engine;
    cm_session_stand_again(session, true);
    while (session->n_positions < session->n_again) {
        const int most = cm_session_rows_at_once(session), max_rows = engine->options.max_rows;
        const calmoe_chunk chunk = {.session = session, .tokens = session->tokens + session->n_positions,
                                    .n_tokens = most < max_rows ? most : max_rows,
                                    .logits = cm_session_logits_again(session)};
        CM_TRY(cm_chunks_run(engine, &chunk, 1, NULL));
    }
    return CALMOE_OK;
}

calmoe_status cm_chunks_read(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks,
                             const struct step_observer *observers)
{
    for (int i = 0; i < n_chunks; i++) {
        calmoe_session *session = chunks[i].session; /* where it stands before n_again, the chunk is for that */
        if (session->n_positions >= session->n_again) CM_TRY(cm_session_read_again(session));
    }
    return cm_chunks_run(engine, chunks, n_chunks, observers);
}

calmoe_status cm_engine_run(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks,
                            const struct step_observer *observers)
{
    CM_TRY(check_chunks(engine, chunks, n_chunks));
    for (int i = 0; i < n_chunks; i++) CM_TRY(cm_session_read_again(chunks[i].session));
    return cm_chunks_run(engine, chunks, n_chunks, observers);
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
