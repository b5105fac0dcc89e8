/* tools/serve/forced_calls.h - calls in a form that all models can be made to write: where a tool must be called, and
 * the model's own form is no JSON. */
#ifndef TOOLS_SERVE_FORCED_CALLS_H
#define TOOLS_SERVE_FORCED_CALLS_H

#include <calmoe/chat.h>

#include "tools/front.h"

#define FORCED_CALL_NAME  "NAME"
#define FORCED_CALL_BEGIN "{\"name\": \"NAME\", \"arguments\": "
#define FORCED_CALL_END   "}"

/* Zeroed, but for whom it tells. Puts in between a parser of answers and who takes its events: texts become calls. */
struct forced_calls {
    calmoe_answer_fn on_event;
    void            *on_event_user;
    struct bytes     head;      /* of a call whose name is not whole yet */
    int              depth;     /* of braces and brackets in arguments; 0 = outside of them */
    bool             has_name, in_text, is_escaped, is_done;
    bool             failed;    /* no memory                             */
};
void cm_forced_calls_take(void *forced_calls, const calmoe_answer_event *event);
/* Tells of an event of that text (n bytes), which ends with a NUL then. False without memory. */
bool cm_tell_answer(calmoe_answer_fn on_event, void *user, int kind, const char *text, size_t n);
void cm_forced_calls_close(struct forced_calls *forced);

#endif
