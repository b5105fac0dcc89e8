/* runtime/text/chat_prompt.h - a conversation as the text and the tokens that a model is to read. */
#ifndef RUNTIME_TEXT_CHAT_PROMPT_H
#define RUNTIME_TEXT_CHAT_PROMPT_H

#include "runtime/text/chat.h"
#include "runtime/text/template.h"

/* What a tool's schema says of its parameters, for answers that are not in JSON. */
struct tool_parameter {
    const char *function, *name;
    bool        is_text; /* it is a text, and nothing else can be */
};
struct tool_parameters {
    struct tool_parameter *list; /* (n) with their texts behind them, one block */
    size_t                 n, n_bytes;
};

struct chat_template {
    const struct template *program; /* NULL: it could not be read, which problem says      */
    const char            *text;    /* (n_text) what it was read of; n_text 0: there is none */
    size_t                 n_text;
    const char            *problem;
};

struct chat_prompt {
    struct template_text   text; /* its marks are 0 and 1                                       */
    struct token_list      tokens;
    int                    turn_begin; /* token; -1: not known                                  */
    int                    turn_end;   /* the one at or behind tail; -1: the prompt ends there  */
    size_t                 tail;       /* bytes of text before what asks for an answer or begins one    */
    struct tool_parameters parameters;
    struct chat_template   written_with; /* borrowed of the source */
};

struct chat_prompt_source {
    struct chat_template      plain, for_tools; /* the second, where there is one, for conversations with tools */
    const struct chat_format *format; /* instead of them; NULL: there is none */
    const struct tokenizer   *tokenizer;
    int64_t                   now;
};

/* *out is the caller's; NULL on failure. */
calmoe_status cm_chat_prompt_open(struct calmoe_context *ctx, const struct chat_prompt_source *source,
                                  const char *conversation, size_t n_bytes, struct chat_prompt **out);
void          cm_chat_prompt_close(struct chat_prompt **prompt); /* sets it to NULL; NULL is fine */

#endif
