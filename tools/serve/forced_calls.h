/* tools/serve/forced_calls.h - reads calls in a plain form, {"name": "…", "arguments": {…}}, which every model can be
 * made to write. It is used when a tool must be called and the model's own form of calls is not JSON. */
#ifndef TOOLS_SERVE_FORCED_CALLS_H
#define TOOLS_SERVE_FORCED_CALLS_H

#include <calmoe/chat.h>

#include "tools/front.h"

#define FORCED_CALL_NAME  "NAME"
#define FORCED_CALL_BEGIN "{\"name\": \"NAME\", \"arguments\": "
#define FORCED_CALL_END   "}"

/* Stands between a parser of answers and the receiver of its events, and turns texts into calls. Zeroed at first,
 * except for the receiver. */
struct forced_calls {
    calmoe_answer_fn on_event;
    void            *on_event_user;
    struct bytes     head;      /* beginning of a call whose name is not complete yet */
    int              depth;     /* nesting of braces and brackets in the arguments; 0 = outside of them */
    bool             has_name, in_text, is_escaped, is_done;
    bool             failed;    /* there was no memory                   */
};
void cm_forced_calls_take(void *forced_calls, const calmoe_answer_event *event);
/* Passes on an event with that text (n bytes), to which a NUL is appended. False if there is no memory. */
bool cm_tell_answer(calmoe_answer_fn on_event, void *user, int kind, const char *text, size_t n);
void cm_forced_calls_close(struct forced_calls *forced);

#endif
