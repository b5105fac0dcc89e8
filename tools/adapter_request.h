/* tools/adapter_request.h - the option --lora: opens adapters for an engine and sets them on a session. An adapter's
 * files say whether it is a LoRA or a prefix, so one option serves for both. */
#ifndef TOOLS_ADAPTER_REQUEST_H
#define TOOLS_ADAPTER_REQUEST_H

#include <calmoe/adapter.h>
#include <stdbool.h>

#include "tools/cli.h"

struct front;

struct adapters { /* zeroed = none */
    calmoe_adapter *open[CALMOE_MAX_ADAPTERS];
    float           scales[CALMOE_MAX_ADAPTERS];
    int             n;
};

/* Opens each FILE or FILE:SCALE. SCALE is the number after the last colon, unless a file with the whole name exists.
 * False, with a sentence on stderr; the caller closes the adapters in that case too. */
bool cm_adapters_open(const struct front *front, const struct cli_list *wanted, struct adapters *out);
/* Makes the session, which has no tokens yet, use them. False with a sentence. */
bool cm_adapters_use(const struct front *front, const struct adapters *adapters, calmoe_session *session);
void cm_adapters_close(struct adapters *adapters); /* before the engine is closed */

#endif
