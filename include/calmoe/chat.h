/* calmoe/chat.h - writes conversations as prompts, and reads answers: their text, thoughts and calls of tools.
 *
 *     calmoe_chat_prompt_open(context, model, "{\"messages\":[…], \"tools\":[…]}", n_bytes, NULL, &prompt);
 *     tokens = calmoe_chat_prompt_tokens(prompt, &n_tokens);
 *     calmoe_session_feed_tokens(session, tokens, n_tokens);
 *     calmoe_answer_parser_open(context, model, prompt, &options, &parser);
 *     while (calmoe_session_next(session, &token) == CALMOE_OK) calmoe_answer_parser_put_token(parser, token);
 *     calmoe_answer_parser_finish(parser);
 *
 * The context of these calls only receives the sentence of a failure, and may be NULL. If each thread has its own
 * context, several threads may make prompts and read answers of one model at the same time, while others use it. */
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
    int64_t     now;         /* seconds since 1970, for templates that write the date; 0 = the present time (default) */
    const char *chat_format; /* one of calmoe_chat_format_name(); NULL = the file's own template (default)      */
} calmoe_chat_prompt_options;

CALMOE_API void calmoe_chat_prompt_options_init(calmoe_chat_prompt_options *options);

/* Writes a conversation in the form in which the model was trained to read it, with the template of its file.
 * conversation is a JSON object of n_bytes in the form of OpenAI's chat completions. These members are read; others are
 * ignored:
 *
 *     messages               [{"role", "content", …}], required. Roles: system; developer (becomes system, unless
 *                            the template knows developer); user; assistant; tool; function (the same as tool). Other
 *                            roles are passed to the template. content: a text, null, or an array of
 *                            {"type":"text","text":…}, whose texts are joined with line ends. Assistants' messages
 *                            may have reasoning_content and tool_calls [{"id","type","function":{"name",
 *                            "arguments"}}], where arguments are JSON as text or an object: templates get an object.
 *                            Tools' messages may have tool_call_id and name. Templates see all other members too.
 *     tools                  [{"type":"function","function":{"name","description","parameters"}}], passed to the
 *                            template. The parameters, a JSON schema, also tell the parser of answers which
 *                            arguments are texts
 *     documents              passed to the template
 *     add_generation_prompt  false: the prompt does not ask for an answer (default true)
 *     continue_final_message true: the last message is the beginning of the assistant's answer; the prompt ends with
 *                            it, and the model continues it (default false)
 *     reasoning_effort       a text, passed to the template; "none" also sets enable_thinking to false, others to true
 *     chat_template_kwargs   {…}: further variables for the template
 *
 * INVALID_ARGUMENT: the JSON is wrong ("messages[2].content: found 3, wanted …"), or the template refuses the
 * conversation; the sentence quotes its reason. UNSUPPORTED: the file has no template and no chat_format was given; a
 * part of a message is not a text; there are tools and the format has no place for them; the template uses something
 * unknown. NO_MEMORY. */
CALMOE_API calmoe_status calmoe_chat_prompt_open(calmoe_context *context, const calmoe_model *model,
                                                 const char *conversation, size_t n_bytes,
                                                 const calmoe_chat_prompt_options *options, calmoe_chat_prompt **out);
CALMOE_API void calmoe_chat_prompt_close(calmoe_chat_prompt **prompt); /* sets it to NULL; NULL is fine */

/* All results below are borrowed until the prompt is closed. */

/* The prompt as NUL-terminated UTF-8; *n_bytes is its length without the NUL. n_bytes may be NULL. */
CALMOE_API const char *calmoe_chat_prompt_text(const calmoe_chat_prompt *prompt, size_t *n_bytes);
/* (n_bytes) One mark for each byte of the text: 0 = the template wrote it, 1 = the conversation did. Control tokens are
 * only recognised in the template's text. So a conversation that contains the text of a control token cannot forge
 * one. */
CALMOE_API const unsigned char *calmoe_chat_prompt_marks(const calmoe_chat_prompt *prompt);
/* (*n_tokens) The prompt's tokens, with the beginning-of-sequence token if the file wants one. */
CALMOE_API const int32_t *calmoe_chat_prompt_tokens(const calmoe_chat_prompt *prompt, size_t *n_tokens);
/* The index of the token with which the last user's turn begins. A later prompt of the same conversation begins with
 * the same tokens up to here, whatever the template does to answers. -1: there is no user's turn, or the template
 * changed the text so that it could not be found. */
CALMOE_API int64_t calmoe_chat_prompt_turn_begin(const calmoe_chat_prompt *prompt);
/* The index of the token after the last turn: there begins what asks for the answer, or the answer that is to be
 * continued. The tokens from here on may look different in a later prompt, for example because a template leaves
 * thoughts out of earlier answers. -1: there is no such place. */
CALMOE_API int64_t calmoe_chat_prompt_turn_end(const calmoe_chat_prompt *prompt);

/* ---- answers ---- */

typedef struct calmoe_answer_parser calmoe_answer_parser;

enum {
    CALMOE_ANSWER_TEXT,           /* a piece of the text that the user is meant to see                         */
    CALMOE_ANSWER_REASONING,      /* a piece of a thought                                                      */
    CALMOE_ANSWER_CALL_BEGIN,     /* a call of a tool begins: text is the tool's whole name                    */
    CALMOE_ANSWER_CALL_ARGUMENTS, /* a piece of the call's arguments; together they are the text of a JSON object,
                                     unless the model wrote something else                                     */
    CALMOE_ANSWER_CALL_END        /* the call is over; text is ""                                              */
};

typedef struct calmoe_answer_event {
    int         kind;    /* CALMOE_ANSWER_…                                                        */
    const char *text;    /* (n_bytes) whole UTF-8 characters; NUL-terminated; valid during the call */
    size_t      n_bytes;
    int         call;    /* in events of calls: which call of the answer it is, from 0             */
    const char *id;      /* in CALL_BEGIN: the id that the model gave the call, or ""; some templates need it again
                            in the history, as tool_calls[].id                                       */
} calmoe_answer_event;

typedef void (*calmoe_answer_fn)(void *user, const calmoe_answer_event *event);

typedef struct calmoe_answer_parser_options {
    size_t           size;         /* set by calmoe_answer_parser_options_init()                 */
    calmoe_answer_fn on_event;     /* called for each event in the order of the answer; required */
    void            *on_event_user;
    int              no_calls;     /* 1: calls are reported as text (default 0)                  */
    int              no_reasoning; /* 1: thoughts are reported as text, with the marks around them (default 0) */
} calmoe_answer_parser_options;

CALMOE_API void calmoe_answer_parser_options_init(calmoe_answer_parser_options *options);

/* Opens a parser for one answer. prompt is what it answers, or NULL if it answers no prompt of this file: then no
 * thought is open at the beginning, and no schema of a tool is known. The file's template tells in which form the model
 * writes thoughts and calls; without a template, everything is text. The model must stay open; the prompt may be
 * closed. INVALID_ARGUMENT, NO_MEMORY. */
CALMOE_API calmoe_status calmoe_answer_parser_open(calmoe_context *context, const calmoe_model *model,
                                                   const calmoe_chat_prompt *prompt,
                                                   const calmoe_answer_parser_options *options,
                                                   calmoe_answer_parser **out);
CALMOE_API void calmoe_answer_parser_close(calmoe_answer_parser **parser); /* sets it to NULL; NULL is fine */

/* Takes the answer's next bytes, which may be cut anywhere. is_control: they are the text of a control token, which is
 * not part of the answer's text, but may be a mark around thoughts and calls. Bytes that may be the beginning of a
 * mark, or of a character, are held back until that is decided. NO_MEMORY, INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_answer_parser_put(calmoe_answer_parser *parser, const char *bytes, size_t n_bytes,
                                                  int is_control);
/* Takes the answer's next token. */
CALMOE_API calmoe_status calmoe_answer_parser_put_token(calmoe_answer_parser *parser, int32_t token);
/* The answer is over: reports what was held back, and ends a call that is still open. */
CALMOE_API calmoe_status calmoe_answer_parser_finish(calmoe_answer_parser *parser);
/* 1 if text would come next, 0 inside a thought or a call. */
CALMOE_API int calmoe_answer_parser_in_text(const calmoe_answer_parser *parser);

#ifdef __cplusplus
}
#endif
#endif
