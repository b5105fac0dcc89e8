/* template_calls.c - what a template can call by name: functions, tests, and filters; those filters are here that call
 * others. Each is a row of a table; what has no row is an error by name when it is called. */
#include <ctype.h>
#include <locale.h>
#include <string.h>
#include <time.h>

#include "runtime/text/template_parts.h"

/* ---- attributes by text ---- */

/* A part of a path: a number is an item of a list. */
static struct value path_part(struct string part)
{
    int64_t number = 0;
    if (part.n == 0 || part.n > 9) return cm_value_string(part);
    for (size_t i = 0; i < part.n; i++) {
        if (!isdigit((unsigned char)part.text[i])) return cm_value_string(part);
        number = number * 10 + (part.text[i] - '0');
    }
    return cm_value_integer(number);
}

calmoe_status cm_value_attribute(struct run *run, const struct value *whole, const struct value *attribute,
                                 struct value *out)
{
    if (attribute->kind != VALUE_STRING) return cm_value_get(run, whole, attribute, false, out);
    const struct string path = attribute->string;
    *out = *whole;
    for (size_t at = 0; at <= path.n;) {
        const size_t       dot = cm_string_find(path, cm_string("."), at);
        const struct value part = path_part(cm_string_part(path, at, dot)), from = *out;
        CM_TRY(cm_value_get(run, &from, &part, false, out));
        at = dot + 1;
    }
    return CALMOE_OK;
}

/* ---- filters that call tests and filters ---- */

/* The arguments from place `first` on, and those with names. */
static struct arguments rest_of(const struct arguments *arguments, int first)
{
    struct arguments rest = { .n = 0 };
    for (int i = first; i < arguments->n; i++) {
        rest.values[rest.n] = arguments->values[i];
        rest.names[rest.n++] = arguments->names[i];
    }
    return rest;
}

/* What is false, none above all, has no items for these filters. */
static calmoe_status items_of(struct run *run, const struct call *call, struct value *items)
{
    if (!cm_value_is_true(&call->subject)) return cm_list_open(run, 0, items);
    return cm_value_items(run, &call->subject, items);
}

/* select(test, …), reject: the items for which it holds, or does not; selectattr(name, test, …), rejectattr: for
 * which it holds of an attribute. Without a test: which are true. */
static calmoe_status choose(struct run *run, const struct call *call, struct value *out)
{
    const bool          wanted = call->what[0] == 's', by_attribute = strstr(call->what, "attr") != NULL;
    const struct value *attribute = by_attribute ? cm_argument(call, 0, NULL) : NULL;
    const struct value *test = cm_argument(call, by_attribute, NULL);
    struct arguments    rest = rest_of(call->arguments, by_attribute + 1);
    struct string       test_name = cm_string("");
    struct value        items, holds;
    if (by_attribute && !attribute) return cm_run_fail(run, "'%s' wants an attribute", call->what);
    if (test) CM_TRY(cm_need_text(run, call, test, &test_name));
    CM_TRY(items_of(run, call, &items));
    CM_TRY(cm_list_open(run, 0, out));
    for (size_t i = 0; i < items.list->n; i++) {
        struct value item = items.list->items[i];
        if (attribute) CM_TRY(cm_value_attribute(run, &items.list->items[i], attribute, &item));
        holds = item;
        if (test) CM_TRY(cm_call_test(run, &item, test_name, &rest, &holds));
        if (cm_value_is_true(&holds) == wanted) CM_TRY(cm_list_put(run, out->list, items.list->items[i]));
    }
    out->list->kind = LIST_GENERATOR;
    return CALMOE_OK;
}

/* map(attribute='a', default=d): that part of each; map(filter, …): what the filter makes of each. */
static calmoe_status map(struct run *run, const struct call *call, struct value *out)
{
    const struct value *attribute = cm_argument(call, -1, "attribute"), *usual = cm_argument(call, -1, "default");
    const struct value *filter = cm_argument(call, 0, NULL);
    struct arguments    rest = rest_of(call->arguments, 1);
    struct string       name = cm_string("");
    struct value        items;
    if (!attribute) CM_TRY(cm_need_text(run, call, filter, &name));
    CM_TRY(items_of(run, call, &items));
    CM_TRY(cm_list_open(run, items.list->n, out));
    for (size_t i = 0; i < items.list->n; i++) {
        struct value *item = &out->list->items[i];
        if (attribute) CM_TRY(cm_value_attribute(run, &items.list->items[i], attribute, item));
        else CM_TRY(cm_call_filter(run, &items.list->items[i], name, &rest, item));
        if (attribute && usual && item->kind == VALUE_UNDEFINED) *item = *usual;
    }
    out->list->kind = LIST_GENERATOR;
    return CALMOE_OK;
}

static const struct call_row calling_filters[] = {
    { "select", choose },     { "reject", choose }, { "selectattr", choose },
    { "rejectattr", choose }, { "map", map },       { NULL, NULL },
};

/* ---- functions ---- */

static calmoe_status raise_exception(struct run *run, const struct call *call, struct value *out)
{
    struct string text;
    *out = cm_value_undefined();
    CM_TRY(cm_need_text(run, call, cm_argument(call, 0, "message"), &text));
    return cm_fail(run->ctx, CALMOE_INVALID_ARGUMENT, "the chat template says: %.*s",
                   (int)(text.n < 400 ? text.n : 400), text.text);
}

/* namespace(…), dict(…): of a dict, and of what has names */
static calmoe_status make_record(struct run *run, const struct call *call, struct value *out)
{
    const bool is_dict = call->what[0] == 'd';
    CM_TRY(cm_record_open(run, is_dict ? RECORD_DICT : RECORD_NAMESPACE, out));
    for (int i = 0; i < call->arguments->n; i++) {
        const struct value *value = &call->arguments->values[i];
        if (call->arguments->names[i].text) {
            CM_TRY(cm_record_put(run, out->record, call->arguments->names[i], *value));
            continue;
        }
        if (!cm_is_dict(value)) return cm_run_fail(run, "'%s' wants values with names", call->what);
        for (const struct field *field = value->record->fields; field; field = field->next)
            CM_TRY(cm_dict_put(run, out->record, &field->key, field->value));
    }
    return CALMOE_OK;
}

static calmoe_status range(struct run *run, const struct call *call, struct value *out)
{
    enum { MOST = 1 << 30 };
    int64_t   parts[3] = { 0, 0, 1 };
    const int n = call->arguments->n;
    if (n < 1 || n > 3) return cm_run_fail(run, "'range' wants 1 to 3 numbers");
    for (int i = 0; i < n; i++) {
        const struct value *part = &call->arguments->values[i];
        if (part->kind != VALUE_INTEGER || part->number > MOST || part->number < -MOST)
            return cm_run_fail(run, "'range' wants numbers");
        parts[n == 1 ? 1 : i] = part->number;
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
    CM_TRY(cm_need_text(run, call, cm_argument(call, 0, "format"), &format));
    if (format.n >= sizeof copy || !localtime_r(&now, &parts)) return cm_run_fail(run, "a date of that form");
    memcpy(copy, format.text, format.n);
    copy[format.n] = '\0';
    const locale_t english = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (english) n = strftime_l(text, sizeof text, copy, &parts, english);
    if (english) freelocale(english);
    struct text_buffer buffer = { .text = NULL };
    CM_TRY(cm_buffer_put(run, &buffer, cm_string_of(text, n)));
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

static const struct call_row functions[] = {
    { "raise_exception", raise_exception }, { "namespace", make_record }, { "dict", make_record }, { "range", range },
    { "strftime_now", strftime_now },       { NULL, NULL },
};

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
    const enum value_kind kind = subject->kind;
    const bool is_generator = kind == VALUE_LIST && subject->list->kind == LIST_GENERATOR;
    const bool is_walked = kind == VALUE_STRING || kind == VALUE_LIST || cm_is_dict(subject) ||
                           kind == VALUE_UNDEFINED || kind == VALUE_LOOP;
    const bool is_called = kind == VALUE_MACRO || kind == VALUE_FUNCTION || kind == VALUE_METHOD ||
                           kind == VALUE_LOOP;
    const struct {
        const char *name;
        bool        is;
    } kinds[] = {
        { "none", kind == VALUE_NONE },
        { "string", kind == VALUE_STRING },
        { "boolean", kind == VALUE_BOOL },
        { "true", kind == VALUE_BOOL && subject->number },
        { "false", kind == VALUE_BOOL && !subject->number },
        { "integer", kind == VALUE_INTEGER },
        { "float", kind == VALUE_REAL },
        { "number", cm_is_number(subject) },
        { "mapping", cm_is_dict(subject) },
        { "iterable", is_walked },
        { "sequence", is_walked && !is_generator && kind != VALUE_LOOP &&
                          !(kind == VALUE_LIST && subject->list->kind == LIST_VIEW) },
        { "callable", is_called || kind == VALUE_UNDEFINED },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!strcmp(kinds[i].name, call->what)) {
            *out = cm_value_bool(kinds[i].is);
            return CALMOE_OK;
        }
    return cm_run_fail(run, "the test '%s' is not known to this version", call->what);
}

/* Tests that are operators with the argument. */
static calmoe_status is_compared(struct run *run, const struct call *call, struct value *out)
{
    static const struct {
        const char   *names[4];
        enum operator op;
    } operators[] = {
        { { "equalto", "eq", "==", "sameas" }, OP_EQUAL }, { { "ne", "!=" }, OP_UNEQUAL },
        { { "lt", "<", "lessthan" }, OP_LESS },            { { "le", "<=" }, OP_LESS_EQUAL },
        { { "gt", ">", "greaterthan" }, OP_GREATER },      { { "ge", ">=" }, OP_GREATER_EQUAL },
        { { "in" }, OP_IN },
    };
    const struct value *other = cm_argument(call, 0, NULL);
    if (!other) return cm_run_fail(run, "the test '%s' wants a value", call->what);
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        for (int k = 0; k < 4 && operators[i].names[k]; k++)
            if (!strcmp(operators[i].names[k], call->what)) {
                CM_TRY(cm_value_binary(run, operators[i].op, &call->subject, other, out));
                const bool is_other_kind = call->what[0] == 's' && call->subject.kind != other->kind;
                if (is_other_kind) *out = cm_value_bool(false); /* sameas: 1 is not true */
                return CALMOE_OK;
            }
    return cm_run_fail(run, "the test '%s' is not known to this version", call->what);
}

/* odd, even, divisibleby */
static calmoe_status is_divided(struct run *run, const struct call *call, struct value *out)
{
    const bool          by_other = call->what[0] == 'd';
    const struct value *other = by_other ? cm_argument(call, 0, "num") : NULL;
    const struct value  two = cm_value_integer(2), *by = by_other ? other : &two;
    struct value        left;
    if (!cm_is_number(&call->subject) || !by || !cm_is_number(by))
        return cm_run_fail(run, "the test '%s' wants a number", call->what);
    CM_TRY(cm_value_binary(run, OP_MODULO, &call->subject, by, &left));
    *out = cm_value_bool(cm_value_is_true(&left) == !strcmp(call->what, "odd"));
    return CALMOE_OK;
}

/* lower, upper: has letters, all of them such */
static calmoe_status has_letters(struct run *run, const struct call *call, struct value *out)
{
    const bool    is_upper = call->what[0] == 'u';
    struct string text;
    struct value  same, other;
    CM_TRY(cm_value_text(run, &call->subject, &text));
    CM_TRY(cm_string_letters(run, text, is_upper ? LETTERS_UPPER : LETTERS_LOWER, &same));
    CM_TRY(cm_string_letters(run, text, is_upper ? LETTERS_LOWER : LETTERS_UPPER, &other));
    *out = cm_value_bool(cm_same_string(text, same.string) && !cm_same_string(text, other.string));
    return CALMOE_OK;
}

static const struct call_row tests[] = {
    { "defined", is_defined },  { "undefined", is_defined },   { "none", is_of_kind },     { "string", is_of_kind },
    { "boolean", is_of_kind },  { "true", is_of_kind },        { "false", is_of_kind },    { "integer", is_of_kind },
    { "float", is_of_kind },    { "number", is_of_kind },      { "mapping", is_of_kind },  { "sequence", is_of_kind },
    { "iterable", is_of_kind }, { "callable", is_of_kind },    { "equalto", is_compared }, { "eq", is_compared },
    { "==", is_compared },      { "sameas", is_compared },     { "ne", is_compared },      { "!=", is_compared },
    { "lt", is_compared },      { "<", is_compared },          { "lessthan", is_compared }, { "le", is_compared },
    { "<=", is_compared },      { "gt", is_compared },         { ">", is_compared },
    { "greaterthan", is_compared },
    { "ge", is_compared },      { ">=", is_compared },         { "in", is_compared },      { "odd", is_divided },
    { "even", is_divided },     { "divisibleby", is_divided }, { "lower", has_letters },   { "upper", has_letters },
    { NULL, NULL },
};

/* ---- calling ---- */

static calmoe_status call_row(struct run *run, const struct call_row *row, const char *kind, struct string name,
                              const struct value *subject, const struct arguments *arguments, struct value *out)
{
    if (!row)
        return cm_run_fail(run, "the %s '%.*s' is not known to this version", kind, cm_string_shown(name), name.text);
    const struct call call = { row->name, *subject, arguments };
    CM_TRY(cm_run_count(run, 0));
    return row->call(run, &call, out);
}

calmoe_status cm_define_functions(struct run *run)
{
    for (const struct call_row *row = functions; row->name; row++)
        CM_TRY(cm_record_put(run, &run->global->variables, cm_string(row->name), cm_value_function(row)));
    return CALMOE_OK;
}

calmoe_status cm_call_filter(struct run *run, const struct value *subject, struct string name,
                             const struct arguments *arguments, struct value *out)
{
    const struct call_row *const tables[] = { cm_text_filters, cm_filters, calling_filters };
    const struct call_row       *row = NULL;
    for (size_t i = 0; !row && i < sizeof tables / sizeof tables[0]; i++) row = cm_find_row(tables[i], name);
    return call_row(run, row, "filter", name, subject, arguments, out);
}

calmoe_status cm_call_test(struct run *run, const struct value *subject, struct string name,
                           const struct arguments *arguments, struct value *out)
{
    return call_row(run, cm_find_row(tests, name), "test", name, subject, arguments, out);
}
