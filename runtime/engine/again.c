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

calmoe_status calmoe_session_will_return(calmoe_session *session, const int *positions, int n)
{
    bool is_fine = session && n >= 0 && n <= CM_MAX_RETURNS && (positions || n == 0);
    for (int i = 0; is_fine && i < n; i++) is_fine = positions[i] >= 0 && positions[i] <= session->context;
    if (!is_fine)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_will_return: a session and up to %d positions in it are needed", CM_MAX_RETURNS);
    session->n_returns = n;
    for (int i = 0; i < n; i++) session->returns[i] = positions[i];
    return CALMOE_OK;
}

/* Answers begin anew where calibration compares them, and turns where the history holds an answer otherwise. */
enum { N_MARKS = 2 + CM_MAX_RETURNS };
static int list_marks(const calmoe_session *session, int marks[N_MARKS])
{
    int n = 0;
    marks[n++] = session->answer_begin;
    marks[n++] = session->chat.begin;
    for (int i = 0; i < session->n_returns; i++) marks[n++] = session->returns[i];
    return n;
}

bool cm_session_wants_snapshot(const calmoe_session *session)
{
    const int at = session->n_positions;
    int       marks[N_MARKS];
    if (session->state.fixed_bytes == 0 || at == 0) return false;
    if (session->audit.state == AUDIT_TRIAL || at >= next_by_spacing(&session->state)) return true;
    for (int n = list_marks(session, marks); n > 0; n--)
        if (marks[n - 1] == at) return true;
    return false;
}

calmoe_status cm_session_snapshot(calmoe_session *session)
{
    int marks[N_MARKS];
    for (int i = list_marks(session, marks) - 1; i > 0; i--) /* but where the answer begins */
        cm_sequence_state_touch(&session->state, marks[i]);
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
    int       marks[N_MARKS + 1];
    const int n = list_marks(session, marks);
    marks[n] = next_by_spacing(&session->state);
    for (int i = 0; i <= n; i++)
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
