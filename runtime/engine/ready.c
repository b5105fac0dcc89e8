/* runtime/engine/ready.c - all that a step needs is there before it begins: room for its logits, memory for keys and
 * values, snapshots of states that the step will leave behind; and rows that wait have run where they must. */
#include "runtime/engine/handles.h"

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
    if (status != CALMOE_OK) cm_session_drop_step(session);
    return status;
}

calmoe_status cm_session_make_ready(calmoe_session *session, int n_tokens, bool may_go_back)
{
    CM_TRY(cm_session_may_write(session, n_tokens));
    return cm_session_snapshot(session, may_go_back);
}

/* Rows that wait run now where a snapshot is to have them; or where with them, who may join any step of their session,
 * the step would have too many. */
static calmoe_status run_waiting(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    int n_rows = 0;
    for (int i = 0; i < n_chunks; i++) {
        const struct waiting *waiting = chunks[i].session->sequence.waiting;
        n_rows += chunks[i].n_tokens + (waiting ? waiting->n : 0);
    }
    for (int i = 0; i < n_chunks; i++) {
        calmoe_session *session = chunks[i].session;
        const struct waiting *waiting = session->sequence.waiting;
        if (!waiting || (n_rows <= engine->options.max_rows && !cm_session_wants_snapshot(session))) continue;
        n_rows -= waiting->n;
        CM_TRY(cm_session_catch_up(session));
    }
    return CALMOE_OK;
}

calmoe_status cm_chunks_make_ready(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    int n_logits = 0;
    CM_TRY(run_waiting(engine, chunks, n_chunks));
    for (int i = 0; i < n_chunks; i++) {
        n_logits += cm_chunk_n_logits(&chunks[i]);
        CM_TRY(cm_session_make_ready(chunks[i].session, chunks[i].n_tokens, false));
    }
    return cm_decoder_reserve_logits(engine->decoder, n_logits);
}
