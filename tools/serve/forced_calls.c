/* tools/serve/forced_calls.c - see forced_calls.h. */
#include "tools/serve/forced_calls.h"

#include <stdlib.h>
#include <string.h>

bool cm_tell_answer(calmoe_answer_fn on_event, void *user, int kind, const char *text, size_t n)
{
    char *const copy = malloc(n + 1);
    if (copy == NULL) return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    on_event(user, &(calmoe_answer_event){.kind = kind, .text = copy, .n_bytes = n, .id = ""});
    free(copy);
    return true;
}

static void tell(struct forced_calls *forced, int kind, const char *text, size_t n)
{
    if (!cm_tell_answer(forced->on_event, forced->on_event_user, kind, text, n)) forced->failed = true;
}

/* Collects the head of the call until the text after the name is complete; returns how many bytes of the piece belong
 * to it. */
static size_t take_head(struct forced_calls *forced, const char *text, size_t n)
{
    static const char before[] = "{\"name\": \"", behind[] = "\", \"arguments\": ";
    for (size_t i = 0; i < n; i++) {
        if (!cm_bytes_append(&forced->head, text + i, 1)) {
            forced->failed = true;
            return n;
        }
        const size_t n_head = forced->head.n;
        if (n_head < sizeof before + sizeof behind - 2 ||
            memcmp(forced->head.at + n_head - (sizeof behind - 1), behind, sizeof behind - 1) != 0)
            continue;
        forced->has_name = true;
        tell(forced, CALMOE_ANSWER_CALL_BEGIN, forced->head.at + sizeof before - 1,
             n_head - (sizeof before - 1) - (sizeof behind - 1));
        return i + 1;
    }
    return n;
}

/* How many bytes of the piece belong to the arguments, which end with the brace that closes the first one. */
static size_t take_arguments(struct forced_calls *forced, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char byte = text[i];
        if (forced->is_escaped) forced->is_escaped = false;
        else if (forced->in_text && byte == '\\') forced->is_escaped = true;
        else if (byte == '"') forced->in_text = !forced->in_text;
        else if (!forced->in_text && (byte == '{' || byte == '[')) forced->depth++;
        else if (!forced->in_text && (byte == '}' || byte == ']') && --forced->depth == 0) {
            forced->is_done = true;
            return i + 1;
        }
    }
    return n;
}

void cm_forced_calls_take(void *user, const calmoe_answer_event *event)
{
    struct forced_calls *const forced = user;
    if (event->kind != CALMOE_ANSWER_TEXT) {
        forced->on_event(forced->on_event_user, event);
        return;
    }
    const size_t n_head = forced->has_name ? 0 : take_head(forced, event->text, event->n_bytes);
    if (!forced->has_name || forced->is_done || forced->failed) return;
    const size_t n = take_arguments(forced, event->text + n_head, event->n_bytes - n_head);
    if (n > 0) tell(forced, CALMOE_ANSWER_CALL_ARGUMENTS, event->text + n_head, n);
    if (forced->is_done) tell(forced, CALMOE_ANSWER_CALL_END, "", 0);
}

void cm_forced_calls_close(struct forced_calls *forced) { cm_bytes_close(&forced->head); }
