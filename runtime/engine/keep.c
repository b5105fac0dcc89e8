/* runtime/engine/keep.c - what sessions keep of a step that has run: its tokens are part of their sequences now, and
 * they have their rows of logits. Of a step that failed nothing is kept. */
#include "runtime/engine/handles.h"

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

void cm_chunks_keep(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks, calmoe_status status)
{
    const struct row *rows = engine->step.rows; /* of all chunks, one after the other; and so their logits */
    int first = 0;
    for (int i = 0; i < n_chunks; i++) {
        const int n_logits = cm_chunk_n_logits(&chunks[i]);
        cm_session_give_logits(chunks[i].session, first, n_logits);
        if (status == CALMOE_OK) keep_chunk(&chunks[i], rows);
        else cm_session_drop_step(chunks[i].session);
        first += n_logits;
        rows += chunks[i].n_tokens;
    }
    if (status != CALMOE_OK) return;
    for (int r = 0; r < engine->step.n_rows && engine->is_profiled; r++)
        cm_profiler_exit(engine->profiler, engine->step.rows[r].came.layers - 1);
    for (int i = 0; i < n_chunks; i++)
        for (int j = 0; j < N_DRAFTERS && chunks[i].n_tokens > 1; j++)
            cm_draft_reader_follow(chunks[i].session, chunks[i].session->readers[j]);
}
