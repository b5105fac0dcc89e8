/* runtime/engine/session_fork.c - a second session that goes on as the first would. */
#include <string.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"

static calmoe_status copy_text(calmoe_context *ctx, const char *from, char **to)
{
    if (!from) return CALMOE_OK;
    *to = cm_copy_text(ctx, from, strlen(from));
    return *to ? CALMOE_OK : CALMOE_NO_MEMORY;
}

/* The format was chosen as the copy was opened. */
static calmoe_status copy_chat(const calmoe_session *from, calmoe_session *to)
{
    calmoe_context *ctx = from->engine->ctx;
    to->chat.has_turns = from->chat.has_turns;
    to->chat.is_first = from->chat.is_first;
    to->chat.begin = from->chat.begin;
    to->chat.end = from->chat.end;
    CM_TRY(copy_text(ctx, from->chat.system, &to->chat.system));
    return copy_text(ctx, from->chat.user, &to->chat.user);
}

/* What steps look at. What was drafted ahead is not in it: the copy reads those tokens when it comes to them. */
static calmoe_status copy_sequence(const calmoe_session *from, calmoe_session *to)
{
    const struct model_spec *spec = &from->engine->model->spec;
    const struct waiting *waiting = from->sequence.waiting;
    const int n_done = waiting && waiting->n > 0 ? waiting->rows[0].position : from->n_positions; /* that are written */
    int       n_shared = cm_kv_filled(&from->state, n_done);
    to->n_paid = n_shared / CM_ATTEND_SPAN * CM_ATTEND_SPAN;
    CM_TRY(cm_session_need_memory(to, from->n_positions));
    to->n_positions = cm_sequence_state_copy(&from->state, from->n_positions, &to->state, &n_shared);
    to->n_again = cm_session_n_read(from);
    if (from->sequence.waiting) {
        cm_waiting_copy(from->sequence.waiting, &to->sequence, to->sequence.waiting);
        cm_waiting_rewind(to->sequence.waiting, to->n_positions);
    }
    memcpy(to->tokens, from->tokens, (size_t)from->n_known * sizeof *to->tokens);
    to->n_known = from->n_known;
    to->n_returns = from->n_returns;
    memcpy(to->returns, from->returns, sizeof to->returns);
    if (from->last_used)
        memcpy(to->last_used, from->last_used,
               (size_t)spec->n_layers * (size_t)spec->most.n_experts * sizeof *to->last_used);
    return CALMOE_OK;
}

static calmoe_status copy_session(const calmoe_session *from, calmoe_session *to)
{
    CM_TRY(cm_session_copy_adapters(from, to));
    CM_TRY(copy_sequence(from, to));
    CM_TRY(copy_chat(from, to));
    CM_TRY(cm_session_copy_source(from, to));
    cm_sampler_close(&to->sampler);
    CM_TRY(cm_sampler_fork(from->engine->ctx, from->sampler, &to->sampler));
    to->answer = from->answer;
    to->logits = from->logits; /* both have the last step's, as long as it is the last */
    to->last_step = from->last_step;
    to->rung = from->rung;
    to->answer_begin = from->answer_begin;
    to->audit = from->audit;
    to->broke = from->broke;
    return CALMOE_OK;
}

calmoe_status calmoe_session_fork(const calmoe_session *session, calmoe_session **out)
{
    if (out) *out = NULL;
    if (!session || !out)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_fork: session and out are needed");
    calmoe_session_options options = session->asked;
    if (session->chat.chosen) options.chat_format = cm_chat_format_name(session->chat.chosen);
    CM_TRY(cm_session_open(session->engine, &options, out));
    const calmoe_status status = copy_session(session, *out);
    if (status != CALMOE_OK) calmoe_session_close(out);
    return status;
}
