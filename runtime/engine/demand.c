/* runtime/engine/demand.c - what a session wants of its next step, from what it knows: how many rows, which logits, and
 * whether its state is kept before. Layers whose state cannot be taken back have a say in all three: they want
 * snapshots at some positions, and so chunks that end there.
 *
 * Tokens before n_again were read once, and what came of them was counted; where the session stands before it, they are
 * read again, for their state alone (again.c). */
#include <limits.h>

#include "runtime/engine/handles.h"

enum {
    SNAPSHOT_SPACING = 256, /* positions without a snapshot, at most, while a session generates or is fed       */
    LOGPROB_ROWS = 64       /* of a step whose logits are kept: a row of logits takes a vocabulary of memory    */
};

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

calmoe_status cm_session_snapshot(calmoe_session *session, bool must_be)
{
    int marks[N_MARKS];
    if (!must_be && !cm_session_wants_snapshot(session)) return CALMOE_OK;
    for (int i = list_marks(session, marks) - 1; i > 0; i--) /* but where the answer begins */
        cm_sequence_state_touch(&session->state, marks[i]);
    const calmoe_status status = cm_sequence_state_snapshot(&session->state, session->n_positions);
    return must_be || session->audit.state == AUDIT_TRIAL ? status : CALMOE_OK; /* others only save reading again */
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

/* ---- the demand ---- */

int cm_session_logits_again(const calmoe_session *session)
{
    const bool is_answer = cm_session_is_answer(session, session->n_positions);
    return is_answer && session->rung ? CALMOE_LOGITS_ALL : CALMOE_LOGITS_NONE;
}

/* OK: it is not. */
static calmoe_status why_over(const calmoe_session *session)
{
    const struct session_answer *answer = &session->answer;
    if (cm_session_is_interrupted(session)) return CALMOE_CANCELLED;
    if (answer->max_new > 0 && answer->n_new >= answer->max_new) return CALMOE_END;
    return answer->is_full ? CALMOE_FULL : CALMOE_OK;
}

struct demand cm_session_demand(calmoe_session *session)
{
    const bool keeps_logprobs = session->kept.n_top >= 0, keeps_all = session->logits.hashes || keeps_logprobs;
    const int  at_once = cm_session_rows_at_once(session);
    const int  most = keeps_logprobs ? least(at_once, LOGPROB_ROWS) : at_once;
    const int  of_last = keeps_all ? CALMOE_LOGITS_ALL : CALMOE_LOGITS_LAST;
    const bool is_again = session->n_positions < session->n_again;
    const int  logits = is_again ? cm_session_logits_again(session) : of_last;
    const calmoe_status over = why_over(session);
    const bool is_idle = session->answer.has_ended || over != CALMOE_OK || session->n_known <= session->n_again;
    const int  n_unread = is_idle ? 0 : session->n_known - session->n_positions;
    session->wants = (struct session_wants){over, n_unread, logits};
    return (struct demand){.n_pending = least(n_unread, most), .last_step = session->last_step};
}
