/* runtime/engine/again.c - where a session stands after steps that do not count. A state of fixed size cannot be taken
 * back: the session goes to where it has one, or to the nearest snapshot before, and reads the tokens between again. */
#include "runtime/engine/handles.h"

void cm_session_stand_again(calmoe_session *session, bool has_state)
{
    struct sequence_state *state = &session->state;
    if (state->fixed_bytes == 0 || (has_state && state->n_seen == session->n_positions)) return;
    if (session->n_again < session->n_positions) session->n_again = session->n_positions;
    if (!has_state) cm_sequence_state_lose(state);
    session->n_positions = cm_sequence_state_rewind(state, session->n_positions);
    if (session->sequence.waiting) cm_waiting_rewind(session->sequence.waiting, session->n_positions);
}

void cm_session_drop_step(calmoe_session *session)
{
    session->logits.n = 0;
    cm_session_stand_again(session, false);
    if (session->sequence.waiting) cm_waiting_rewind(session->sequence.waiting, session->n_positions);
}
