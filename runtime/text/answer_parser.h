/* runtime/text/answer_parser.h - the text of an answer, as it comes, as texts, thoughts and calls (calmoe/chat.h). */
#ifndef RUNTIME_TEXT_ANSWER_PARSER_H
#define RUNTIME_TEXT_ANSWER_PARSER_H

#include "runtime/text/answer_forms.h"
#include "runtime/text/chat_prompt.h"

enum answer_kind { ANSWER_TEXT, ANSWER_REASONING, ANSWER_CALL_BEGIN, ANSWER_CALL_ARGUMENTS, ANSWER_CALL_END };

struct answer_told { /* one event */
    enum answer_kind kind;
    const char      *text; /* (n) whole characters, and a NUL */
    size_t           n;
    int              call;
    const char      *id;   /* of CALL_BEGIN, "" where the model wrote none */
};
typedef void (*answer_fn)(void *user, const struct answer_told *told);

struct answer_source {
    const char               *tmpl;     /* (n_tmpl) the template, which tells the forms */
    size_t                    n_tmpl;
    const struct tokenizer   *tokenizer;
    const struct chat_prompt *prompt;   /* NULL: none                                   */
    answer_fn                 tell;
    void                     *user;
    bool                      no_calls, no_reasoning;
};

struct answer_parser;

calmoe_status cm_answer_parser_open(struct calmoe_context *ctx, const struct answer_source *source,
                                    struct answer_parser **out);
void          cm_answer_parser_close(struct answer_parser **parser); /* sets it to NULL; NULL is fine */
calmoe_status cm_answer_parser_put(struct answer_parser *parser, const char *bytes, size_t n, bool is_control);
calmoe_status cm_answer_parser_put_token(struct answer_parser *parser, int32_t token);
calmoe_status cm_answer_parser_finish(struct answer_parser *parser);
bool          cm_answer_parser_in_text(const struct answer_parser *parser);

#endif
