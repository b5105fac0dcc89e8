/* template_calls.c - what a template can call: functions, methods of texts and dicts, filters, tests. Each is a row
 * of a table; what has no row is an error by name when it is called. */
#include <ctype.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/text/template_parts.h"
#include "runtime/text/utf8.h"

struct call { /* one call, its name for messages */
    const char             *what;
    struct value            subject;
    const struct arguments *arguments;
};

typedef calmoe_status (*call_fn)(struct run *run, const struct call *call, struct value *out);

static const struct value *argument(const struct call *call, int place, const char *name)
{
    for (int i = 0; i < call->arguments->n; i++) {
        const struct string given = call->arguments->names[i];
        if (given.text ? name && cm_string_is(given, name) : i == place) return &call->arguments->values[i];
    }
    return NULL;
}

static calmoe_status need_text(struct run *run, const struct call *call, const struct value *value, struct string *text)
{
    const bool is_text = value && value->kind == VALUE_STRING;
    *text = is_text ? value->string : cm_string("");
    return is_text ? CALMOE_OK
                   : cm_run_fail(run, "'%s' wants a text, found %s", call->what,
                                 value ? cm_value_kind_name(value) : "nothing");
}

/* Text that is taken for what it prints as. */
static calmoe_status subject_text(struct run *run, const struct call *call, struct string *text)
{
    return cm_value_text(run, &call->subject, text);
}

/* ---- white space and characters at the ends ---- */

static bool is_one_of(const char *character, int n, struct string set)
{
    return memmem(set.text, set.n, character, (size_t)n) != NULL;
}

/* Python's strip(chars): of set, characters in any order. */
static struct string strip_set(struct string text, struct string set, bool left, bool right)
{
    while (left && text.n > 0) {
        const int length = cm_utf8_length(text.text, text.n);
        if (length < 1 || !is_one_of(text.text, length, set)) break;
        text.text += length;
        text.n -= (size_t)length;
    }
    while (right && text.n > 0) {
        size_t at = text.n - 1;
        while (at > 0 && ((unsigned char)text.text[at] & 0xc0) == 0x80) at--;
        if (!is_one_of(text.text + at, (int)(text.n - at), set)) break;
        text.n = at;
    }
    return text;
}

static calmoe_status strip(struct run *run, const struct call *call, bool left, bool right, struct value *out)
{
    const struct value *set = argument(call, 0, "chars");
    struct string       text, characters;
    CM_TRY(subject_text(run, call, &text));
    if (!set || set->kind == VALUE_NONE) {
        *out = cm_value_string(cm_string_strip(text, left, right));
        return CALMOE_OK;
    }
    CM_TRY(need_text(run, call, set, &characters));
    *out = cm_value_string(strip_set(text, characters, left, right));
    return CALMOE_OK;
}

static calmoe_status both_ends(struct run *run, const struct call *call, struct value *out)
{
    return strip(run, call, true, true, out);
}

static calmoe_status left_end(struct run *run, const struct call *call, struct value *out)
{
    return strip(run, call, true, false, out);
}

static calmoe_status right_end(struct run *run, const struct call *call, struct value *out)
{
    return strip(run, call, false, true, out);
}

/* ---- letters: of ASCII only, others are an error ---- */

static calmoe_status change_letters(struct run *run, const struct call *call, bool capital_first, bool capitals,
                                    bool each_word, struct value *out)
{
    struct string text;
    char         *copy;
    bool          begins = true;
    CM_TRY(subject_text(run, call, &text));
    CM_TRY(cm_arena_take(run->ctx, &run->arena, text.n, &copy));
    for (size_t i = 0; i < text.n; i++) {
        const unsigned char c = (unsigned char)text.text[i];
        if (c >= 0x80) return cm_run_fail(run, "'%s' of letters beyond ASCII", call->what);
        copy[i] = (char)(capitals || (capital_first && begins) ? toupper(c) : tolower(c));
        begins = each_word && !isalpha(c);
    }
    *out = cm_value_string((struct string){ copy, text.n });
    return CALMOE_OK;
}

static calmoe_status upper(struct run *run, const struct call *call, struct value *out)
{
    return change_letters(run, call, false, true, false, out);
}

static calmoe_status lower(struct run *run, const struct call *call, struct value *out)
{
    return change_letters(run, call, false, false, false, out);
}

static calmoe_status capitalize(struct run *run, const struct call *call, struct value *out)
{
    return change_letters(run, call, true, false, false, out);
}

static calmoe_status title(struct run *run, const struct call *call, struct value *out)
{
    return change_letters(run, call, true, false, true, out);
}

/* ---- parts of texts ---- */

/* Where part begins in text[at …), text.n where it does not. */
static size_t find(struct string text, struct string part, size_t at)
{
    const char *found = at < text.n ? memmem(text.text + at, text.n - at, part.text, part.n) : NULL;
    return found ? (size_t)(found - text.text) : text.n;
}

static calmoe_status begins_or_ends(struct run *run, const struct call *call, bool begins, struct value *out)
{
    struct string text, part;
    CM_TRY(subject_text(run, call, &text));
    CM_TRY(need_text(run, call, argument(call, 0, NULL), &part));
    const bool fits = part.n <= text.n;
    *out = cm_value_bool(fits && (part.n == 0 || !memcmp(begins ? text.text : text.text + (text.n - part.n), part.text,
                                                         part.n)));
    return CALMOE_OK;
}

static calmoe_status startswith(struct run *run, const struct call *call, struct value *out)
{
    return begins_or_ends(run, call, true, out);
}

static calmoe_status endswith(struct run *run, const struct call *call, struct value *out)
{
    return begins_or_ends(run, call, false, out);
}

/* split(separator): the parts between its occurrences, at most n cuts. */
static calmoe_status split(struct run *run, const struct call *call, struct value *out)
{
    const struct value *most = argument(call, 1, "maxsplit");
    struct string       text, separator;
    size_t              n = 1, at = 0, n_most = SIZE_MAX;
    CM_TRY(subject_text(run, call, &text));
    CM_TRY(need_text(run, call, argument(call, 0, "sep"), &separator));
    if (separator.n == 0) return cm_run_fail(run, "'split' at an empty text");
    if (most && most->kind != VALUE_INTEGER) return cm_run_fail(run, "'split' wants a number of cuts");
    if (most && most->number >= 0) n_most = (size_t)most->number;
    for (size_t next; n <= n_most && (next = find(text, separator, at)) < text.n; at = next + separator.n) n++;
    CM_TRY(cm_list_open(run, n, out));
    at = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t next = i + 1 < n ? find(text, separator, at) : text.n;
        out->list->items[i] = cm_value_string((struct string){ text.text + at, next - at });
        at = next + separator.n;
    }
    return CALMOE_OK;
}

static calmoe_status replace(struct run *run, const struct call *call, struct value *out)
{
    struct string      text, from, to;
    struct text_buffer buffer = { NULL, 0, 0 };
    CM_TRY(subject_text(run, call, &text));
    CM_TRY(need_text(run, call, argument(call, 0, "old"), &from));
    CM_TRY(need_text(run, call, argument(call, 1, "new"), &to));
    if (from.n == 0 || call->arguments->n > 2) return cm_run_fail(run, "this 'replace' is not known to this version");
    for (size_t at = 0, next; at < text.n; at = next + from.n) {
        next = find(text, from, at);
        CM_TRY(cm_buffer_put(run, &buffer, (struct string){ text.text + at, next - at }));
        if (next == text.n) break;
        CM_TRY(cm_buffer_put(run, &buffer, to));
    }
    *out = cm_value_string((struct string){ buffer.text ? buffer.text : "", buffer.n });
    return CALMOE_OK;
}

/* ---- dicts ---- */

static calmoe_status get(struct run *run, const struct call *call, struct value *out)
{
    struct string       name;
    const struct value *usual = argument(call, 1, NULL);
    CM_TRY(need_text(run, call, argument(call, 0, NULL), &name));
    const struct value *found = cm_record_find(call->subject.record, name);
    *out = found ? *found : usual ? *usual : (struct value){ .kind = VALUE_NONE };
    return CALMOE_OK;
}

/* ---- filters ---- */

static calmoe_status length(struct run *run, const struct call *call, struct value *out)
{
    const struct value *subject = &call->subject;
    int64_t             n = 0;
    if (subject->kind == VALUE_STRING) {
        for (size_t i = 0; i < subject->string.n; i++) n += ((unsigned char)subject->string.text[i] & 0xc0) != 0x80;
    } else if (subject->kind == VALUE_LIST) {
        n = (int64_t)subject->list->n;
    } else if (subject->kind == VALUE_RECORD && subject->record->is_dict) {
        for (const struct field *field = subject->record->fields; field; field = field->next) n++;
    } else if (subject->kind != VALUE_UNDEFINED) {
        return cm_run_fail(run, "%s has no length", cm_value_kind_name(subject));
    }
    *out = cm_value_integer(n);
    return CALMOE_OK;
}

static calmoe_status string(struct run *run, const struct call *call, struct value *out)
{
    struct string text;
    CM_TRY(subject_text(run, call, &text));
    *out = cm_value_string(text);
    return CALMOE_OK;
}

static calmoe_status same(struct run *run, const struct call *call, struct value *out)
{
    if (call->subject.kind == VALUE_STRING && !strcmp(call->what, "list"))
        return cm_run_fail(run, "a list of a text's characters is not known to this version");
    *out = call->subject;
    return CALMOE_OK;
}

/* default(x), and default(x, true), which is x for all that is false. */
static calmoe_status fall_back(struct run *run, const struct call *call, struct value *out)
{
    const struct value *usual = argument(call, 0, "default_value"), *also_false = argument(call, 1, "boolean");
    const bool          takes = call->subject.kind == VALUE_UNDEFINED ||
                       (also_false && cm_value_is_true(also_false) && !cm_value_is_true(&call->subject));
    (void)run;
    *out = !takes ? call->subject : usual ? *usual : cm_value_string(cm_string(""));
    return CALMOE_OK;
}

static calmoe_status end_of_list(struct run *run, const struct call *call, bool first, struct value *out)
{
    if (call->subject.kind != VALUE_LIST)
        return cm_run_fail(run, "'%s' of %s is not known to this version", call->what,
                           cm_value_kind_name(&call->subject));
    const struct list *list = call->subject.list;
    *out = (struct value){ .kind = VALUE_UNDEFINED };
    if (list->n > 0) *out = list->items[first ? 0 : list->n - 1];
    return CALMOE_OK;
}

static calmoe_status first(struct run *run, const struct call *call, struct value *out)
{
    return end_of_list(run, call, true, out);
}

static calmoe_status last(struct run *run, const struct call *call, struct value *out)
{
    return end_of_list(run, call, false, out);
}

static calmoe_status join(struct run *run, const struct call *call, struct value *out)
{
    struct text_buffer  buffer = { NULL, 0, 0 };
    struct string       between = { "", 0 }, text;
    const struct value *separator = argument(call, 0, "d");
    if (call->subject.kind != VALUE_LIST || call->arguments->n > 1)
        return cm_run_fail(run, "this 'join' is not known to this version");
    if (separator) CM_TRY(need_text(run, call, separator, &between));
    for (size_t i = 0; i < call->subject.list->n; i++) {
        CM_TRY(cm_value_text(run, &call->subject.list->items[i], &text));
        if (i > 0) CM_TRY(cm_buffer_put(run, &buffer, between));
        CM_TRY(cm_buffer_put(run, &buffer, text));
    }
    *out = cm_value_string((struct string){ buffer.text ? buffer.text : "", buffer.n });
    return CALMOE_OK;
}

/* selectattr(name), selectattr(name, test, value): the dicts of a list for which it holds, or does not. */
static calmoe_status choose(struct run *run, const struct call *call, bool wanted, struct value *out)
{
    const struct value *const test = argument(call, 1, NULL);
    struct arguments          rest = { .n = 0 };
    struct string             name, test_name;
    size_t                    n = 0;
    if (call->subject.kind != VALUE_LIST)
        return cm_run_fail(run, "'%s' of %s is not known to this version", call->what,
                           cm_value_kind_name(&call->subject));
    CM_TRY(need_text(run, call, argument(call, 0, NULL), &name));
    if (test) CM_TRY(need_text(run, call, test, &test_name));
    for (int i = 2; i < call->arguments->n; i++) rest.values[rest.n++] = call->arguments->values[i];
    CM_TRY(cm_list_open(run, call->subject.list->n, out));
    for (size_t i = 0; i < call->subject.list->n; i++) {
        const struct value key = cm_value_string(name);
        struct value       item, holds;
        CM_TRY(cm_value_get(run, &call->subject.list->items[i], &key, false, &item));
        holds = item;
        if (test) CM_TRY(cm_call_test(run, &item, test_name, &rest, &holds));
        if (cm_value_is_true(&holds) == wanted) out->list->items[n++] = call->subject.list->items[i];
    }
    out->list->n = n;
    return CALMOE_OK;
}

static calmoe_status selectattr(struct run *run, const struct call *call, struct value *out)
{
    return choose(run, call, true, out);
}

static calmoe_status rejectattr(struct run *run, const struct call *call, struct value *out)
{
    return choose(run, call, false, out);
}

/* map(attribute='a'): that part of each. */
static calmoe_status map(struct run *run, const struct call *call, struct value *out)
{
    const struct value *attribute = argument(call, -1, "attribute");
    struct string       name;
    if (call->subject.kind != VALUE_LIST || call->arguments->n != 1 || !attribute)
        return cm_run_fail(run, "this 'map' is not known to this version");
    CM_TRY(need_text(run, call, attribute, &name));
    CM_TRY(cm_list_open(run, call->subject.list->n, out));
    for (size_t i = 0; i < call->subject.list->n; i++)
        CM_TRY(cm_value_get(run, &call->subject.list->items[i], attribute, false, &out->list->items[i]));
    return CALMOE_OK;
}

/* ---- functions ---- */

static calmoe_status raise_exception(struct run *run, const struct call *call, struct value *out)
{
    struct string text;
    (void)out;
    CM_TRY(need_text(run, call, argument(call, 0, NULL), &text));
    return cm_fail(run->ctx, CALMOE_INVALID_ARGUMENT, "the chat template says: %.*s",
                   (int)(text.n < 400 ? text.n : 400), text.text);
}

static calmoe_status namespace(struct run *run, const struct call *call, struct value *out)
{
    CM_TRY(cm_record_open(run, false, out));
    out->record->may_be_set = true;
    for (int i = 0; i < call->arguments->n; i++) {
        if (!call->arguments->names[i].text) return cm_run_fail(run, "this 'namespace' is not known to this version");
        CM_TRY(cm_record_put(run, out->record, call->arguments->names[i], call->arguments->values[i]));
    }
    return CALMOE_OK;
}

static calmoe_status range(struct run *run, const struct call *call, struct value *out)
{
    int64_t   parts[3] = { 0, 0, 1 };
    const int n = call->arguments->n;
    if (n < 1 || n > 3) return cm_run_fail(run, "'range' wants 1 to 3 numbers");
    for (int i = 0; i < n; i++) {
        if (call->arguments->values[i].kind != VALUE_INTEGER) return cm_run_fail(run, "'range' wants numbers");
        parts[n == 1 ? 1 : i] = call->arguments->values[i].number;
    }
    const int64_t step = parts[2], length = step > 0 ? parts[1] - parts[0] : parts[0] - parts[1];
    const int64_t width = step > 0 ? step : -step;
    if (step == 0) return cm_run_fail(run, "'range' with step 0");
    CM_TRY(cm_list_open(run, length > 0 ? (size_t)((length + width - 1) / width) : 0, out));
    for (size_t i = 0; i < out->list->n; i++)
        out->list->items[i] = cm_value_integer(parts[0] + (int64_t)i * step);
    return CALMOE_OK;
}

/* strftime_now(format): local time, English names. */
static calmoe_status strftime_now(struct run *run, const struct call *call, struct value *out)
{
    struct string format;
    char          copy[128], text[256];
    struct tm     parts;
    const time_t  now = (time_t)run->input->now;
    size_t        n = 0;
    CM_TRY(need_text(run, call, argument(call, 0, "format"), &format));
    if (format.n >= sizeof copy || !localtime_r(&now, &parts)) return cm_run_fail(run, "a date of that form");
    memcpy(copy, format.text, format.n);
    copy[format.n] = '\0';
    const locale_t english = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (english) n = strftime_l(text, sizeof text, copy, &parts, english);
    if (english) freelocale(english);
    char *kept;
    CM_TRY(cm_arena_take(run->ctx, &run->arena, n, &kept));
    if (n > 0) memcpy(kept, text, n);
    *out = cm_value_string((struct string){ kept, n });
    return CALMOE_OK;
}

/* ---- tests ---- */

static calmoe_status is_defined(struct run *run, const struct call *call, struct value *out)
{
    (void)run;
    *out = cm_value_bool((call->subject.kind != VALUE_UNDEFINED) == !strcmp(call->what, "defined"));
    return CALMOE_OK;
}

static calmoe_status is_of_kind(struct run *run, const struct call *call, struct value *out)
{
    const struct value *subject = &call->subject;
    const bool          is_dict = subject->kind == VALUE_RECORD && subject->record->is_dict;
    const struct {
        const char *name;
        bool        is;
    } kinds[] = {
        { "none", subject->kind == VALUE_NONE },
        { "string", subject->kind == VALUE_STRING },
        { "boolean", subject->kind == VALUE_BOOL },
        { "true", subject->kind == VALUE_BOOL && subject->number },
        { "false", subject->kind == VALUE_BOOL && !subject->number },
        { "integer", subject->kind == VALUE_INTEGER },
        { "number", subject->kind == VALUE_INTEGER || subject->kind == VALUE_BOOL },
        { "mapping", is_dict },
        { "sequence", subject->kind == VALUE_STRING || subject->kind == VALUE_LIST || is_dict ||
                          subject->kind == VALUE_UNDEFINED },
        { "iterable", subject->kind == VALUE_STRING || subject->kind == VALUE_LIST || is_dict ||
                          subject->kind == VALUE_UNDEFINED },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!strcmp(kinds[i].name, call->what)) {
            *out = cm_value_bool(kinds[i].is);
            return CALMOE_OK;
        }
    return cm_run_fail(run, "the test '%s' is not known to this version", call->what);
}

static calmoe_status is_equal(struct run *run, const struct call *call, struct value *out)
{
    const struct value *other = argument(call, 0, NULL);
    bool                equal;
    if (!other) return cm_run_fail(run, "the test '%s' wants a value", call->what);
    CM_TRY(cm_value_equals(run, &call->subject, other, &equal));
    *out = cm_value_bool(equal == (strcmp(call->what, "ne") != 0 && strcmp(call->what, "!=") != 0));
    return CALMOE_OK;
}

static calmoe_status is_in(struct run *run, const struct call *call, struct value *out)
{
    const struct value *whole = argument(call, 0, NULL);
    bool                is;
    if (!whole) return cm_run_fail(run, "the test 'in' wants a value");
    CM_TRY(cm_value_contains(run, whole, &call->subject, &is));
    *out = cm_value_bool(is);
    return CALMOE_OK;
}

static calmoe_status is_odd(struct run *run, const struct call *call, struct value *out)
{
    if (call->subject.kind != VALUE_INTEGER) return cm_run_fail(run, "the test '%s' wants a number", call->what);
    *out = cm_value_bool((call->subject.number % 2 != 0) == !strcmp(call->what, "odd"));
    return CALMOE_OK;
}

/* ---- the tables ---- */

struct row {
    const char *name;
    call_fn     call;
};

static const struct row functions[] = {
    { "raise_exception", raise_exception }, { "namespace", namespace }, { "range", range },
    { "strftime_now", strftime_now },       { NULL, NULL },
};
static const struct row string_methods[] = {
    { "strip", both_ends },   { "lstrip", left_end },         { "rstrip", right_end },     { "upper", upper },
    { "lower", lower },       { "capitalize", capitalize },   { "title", title },          { "split", split },
    { "replace", replace },   { "startswith", startswith },   { "endswith", endswith },    { NULL, NULL },
};
static const struct row dict_methods[] = { { "get", get }, { NULL, NULL } };
static const struct row filters[] = {
    { "trim", both_ends },       { "upper", upper },           { "lower", lower },           { "title", title },
    { "capitalize", capitalize }, { "replace", replace },      { "length", length },         { "count", length },
    { "string", string },        { "safe", string },           { "list", same },             { "default", fall_back },
    { "d", fall_back },          { "first", first },           { "last", last },             { "join", join },
    { "selectattr", selectattr }, { "rejectattr", rejectattr }, { "map", map },              { NULL, NULL },
};
static const struct row tests[] = {
    { "defined", is_defined }, { "undefined", is_defined }, { "none", is_of_kind },     { "string", is_of_kind },
    { "boolean", is_of_kind }, { "true", is_of_kind },      { "false", is_of_kind },    { "integer", is_of_kind },
    { "number", is_of_kind },  { "mapping", is_of_kind },   { "sequence", is_of_kind }, { "iterable", is_of_kind },
    { "equalto", is_equal },   { "eq", is_equal },          { "==", is_equal },         { "ne", is_equal },
    { "!=", is_equal },        { "in", is_in },             { "odd", is_odd },          { "even", is_odd },
    { NULL, NULL },
};

static calmoe_status call_row(struct run *run, const struct row *rows, const char *kind, struct string name,
                              const struct value *subject, const struct arguments *arguments, struct value *out)
{
    for (const struct row *row = rows; row->name; row++) {
        if (!cm_string_is(name, row->name)) continue;
        const struct call call = { row->name, *subject, arguments };
        return row->call(run, &call, out);
    }
    return cm_run_fail(run, "the %s '%.*s' is not known to this version", kind, cm_string_shown(name), name.text);
}

calmoe_status cm_define_functions(struct run *run)
{
    for (int i = 0; functions[i].name; i++)
        CM_TRY(cm_record_put(run, &run->global->variables, cm_string(functions[i].name),
                             (struct value){ .kind = VALUE_FUNCTION, .function = i }));
    return CALMOE_OK;
}

calmoe_status cm_call_function(struct run *run, int function, const struct arguments *arguments, struct value *out)
{
    const struct call call = { functions[function].name, { .kind = VALUE_NONE }, arguments };
    return functions[function].call(run, &call, out);
}

calmoe_status cm_call_method(struct run *run, const struct value *subject, struct string name,
                             const struct arguments *arguments, struct value *out)
{
    if (subject->kind == VALUE_STRING) return call_row(run, string_methods, "method", name, subject, arguments, out);
    if (subject->kind == VALUE_RECORD && subject->record->is_dict)
        return call_row(run, dict_methods, "method", name, subject, arguments, out);
    return cm_run_fail(run, "the method '%.*s' of %s is not known to this version", cm_string_shown(name), name.text,
                       cm_value_kind_name(subject));
}

calmoe_status cm_call_filter(struct run *run, const struct value *subject, struct string name,
                             const struct arguments *arguments, struct value *out)
{
    return call_row(run, filters, "filter", name, subject, arguments, out);
}

calmoe_status cm_call_test(struct run *run, const struct value *subject, struct string name,
                           const struct arguments *arguments, struct value *out)
{
    return call_row(run, tests, "test", name, subject, arguments, out);
}
