/* template_filters.c - filters that make something of one value: its length, its parts in order, its JSON. Those that
 * call other filters and tests are in template_calls.c, those that are methods too in template_methods.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/documents/json.h"
#include "runtime/text/template_parts.h"

static bool is_set(const struct value *flag)
{
    return flag && cm_value_is_true(flag);
}

/* ---- whole values ---- */

static calmoe_status length(struct run *run, const struct call *call, struct value *out)
{
    const struct value *subject = &call->subject;
    size_t              n = 0;
    if (subject->kind == VALUE_STRING) n = cm_string_length(subject->string);
    else if (subject->kind == VALUE_LIST && subject->list->kind != LIST_GENERATOR) n = subject->list->n;
    else if (cm_is_dict(subject)) n = subject->record->n;
    else if (subject->kind != VALUE_UNDEFINED && !subject->is_silent)
        return cm_run_fail(run, "%s has no length", cm_value_kind_name(subject));
    *out = cm_value_integer((int64_t)n);
    return cm_run_count(run, subject->kind == VALUE_STRING ? n : 0);
}

static calmoe_status string(struct run *run, const struct call *call, struct value *out)
{
    struct string text;
    CM_TRY(cm_value_text(run, &call->subject, &text));
    *out = cm_value_string(text);
    return CALMOE_OK;
}

/* A new list of the items. */
static calmoe_status list(struct run *run, const struct call *call, struct value *out)
{
    struct value items;
    CM_TRY(cm_value_items(run, &call->subject, &items));
    CM_TRY(cm_list_open(run, items.list->n, out));
    if (items.list->n > 0) memcpy(out->list->items, items.list->items, items.list->n * sizeof *items.list->items);
    return CALMOE_OK;
}

/* default(x), and default(x, true), which is x for all that is false. */
static calmoe_status fall_back(struct run *run, const struct call *call, struct value *out)
{
    const struct value *usual = cm_argument(call, 0, "default_value");
    const bool          takes = call->subject.kind == VALUE_UNDEFINED ||
                       (is_set(cm_argument(call, 1, "boolean")) && !cm_value_is_true(&call->subject));
    (void)run;
    *out = !takes ? call->subject : usual ? *usual : cm_value_string(cm_string(""));
    return CALMOE_OK;
}

/* The members of a dict as pairs. */
static calmoe_status items(struct run *run, const struct call *call, struct value *out)
{
    static const struct arguments none = { .n = 0 };
    if (call->subject.kind == VALUE_UNDEFINED) {
        CM_TRY(cm_list_open(run, 0, out));
    } else {
        if (!cm_is_dict(&call->subject)) return cm_run_fail(run, "'items' wants a dict");
        const struct call_row *row = cm_find_row(cm_dict_methods, cm_string("items"));
        const struct call      view = { row->name, call->subject, &none };
        CM_TRY(row->call(run, &view, out));
    }
    out->list->kind = LIST_GENERATOR;
    return CALMOE_OK;
}

/* ---- numbers ---- */

/* Reads a text as a number, whole or not; false where it is none. */
static bool read_number(struct string text, bool whole, struct value *out)
{
    char  copy[64], *end;
    text = cm_string_strip(text, true, true);
    if (text.n == 0 || text.n >= sizeof copy || memchr(text.text, 'x', text.n) || memchr(text.text, 'X', text.n))
        return false;
    memcpy(copy, text.text, text.n);
    copy[text.n] = '\0';
    const long long number = strtoll(copy, &end, 10);
    if (whole && *end == '\0' && llabs(number) < (INT64_C(1) << 62)) {
        *out = cm_value_integer(number);
        return true;
    }
    const double real = strtod(copy, &end);
    if (*end != '\0' || (whole && !(fabs(real) < 4e18))) return false;
    *out = whole ? cm_value_integer((int64_t)real) : cm_value_real(real);
    return true;
}

/* int(default), float(default): what is no number becomes default. */
static calmoe_status number(struct run *run, const struct call *call, struct value *out)
{
    const struct value *usual = cm_argument(call, 0, "default");
    const bool          whole = call->what[0] == 'i';
    *out = usual ? *usual : whole ? cm_value_integer(0) : cm_value_real(0);
    if (call->subject.kind == VALUE_UNDEFINED) return cm_run_fail(run, "a number is wanted of something not defined");
    if (call->subject.kind == VALUE_STRING) {
        (void)read_number(call->subject.string, whole, out);
    } else if (cm_is_number(&call->subject)) {
        const double real = cm_number(&call->subject);
        if (!whole) *out = cm_value_real(real);
        else if (call->subject.kind != VALUE_REAL) *out = cm_value_integer(call->subject.number);
        else if (fabs(real) < 4e18) *out = cm_value_integer((int64_t)real);
    }
    return CALMOE_OK;
}

static calmoe_status absolute(struct run *run, const struct call *call, struct value *out)
{
    if (!cm_is_number(&call->subject)) return cm_run_fail(run, "'abs' wants a number");
    const bool is_real = call->subject.kind == VALUE_REAL;
    *out = is_real ? cm_value_real(fabs(call->subject.real))
                   : cm_value_integer(call->subject.number < 0 ? -call->subject.number : call->subject.number);
    return CALMOE_OK;
}

/* round(precision, method) */
static calmoe_status rounded(struct run *run, const struct call *call, struct value *out)
{
    const struct value *precision = cm_argument(call, 0, "precision"), *method = cm_argument(call, 1, "method");
    const int64_t       digits = precision && precision->kind == VALUE_INTEGER ? precision->number : 0;
    char                text[64];
    if (!cm_is_number(&call->subject) || digits < 0 || digits > 15) return cm_run_fail(run, "this 'round'");
    const double real = cm_number(&call->subject), scale = pow(10, (double)digits);
    const bool   up = method && method->kind == VALUE_STRING && cm_string_is(method->string, "ceil");
    const bool   down = method && method->kind == VALUE_STRING && cm_string_is(method->string, "floor");
    if (!(fabs(real) < 1e15)) return cm_run_fail(run, "a number is too large");
    if (up || down) {
        *out = cm_value_real((up ? ceil(real * scale) : floor(real * scale)) / scale);
        return CALMOE_OK;
    }
    snprintf(text, sizeof text, "%.*f", (int)digits, real); /* rounds what the number is, halves to even */
    *out = cm_value_real(strtod(text, NULL));
    if (call->subject.kind != VALUE_REAL) *out = cm_value_integer(call->subject.number);
    return CALMOE_OK;
}

/* ---- ends and sums of lists ---- */

static calmoe_status end_of_list(struct run *run, const struct call *call, struct value *out)
{
    struct value items_of;
    const bool   is_first = call->what[0] == 'f';
    if (!is_first && call->subject.kind == VALUE_LIST && call->subject.list->kind == LIST_GENERATOR)
        return cm_run_fail(run, "'last' of a generator");
    CM_TRY(cm_value_items(run, &call->subject, &items_of));
    const struct list *of = items_of.list;
    *out = of->n == 0 ? cm_value_undefined() : of->items[is_first ? 0 : of->n - 1];
    return CALMOE_OK;
}

static calmoe_status reverse(struct run *run, const struct call *call, struct value *out)
{
    struct text_buffer buffer = { .text = NULL };
    struct value       items_of;
    CM_TRY(cm_value_items(run, &call->subject, &items_of));
    const size_t n = items_of.list->n;
    CM_TRY(cm_list_open(run, n, out));
    for (size_t i = 0; i < n; i++) out->list->items[i] = items_of.list->items[n - 1 - i];
    out->list->kind = LIST_GENERATOR;
    if (call->subject.kind != VALUE_STRING) return CALMOE_OK;
    for (size_t i = 0; i < n; i++) CM_TRY(cm_buffer_put(run, &buffer, out->list->items[i].string));
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

/* join(separator, attribute) */
static calmoe_status join(struct run *run, const struct call *call, struct value *out)
{
    const struct value *separator = cm_argument(call, 0, "d"), *attribute = cm_argument(call, 1, "attribute");
    struct text_buffer  buffer = { .text = NULL };
    struct string       between = { "", 0, NULL }, text;
    struct value        items_of, item;
    CM_TRY(cm_value_items(run, &call->subject, &items_of));
    if (separator) CM_TRY(cm_value_text(run, separator, &between));
    for (size_t i = 0; i < items_of.list->n; i++) {
        item = items_of.list->items[i];
        if (attribute) CM_TRY(cm_value_attribute(run, &items_of.list->items[i], attribute, &item));
        CM_TRY(cm_value_text(run, &item, &text));
        if (i > 0) CM_TRY(cm_buffer_put(run, &buffer, between));
        CM_TRY(cm_buffer_put(run, &buffer, text));
    }
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

static calmoe_status sum(struct run *run, const struct call *call, struct value *out)
{
    const struct value *attribute = cm_argument(call, 0, "attribute"), *start = cm_argument(call, 1, "start");
    struct value        items_of, item;
    CM_TRY(cm_value_items(run, &call->subject, &items_of));
    *out = start ? *start : cm_value_integer(0);
    for (size_t i = 0; i < items_of.list->n; i++) {
        const struct value before = *out;
        item = items_of.list->items[i];
        if (attribute && attribute->kind != VALUE_NONE)
            CM_TRY(cm_value_attribute(run, &items_of.list->items[i], attribute, &item));
        CM_TRY(cm_value_binary(run, OP_ADD, &before, &item, out));
    }
    return CALMOE_OK;
}

/* ---- order ---- */

struct sorting {
    const struct value *attribute; /* NULL: of the items themselves */
    bool                sees_case, reverse;
};

static calmoe_status key_of(struct run *run, const struct sorting *sorting, const struct value *item,
                            struct value *key)
{
    *key = *item;
    if (sorting->attribute) CM_TRY(cm_value_attribute(run, item, sorting->attribute, key));
    if (sorting->sees_case || key->kind != VALUE_STRING) return CALMOE_OK;
    return cm_string_letters(run, key->string, LETTERS_LOWER, key);
}

/* Merges two sorted halves of items and keys (n) by way of the other two (n). What is equal keeps its order. */
static calmoe_status merge(struct run *run, const struct sorting *sorting, struct value *const from[2],
                           struct value *const to[2], size_t middle, size_t n)
{
    size_t a = 0, b = middle;
    for (size_t i = 0; i < n; i++) {
        int order = 0;
        if (a < middle && b < n) CM_TRY(cm_value_order(run, &from[1][a], &from[1][b], &order));
        if (sorting->reverse) order = -order;
        const bool   takes_a = b == n || (a < middle && order <= 0);
        const size_t taken = takes_a ? a++ : b++;
        to[0][i] = from[0][taken];
        to[1][i] = from[1][taken];
    }
    for (int k = 0; k < 2; k++) memcpy(from[k], to[k], n * sizeof *to[k]);
    return CALMOE_OK;
}

static calmoe_status sort_items(struct run *run, const struct sorting *sorting, struct value *items_of, size_t n)
{
    struct value scratch[3];
    if (n < 2) return CALMOE_OK;
    for (int k = 0; k < 3; k++) CM_TRY(cm_list_open(run, n, &scratch[k]));
    struct value *const keys = scratch[0].list->items;
    for (size_t i = 0; i < n; i++) CM_TRY(key_of(run, sorting, &items_of[i], &keys[i]));
    for (size_t width = 1; width < n; width *= 2)
        for (size_t begin = 0; begin + width < n; begin += 2 * width) {
            const size_t        here = n - begin < 2 * width ? n - begin : 2 * width;
            struct value *const from[2] = { items_of + begin, keys + begin };
            struct value *const to[2] = { scratch[1].list->items, scratch[2].list->items };
            CM_TRY(merge(run, sorting, from, to, width, here));
        }
    return CALMOE_OK;
}

static calmoe_status sort(struct run *run, const struct call *call, struct value *out)
{
    const struct value  *attribute = cm_argument(call, 2, "attribute");
    const struct sorting sorting = { attribute && attribute->kind != VALUE_NONE ? attribute : NULL,
                                     is_set(cm_argument(call, 1, "case_sensitive")),
                                     is_set(cm_argument(call, 0, "reverse")) };
    CM_TRY(list(run, call, out));
    return sort_items(run, &sorting, out->list->items, out->list->n);
}

/* dictsort(case_sensitive, by, reverse): the members as pairs, by key or value */
static calmoe_status dictsort(struct run *run, const struct call *call, struct value *out)
{
    const struct value  *by = cm_argument(call, 1, "by");
    const bool           by_value = by && by->kind == VALUE_STRING && cm_string_is(by->string, "value");
    const struct value   place = cm_value_integer(by_value);
    const struct sorting sorting = { &place, is_set(cm_argument(call, 0, "case_sensitive")),
                                     is_set(cm_argument(call, 2, "reverse")) };
    if (!cm_is_dict(&call->subject)) return cm_run_fail(run, "'dictsort' wants a dict");
    CM_TRY(items(run, call, out));
    out->list->kind = LIST_PLAIN;
    return sort_items(run, &sorting, out->list->items, out->list->n);
}

/* min, max */
static calmoe_status extreme(struct run *run, const struct call *call, struct value *out)
{
    const struct sorting sorting = { cm_argument(call, 1, "attribute"),
                                     is_set(cm_argument(call, 0, "case_sensitive")), call->what[1] == 'a' };
    struct value         all;
    CM_TRY(list(run, call, &all));
    CM_TRY(sort_items(run, &sorting, all.list->items, all.list->n));
    *out = all.list->n > 0 ? all.list->items[0] : cm_value_undefined();
    return CALMOE_OK;
}

/* Each item once, where it comes first. */
static calmoe_status unique(struct run *run, const struct call *call, struct value *out)
{
    const struct sorting sorting = { cm_argument(call, 1, "attribute"),
                                     is_set(cm_argument(call, 0, "case_sensitive")), false };
    struct value         all, seen, key;
    bool                 known;
    CM_TRY(cm_value_items(run, &call->subject, &all));
    CM_TRY(cm_list_open(run, 0, &seen));
    CM_TRY(cm_list_open(run, 0, out));
    for (size_t i = 0; i < all.list->n; i++) {
        CM_TRY(key_of(run, &sorting, &all.list->items[i], &key));
        CM_TRY(cm_value_contains(run, &seen, &key, &known));
        if (known) continue;
        CM_TRY(cm_list_put(run, seen.list, key));
        CM_TRY(cm_list_put(run, out->list, all.list->items[i]));
    }
    out->list->kind = LIST_GENERATOR;
    return CALMOE_OK;
}

/* ---- JSON ---- */

static calmoe_status read_separators(struct run *run, const struct call *call, struct json_form *form)
{
    const struct value *given = cm_argument(call, 2, "separators");
    if (!given || given->kind == VALUE_NONE) return CALMOE_OK;
    if (given->kind != VALUE_LIST || given->list->n != 2) return cm_run_fail(run, "separators are two texts");
    CM_TRY(cm_need_text(run, call, &given->list->items[0], &form->between));
    return cm_need_text(run, call, &given->list->items[1], &form->behind_key);
}

/* tojson(ensure_ascii, indent, separators, sort_keys), each mostly by name: Python's json.dumps(). */
static calmoe_status tojson(struct run *run, const struct call *call, struct value *out)
{
    const struct value *indent = cm_argument(call, 1, "indent");
    struct json_form    form = { .is_ascii = is_set(cm_argument(call, 0, "ensure_ascii")),
                                 .sorts = is_set(cm_argument(call, 3, "sort_keys")), .indent = -1,
                                 .between = cm_string(", "), .behind_key = cm_string(": ") };
    if (indent && indent->kind == VALUE_STRING) form.indent_text = indent->string;
    else if (indent && indent->kind == VALUE_INTEGER)
        form.indent = indent->number < 0 ? 0 : indent->number > 1000 ? 1000 : (int)indent->number;
    else if (indent && indent->kind != VALUE_NONE) return cm_run_fail(run, "'tojson' wants a number to indent by");
    if (form.indent >= 0 || form.indent_text.text) form.between = cm_string(",");
    CM_TRY(read_separators(run, call, &form));
    return cm_value_json(run, &call->subject, &form, out);
}

static calmoe_status from_json(struct run *run, const struct call *call, struct value *out)
{
    struct json_document document;
    struct string        text;
    unsigned char        mark = MARK_TEMPLATE; /* of all that comes of it: a person's, if any of it is */
    CM_TRY(cm_need_text(run, call, &call->subject, &text));
    for (size_t i = 0; text.marks && i < text.n; i++)
        if (text.marks[i] > mark) mark = text.marks[i];
    CM_TRY(cm_json_parse_quietly(run->ctx, text.text, text.n, &document));
    if (!document.root) {
        cm_json_close(&document);
        return cm_run_fail(run, "'from_json' of a text that is no JSON");
    }
    const struct json_value root = cm_json_root(&document);
    const calmoe_status     status = cm_value_of_json(run, &root, mark, out);
    cm_json_close(&document);
    return status;
}

const struct call_row cm_filters[] = {
    { "length", length },   { "count", length },      { "string", string },   { "safe", string },
    { "list", list },       { "default", fall_back }, { "d", fall_back },     { "items", items },
    { "int", number },      { "float", number },      { "abs", absolute },    { "round", rounded },
    { "first", end_of_list }, { "last", end_of_list }, { "reverse", reverse }, { "join", join },
    { "sum", sum },         { "sort", sort },         { "dictsort", dictsort }, { "min", extreme },
    { "max", extreme },     { "unique", unique },     { "tojson", tojson },   { "from_json", from_json },
    { NULL, NULL },
};
