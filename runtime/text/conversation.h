/* runtime/text/conversation.h - a conversation in JSON (calmoe/chat.h) as what templates see of it. */
#ifndef RUNTIME_TEXT_CONVERSATION_H
#define RUNTIME_TEXT_CONVERSATION_H

#include "runtime/documents/json.h"
#include "runtime/text/chat_format.h"
#include "runtime/text/template.h"

struct conversation { /* members point to one another: it stays where it is */
    struct json_document document;
    struct json_value    root, messages;
    size_t               n_bytes;
    size_t               last_user;       /* the last message of a user's; SIZE_MAX: there is none           */
    bool                 asks;            /* an answer is asked for                                         */
    bool                 goes_on;         /* the last message is the beginning of an answer                 */
    bool                 knows_developer; /* the template has a role of that name: set before it is rendered */
    bool                 knows_thinking;  /* and a member of messages                                       */
    const struct chat_format *format;     /* of the table; NULL: a template is used                         */
};

/* INVALID_ARGUMENT: where, found, wanted. *out is closed by the caller, on failure too. */
calmoe_status cm_conversation_open(struct calmoe_context *ctx, const char *text, size_t n_bytes,
                                   struct conversation *out);
void          cm_conversation_close(struct conversation *conversation);

/* Defines the variables of a rendering; for template_input.define, user is a conversation. INVALID_ARGUMENT;
 * UNSUPPORTED: a part of a message that is no text. */
calmoe_status cm_conversation_define(struct run *run, const void *user);
/* Writes the conversation in its format; for cm_template_print(). UNSUPPORTED: what it has no place for. */
calmoe_status cm_conversation_in_format(struct run *run, const void *user);

#endif
