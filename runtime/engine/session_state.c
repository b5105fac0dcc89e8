/* runtime/engine/session_state.c - what a session's layers keep, opened with room for what stands before its tokens. */
#include "runtime/engine/handles.h"

calmoe_status cm_session_open_state(calmoe_session *session, int n_prefix)
{
    calmoe_engine        *engine = session->engine;
    struct state_place    place = cm_engine_state_place(engine, session->context);
    struct sequence_state state;
    place.n_prefix = n_prefix;
    CM_TRY(cm_sequence_state_open(&engine->machine, &engine->model->spec, &place, &state));
    const calmoe_status status =
        session->drafts ? cm_sequence_state_keep(&state, CM_KEPT_STATES, place.snapshot_bytes) : CALMOE_OK;
    if (status != CALMOE_OK) {
        cm_sequence_state_close(&state);
        return status;
    }
    /* Other ranks open theirs anew when they are told of the adapters that need it; to them it is the same sequence. */
    state.listener = session->state.listener;
    session->state.listener = (struct state_listener){0};
    cm_sequence_state_close(&session->state);
    session->state = state;
    session->n_paid = 0;
    return CALMOE_OK;
}
