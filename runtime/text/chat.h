/* runtime/text/chat.h - the literal turn formats of published models, one row each, chosen by the
 * markers in the file's chat template (no template engine).
 *
 * A conversation lives in the KV cache: each turn appends only its own tokens.
 *
 *     cm_chat_turn(…, system, "first question", true, false, &list);   feed; generate until
 *                                                                      cm_token_ends_generation()
 *     cm_chat_turn(…, NULL, "next question", false, fed, &list);       feed; generate …
 *
 * fed: the token that ended the answer was fed to the model too. Usually it was not, nor is there one
 * where the answer was cut short; then the turn begins with the tokens that close the answer. */
#ifndef RUNTIME_TEXT_CHAT_H
#define RUNTIME_TEXT_CHAT_H

#include "runtime/text/tokenizer.h"

struct chat_format; /* a row of the table */

/* The row whose marker stands in the file's `tokenizer.chat_template`, or NULL where there is no
 * template or none that is known. */
const struct chat_format *cm_chat_format_of_file(const struct model_file *file);
const struct chat_format *cm_chat_format_of_name(const char *name);
/* Row i of the table, NULL behind the last. */
const struct chat_format *cm_chat_format_at(int i);
const char *cm_chat_format_name(const struct chat_format *format); /* "chatml" */

/* Appends the tokens of one user turn and of the prompt that opens the answer. The markers are parsed
 * as special tokens, system and user text never are. is_first: the conversation begins here (BOS,
 * where the file or the format has it, and the system text go in). system may be NULL, and is not
 * looked at later. previous_ended: the ending of the previous answer is in the cache, see above.
 * On failure the list is as it was. */
calmoe_status cm_chat_turn(struct calmoe_context *ctx, const struct chat_format *format,
                           const struct tokenizer *tokenizer, const char *system, const char *user,
                           bool is_first, bool previous_ended, struct token_list *list);

#endif
