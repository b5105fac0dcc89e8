/* runtime/text/template.h - runs a file's chat template on a conversation.
 *
 * Chat templates are small programs in Jinja. This reads and runs what such templates use of that language, as Jinja
 * 3.1 does with trim_blocks and lstrip_blocks. Whatever else a template holds is refused by name, when it is read
 * (statements) or when it would run (functions, filters, tests); nothing is passed over. */
#ifndef RUNTIME_TEXT_TEMPLATE_H
#define RUNTIME_TEXT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct template;
struct run;

/* Reads a template. UNSUPPORTED with a sentence about the line; NO_MEMORY. The text is copied. */
calmoe_status cm_template_open(struct calmoe_context *ctx, const char *text, size_t n_bytes, struct template **out);
void          cm_template_close(struct template **tmpl); /* sets it to NULL; NULL is fine */

struct template_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content;
};

struct template_input {
    const struct template_message *messages; /* (n_messages) not looked at where define is set */
    int                            n_messages;
    const char                    *bos, *eos; /* texts of these tokens; NULL: the model has none */
    int64_t                        now;       /* seconds since 1970, for templates that tell the date */
    /* NULL, or what defines messages and other variables (conversation.c). */
    calmoe_status (*define)(struct run *run, const void *user);
    const void                    *user;
    size_t                         n_bytes;   /* about the size of what it defines */
};

enum template_mark { /* of a byte: who wrote it */
    MARK_TEMPLATE, MARK_CONVERSATION,
    MARK_LAST_USER, /* the conversation, in the last user's text    */
    MARK_PREFILL    /* the conversation, in the answer that goes on */
};

struct template_text {
    char          *text;  /* (n) and a NUL                */
    unsigned char *marks; /* (n) enum template_mark       */
    size_t         n;
};
void cm_template_text_close(struct template_text *text);

/* The text of the conversation; where input->define is NULL, with the prompt that asks for an answer, tools and
 * documents none and no other variable. UNSUPPORTED: the template asks for something that is not known here, runs
 * into an error of its own, or takes too long; INVALID_ARGUMENT: it refuses the conversation, in words of its own;
 * NO_MEMORY. *out is the caller's; zeroed on failure. */
calmoe_status cm_template_render(struct calmoe_context *ctx, const struct template *tmpl,
                                 const struct template_input *input, struct template_text *out);
/* The same for what print writes with the means of a rendering (template_parts.h) instead of a template. */
calmoe_status cm_template_print(struct calmoe_context *ctx, const struct template_input *input,
                                calmoe_status (*print)(struct run *run, const void *user), const void *user,
                                struct template_text *out);

#endif
