/* tests/support/wrong_calls.h - calls of the API with arguments that are wrong: one of each thing to call them with,
 * and what they must answer. For test programs, each of which includes it once. */
#ifndef TESTS_SUPPORT_WRONG_CALLS_H
#define TESTS_SUPPORT_WRONG_CALLS_H

#include <stdbool.h>

#include "base/status.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"

static struct running r; /* one of each kind */

/* The status, and a sentence that is new. */
static inline void check(const char *call, calmoe_status status, calmoe_status wanted, bool has_context)
{
    if (status != wanted)
        fail_msg("%s: %s, not %s", call, calmoe_status_name(status), calmoe_status_name(wanted));
    if (has_context && calmoe_context_message(r.context)[0] == '\0') fail_msg("%s: no sentence", call);
    r.context->message[0] = '\0';
}

#define WRONG(call) check(#call, call, CALMOE_INVALID_ARGUMENT, true)
#define WRONG_WITHOUT_CONTEXT(call) check(#call, call, CALMOE_INVALID_ARGUMENT, false)
#define GIVES(call, status) check(#call, call, CALMOE_##status, true)
#define GIVES_SILENTLY(call, status) check(#call, call, CALMOE_##status, false)

static inline int open_all(void **state)
{
    const calmoe_engine_options options = running_options(1, NULL);
    open_folder_with_tiny(state);
    r = running_open(tiny_path, &options, NULL);
    return 0;
}

static inline int close_all(void **state)
{
    (void)state;
    running_close(&r);
    temp_folder_close(&folder);
    return 0;
}

#endif
