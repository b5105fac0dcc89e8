/* runtime/text/chat.h - conversations as tokens, in the form that a model was trained for.
 *
 * A format is learned from the file's chat template by running it (chat_learn.c), or chosen by name. A conversation
 * lives in the KV cache: each turn appends only its own tokens.
 *
 *     turn = { .system = "Be brief.", .user = "first question", .is_first = true };
 *     cm_chat_turn(…, &turn, &list);            feed; generate until cm_token_ends_generation(), which is not fed
 *     turn = { .user = "next question" };
 *     cm_chat_turn(…, &turn, &list);            feed; generate …
 *
 * Where the history holds an answer otherwise than it was generated (some formats drop thoughts), the caller goes
 * back to where its turn began, and feeds that turn anew with is_answered, then cm_chat_answer(), then the next. */
#ifndef RUNTIME_TEXT_CHAT_H
#define RUNTIME_TEXT_CHAT_H

#include "runtime/text/tokenizer.h"

struct chat_format;

/* The format of the file's `tokenizer.chat_template`. OK and *out NULL where it has none or one whose conversations
 * cannot be told: then why, a sentence's second half, says so. now: seconds since 1970, for templates that tell the
 * date. NO_MEMORY. */
calmoe_status cm_chat_format_of_file(struct calmoe_context *ctx, const struct model_file *file,
                                     const struct tokenizer *tokenizer, int64_t now, struct chat_format **out,
                                     char why[CM_MESSAGE_BYTES]);
/* INVALID_ARGUMENT for a name that is not in the list, with the list. */
calmoe_status cm_chat_format_of_name(struct calmoe_context *ctx, const char *name, const struct tokenizer *tokenizer,
                                     struct chat_format **out);
void          cm_chat_format_close(struct chat_format **format);
const char   *cm_chat_format_name(const struct chat_format *format); /* "chatml" */
/* Name i of the list, NULL behind the last. */
const char *cm_chat_format_name_at(int i);

struct chat_turn {
    const char *system;      /* of the first turn; NULL: none, or the format's default */
    const char *user;
    bool        is_first;    /* the conversation begins here: BOS, where file or format has it, goes in */
    bool        is_answered; /* it is part of the history: an answer follows, it is not asked for */
};
/* Appends the tokens of one turn. The format's own texts are parsed for special tokens, system and user text never
 * are. UNSUPPORTED: the format has no place for a system text. On failure the list is as it was. */
calmoe_status cm_chat_turn(struct calmoe_context *ctx, const struct chat_format *format,
                           const struct tokenizer *tokenizer, const struct chat_turn *turn, struct token_list *list);

/* Appends what the history keeps of an answer of n tokens. *differs: the answer's turn and this read otherwise than the
 * turn as it was fed and the answer as it is; else nothing has to be fed anew. */
calmoe_status cm_chat_answer(struct calmoe_context *ctx, const struct chat_format *format,
                             const struct tokenizer *tokenizer, const int32_t *tokens, int n, struct token_list *list,
                             bool *differs);

#endif
