/* runtime/engine/session.c - calmoe_session: open, feed, rewind, sample. */
#include <stdio.h>

#include "base/memory.h"
#include "base/options.h"
#include "runtime/engine/followers.h"

void calmoe_session_options_init(calmoe_session_options *options)
{
    if (options)
        *options = (calmoe_session_options){.size = sizeof *options, .audit = CALMOE_AUDIT_WHERE_PROVEN,
                                            .audit_share = 0.01, .audit_alpha = 0.05,
                                            .lossless = CALMOE_LOSSLESS_OFF};
}

/* Room for one session more in the engine's table and in what the scheduler works with. */
static calmoe_status reserve_session(calmoe_engine *engine)
{
    if (engine->n_sessions < engine->sessions_capacity) return CALMOE_OK;
    const size_t n = (size_t)engine->n_sessions, capacity = n ? 2 * n : 8;
    CM_TRY(cm_grow(engine->ctx, &engine->sessions, n, capacity, sizeof *engine->sessions, "sessions"));
    CM_TRY(cm_grow(engine->ctx, &engine->demands, 0, capacity, sizeof *engine->demands, "sessions"));
    CM_TRY(cm_grow(engine->ctx, &engine->order, 0, capacity, sizeof *engine->order, "sessions"));
    CM_TRY(cm_grow(engine->ctx, &engine->chunks, 0, capacity, sizeof *engine->chunks, "sessions"));
    engine->sessions_capacity = (int)capacity;
    return CALMOE_OK;
}

/* Positions beyond the context that the model was trained for are new to it: said once, with what is made for it. */
static void remark_on_context(const calmoe_session *session)
{
    const struct model_spec *spec = &session->engine->model->spec;
    const struct rope_spec  *rope = &spec->ropes[0];
    if (session->context <= spec->context_length) return;
    const int original = rope->original_context > 0 ? rope->original_context : spec->context_length;
    char      help[80] = "";
    if (rope->is_on)
        snprintf(help, sizeof help, "; rope_scaling yarn with a rope_scale of %d stretches it so far",
                 (session->context + original - 1) / original);
    cm_log(session->engine->ctx,
           "the context of %d tokens is longer than the %d that the model was trained for, beyond which it may write "
           "nonsense%s", session->context, spec->context_length, help);
}

static calmoe_status open_parts(calmoe_session *session, const calmoe_session_options *options)
{
    calmoe_engine *engine = session->engine;
    const struct model_spec *spec = &engine->model->spec;
    if (options->context < 0 || options->context > CM_MAX_CONTEXT || options->max_new_tokens < 0)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT,
                       "a context of %d and %d new tokens: 0 (default) to %d and 0 (no limit) or more are wanted",
                       options->context, options->max_new_tokens, CM_MAX_CONTEXT);
    session->context = options->context ? options->context : spec->context_length;
    session->answer.max_new = options->max_new_tokens;
    session->ignores_end = options->ignore_end != 0;
    session->logits.hashes = options->hash_logits != 0;
    session->logits.hash = cm_sha256();
    session->answer_begin = session->broke.after = session->kept.n_top = session->kept_first = -1;
    if (engine->shares.own > 0)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT,
                       "sessions are rank 0's; rank %d takes part in them by calmoe_engine_follow()",
                       engine->shares.own);
    CM_TRY(cm_session_set_policy(session, options->policy, options->quality));
    CM_TRY(cm_drafts_open(session, options));
    CM_TRY(cm_session_open_audit(session, options));
    CM_TRY(cm_session_open_sampler(session, options->sampler));
    CM_TRY(cm_session_choose_chat(session, options->chat_format));
    session->tokens = cm_alloc(engine->ctx, (size_t)session->context, sizeof *session->tokens, "the sequence");
    if (!session->tokens) return CALMOE_NO_MEMORY;
    if (engine->profiler) {
        const size_t n = (size_t)spec->n_layers * (size_t)spec->most.n_experts;
        session->last_used = cm_alloc(engine->ctx, n, sizeof *session->last_used, "a profile");
        if (!session->last_used) return CALMOE_NO_MEMORY;
    }
    CM_TRY(cm_session_open_state(session, 0));
    if (engine->followers) cm_followers_add(engine->followers, session);
    return reserve_session(engine);
}

static void free_session(calmoe_session *session)
{
    if (session->last_used) cm_profiler_flush(session->engine->profiler);
    cm_sampler_close(&session->sampler);
    cm_session_close_chat(session);
    cm_session_close_source(session);
    cm_waiting_close(&session->sequence.waiting);
    cm_drafts_close(session);
    cm_session_close_logprobs(session);
    cm_session_close_adapters(session);
    cm_sequence_state_close(&session->state);
    cm_free(session->tokens);
    cm_free(session->last_used);
    cm_free(session);
}

calmoe_status cm_session_open(calmoe_engine *engine, const calmoe_session_options *options, calmoe_session **out)
{
    calmoe_session *session = cm_alloc(engine->ctx, 1, sizeof *session, "the session");
    if (!session) return CALMOE_NO_MEMORY;
    session->engine = engine;
    session->sequence = (struct sequence){.state = &session->state, .owner = session,
                                           .interrupt = &session->interrupt};
    session->asked = *options;
    session->asked.sampler = NULL;
    session->asked.chat_format = NULL;
    const calmoe_status status = open_parts(session, options);
    if (status != CALMOE_OK) {
        free_session(session);
        return status;
    }
    engine->sessions[engine->n_sessions++] = session;
    *out = session;
    return CALMOE_OK;
}

calmoe_status calmoe_session_open(calmoe_engine *engine, const calmoe_session_options *given, calmoe_session **out)
{
    calmoe_session_options options;
    if (out) *out = NULL;
    if (!engine || !out)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_open: engine and out are needed");
    calmoe_session_options_init(&options);
    CM_TRY(cm_options_copy(engine->ctx, "calmoe_session_options", &options, sizeof options, given));
    CM_TRY(cm_session_open(engine, &options, out));
    remark_on_context(*out);
    cm_session_remark_on_memory(*out);
    return CALMOE_OK;
}

void calmoe_session_close(calmoe_session **session)
{
    if (!session || !*session) return;
    calmoe_engine *engine = (*session)->engine;
    int kept = 0;
    for (int i = 0; i < engine->n_sessions; i++)
        if (engine->sessions[i] != *session) engine->sessions[kept++] = engine->sessions[i];
    engine->n_sessions = kept;
    free_session(*session);
    *session = NULL;
}

int calmoe_session_n_positions(const calmoe_session *session) { return session ? session->n_positions : 0; }
int calmoe_session_n_tokens(const calmoe_session *session) { return session ? session->n_known : 0; }
const int32_t *calmoe_session_tokens(const calmoe_session *session) { return session ? session->tokens : NULL; }
int calmoe_session_context(const calmoe_session *session) { return session ? session->context : 0; }
calmoe_engine *calmoe_session_engine(const calmoe_session *session) { return session ? session->engine : NULL; }

calmoe_status calmoe_session_rewind(calmoe_session *session, int n)
{
    if (!session || n < 0 || n > session->n_known)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_rewind: to %d of %d tokens", n, session ? session->n_known : 0);
    const int n_read = cm_session_n_read(session), at = session->n_positions;
    session->n_known = n;
    session->n_again = n < n_read ? n : n_read;
    if (n <= session->broke.position) session->broke.after = -1;
    if (n <= at || session->drafts) /* drafts ran ahead, perhaps; what lies between is read again */
        session->n_positions = cm_sequence_state_rewind(&session->state, n < at ? n : at);
    const struct model_spec *spec = &session->engine->model->spec;
    if (session->last_used) cm_profiler_flush(session->engine->profiler);
    const size_t n_cells = session->last_used ? (size_t)spec->n_layers * (size_t)spec->most.n_experts : 0;
    for (size_t i = 0; i < n_cells; i++)
        if (session->last_used[i] > n) session->last_used[i] = 0;
    if (n < session->answer_begin) cm_session_end_answer(session);
    if (n < session->answer_begin) session->answer_begin = -1;
    if (session->sequence.waiting) cm_waiting_rewind(session->sequence.waiting, session->n_positions);
    cm_drafts_forget(session);
    cm_session_accept_anew(session, session->n_again);
    cm_session_rewind_logprobs(session, n);
    session->audit.state = AUDIT_NO_TOKEN;
    session->answer.n_new = 0;
    session->answer.has_ended = false;
    session->answer.is_full = false;
    session->logits.n = 0;
    cm_session_go_on(session);
    cm_session_rewind_chat(session, n);
    return CALMOE_OK;
}

calmoe_status calmoe_session_set_limits(calmoe_session *session, int max_new_tokens, int ignore_end)
{
    if (!session || max_new_tokens < 0)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_set_limits: a session, and 0 (no limit) or more tokens, are needed");
    session->answer.max_new = session->asked.max_new_tokens = max_new_tokens;
    session->asked.ignore_end = ignore_end;
    session->ignores_end = ignore_end != 0;
    return CALMOE_OK;
}

const float *calmoe_session_logits(const calmoe_session *session, int row)
{
    return session ? cm_session_logits(session, row) : NULL;
}

void calmoe_session_begin_answer(calmoe_session *session)
{
    if (!session) return;
    cm_session_end_answer(session);
    session->answer_begin = session->n_known;
    cm_sampler_begin_answer(session->sampler);
}

calmoe_status calmoe_session_depth(const calmoe_session *session, int row, calmoe_depth *depth)
{
    if (session && row == -1) row = session->logits.n - 1;
    if (!depth || depth->size < sizeof depth->size)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_depth: a depth with its size set is needed");
    if (!calmoe_session_logits(session, row))
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_depth: row %d of the last step has no logits of this session", row);
    const struct row_outcome *from = &session->engine->step.outcomes[session->logits.first + row];
    const calmoe_depth filled = {.layers = from->layers, .experts = from->n_experts, .confidence = from->confidence};
    cm_options_give(depth, &filled, sizeof filled);
    return CALMOE_OK;
}

calmoe_status calmoe_session_logit_hash(const calmoe_session *session, char hex[65])
{
    if (!session || !hex || !session->logits.hashes)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_logit_hash: a session opened with hash_logits is needed");
    cm_sha256_hex(&session->logits.hash, hex);
    return CALMOE_OK;
}
