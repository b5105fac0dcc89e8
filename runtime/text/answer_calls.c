/* answer_calls.c - calls of tools in an answer: what all forms have in common, and those that write arguments in
 * JSON. */
#include <stdio.h>
#include <string.h>

#include "runtime/text/answer_parts.h"
#include "runtime/text/utf8.h"

/* ---- what all forms have in common ---- */

void cm_answer_open_body(struct answer_parser *p, enum answer_body how)
{
    p->state = STATE_BODY;
    p->how = how;
    p->stage = 0;
    p->has_name = p->in_array = false;
    p->name.n = p->early.n = p->id.n = p->key.n = 0;
}

void cm_answer_close_body(struct answer_parser *p)
{
    p->state = STATE_TEXT;
    p->opener = SIZE_MAX;
    p->has_name = false;
    cm_answer_pass_mark(p);
}

void cm_answer_no_call(struct answer_parser *p)
{
    const size_t opener = p->opener;
    if (opener == SIZE_MAX) { /* behind a call that was one: what stands here is text again */
        cm_answer_close_body(p);
        return;
    }
    p->at = p->body;
    p->state = p->in_thought ? STATE_THOUGHT : STATE_TEXT;
    p->opener = SIZE_MAX;
    p->has_begun = true; /* so that it is not taken for a call again */
    cm_answer_say_prose(p, p->in_thought ? ANSWER_REASONING : ANSWER_TEXT, p->held.at + opener, p->body - opener);
}

/* The rows of a tool without parameters have none. */
bool cm_answer_knows_tool(const struct answer_parser *p, const char *name, size_t n)
{
    for (size_t i = 0; i < p->parameters.n; i++) {
        const char *known = p->parameters.list[i].function;
        if (strlen(known) == n && !memcmp(known, name, n)) return true;
    }
    return false;
}

void cm_answer_begin_call(struct answer_parser *p, const char *name, size_t n)
{
    cm_answer_pass_mark(p);
    p->opener = SIZE_MAX;
    p->in_thought = false;
    p->has_name = true;
    p->n_keys = 0;
    p->n_calls++;
    if (p->id.n > 0) { /* a NUL behind it */
        cm_answer_add(p, &p->id, "", 1);
        p->id.n--;
    }
    cm_answer_say(p, ANSWER_CALL_BEGIN, name, n);
    p->id.n = 0;
}

void cm_answer_end_call(struct answer_parser *p)
{
    cm_answer_say(p, ANSWER_CALL_END, "", 0);
    p->has_name = false;
    cm_answer_pass_mark(p);
}

void cm_answer_arguments(struct answer_parser *p, const char *bytes, size_t n)
{
    if (p->has_name) cm_answer_say(p, ANSWER_CALL_ARGUMENTS, bytes, n);
    else cm_answer_add(p, &p->early, bytes, n);
}

void cm_answer_escaped(struct answer_parser *p, const char *bytes, size_t n)
{
    static const char names[] = "\"\\nrtbf", values[] = "\"\\\n\r\t\b\f";
    size_t            begin = 0;
    char              text[8];
    for (size_t at = 0; at < n; at++) {
        const char *value = bytes[at] ? strchr(values, bytes[at]) : NULL;
        if (!value && (unsigned char)bytes[at] >= 0x20) continue;
        cm_answer_arguments(p, bytes + begin, at - begin);
        begin = at + 1;
        const int length = value ? snprintf(text, sizeof text, "\\%c", names[value - values])
                                 : snprintf(text, sizeof text, "\\u%04x", (unsigned)(unsigned char)bytes[at]);
        cm_answer_arguments(p, text, (size_t)length);
    }
    cm_answer_arguments(p, bytes + begin, n - begin);
}

void cm_answer_key(struct answer_parser *p, const char *key, size_t n)
{
    if (p->n_keys++ > 0) cm_answer_arguments(p, ", ", 2);
    cm_answer_arguments(p, "\"", 1);
    cm_answer_escaped(p, key, n);
    cm_answer_arguments(p, "\": ", 3);
}

/* ---- values in JSON ---- */

/* Looks at the next byte of a value. 1: it is the last; 0: it belongs to it; -1: it is behind it. */
static int scan_byte(struct value_scan *scan, char c)
{
    if (scan->is_plain) return cm_answer_is_white(c) || c == ',' || c == '}' || c == ']' || c == '<' ? -1 : 0;
    if (scan->in_text) {
        const bool ends = c == '"' && !scan->is_escaped;
        scan->is_escaped = c == '\\' && !scan->is_escaped;
        scan->in_text = !ends;
        return ends && scan->depth == 0;
    }
    if (c == '"') scan->in_text = true;
    else if (c == '{' || c == '[') scan->depth++;
    else if (c == '}' || c == ']') return --scan->depth <= 0;
    else if (scan->depth == 0) scan->is_plain = true;
    return 0;
}

/* Bytes of a value that are held, up to its end where that is among them. */
static size_t scan_value(struct answer_parser *p, bool *ended)
{
    *ended = false;
    for (size_t at = 0; at < cm_left(p); at++) {
        const int found = scan_byte(&p->scan, cm_held(p)[at]);
        *ended = found != 0;
        if (*ended) return found > 0 ? at + 1 : at;
    }
    return cm_left(p);
}

bool cm_answer_pass_value(struct answer_parser *p, bool *ended)
{
    const size_t n = scan_value(p, ended);
    cm_answer_arguments(p, cm_held(p), n);
    p->at += n;
    return n > 0 || *ended;
}

/* The value of four hexadecimal digits. */
static uint32_t hexadecimal(const char *text, size_t n)
{
    uint32_t value = 0;
    for (size_t i = 0; i < 4 && i < n; i++) {
        const char c = text[i];
        value = value * 16 + (uint32_t)(c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                        : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 0);
    }
    return value;
}

/* What \uhhhh at text stands for; a pair of them may be one character. */
static size_t unescape_point(struct answer_parser *p, const char *text, size_t n, struct answer_text *out)
{
    char     bytes[4];
    size_t   n_read = n < 6 ? n : 6;
    uint32_t point = n > 2 ? hexadecimal(text + 2, n - 2) : 0;
    if (point >= 0xd800 && point < 0xdc00 && n >= 12 && text[6] == '\\' && text[7] == 'u') {
        const uint32_t low = hexadecimal(text + 8, 4);
        if (low >= 0xdc00 && low < 0xe000) {
            point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
            n_read = 12;
        }
    }
    if (point >= 0xd800 && point < 0xe000) point = 0xfffd;
    cm_answer_add(p, out, bytes, (size_t)cm_utf8_write(point, bytes));
    return n_read;
}

/* What a text of JSON, without its quotes, stands for. */
static void unescape(struct answer_parser *p, const char *text, size_t n, struct answer_text *out)
{
    static const char names[] = "nrtbf", values[] = "\n\r\t\b\f";
    out->n = 0;
    for (size_t at = 0; at < n;) {
        if (text[at] != '\\' || at + 1 == n) {
            cm_answer_add(p, out, text + at++, 1);
        } else if (text[at + 1] == 'u') {
            at += unescape_point(p, text + at, n - at, out);
        } else {
            const char *name = text[at + 1] ? strchr(names, text[at + 1]) : NULL;
            cm_answer_add(p, out, name ? values + (name - names) : text + at + 1, 1);
            at += 2;
        }
    }
}

/* Takes a whole text in quotes into out. 0: more is needed; -1: there is none here. */
static int take_text(struct answer_parser *p, struct answer_text *out)
{
    bool ended;
    if (cm_left(p) == 0) return 0;
    if (*cm_held(p) != '"') return -1;
    p->scan = (struct value_scan){ .depth = 0 };
    const size_t n = scan_value(p, &ended);
    if (!ended) return p->at_end ? -1 : 0;
    unescape(p, cm_held(p) + 1, n - 2, out);
    p->at += n;
    return 1;
}

/* ---- {"name": N, "arguments": {…}} ---- */

enum { JSON_SEEK, JSON_KEY, JSON_COLON, JSON_NAME, JSON_ARGUMENTS, JSON_PASS, JSON_OTHER };

static bool is_key(const struct answer_parser *p, const char *name)
{
    return p->key.n == strlen(name) && !memcmp(p->key.at, name, p->key.n);
}

/* Between objects: one more, or the end. */
static bool seek_object(struct answer_parser *p)
{
    const char *close = p->is_unmarked ? NULL : p->form->call_close;
    bool        may = false;
    cm_answer_skip_white(p);
    if (cm_left(p) == 0) return false;
    const char c = *cm_held(p);
    if (close && cm_answer_sees(p, close, &may)) {
        if (p->opener != SIZE_MAX) {
            cm_answer_no_call(p);
            return true;
        }
        p->at += strlen(close);
        cm_answer_close_body(p);
        return true;
    }
    if (may) return false;
    if (c == '[' || c == ',' || c == ']') {
        p->at++;
        p->in_array = c != ']';
        if (c == ']' && !close) cm_answer_close_body(p);
    } else if (c == '{') {
        p->at++;
        p->stage = JSON_KEY;
        p->name.n = p->early.n = 0;
    } else if (p->opener != SIZE_MAX) {
        cm_answer_no_call(p);
    } else {
        cm_answer_close_body(p); /* what stands here is text again */
    }
    return true;
}

static bool read_key(struct answer_parser *p)
{
    cm_answer_skip_white(p);
    if (cm_left(p) == 0) return false;
    const char c = *cm_held(p);
    if (c == ',') {
        p->at++;
        return true;
    }
    if (c == '}') {
        p->at++;
        if (!p->has_name && p->opener != SIZE_MAX) {
            cm_answer_no_call(p);
            return true;
        }
        if (p->has_name) cm_answer_end_call(p);
        p->stage = JSON_SEEK;
        if (!p->in_array && (p->is_unmarked || !p->form->call_close)) cm_answer_close_body(p);
        return true;
    }
    const int taken = take_text(p, &p->key);
    if (taken < 0 && p->opener != SIZE_MAX) cm_answer_no_call(p);
    else if (taken < 0) p->at++;
    if (taken > 0) p->stage = JSON_COLON;
    return taken != 0;
}

/* The colon, when the first byte of the value behind it is there. */
static bool read_colon(struct answer_parser *p)
{
    const size_t from = p->at;
    cm_answer_skip_white(p);
    if (cm_left(p) > 0 && *cm_held(p) == ':') p->at++;
    cm_answer_skip_white(p);
    if (cm_left(p) == 0) {
        p->at = from;
        return false;
    }
    p->scan = (struct value_scan){ .depth = 0 };
    const bool is_arguments = is_key(p, "arguments") || is_key(p, "parameters");
    p->stage = is_key(p, "name") ? JSON_NAME : is_arguments ? JSON_ARGUMENTS : JSON_OTHER;
    if (is_arguments && *cm_held(p) != '"') p->stage = JSON_PASS;
    return true;
}

static bool read_name(struct answer_parser *p)
{
    const int taken = take_text(p, &p->name);
    if (taken == 0) return false;
    const bool must_know = p->form->is_bare || p->in_thought;
    const bool is_unknown = must_know && !cm_answer_knows_tool(p, p->name.at, p->name.n);
    if (taken < 0 || p->has_name || is_unknown) {
        if (p->opener != SIZE_MAX) cm_answer_no_call(p);
        else p->stage = JSON_OTHER;
        return true;
    }
    cm_answer_begin_call(p, p->name.at, p->name.n);
    if (p->early.n > 0) cm_answer_arguments(p, p->early.at, p->early.n);
    p->early.n = 0;
    p->stage = JSON_KEY;
    return true;
}

bool cm_answer_step_json(struct answer_parser *p)
{
    bool ended = false;
    switch (p->stage) {
    case JSON_SEEK: return seek_object(p);
    case JSON_KEY: return read_key(p);
    case JSON_COLON: return read_colon(p);
    case JSON_NAME: return read_name(p);
    case JSON_ARGUMENTS: { /* a text that holds them */
        const int taken = take_text(p, &p->key);
        if (taken > 0) cm_answer_arguments(p, p->key.at, p->key.n);
        if (taken < 0) p->at = p->held.n;
        p->stage = taken != 0 ? JSON_KEY : JSON_ARGUMENTS;
        return taken != 0;
    }
    case JSON_PASS: {
        const bool moved = cm_answer_pass_value(p, &ended);
        if (ended) p->stage = JSON_KEY;
        return moved;
    }
    default: {
        const size_t n = scan_value(p, &ended);
        p->at += n;
        if (ended) p->stage = JSON_KEY;
        return n > 0 || ended;
    }
    }
}

/* ---- a name, a separator, JSON ---- */

enum { NAME_FIRST, NAME_SECOND, NAME_SEEK, NAME_PASS, NAME_BEHIND };

/* A name without what models write round it: functions.NAME:3, of which the whole is the call's id. */
static void name_call(struct answer_parser *p, const char *name, size_t n)
{
    static const char prefix[] = "functions.";
    while (n > 0 && cm_answer_is_white(name[0])) name++, n--;
    while (n > 0 && cm_answer_is_white(name[n - 1])) n--;
    size_t colon = n;
    while (colon > 0 && name[colon - 1] >= '0' && name[colon - 1] <= '9') colon--;
    if (n > strlen(prefix) && !memcmp(name, prefix, strlen(prefix))) {
        const bool has_number = colon > strlen(prefix) && colon < n && name[colon - 1] == ':';
        if (has_number) cm_answer_add(p, &p->id, name, n);
        if (has_number) n = colon - 1;
        name += strlen(prefix);
        n -= strlen(prefix);
    }
    if (p->in_thought && !cm_answer_knows_tool(p, name, n)) {
        cm_answer_no_call(p);
        return;
    }
    cm_answer_begin_call(p, name, n);
    p->stage = NAME_SEEK;
}

/* A name with an id: name holds what stood before the mark between them, second is what stands behind it. */
static void read_named(struct answer_parser *p, const char *second, size_t n)
{
    const char  *first = p->name.at ? p->name.at : "";
    const bool   id_first = p->form->id_first;
    const size_t n_first = p->name.n;
    cm_answer_add(p, &p->id, id_first ? first : second, id_first ? n_first : n);
    name_call(p, id_first ? second : first, id_first ? n : n_first);
}

/* The name up to the separator; in one form the type of the tool stands there, and the name in the line behind it. */
static bool read_first(struct answer_parser *p)
{
    const struct answer_form *form = p->form;
    const char *const         marks[] = { form->separator, form->id_mark, form->call_close, form->call_open };
    int                       which;
    bool                      may = false;
    cm_answer_skip_white(p);
    const bool is_bracket = cm_left(p) > 0 && (*cm_held(p) == '[' || *cm_held(p) == '{');
    if (is_bracket && !cm_answer_sees(p, form->separator, &may)) {
        if (!may) cm_answer_open_body(p, BODY_JSON);
        return !may;
    }
    const size_t n = cm_answer_find(p, marks, 4, &which);
    if (which < 0) return false;
    if (which >= 2) {
        cm_answer_no_call(p);
        return true;
    }
    const char *name = cm_held(p);
    if (which == 0 && n == 8 && !memcmp(name, "function", 8)) {
        p->at += n + strlen(marks[which]);
        p->stage = NAME_SECOND;
        return true;
    }
    if (which == 1) {
        cm_answer_add(p, &p->name, name, n);
        p->at += n + strlen(marks[which]);
        const size_t n_id = cm_answer_find(p, marks, 1, &which);
        if (which < 0) {
            p->at = p->body;
            p->name.n = 0;
            return false;
        }
        const char *second = cm_held(p);
        p->at += n_id + strlen(marks[0]);
        read_named(p, second, n_id);
        return true;
    }
    p->at += n + strlen(marks[which]);
    name_call(p, name, n);
    return true;
}

static bool read_second(struct answer_parser *p)
{
    static const char *const line_end[] = { "\n" };
    int                      which;
    const size_t             n = cm_answer_find(p, line_end, 1, &which);
    if (which < 0) return false;
    const char *name = cm_held(p);
    p->at += n + 1;
    name_call(p, name, n);
    return true;
}

/* Up to the arguments: white space, and the opening of a fence. */
static bool seek_arguments(struct answer_parser *p)
{
    const char *close = p->form->call_close;
    bool        may = false;
    while (cm_left(p) > 0 && *cm_held(p) != '{' && *cm_held(p) != '[') {
        if (close && cm_answer_sees(p, close, &may)) {
            p->stage = NAME_BEHIND;
            cm_answer_end_call(p);
            return true;
        }
        if (may) return false;
        p->at++;
    }
    if (cm_left(p) == 0) return false;
    p->scan = (struct value_scan){ .depth = 0 };
    p->stage = NAME_PASS;
    return true;
}

/* Behind the arguments nothing counts but the mark of the end. */
static bool skip_behind(struct answer_parser *p)
{
    const char *const marks[] = { p->form->call_close };
    int               which = 0;
    const size_t      n = marks[0] ? cm_answer_find(p, marks, 1, &which) : 0;
    p->at += n;
    if (which < 0) return n > 0;
    p->at += marks[0] ? strlen(marks[0]) : 0;
    cm_answer_close_body(p);
    return true;
}

bool cm_answer_step_name_json(struct answer_parser *p)
{
    bool ended;
    switch (p->stage) {
    case NAME_FIRST: return read_first(p);
    case NAME_SECOND: return read_second(p);
    case NAME_SEEK: return seek_arguments(p);
    case NAME_PASS: {
        const bool moved = cm_answer_pass_value(p, &ended);
        if (!ended) return moved;
        cm_answer_end_call(p);
        p->stage = NAME_BEHIND;
        return true;
    }
    default: return skip_behind(p);
    }
}
