/* answer_channels.c - answers that are messages with headers: <|channel|>analysis<|message|>…<|end|>. A header names
 * the channel and, of a call, the recipient: to=functions.NAME. */
#include <string.h>

#include "runtime/text/answer_parts.h"

/* Where text begins in a header, n where it does not. */
static size_t find(const char *header, size_t n, const char *text)
{
    const char *found = n > 0 ? memmem(header, n, text, strlen(text)) : NULL;
    return found ? (size_t)(found - header) : n;
}

/* The message that a header opens. */
static void open_message(struct answer_parser *p, const char *header, size_t n)
{
    static const char prefix[] = "functions.";
    const size_t      to = find(header, n, "to=");
    cm_answer_pass_mark(p);
    p->state = STATE_TEXT;
    if (to < n && !p->no_calls) {
        const char *name = header + to + 3;
        size_t      n_name = 0;
        while (name + n_name < header + n && !cm_answer_is_white(name[n_name]) && name[n_name] != '<') n_name++;
        const bool has_prefix = n_name > strlen(prefix) && !memcmp(name, prefix, strlen(prefix));
        p->state = STATE_BODY;
        cm_answer_begin_call(p, has_prefix ? name + strlen(prefix) : name,
                             n_name - (has_prefix ? strlen(prefix) : 0));
    } else if (find(header, n, "analysis") < n && !p->no_reasoning) {
        p->state = STATE_THOUGHT;
    }
}

static void close_message(struct answer_parser *p)
{
    if (p->state == STATE_BODY && p->has_name) cm_answer_end_call(p);
    cm_answer_pass_mark(p);
}

static bool step_header(struct answer_parser *p)
{
    const char *const marks[] = { MARK_MESSAGE, MARK_START, MARK_CHANNEL };
    int               which;
    const size_t      n = cm_answer_find(p, marks, 3, &which);
    const char       *text = cm_held(p);
    if (which < 0) { /* kept with the header until the message begins */
        cm_answer_add(p, &p->key, text, n);
        p->at += n;
        return n > 0;
    }
    if (which == 1) p->key.n = 0;
    else cm_answer_add(p, &p->key, text, n);
    p->at += n + strlen(marks[which]);
    if (which == 2) cm_answer_add(p, &p->key, " ", 1);
    if (which != 0) return true;
    open_message(p, p->key.at ? p->key.at : "", p->key.n);
    p->key.n = 0;
    return true;
}

bool cm_answer_step_channels(struct answer_parser *p)
{
    const char *const marks[] = { MARK_END, MARK_RETURN, MARK_CALL, MARK_START, MARK_CHANNEL };
    int               which;
    if (cm_left(p) == 0) return false;
    if (p->state == STATE_HEADER) return step_header(p);
    const size_t n = cm_answer_find(p, marks, 5, &which);
    if (p->state == STATE_BODY) cm_answer_arguments(p, cm_held(p), n);
    else cm_answer_say_prose(p, p->state == STATE_THOUGHT ? ANSWER_REASONING : ANSWER_TEXT, cm_held(p), n);
    p->at += n;
    if (which < 0) return n > 0;
    p->at += strlen(marks[which]);
    close_message(p);
    p->state = STATE_HEADER;
    p->key.n = 0;
    return true;
}
