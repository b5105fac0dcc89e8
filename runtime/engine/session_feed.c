/* session_feed.c - what a session is to read: tokens, or text that becomes tokens; and which format turns have that
 * session_chat.c makes. */
#include <string.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"

calmoe_status calmoe_session_feed_tokens(calmoe_session *session, const int32_t *tokens, size_t n_tokens)
{
    calmoe_context *ctx = session ? session->engine->ctx : NULL;
    if (!session || (!tokens && n_tokens > 0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_session_feed_tokens: session and tokens are needed");
    for (size_t i = 0; i < n_tokens; i++)
        if (tokens[i] < 0 || tokens[i] >= session->engine->model->spec.n_vocab)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "token %zu is %d; 0 to %d is wanted", i, (int)tokens[i],
                           session->engine->model->spec.n_vocab - 1);
    if (n_tokens > (size_t)(session->context - session->n_known))
        return cm_fail(ctx, CALMOE_FULL, "%zu tokens do not fit: the context is %d tokens and %d are taken", n_tokens,
                       session->context, session->n_known);
    CM_TRY(cm_session_reserve_logprobs(session, session->n_known + (int)n_tokens));
    if (n_tokens > 0) memcpy(session->tokens + session->n_known, tokens, n_tokens * sizeof *tokens);
    session->n_known += (int)n_tokens;
    session->answer.n_new = 0;
    session->answer.has_ended = false;
    cm_session_go_on(session);
    if (n_tokens == 0) return CALMOE_OK;
    cm_session_end_answer(session);
    session->answer_begin = -1;
    cm_sampler_begin_answer(session->sampler);
    return CALMOE_OK;
}

calmoe_status calmoe_session_feed_text(calmoe_session *session, const char *text, size_t n_bytes, unsigned flags)
{
    calmoe_context *ctx = session ? session->engine->ctx : NULL;
    if (!session || (!text && n_bytes > 0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_session_feed_text: session and text are needed");
    struct token_list list = {0};
    calmoe_status status =
        cm_tokenize(ctx, session->engine->model->tokenizer, text ? text : "", n_bytes, flags, &list);
    if (status == CALMOE_OK) status = calmoe_session_feed_tokens(session, list.ids, (size_t)list.n);
    cm_token_list_close(&list);
    return status;
}

calmoe_status cm_session_choose_chat(calmoe_session *session, const char *name)
{
    if (!name) return CALMOE_OK;
    return cm_chat_format_of_name(session->engine->ctx, name, session->engine->model->tokenizer,
                                  &session->chat.chosen);
}

void cm_session_forget_turn(struct session_chat *chat)
{
    cm_free(chat->system);
    cm_free(chat->user);
    chat->system = chat->user = NULL;
}

void cm_session_close_chat(calmoe_session *session)
{
    cm_session_forget_turn(&session->chat);
    cm_chat_format_close(&session->chat.chosen);
}

void cm_session_rewind_chat(calmoe_session *session, int n)
{
    if (n == 0 || (session->chat.is_first && n <= session->chat.begin)) session->chat.has_turns = false;
    if (n < session->chat.end) cm_session_forget_turn(&session->chat);
}

int calmoe_session_turn_begin(const calmoe_session *session)
{
    return session && session->chat.user ? session->chat.begin : -1;
}
