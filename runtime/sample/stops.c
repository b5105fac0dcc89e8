/* stops.c - calmoe/stops.h: texts that end an answer, and what may be the beginning of one. */
#include <calmoe/stops.h>

#include <string.h>

#include "base/memory.h"
#include "base/status.h"

struct calmoe_stops {
    calmoe_context *ctx;
    int     n;
    char  **texts;     /* (n)                                                  */
    size_t *n_bytes;   /* (n) of each                                          */
    char   *held;      /* (capacity): shown bytes that were lent, then held ones */
    size_t  n_lent, n_held, capacity;
};

static calmoe_status copy_texts(calmoe_stops *stops, const char *const *texts, const size_t *n_bytes, int n)
{
    stops->texts = cm_alloc(stops->ctx, (size_t)n, sizeof *stops->texts, "stop texts");
    stops->n_bytes = cm_alloc(stops->ctx, (size_t)n, sizeof *stops->n_bytes, "stop texts");
    if (!stops->texts || !stops->n_bytes) return CALMOE_NO_MEMORY;
    for (; stops->n < n; stops->n++) {
        const int    i = stops->n;
        const size_t length = !texts[i] ? 0 : n_bytes ? n_bytes[i] : strlen(texts[i]);
        if (length == 0) return cm_fail(stops->ctx, CALMOE_INVALID_ARGUMENT, "stop text %d is empty", i);
        stops->n_bytes[i] = length;
        stops->texts[i] = cm_copy_text(stops->ctx, texts[i], length);
        if (!stops->texts[i]) return CALMOE_NO_MEMORY;
    }
    return CALMOE_OK;
}

calmoe_status calmoe_stops_open(calmoe_context *ctx, const char *const *texts, const size_t *n_bytes, int n,
                                calmoe_stops **out)
{
    if (out) *out = NULL;
    if (!ctx || !out || n < 0 || (n > 0 && !texts))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_stops_open: context, texts and out are needed");
    calmoe_stops *stops = cm_alloc(ctx, 1, sizeof *stops, "stop texts");
    if (!stops) return CALMOE_NO_MEMORY;
    stops->ctx = ctx;
    const calmoe_status status = copy_texts(stops, texts, n_bytes, n);
    if (status != CALMOE_OK) calmoe_stops_close(&stops);
    *out = stops;
    return status;
}

void calmoe_stops_close(calmoe_stops **stops)
{
    if (!stops || !*stops) return;
    for (int i = 0; (*stops)->texts && i < (*stops)->n; i++) cm_free((*stops)->texts[i]);
    cm_free((*stops)->texts);
    cm_free((*stops)->n_bytes);
    cm_free((*stops)->held);
    cm_free(*stops);
    *stops = NULL;
}

/* What was lent goes, and the text is added to what is held. */
static calmoe_status add(calmoe_stops *stops, const char *text, size_t n_bytes)
{
    if (stops->n_lent > 0) memmove(stops->held, stops->held + stops->n_lent, stops->n_held);
    stops->n_lent = 0;
    if (n_bytes > stops->capacity - stops->n_held) {
        size_t capacity;
        if (!cm_add(stops->n_held, n_bytes, &capacity) || !cm_add(capacity, capacity + 256, &capacity))
            return cm_fail(stops->ctx, CALMOE_NO_MEMORY, "no memory for an answer's text");
        CM_TRY(cm_grow(stops->ctx, &stops->held, stops->n_held, capacity, 1, "an answer's text"));
        stops->capacity = capacity;
    }
    if (n_bytes > 0) memcpy(stops->held + stops->n_held, text, n_bytes);
    stops->n_held += n_bytes;
    return CALMOE_OK;
}

/* The stop text that begins first in what is held, -1: none does. */
static int find(const calmoe_stops *stops, size_t *at)
{
    int found = -1;
    for (int i = 0; i < stops->n && stops->n_held > 0; i++) {
        const char *begin = memmem(stops->held, stops->n_held, stops->texts[i], stops->n_bytes[i]);
        if (!begin || (found >= 0 && (size_t)(begin - stops->held) >= *at)) continue;
        *at = (size_t)(begin - stops->held);
        found = i;
    }
    return found;
}

/* How many bytes at the end of what is held may be the beginning of a stop text. */
static size_t n_in_doubt(const calmoe_stops *stops)
{
    size_t longest = 0;
    for (int i = 0; i < stops->n; i++) {
        size_t most = stops->n_bytes[i] - 1;
        if (most > stops->n_held) most = stops->n_held;
        for (size_t n = most; n > longest; n--)
            if (memcmp(stops->held + stops->n_held - n, stops->texts[i], n) == 0) longest = n;
    }
    return longest;
}

static void lend(calmoe_stops *stops, size_t n, const char **shown, size_t *n_shown)
{
    *shown = stops->held ? stops->held : "";
    *n_shown = stops->n_lent = n;
    stops->n_held -= n;
}

calmoe_status calmoe_stops_put(calmoe_stops *stops, const char *text, size_t n_bytes, const char **shown,
                               size_t *n_shown, int *which)
{
    if (!stops || (!text && n_bytes > 0) || !shown || !n_shown)
        return cm_fail(stops ? stops->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_stops_put: stops, text, shown and n_shown are needed");
    CM_TRY(add(stops, text, n_bytes));
    size_t    at = 0;
    const int found = find(stops, &at);
    if (which) *which = found;
    lend(stops, found >= 0 ? at : stops->n_held - n_in_doubt(stops), shown, n_shown);
    if (found < 0) return CALMOE_OK;
    stops->n_held = 0;
    return CALMOE_END;
}

void calmoe_stops_end(calmoe_stops *stops, const char **shown, size_t *n_shown)
{
    if (!stops || !shown || !n_shown) return;
    (void)add(stops, "", 0);
    lend(stops, stops->n_held, shown, n_shown);
}
