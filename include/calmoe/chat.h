/* calmoe/chat.h - conversations as prompts, and answers as what they say.
 *
 *     calmoe_chat_prompt_open(context, model, "{\"messages\":[…], \"tools\":[…]}", n_bytes, NULL, &prompt);
 *     tokens = calmoe_chat_prompt_tokens(prompt, &n_tokens);
 *     calmoe_session_feed_tokens(session, tokens, n_tokens);
 *     calmoe_answer_parser_open(context, model, prompt, &options, &parser);
 *     while (calmoe_session_next(session, &token) == CALMOE_OK) calmoe_answer_parser_put_token(parser, token);
 *     calmoe_answer_parser_finish(parser);
 *
 * The context of these calls is only where the sentence of a failure goes, and may be NULL: with one of its own, each
 * thread may make prompts and read answers of a model at the same time, while others use it. */
#ifndef CALMOE_CHAT_H
#define CALMOE_CHAT_H

#include <stddef.h>
#include <stdint.h>

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- prompts ---- */

typedef struct calmoe_chat_prompt calmoe_chat_prompt;

typedef struct calmoe_chat_prompt_options {
    size_t      size;        /* set by calmoe_chat_prompt_options_init()                                      */
    int64_t     now;         /* seconds since 1970, for templates that tell the date; 0 = the clock's (default) */
    const char *chat_format; /* by name: calmoe_chat_format_name(). NULL = the file's own template (default)    */
} calmoe_chat_prompt_options;

CALMOE_API void calmoe_chat_prompt_options_init(calmoe_chat_prompt_options *options);

/* Writes a conversation as the model was trained to read it, by the template of its file. conversation is a JSON object
 * of n_bytes in the form of OpenAI's chat completions, of which these members are read, and others are not:
 *
 *     messages               [{"role", "content", …}], needed. Roles: system, developer (a system text, but for
 *                            templates that know it), user, assistant, tool, function (the same as tool); others go
 *                            to the template as they are. content: a text, null, or an array of
 *                            {"type":"text","text":…}, which are joined by line ends. Of assistants:
 *                            reasoning_content, tool_calls [{"id","type","function":{"name","arguments"}}], where
 *                            arguments are a text of JSON or an object: templates get the object. Of tools:
 *                            tool_call_id, name. Templates see all other members as well.
 *     tools                  [{"type":"function","function":{"name","description","parameters"}}], as templates want
 *                            them; their parameters, a JSON schema, also tell the parser of answers what is a text
 *     documents              as templates want them
 *     add_generation_prompt  false: do not ask for an answer (true)
 *     continue_final_message true: the last message is the beginning of an assistant's answer, which the prompt ends
 *                            with (false)
 *     reasoning_effort       a text. Templates get it; "none" also says enable_thinking false, others true
 *     chat_template_kwargs   {…}: further variables of the template
 *
 * INVALID_ARGUMENT: no such JSON ("messages[2].content: found 3, wanted …"), or the template refuses the
 * conversation, in its own words. UNSUPPORTED: the file has no template and no chat_format was given; parts that are
 * no texts; tools, where the format has no place for them; a template that asks for something unknown. NO_MEMORY. */
CALMOE_API calmoe_status calmoe_chat_prompt_open(calmoe_context *context, const calmoe_model *model,
                                                 const char *conversation, size_t n_bytes,
                                                 const calmoe_chat_prompt_options *options, calmoe_chat_prompt **out);
CALMOE_API void calmoe_chat_prompt_close(calmoe_chat_prompt **prompt); /* sets it to NULL; NULL is fine */

/* All answers below are borrowed until the prompt is closed. */

/* The prompt, UTF-8, NUL-terminated; *n_bytes (may be NULL) without the NUL. */
CALMOE_API const char *calmoe_chat_prompt_text(const calmoe_chat_prompt *prompt, size_t *n_bytes);
/* (n_bytes) for each byte of the text 0: the template wrote it; 1: the conversation did. Only the template's text is
 * parsed for control tokens; what the conversation says of them stays plain text. */
CALMOE_API const unsigned char *calmoe_chat_prompt_marks(const calmoe_chat_prompt *prompt);
/* (*n_tokens) with the token that begins a text, where the file wants one. */
CALMOE_API const int32_t *calmoe_chat_prompt_tokens(const calmoe_chat_prompt *prompt, size_t *n_tokens);
/* The token with which the last user's turn begins: what stands before it is what a later prompt of the same
 * conversation begins with, too, whatever the template makes of answers. -1: there is no user, or the template changed
 * the text so that it is not found. */
CALMOE_API int64_t calmoe_chat_prompt_turn_begin(const calmoe_chat_prompt *prompt);
/* The token with which begins what asks for the answer, or an answer that goes on. Before it stands the conversation
 * with its last turn; what stands behind it may be written otherwise in a later prompt, where a template leaves
 * thoughts out of earlier answers. -1: there is no such place. */
CALMOE_API int64_t calmoe_chat_prompt_turn_end(const calmoe_chat_prompt *prompt);

/* ---- answers ---- */

typedef struct calmoe_answer_parser calmoe_answer_parser;

enum {
    CALMOE_ANSWER_TEXT,           /* a piece of what the user is to see                                        */
    CALMOE_ANSWER_REASONING,      /* a piece of a thought                                                      */
    CALMOE_ANSWER_CALL_BEGIN,     /* a tool is called: text is its name, once                                  */
    CALMOE_ANSWER_CALL_ARGUMENTS, /* a piece of the call's arguments, which together are the text of a JSON object,
                                     as far as the model wrote one: not all write JSON                         */
    CALMOE_ANSWER_CALL_END        /* text is ""                                                                */
};

typedef struct calmoe_answer_event {
    int         kind;    /* CALMOE_ANSWER_…                                                        */
    const char *text;    /* (n_bytes) whole UTF-8 characters; NUL-terminated; valid during the call */
    size_t      n_bytes;
    int         call;    /* of call events: which call of the answer, from 0                       */
    const char *id;      /* of CALL_BEGIN: the id that the model gave the call, "" where it gave none: some templates
                            want it in the history as it was, as tool_calls[].id                     */
} calmoe_answer_event;

typedef void (*calmoe_answer_fn)(void *user, const calmoe_answer_event *event);

typedef struct calmoe_answer_parser_options {
    size_t           size;         /* set by calmoe_answer_parser_options_init()                 */
    calmoe_answer_fn on_event;     /* told in the order of the answer; needed                    */
    void            *on_event_user;
    int              no_calls;     /* 1: what would be calls is text (default 0)                 */
    int              no_reasoning; /* 1: thoughts are text, with the marks round them (default 0) */
} calmoe_answer_parser_options;

CALMOE_API void calmoe_answer_parser_options_init(calmoe_answer_parser_options *options);

/* For one answer to a prompt (NULL: to none of this file's, so no thought is open and no schema known). The forms in
 * which the model writes thoughts and calls are told by its template; without one, all that is written is text. The
 * model must stay open, the prompt may be closed. INVALID_ARGUMENT, NO_MEMORY. */
CALMOE_API calmoe_status calmoe_answer_parser_open(calmoe_context *context, const calmoe_model *model,
                                                   const calmoe_chat_prompt *prompt,
                                                   const calmoe_answer_parser_options *options,
                                                   calmoe_answer_parser **out);
CALMOE_API void calmoe_answer_parser_close(calmoe_answer_parser **parser); /* sets it to NULL; NULL is fine */

/* The answer's next bytes, cut anywhere. is_control: they are the text of a control token, which is no text of the
 * answer unless it is a mark of these forms. What may be the beginning of a mark, or of a character, is held back
 * until it is known. NO_MEMORY, INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_answer_parser_put(calmoe_answer_parser *parser, const char *bytes, size_t n_bytes,
                                                  int is_control);
/* The same for a token of the model. */
CALMOE_API calmoe_status calmoe_answer_parser_put_token(calmoe_answer_parser *parser, int32_t token);
/* The answer ended: gives what was held back, and ends a call that is open. */
CALMOE_API calmoe_status calmoe_answer_parser_finish(calmoe_answer_parser *parser);
/* 1 where what comes next is text, 0 inside a thought or a call. */
CALMOE_API int calmoe_answer_parser_in_text(const calmoe_answer_parser *parser);

#ifdef __cplusplus
}
#endif
#endif
