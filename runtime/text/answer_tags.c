/* answer_tags.c - calls whose parameters stand between tags: turned into JSON as they come. A value that the tool's
 * schema says to be a text is told piece by piece; of any other the whole is waited for, and told as it is where it
 * is JSON, or a list or a dict of Python's, else as a text. */
#include <string.h>

#include "base/memory.h"
#include "runtime/documents/json.h"
#include "runtime/text/answer_parts.h"

enum { TAG_NAME, TAG_KEY, TAG_VALUE_OPEN, TAG_VALUE_BEGIN, TAG_VALUE, TAG_BEHIND };

static const struct answer_tags *tags_of(const struct answer_parser *p)
{
    return p->form->tags;
}

static void begin(struct answer_parser *p, const char *name, size_t n)
{
    while (n > 0 && cm_answer_is_white(name[n - 1])) n--;
    p->name.n = 0;
    cm_answer_add(p, &p->name, name, n);
    cm_answer_begin_call(p, name, n);
    cm_answer_arguments(p, "{", 1);
    p->stage = TAG_KEY;
}

static void end(struct answer_parser *p)
{
    cm_answer_arguments(p, "}", 1);
    cm_answer_end_call(p);
    p->stage = TAG_BEHIND;
}

/* The name: behind its tag, which may have been taken already, or first in the body. */
static bool read_name(struct answer_parser *p)
{
    const struct answer_tags *tags = tags_of(p);
    const char *const         marks[] = { tags->name_close, tags->key_open, p->form->call_close };
    bool                      may;
    int                       which;
    const size_t              from = p->at;
    if (!p->is_unmarked) cm_answer_skip_white(p);
    if (cm_left(p) == 0) return false;
    if (!p->is_unmarked && !cm_answer_sees(p, tags->name_open, &may)) {
        if (may) return false;
        cm_answer_no_call(p);
        return true;
    }
    const size_t n_open = strlen(tags->name_open);
    if (!p->is_unmarked) p->at += n_open;
    const size_t n = cm_answer_find(p, marks, 3, &which);
    const bool   must_know = (p->is_unmarked || p->in_thought) && which >= 0;
    const bool   is_unknown = must_know && !cm_answer_knows_tool(p, cm_held(p), n);
    const bool   is_none = n == 0 || (n_open > 0 && which != 0) || is_unknown;
    if (which < 0 && !p->at_end) {
        p->at = from;
        return false;
    }
    if (which < 0 || is_none) {
        cm_answer_no_call(p);
        return true;
    }
    const char *name = cm_held(p);
    p->at += n + (which == 0 ? strlen(marks[0]) : 0);
    p->is_unmarked = false;
    begin(p, name, n);
    return true;
}

static bool is_text_by_schema(const struct answer_parser *p)
{
    for (size_t i = 0; i < p->parameters.n; i++) {
        const struct tool_parameter *parameter = &p->parameters.list[i];
        if (strlen(parameter->function) == p->name.n && !memcmp(parameter->function, p->name.at, p->name.n) &&
            strlen(parameter->name) == p->key.n && (p->key.n == 0 || !memcmp(parameter->name, p->key.at, p->key.n)))
            return parameter->is_text;
    }
    return false;
}

/* The next parameter, or the call's end. */
static bool read_key(struct answer_parser *p)
{
    const struct answer_tags *tags = tags_of(p);
    const char *const         close = tags->end ? tags->end : p->form->call_close;
    const char *const         marks[] = { tags->key_open, close, p->form->call_close };
    const char *const         key_close[] = { tags->key_close };
    int                       which;
    const size_t              n = cm_answer_find(p, marks, 3, &which);
    p->at += n; /* what stands between parameters is nothing */
    if (which < 0) return n > 0;
    if (which > 0) {
        const bool is_end = tags->end && which == 1;
        if (is_end) p->at += strlen(marks[1]);
        end(p);
        return true;
    }
    const size_t from = p->at;
    p->at += strlen(marks[0]);
    const size_t n_key = cm_answer_find(p, key_close, 1, &which);
    if (which < 0) {
        p->at = p->at_end ? p->held.n : from;
        return p->at_end;
    }
    p->key.n = 0;
    cm_answer_add(p, &p->key, cm_held(p), n_key);
    p->at += n_key + strlen(key_close[0]);
    p->is_text = is_text_by_schema(p);
    p->stage = tags->value_open[0] ? TAG_VALUE_OPEN : TAG_VALUE_BEGIN;
    cm_answer_key(p, p->key.at ? p->key.at : "", p->key.n);
    return true;
}

static bool read_value_open(struct answer_parser *p)
{
    const char *const marks[] = { tags_of(p)->value_open };
    int               which;
    const size_t      n = cm_answer_find(p, marks, 1, &which);
    p->at += n;
    if (which < 0) return n > 0;
    p->at += strlen(marks[0]);
    p->stage = TAG_VALUE_BEGIN;
    return true;
}

static bool begin_value(struct answer_parser *p)
{
    if (cm_left(p) == 0 && !p->at_end) return false;
    if (tags_of(p)->strips_lines && cm_left(p) > 0 && *cm_held(p) == '\n') p->at++;
    if (p->is_text) cm_answer_arguments(p, "\"", 1);
    p->stage = TAG_VALUE;
    return true;
}

/* Tells a value that is JSON as it stands. False: it is not. */
static bool tell_json(struct answer_parser *p, const char *value, size_t n)
{
    struct json_document document;
    p->early.n = 0; /* a value alone is read as an array of it */
    cm_answer_add(p, &p->early, "[", 1);
    cm_answer_add(p, &p->early, value, n);
    cm_answer_add(p, &p->early, "]", 1);
    if (p->status != CALMOE_OK) return true;
    const calmoe_status status = cm_json_parse_quietly(p->ctx, p->early.at, p->early.n, &document);
    if (status != CALMOE_OK) p->status = status;
    const struct json_value root = cm_json_root(&document);
    const bool              is = document.root && cm_json_length(&root) == 1;
    if (is) cm_answer_arguments(p, value, n);
    cm_json_close(&document);
    p->early.n = 0;
    return is;
}

/* The same, but Python's words for constants are put right. */
static bool tell_word(struct answer_parser *p, const char *value, size_t n)
{
    static const char *const words[][2] = { { "True", "true" }, { "False", "false" }, { "None", "null" },
                                            { "true", "true" }, { "false", "false" }, { "null", "null" } };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i][0]) == n && !memcmp(words[i][0], value, n)) {
            cm_answer_arguments(p, words[i][1], strlen(words[i][1]));
            return true;
        }
    return tell_json(p, value, n);
}

/* Tells a literal of Python's, as some models write lists and dicts, in JSON. False: it is none. */
static bool tell_literal(struct answer_parser *p, const char *value, size_t n)
{
    static const char *const words[][2] = { { "True", "true" }, { "False", "false" }, { "None", "null" } };
    struct answer_text       json = { NULL, 0, 0 };
    char                     quote = 0;
    if (n == 0 || !strchr("[{", value[0])) return false;
    for (size_t at = 0; at < n; at++) {
        const char  c = value[at];
        const char *as = NULL;
        size_t      n_word = 1;
        for (size_t i = 0; !quote && i < sizeof words / sizeof words[0]; i++) {
            if (n - at < strlen(words[i][0]) || memcmp(value + at, words[i][0], strlen(words[i][0])) != 0) continue;
            n_word = strlen(words[i][0]);
            as = words[i][1];
        }
        if (quote && c == '\\' && at + 1 < n) {
            n_word = 2;
            as = value[at + 1] == '\'' ? "'" : NULL; /* of escapes, JSON knows all others that are usual */
        } else if (c == '"' && quote == '\'') {
            as = "\\\"";
        } else if ((c == '"' || c == '\'') && (!quote || quote == c)) {
            quote = quote ? 0 : c;
            as = "\"";
        }
        cm_answer_add(p, &json, as ? as : value + at, as ? strlen(as) : n_word);
        at += n_word - 1;
    }
    const bool is = json.n > 0 && tell_json(p, json.at, json.n);
    cm_free(json.at);
    return is;
}

static void tell_value(struct answer_parser *p, const char *value, size_t n)
{
    size_t begin = 0, end = n;
    while (begin < end && cm_answer_is_white(value[begin])) begin++;
    while (end > begin && cm_answer_is_white(value[end - 1])) end--;
    if (tell_word(p, value + begin, end - begin) || tell_literal(p, value + begin, end - begin)) return;
    cm_answer_arguments(p, "\"", 1);
    cm_answer_escaped(p, value, n);
    cm_answer_arguments(p, "\"", 1);
}

static bool read_value(struct answer_parser *p)
{
    const struct answer_tags *tags = tags_of(p);
    char                      with_line[64] = "\n";
    strncat(with_line, tags->value_close, sizeof with_line - 2);
    const char *const marks[] = { tags->strips_lines ? with_line : NULL, tags->value_close };
    int               which;
    const size_t      n = cm_answer_find(p, marks, 2, &which);
    const char       *value = cm_held(p);
    if (which < 0) {
        const size_t given = p->is_text ? n : 0;
        cm_answer_escaped(p, value, given);
        p->at += given;
        if (given == 0 && p->at_end && cm_left(p) > 0) { /* cut off: told as far as it came */
            if (!p->is_text) cm_answer_arguments(p, value, cm_left(p));
            p->at = p->held.n;
        }
        return false;
    }
    if (p->is_text) {
        cm_answer_escaped(p, value, n);
        cm_answer_arguments(p, "\"", 1);
    } else {
        tell_value(p, value, n);
    }
    p->at += n + strlen(marks[which]);
    p->stage = TAG_KEY;
    return true;
}

/* Behind a call: one more, or the end of all. */
static bool read_behind(struct answer_parser *p)
{
    const struct answer_tags *tags = tags_of(p);
    bool                      may = false, may_too = false;
    cm_answer_skip_white(p);
    if (cm_left(p) == 0) return false;
    const bool is_more = tags->name_open[0] && cm_answer_sees(p, tags->name_open, &may);
    if (is_more) {
        p->stage = TAG_NAME;
        return true;
    }
    const char *close = p->form->call_close;
    const bool  is_end = close && cm_answer_sees(p, close, &may_too);
    if (!is_end && ((close && may_too) || (tags->name_open[0] && may))) return false;
    if (is_end) p->at += strlen(close);
    cm_answer_close_body(p);
    return true;
}

bool cm_answer_step_tagged(struct answer_parser *p)
{
    switch (p->stage) {
    case TAG_NAME: return read_name(p);
    case TAG_KEY: return read_key(p);
    case TAG_VALUE_OPEN: return read_value_open(p);
    case TAG_VALUE_BEGIN: return begin_value(p);
    case TAG_VALUE: return read_value(p);
    default: return read_behind(p);
    }
}
