/* tools/serve/conversation.c - see conversation.h. */
#include "tools/serve/conversation.h"

#include <stdlib.h>
#include <string.h>

#include "tools/serve/constraints.h"
#include "tools/serve/contexts.h"
#include "tools/serve/prompts.h"

/* ---- prompt ---- */

/* "none", "auto", "required", or {"type":"function","function":{"name"}}. */
struct tool_choice {
    bool        has_tools, is_none, must_call;
    const char *name; /* the tool that must be called; NULL = any   */
};

static bool read_tool_choice(const struct sent_value *body, struct tool_choice *choice, struct refusal *refusal)
{
    const struct sent_value *tools = NULL, *given = cm_sent_member(body, "tool_choice");
    const char *const        word = cm_sent_string(given, NULL);
    if (!cm_read_value(body, "tools", SENT_ARRAY, &tools, refusal)) return false;
    choice->has_tools = cm_sent_n(tools) > 0;
    if (given == NULL) return true;
    if (cm_sent_kind(given) == SENT_OBJECT)
        choice->name = cm_sent_string(cm_sent_member(cm_sent_member(given, "function"), "name"), NULL);
    choice->is_none   = word != NULL && strcmp(word, "none") == 0;
    choice->must_call = choice->name != NULL || (word != NULL && strcmp(word, "required") == 0);
    if (!choice->is_none && !choice->must_call && (word == NULL || strcmp(word, "auto") != 0))
        return cm_refuse(refusal, 400, "tool_choice", "'tool_choice' wants \"none\", \"auto\", \"required\" or "
                                                      "{\"type\":\"function\",\"function\":{\"name\":…}}");
    if (choice->must_call && !choice->has_tools)
        return cm_refuse(refusal, 400, "tool_choice", "'tool_choice' wants 'tools' to choose from");
    return true;
}

/* Makes the constraint on the answer. The parser is open, since it knows whether the prompt ends inside a thought. */
static bool constrain(struct answering *answering, const struct sent_value *body, const struct tool_choice *choice,
                      bool *is_plain, struct refusal *refusal)
{
    const bool thinks = !calmoe_answer_parser_in_text(answering->parser);
    if (!choice->must_call)
        return cm_constrain_format(answering->server, body, thinks, answering->job, refusal);
    return cm_constrain_calls(answering->server, cm_sent_member(body, "tools"), choice->name, thinks, answering->job,
                              is_plain, refusal);
}

/* Notes the positions from which the conversation's next prompt will continue: where this one's last turn ends, or
 * where it begins if the template will then write that turn differently. */
static void note_returns(const calmoe_chat_prompt *prompt, struct job_request *want)
{
    const int64_t begin = calmoe_chat_prompt_turn_begin(prompt), end = calmoe_chat_prompt_turn_end(prompt);
    if (begin > 0) want->returns[want->n_returns++] = (int)begin;
    if (end > 0 && end <= want->n_tokens) want->returns[want->n_returns++] = (int)end;
}

static bool open_parser(struct answering *answering, calmoe_answer_parser_options *options, struct refusal *refusal)
{
    calmoe_answer_parser_close(&answering->parser);
    return calmoe_answer_parser_open(NULL, cm_server_model(answering->server), answering->prompt, options,
                                     &answering->parser) == CALMOE_OK || cm_refuse_memory(refusal);
}

/* Adds the context that the request names as the conversation's system text. */
static bool open_prompt(struct answering *answering, const char *conversation, size_t n_bytes,
                        const struct sent_value *body, struct refusal *refusal)
{
    struct json_writer written = {.failed = false};
    bool               is_fine = cm_begin_with_context(answering, body, &written, refusal);
    const bool         is_new = is_fine && written.bytes.n > 0;
    is_fine = is_fine && cm_open_prompt(answering->server, is_new ? written.bytes.at : conversation,
                                        is_new ? written.bytes.n : n_bytes, &answering->prompt, refusal);
    cm_writer_close(&written);
    return is_fine;
}

bool cm_open_conversation(struct answering *answering, const char *conversation, size_t n_bytes,
                          const struct sent_value *body, struct refusal *refusal)
{
    struct job_request *const     want = &answering->job->want;
    struct tool_choice            choice = {.name = NULL};
    calmoe_answer_parser_options  options;
    const char                   *reasoning = "auto";
    bool                          is_plain = false;
    size_t                        n_tokens = 0;
    if (!read_tool_choice(body, &choice, refusal) || !cm_read_text(body, "reasoning_format", &reasoning, refusal))
        return false;
    if (!open_prompt(answering, conversation, n_bytes, body, refusal)) return false;
    const int32_t *const tokens = calmoe_chat_prompt_tokens(answering->prompt, &n_tokens);
    if (n_tokens == 0) return cm_refuse(refusal, 400, "messages", "the conversation has no tokens");
    want->tokens = malloc(n_tokens * sizeof *want->tokens);
    if (want->tokens == NULL) return cm_refuse_memory(refusal);
    memcpy(want->tokens, tokens, n_tokens * sizeof *want->tokens);
    want->n_tokens = (int)n_tokens;
    note_returns(answering->prompt, want);
    calmoe_answer_parser_options_init(&options);
    options.on_event      = cm_answering_take_piece;
    options.on_event_user = answering;
    options.no_calls      = !choice.has_tools || choice.is_none;
    options.no_reasoning  = strcmp(reasoning, "none") == 0;
    if (!open_parser(answering, &options, refusal) || !constrain(answering, body, &choice, &is_plain, refusal))
        return false;
    if (!is_plain) return true;
    answering->forced     = (struct forced_calls){.on_event = cm_answering_take_piece, .on_event_user = answering};
    options.on_event      = cm_forced_calls_take;
    options.on_event_user = &answering->forced;
    options.no_calls      = 1;
    return open_parser(answering, &options, refusal);
}

bool cm_open_converted(struct answering *answering, const struct generation_names *names,
                       const struct sent_value *body, convert_request_fn convert, struct refusal *refusal)
{
    struct json_writer writer = {.failed = false};
    const bool         is_read = cm_read_stream(answering, body, refusal) &&
                         cm_read_generation_request(answering, names, body, refusal) &&
                         convert(&writer, body, refusal);
    struct sent_value *const converted = is_read ? cm_sent_read(writer.bytes.at, writer.bytes.n, refusal) : NULL;
    const bool               is_fine =
        converted != NULL && cm_open_conversation(answering, writer.bytes.at, writer.bytes.n, converted, refusal);
    cm_sent_free(converted);
    cm_writer_close(&writer);
    return is_fine;
}

void cm_serve_conversation(struct server *server, struct http_exchange *exchange, const struct http_request *request,
                           const struct answer_form *form, const char *id_begin, read_request_fn read)
{
    struct refusal           refusal = {0};
    struct answering *const  answering = cm_answering_open(server, exchange, form, id_begin, &refusal);
    struct sent_value *const body = answering != NULL ? cm_sent_read(request->body, request->n_body, &refusal) : NULL;
    const bool               is_fine = body != NULL && read(answering, request, body, &refusal);
    cm_sent_free(body);
    if (is_fine) cm_answer(answering);
    else if (answering != NULL) cm_answer_refusal(answering, &refusal);
    else if (form->refuse != NULL) form->refuse(exchange, &refusal);
    else cm_reply_refusal(exchange, &refusal);
}
