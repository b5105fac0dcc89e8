/* context.c - contexts, which hold the last sentences and the log callback. */
#include <calmoe/context.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"

const char *calmoe_version(void)
{
    return CALMOE_VERSION_TEXT;
}

void calmoe_context_options_init(calmoe_context_options *options)
{
    if (options) *options = (calmoe_context_options){.size = sizeof *options};
}

calmoe_status calmoe_context_open(const calmoe_context_options *options, calmoe_context **out)
{
    if (!out) return CALMOE_INVALID_ARGUMENT;
    *out = NULL;

    calmoe_context_options chosen;
    calmoe_context_options_init(&chosen);
    CM_TRY(cm_options_copy(NULL, "context options", &chosen, sizeof chosen, options));

    struct calmoe_context *ctx = cm_alloc(NULL, 1, sizeof *ctx, "a context");
    if (!ctx) return CALMOE_NO_MEMORY;
    ctx->log = chosen.log;
    ctx->log_user = chosen.log_user;
    *out = ctx;
    return CALMOE_OK;
}

void calmoe_context_close(calmoe_context **context)
{
    if (!context) return;
    cm_free(*context);
    *context = NULL;
}

/* A program may ask because it could not open a context; then it should not print an empty line. */
const char *calmoe_context_message(const calmoe_context *context)
{
    return context ? cm_message(context) : "no context: it was never opened, or could not be";
}
