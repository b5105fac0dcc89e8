/* session_chat.c - conversations: which turn comes next, and what of the last answer stays in the sequence. */
#include <string.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"

static const struct chat_format *format_of(const calmoe_session *session)
{
    return session->chat.chosen ? session->chat.chosen : session->engine->model->chat;
}

/* The tokens of the last turn and its answer as the history holds them, where they are not those of the session; *from:
 * where they go. */
static calmoe_status list_history(calmoe_session *session, struct token_list *list, int *from)
{
    const struct session_chat *chat = &session->chat;
    const struct tokenizer    *tokenizer = session->engine->model->tokenizer;
    const struct chat_turn     turn = {chat->system, chat->user, chat->is_first, true};
    bool                       differs;
    *from = session->n_known;
    if (!chat->user || chat->end >= session->n_known) return CALMOE_OK;
    CM_TRY(cm_chat_turn(session->engine->ctx, format_of(session), tokenizer, &turn, list));
    CM_TRY(cm_chat_answer(session->engine->ctx, format_of(session), tokenizer, session->tokens + chat->end,
                          session->n_known - chat->end, list, &differs));
    if (differs) *from = chat->begin;
    else list->n = 0;
    return CALMOE_OK;
}

/* Takes back what was fed and sampled from position n on. */
static calmoe_status take_back(calmoe_session *session, int n)
{
    if (n == session->n_known) return CALMOE_OK;
    if (n <= cm_session_n_read(session)) return calmoe_session_rewind(session, n);
    session->n_known = n;
    return CALMOE_OK;
}

/* *next: the turn as it will be remembered; its texts are the caller's until it is. */
static calmoe_status feed_turn(calmoe_session *session, struct session_chat *next, struct token_list *list)
{
    calmoe_context        *ctx = session->engine->ctx;
    const struct chat_turn turn = {next->system, next->user, next->is_first, false};
    int                    from;
    CM_TRY(list_history(session, list, &from));
    next->begin = from + list->n;
    CM_TRY(cm_chat_turn(ctx, format_of(session), session->engine->model->tokenizer, &turn, list));
    if (list->n > session->context - from)
        return cm_fail(ctx, CALMOE_FULL, "%d tokens do not fit: the context is %d tokens and %d are taken", list->n,
                       session->context, from);
    next->end = from + list->n;
    CM_TRY(take_back(session, from));
    return calmoe_session_feed_tokens(session, list->ids, (size_t)list->n);
}

static calmoe_status copy_texts(calmoe_session *session, const char *system, const char *user,
                                struct session_chat *next)
{
    calmoe_context *ctx = session->engine->ctx;
    next->user = cm_copy_text(ctx, user, strlen(user));
    if (!next->user) return CALMOE_NO_MEMORY;
    if (!next->is_first || !system) return CALMOE_OK;
    next->system = cm_copy_text(ctx, system, strlen(system));
    return next->system ? CALMOE_OK : CALMOE_NO_MEMORY;
}

calmoe_status calmoe_session_feed_chat(calmoe_session *session, const char *system, const char *user)
{
    calmoe_context *ctx = session ? session->engine->ctx : NULL;
    if (!session || !user)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_session_feed_chat: session and user are needed");
    const calmoe_model *model = session->engine->model;
    if (!format_of(session))
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' names no chat format that is known: %s", model->path,
                       model->chat_problem);
    struct session_chat next = {.has_turns = true, .is_first = !session->chat.has_turns};
    struct token_list   list = {0};
    calmoe_status       status = copy_texts(session, system, user, &next);
    if (status == CALMOE_OK) status = feed_turn(session, &next, &list);
    cm_token_list_close(&list);
    if (status != CALMOE_OK) {
        cm_session_forget_turn(&next);
        return status;
    }
    next.chosen = session->chat.chosen;
    cm_session_forget_turn(&session->chat);
    session->chat = next;
    return CALMOE_OK;
}
