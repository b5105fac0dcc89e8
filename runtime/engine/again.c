/* runtime/engine/again.c - what sessions do about layers whose state cannot be taken back: which positions get a
 * snapshot, how many tokens are read at once, and where a session stands after steps that do not count.
 *
 * Tokens before n_again were read once, and what came of them was counted; where the session stands before it, they are
 * read again, for their state alone. */
#include <limits.h>

#include "runtime/engine/handles.h"

enum { SNAPSHOT_SPACING = 256 }; /* positions without a snapshot, at most, while a session generates or is fed */

/* ---- snapshots ---- */

static int next_by_spacing(const struct sequence_state *state)
{
    return (state->n_snapshots > 0 ? state->snapshots[state->n_snapshots - 1].position : 0) + SNAPSHOT_SPACING;
}

/* Answers begin anew where calibration compares them, and turns where the history holds an answer otherwise. */
bool cm_session_wants_snapshot(const calmoe_session *session)
{
    const int at = session->n_positions;
    if (session->state.fixed_bytes == 0 || at == 0) return false;
    return session->audit.state == AUDIT_TRIAL || at == session->answer_begin || at == session->chat.begin ||
           at >= next_by_spacing(&session->state);
}

calmoe_status cm_session_snapshot(calmoe_session *session)
{
    cm_sequence_state_touch(&session->state, session->chat.begin); /* the next turn may go back to it */
    const calmoe_status status = cm_sequence_state_snapshot(&session->state, session->n_positions);
    return session->audit.state == AUDIT_TRIAL ? status : CALMOE_OK; /* others only save reading again */
}

/* ---- how much at once ---- */

/* An exit that makes the state of skipped layers at once does so before rows that stand before it in the sequence have
 * run them: so such rows are read one by one. */
static bool fills_at_exit(const calmoe_session *session)
{
    const struct policy_rung *rung = session->rung;
    return session->state.fixed_bytes > 0 && session->answer_begin >= 0 && rung && rung->n_exits > 0 &&
           rung->kv_fill != KV_CATCH_UP && rung->k_tail == TAIL_NONE;
}

static int least(int a, int b) { return a < b ? a : b; }

int cm_session_chunk_limit(const calmoe_session *session, int from)
{
    if (!fills_at_exit(session)) return INT_MAX;
    return from < session->answer_begin ? session->answer_begin - from : 1;
}

int cm_session_rows_at_once(const calmoe_session *session)
{
    const int at = session->n_positions;
    int       most = cm_session_chunk_limit(session, at);
    if (session->n_again > at) most = least(most, session->n_again - at);
    if (session->state.fixed_bytes == 0) return most;
    const int marks[] = {session->answer_begin, session->chat.begin, next_by_spacing(&session->state)};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (marks[i] > at) most = least(most, marks[i] - at);
    return most;
}

int cm_session_logits_again(const calmoe_session *session)
{
    const bool is_answer = cm_session_is_answer(session, session->n_positions);
    return is_answer && session->rung ? CALMOE_LOGITS_ALL : CALMOE_LOGITS_NONE;
}

/* ---- where a session stands ---- */

void cm_session_stand_again(calmoe_session *session, bool has_state)
{
    struct sequence_state *state = &session->state;
    if (state->fixed_bytes == 0 || (has_state && state->n_seen == session->n_positions)) return;
    session->n_again = cm_session_n_read(session);
    if (!has_state) cm_sequence_state_lose(state);
    session->n_positions = cm_sequence_state_rewind(state, session->n_positions);
    if (session->sequence.waiting) cm_waiting_rewind(session->sequence.waiting, session->n_positions);
}
