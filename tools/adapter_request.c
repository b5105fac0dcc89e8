/* tools/adapter_request.c - see adapter_request.h. */
#include "tools/adapter_request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/front.h"

/* Removes the scale from the end of text, which is a copy. */
static float take_scale(char *text)
{
    char *const colon = strrchr(text, ':');
    char       *end;
    if (colon == NULL || colon[1] == '\0' || access(text, F_OK) == 0) return 1;
    const float scale = strtof(colon + 1, &end);
    if (*end != '\0' || !isfinite(scale)) return 1;
    *colon = '\0';
    return scale;
}

bool cm_adapters_open(const struct front *front, const struct cli_list *wanted, struct adapters *out)
{
    if (wanted->n > CALMOE_MAX_ADAPTERS) {
        cm_say("option '--lora' is given %d times; at most %d adapters are used together", wanted->n,
               CALMOE_MAX_ADAPTERS);
        return false;
    }
    for (int i = 0; i < wanted->n; i++) {
        char *const path = strdup(wanted->values[i]);
        if (path == NULL) {
            cm_say("no memory for the name of an adapter");
            return false;
        }
        out->scales[i] = take_scale(path);
        const calmoe_status status = calmoe_adapter_open(front->engine, path, &out->open[i]);
        free(path);
        if (!cm_front_succeeded(front, status)) return false;
        out->n++;
    }
    return true;
}

bool cm_adapters_use(const struct front *front, const struct adapters *adapters, calmoe_session *session)
{
    return adapters->n == 0 ||
           cm_front_succeeded(front, calmoe_session_set_adapters(session, adapters->open, adapters->scales,
                                                                 adapters->n));
}

void cm_adapters_close(struct adapters *adapters)
{
    for (int i = 0; i < adapters->n; i++) calmoe_adapter_close(&adapters->open[i]);
    adapters->n = 0;
}
