/* runtime/engine/interrupt.c - a session is interrupted by a signal handler or another thread: a flag in the session,
 * which its steps look at once in each layer (forward/decoder_parts.h). A step is undone only where no session wants
 * it any more, so that one session of a batch costs the others nothing. */
#include "runtime/engine/handles.h"

_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "a signal handler may store to an atomic int only where that takes no lock");

void calmoe_session_interrupt(calmoe_session *session)
{
    if (session) atomic_store_explicit(&session->interrupt, 1, memory_order_relaxed);
}

bool cm_session_is_interrupted(const calmoe_session *session)
{
    return atomic_load_explicit(&session->interrupt, memory_order_relaxed) != 0;
}

void cm_session_go_on(calmoe_session *session)
{
    atomic_store_explicit(&session->interrupt, 0, memory_order_relaxed);
    session->answer.is_told = false;
}

calmoe_status cm_session_cancelled(const calmoe_session *session)
{
    return cm_fail(session->engine->ctx, CALMOE_CANCELLED,
                   "the session was interrupted: %d tokens are read, %d are to be read once something is fed",
                   session->n_positions, session->n_known - session->n_positions);
}
