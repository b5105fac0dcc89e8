/* tools/adapter_request.h - the option --lora: adapters, opened for an engine and used by a session. What an adapter
 * is, LoRA or prefix, its files say, so all go by one option, as by one function of the library. */
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

/* Opens FILE or FILE:SCALE each; a SCALE is a number behind the last colon, unless a file of the whole name is there.
 * False with a sentence on stderr; closed by the caller then, too. */
bool cm_adapters_open(const struct front *front, const struct cli_list *wanted, struct adapters *out);
/* The session, which has no tokens yet, uses them. False with a sentence. */
bool cm_adapters_use(const struct front *front, const struct adapters *adapters, calmoe_session *session);
void cm_adapters_close(struct adapters *adapters); /* before the engine */

#endif
