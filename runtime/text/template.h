/* runtime/text/template.h - runs a file's chat template on a conversation.
 *
 * Chat templates are small programs in Jinja. This reads and runs the part of that language that makes text out
 * of messages, as Jinja 3.1 does with trim_blocks and lstrip_blocks. Whatever else a template holds is refused by
 * name, when it is read (statements) or when it would run (functions, filters, tools); nothing is passed over. */
#ifndef RUNTIME_TEXT_TEMPLATE_H
#define RUNTIME_TEXT_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct template;

/* Reads a template. UNSUPPORTED with a sentence about the line; NO_MEMORY. The text is copied. */
calmoe_status cm_template_open(struct calmoe_context *ctx, const char *text, size_t n_bytes, struct template **out);
void          cm_template_close(struct template **tmpl); /* sets it to NULL; NULL is fine */

struct template_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content;
};

struct template_input {
    const struct template_message *messages; /* (n_messages) */
    int                            n_messages;
    const char                    *bos, *eos; /* texts of these tokens; NULL: the model has none */
    int64_t                        now;       /* seconds since 1970, for templates that tell the date */
};

/* *out: the text of the conversation with the prompt that asks for an answer, NUL-terminated; the caller frees it
 * with cm_free(). Tools and documents are none, no other variable is defined. UNSUPPORTED: the template asks for
 * something that is not known here, runs into an error of its own, or takes too long; INVALID_ARGUMENT: it refuses
 * the conversation, in words of its own; NO_MEMORY. */
calmoe_status cm_template_render(struct calmoe_context *ctx, const struct template *tmpl,
                                 const struct template_input *input, char **out);

#endif
