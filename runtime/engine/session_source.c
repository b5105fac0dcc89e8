/* runtime/engine/session_source.c - where what a session has read comes from: a text and its name, for its files. */
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/sha256.h"
#include "runtime/engine/handles.h"

void cm_session_close_source(calmoe_session *session)
{
    cm_free(session->source.name);
    cm_free(session->source.text);
    session->source = (struct session_source){.name = NULL};
}

calmoe_status cm_session_reserve_source(calmoe_session *session, size_t n_name, size_t n_text)
{
    struct session_source *source = &session->source;
    cm_session_close_source(session);
    source->name = cm_alloc(session->engine->ctx, n_name + 1, 1, "a source");
    source->text = cm_alloc(session->engine->ctx, n_text + 1, 1, "a source");
    source->n_text = n_text;
    if (source->name && source->text) return CALMOE_OK;
    cm_session_close_source(session);
    return CALMOE_NO_MEMORY;
}

static calmoe_status fill(calmoe_session *session, const char *name, const char *text, size_t n_text, bool is_system)
{
    CM_TRY(cm_session_reserve_source(session, strlen(name), n_text));
    memcpy(session->source.name, name, strlen(name));
    if (n_text > 0) memcpy(session->source.text, text, n_text);
    session->source.is_system = is_system;
    return CALMOE_OK;
}

calmoe_status cm_session_copy_source(const calmoe_session *from, calmoe_session *to)
{
    const struct session_source *source = &from->source;
    return source->name ? fill(to, source->name, source->text, source->n_text, source->is_system) : CALMOE_OK;
}

calmoe_status calmoe_session_set_source(calmoe_session *session, const calmoe_source *given)
{
    calmoe_context *ctx = session ? session->engine->ctx : NULL;
    calmoe_source   source = {.size = sizeof source};
    if (!session) return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_session_set_source: a session is needed");
    if (!given) {
        cm_session_close_source(session);
        return CALMOE_OK;
    }
    CM_TRY(cm_options_copy(ctx, "calmoe_source", &source, sizeof source, given));
    const size_t n_name = source.name ? strlen(source.name) : 0;
    if (!source.name || n_name > CM_MAX_SOURCE_NAME || source.n_bytes > CM_MAX_SOURCE_BYTES ||
        (!source.text && source.n_bytes > 0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_session_set_source: a name of %zu bytes and a text of "
                       "%zu; up to %d and %d are wanted", n_name, source.n_bytes, CM_MAX_SOURCE_NAME,
                       CM_MAX_SOURCE_BYTES);
    return fill(session, source.name, source.text, source.n_bytes, source.is_system != 0);
}

calmoe_status calmoe_session_source(const calmoe_session *session, calmoe_source *out)
{
    if (!session || !out || out->size < sizeof out->size)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_source: a session and a source with its size set are needed");
    if (!session->source.name) return CALMOE_END;
    calmoe_source source = {.name = session->source.name, .text = session->source.text,
                            .n_bytes = session->source.n_text, .is_system = session->source.is_system};
    struct sha256 sha = cm_sha256();
    cm_sha256_add(&sha, source.text, source.n_bytes);
    cm_sha256_hex(&sha, source.sha256);
    cm_options_give(out, &source, sizeof source);
    return CALMOE_OK;
}
