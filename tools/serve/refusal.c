/* tools/serve/refusal.c - see refusal.h. */
#include "tools/serve/refusal.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "tools/serve/json_writer.h"

/* The names by which clients know these statuses. */
static const char *type_of(const struct refusal *refusal)
{
    static const struct { int status; const char *type; } types[] = {
        {400, "invalid_request_error"}, {401, "authentication_error"}, {403, "permission_error"},
        {404, "not_found_error"},       {405, "invalid_request_error"}, {413, "invalid_request_error"},
        {415, "invalid_request_error"},
        {429, "rate_limit_error"},      {500, "server_error"},         {501, "not_supported_error"},
        {503, "unavailable_error"},
    };
    if (refusal->type != NULL) return refusal->type;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].status == refusal->status) return types[i].type;
    return "server_error";
}

bool cm_refuse(struct refusal *refusal, int status, const char *param, const char *format, ...)
{
    va_list arguments;
    if (refusal->status != 0) return false;
    refusal->status = status;
    if (param != NULL) (void)snprintf(refusal->param, sizeof refusal->param, "%s", param);
    va_start(arguments, format);
    (void)vsnprintf(refusal->message, sizeof refusal->message, format, arguments);
    va_end(arguments);
    return false;
}

bool cm_refuse_memory(struct refusal *refusal)
{
    return cm_refuse(refusal, 500, NULL, "the server has no memory for this request");
}

bool cm_refuse_length(struct refusal *refusal, int n_prompt_tokens, int n_context)
{
    if (refusal->status != 0) return false;
    refusal->type            = "exceed_context_size_error";
    refusal->n_prompt_tokens = n_prompt_tokens;
    refusal->n_context       = n_context;
    return cm_refuse(refusal, 400, NULL,
                     "the request exceeds the available context size: the prompt has %d tokens, the context %d",
                     n_prompt_tokens, n_context);
}

void cm_refusal_write(struct json_writer *writer, const struct refusal *refusal)
{
    cm_write_object(writer, NULL);
    cm_write_object(writer, "error");
    cm_write_integer(writer, "code", refusal->status);
    cm_write_text(writer, "message", refusal->message);
    cm_write_text(writer, "type", type_of(refusal));
    if (refusal->param[0] != '\0') cm_write_text(writer, "param", refusal->param);
    if (refusal->n_context > 0) {
        cm_write_integer(writer, "n_prompt_tokens", refusal->n_prompt_tokens);
        cm_write_integer(writer, "n_ctx", refusal->n_context);
    }
    cm_write_end_object(writer);
    cm_write_end_object(writer);
}

void cm_refusal_write_typed(struct json_writer *writer, const struct refusal *refusal)
{
    const char *type = refusal->status == 500 ? "api_error" : refusal->status == 503 ? "overloaded_error"
                       : refusal->n_context > 0 ? "invalid_request_error" : type_of(refusal);
    char        message[100];
    cm_write_object(writer, NULL);
    cm_write_text(writer, "type", "error");
    cm_write_object(writer, "error");
    cm_write_text(writer, "type", type);
    /* Agents look for these words, and then shorten their conversation. */
    if (refusal->n_context > 0)
        (void)snprintf(message, sizeof message, "prompt is too long: %d tokens > %d maximum", refusal->n_prompt_tokens,
                       refusal->n_context);
    cm_write_text(writer, "message", refusal->n_context > 0 ? message : refusal->message);
    cm_write_end_object(writer);
    cm_write_end_object(writer);
}
