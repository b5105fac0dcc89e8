/* template_operators.c - what operators do with values, and parts of values: x.y, x[y], x[a:b]. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "runtime/text/template_parts.h"

/* ---- in ---- */

calmoe_status cm_value_contains(struct run *run, const struct value *whole, const struct value *part, bool *is_in)
{
    struct value  items;
    struct field *field;
    *is_in = false;
    if (whole->kind == VALUE_STRING) {
        if (part->kind != VALUE_STRING)
            return cm_run_fail(run, "%s is not looked for in a text", cm_value_kind_name(part));
        CM_TRY(cm_run_count(run, whole->string.n));
        *is_in = part->string.n == 0 || cm_string_find(whole->string, part->string, 0) < whole->string.n;
        return CALMOE_OK;
    }
    if (cm_is_dict(whole)) {
        CM_TRY(cm_dict_find(run, whole->record, part, &field));
        *is_in = field != NULL;
        return CALMOE_OK;
    }
    CM_TRY(cm_value_items(run, whole, &items));
    for (size_t i = 0; !*is_in && i < items.list->n; i++)
        CM_TRY(cm_value_equals(run, &items.list->items[i], part, is_in));
    return CALMOE_OK;
}

/* ---- order ---- */

static calmoe_status compare(struct run *run, enum operator op, const struct value *a, const struct value *b,
                             struct value *out)
{
    int order;
    CM_TRY(cm_value_order(run, a, b, &order));
    *out = cm_value_bool(op == OP_LESS ? order < 0 : op == OP_LESS_EQUAL ? order <= 0 : op == OP_GREATER ? order > 0
                                                                                                         : order >= 0);
    return CALMOE_OK;
}

/* ---- arithmetic ---- */

static calmoe_status compute_reals(struct run *run, enum operator op, double a, double b, struct value *out)
{
    double result = 0;
    if ((op == OP_DIVIDE || op == OP_FLOOR_DIVIDE || op == OP_MODULO) && !(b < 0 || b > 0))
        return cm_run_fail(run, "a division by 0");
    switch (op) {
    case OP_ADD: result = a + b; break;
    case OP_SUBTRACT: result = a - b; break;
    case OP_MULTIPLY: result = a * b; break;
    case OP_DIVIDE: result = a / b; break;
    case OP_FLOOR_DIVIDE: result = floor(a / b); break;
    case OP_MODULO:
        result = fmod(a, b);
        if ((result < 0 || result > 0) && (result < 0) != (b < 0)) result += b;
        break;
    case OP_POWER: result = pow(a, b); break;
    default: return cm_run_fail(run, "this arithmetic is not known to this version");
    }
    if (!isfinite(result)) return cm_run_fail(run, "a number is too large");
    *out = cm_value_real(result);
    return CALMOE_OK;
}

static bool power(int64_t a, int64_t b, int64_t *result)
{
    *result = 1;
    for (; b > 0; b >>= 1) {
        if ((b & 1) && __builtin_mul_overflow(*result, a, result)) return false;
        if (b > 1 && __builtin_mul_overflow(a, a, &a)) return false;
    }
    return true;
}

/* Numbers stay below 2^62, so that no sum of two overflows; quotients round down, as Python's do. */
static calmoe_status compute(struct run *run, enum operator op, int64_t a, int64_t b, struct value *out)
{
    int64_t result = 0;
    bool    fits = true;
    if (op == OP_DIVIDE || (op == OP_POWER && b < 0)) return compute_reals(run, op, (double)a, (double)b, out);
    if ((op == OP_FLOOR_DIVIDE || op == OP_MODULO) && b == 0) return cm_run_fail(run, "a division by 0");
    switch (op) {
    case OP_ADD: result = a + b; break;
    case OP_SUBTRACT: result = a - b; break;
    case OP_MULTIPLY: fits = !__builtin_mul_overflow(a, b, &result); break;
    case OP_FLOOR_DIVIDE: result = a / b - (a % b != 0 && (a < 0) != (b < 0)); break;
    case OP_MODULO: result = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0); break;
    case OP_POWER: fits = power(a, b, &result); break;
    default: return cm_run_fail(run, "this arithmetic is not known to this version");
    }
    if (!fits || result >= INT64_C(1) << 62 || result <= -(INT64_C(1) << 62))
        return cm_run_fail(run, "a number is too large");
    *out = cm_value_integer(result);
    return CALMOE_OK;
}

static calmoe_status join(struct run *run, struct string a, struct string b, struct value *out)
{
    struct text_buffer buffer = { .text = NULL };
    CM_TRY(cm_buffer_put(run, &buffer, a));
    CM_TRY(cm_buffer_put(run, &buffer, b));
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

static calmoe_status add_lists(struct run *run, const struct list *a, const struct list *b, struct value *out)
{
    CM_TRY(cm_list_open(run, a->n + b->n, out));
    out->list->kind = a->kind;
    if (a->n > 0) memcpy(out->list->items, a->items, a->n * sizeof *a->items);
    if (b->n > 0) memcpy(out->list->items + a->n, b->items, b->n * sizeof *b->items);
    return CALMOE_OK;
}

/* A text or a list n times. */
static calmoe_status repeat(struct run *run, const struct value *value, int64_t n, struct value *out)
{
    struct text_buffer buffer = { .text = NULL };
    if (value->kind == VALUE_LIST) CM_TRY(cm_list_open(run, 0, out));
    for (int64_t i = 0; i < n; i++) {
        CM_TRY(cm_run_count(run, 0));
        if (value->kind == VALUE_STRING) CM_TRY(cm_buffer_put(run, &buffer, value->string));
        for (size_t k = 0; value->kind == VALUE_LIST && k < value->list->n; k++)
            CM_TRY(cm_list_put(run, out->list, value->list->items[k]));
    }
    if (value->kind == VALUE_LIST) out->list->kind = value->list->kind;
    else *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

static bool is_list(const struct value *value)
{
    return value->kind == VALUE_LIST && (value->list->kind == LIST_PLAIN || value->list->kind == LIST_TUPLE);
}

static bool is_whole(const struct value *value)
{
    return value->kind == VALUE_INTEGER || value->kind == VALUE_BOOL;
}

static bool is_text(const struct value *value)
{
    return value->kind == VALUE_STRING || value->is_silent;
}

static calmoe_status combine(struct run *run, enum operator op, const struct value *a, const struct value *b,
                             struct value *out)
{
    struct string left, right;
    if (is_whole(a) && is_whole(b)) return compute(run, op, a->number, b->number, out);
    if (cm_is_number(a) && cm_is_number(b)) return compute_reals(run, op, cm_number(a), cm_number(b), out);
    if (op == OP_ADD && is_text(a) && is_text(b)) {
        CM_TRY(cm_value_text(run, a, &left));
        CM_TRY(cm_value_text(run, b, &right));
        return join(run, left, right, out);
    }
    if (op == OP_ADD && is_list(a) && is_list(b) && a->list->kind == b->list->kind)
        return add_lists(run, a->list, b->list, out);
    if (op == OP_MULTIPLY && (a->kind == VALUE_STRING || is_list(a)) && is_whole(b))
        return repeat(run, a, b->number, out);
    if (op == OP_MULTIPLY && (b->kind == VALUE_STRING || is_list(b)) && is_whole(a))
        return repeat(run, b, a->number, out);
    return cm_run_fail(run, "%s and %s do not go together", cm_value_kind_name(a), cm_value_kind_name(b));
}

calmoe_status cm_value_binary(struct run *run, enum operator op, const struct value *a, const struct value *b,
                              struct value *out)
{
    bool          is = false;
    struct string left, right;
    switch (op) {
    case OP_EQUAL:
    case OP_UNEQUAL:
        CM_TRY(cm_value_equals(run, a, b, &is));
        *out = cm_value_bool(is == (op == OP_EQUAL));
        return CALMOE_OK;
    case OP_IN:
    case OP_NOT_IN:
        CM_TRY(cm_value_contains(run, b, a, &is));
        *out = cm_value_bool(is == (op == OP_IN));
        return CALMOE_OK;
    case OP_LESS:
    case OP_LESS_EQUAL:
    case OP_GREATER:
    case OP_GREATER_EQUAL: return compare(run, op, a, b, out);
    case OP_JOIN:
        CM_TRY(cm_value_text(run, a, &left));
        CM_TRY(cm_value_text(run, b, &right));
        return join(run, left, right, out);
    default: break;
    }
    return combine(run, op, a, b, out);
}

/* ---- parts of values ---- */

static struct value loop_attribute(const struct loop *loop, struct string name)
{
    const struct list *list = loop->list;
    const int64_t      at = (int64_t)loop->at, n = (int64_t)list->n;
    const struct {
        const char  *name;
        struct value value;
    } fields[] = {
        { "index0", cm_value_integer(at) },            { "index", cm_value_integer(at + 1) },
        { "revindex0", cm_value_integer(n - at - 1) }, { "revindex", cm_value_integer(n - at) },
        { "first", cm_value_bool(at == 0) },           { "last", cm_value_bool(at == n - 1) },
        { "length", cm_value_integer(n) },             { "depth", cm_value_integer(1) },
        { "depth0", cm_value_integer(0) },
    };
    for (size_t k = 0; k < sizeof fields / sizeof fields[0]; k++)
        if (cm_string_is(name, fields[k].name)) return fields[k].value;
    if (cm_string_is(name, "previtem") && at > 0) return list->items[at - 1];
    if (cm_string_is(name, "nextitem") && at + 1 < n) return list->items[at + 1];
    return cm_value_undefined();
}

/* What x.name is, if x has such an attribute; methods go before members of dicts. */
static calmoe_status get_attribute(struct run *run, const struct value *whole, struct string name, struct value *out)
{
    *out = cm_value_undefined();
    if (name.n >= 2 && name.text[0] == '_' && name.text[1] == '_')
        return cm_run_fail(run, "'%.*s' is not given to templates", cm_string_shown(name), name.text);
    const struct call_row *method = cm_find_row(run->methods_of(whole), name);
    if (method) return cm_value_method(run, method, whole, out);
    if (whole->kind == VALUE_LOOP) *out = loop_attribute(whole->loop, name);
    if (whole->kind == VALUE_RECORD && whole->record->kind == RECORD_NAMESPACE) {
        const struct value *found = cm_record_find(whole->record, name);
        if (found) *out = *found;
    }
    return CALMOE_OK;
}

/* What x[which] is, if x has such an item. */
static calmoe_status get_item(struct run *run, const struct value *whole, const struct value *which, struct value *out)
{
    *out = cm_value_undefined();
    if (cm_is_dict(whole)) {
        struct field *field = NULL;
        if (which->kind != VALUE_LIST && which->kind != VALUE_RECORD && which->kind != VALUE_UNDEFINED)
            CM_TRY(cm_dict_find(run, whole->record, which, &field));
        if (field) *out = field->value;
        return CALMOE_OK;
    }
    const bool is_counted = whole->kind == VALUE_STRING || is_list(whole);
    if (!is_counted || !is_whole(which)) return CALMOE_OK;
    const struct value bounds[3] = { *which, cm_value_none(), cm_value_none() };
    const int64_t      n = whole->kind == VALUE_LIST ? (int64_t)whole->list->n
                                                     : (int64_t)cm_string_length(whole->string);
    const int64_t      at = which->number < 0 ? which->number + n : which->number;
    if (at < 0 || at >= n) return CALMOE_OK;
    if (whole->kind == VALUE_LIST) {
        *out = whole->list->items[at];
        return CALMOE_OK;
    }
    CM_TRY(cm_value_slice(run, whole, bounds, out));
    out->string = cm_string_part(out->string, 0, cm_string_step(out->string, 0));
    return CALMOE_OK;
}

calmoe_status cm_value_get(struct run *run, const struct value *whole, const struct value *which, bool is_dotted,
                           struct value *out)
{
    if (whole->kind == VALUE_UNDEFINED) return cm_run_fail(run, "a part is wanted of something that is not defined");
    *out = cm_value_undefined();
    if (is_dotted && which->kind == VALUE_STRING) {
        CM_TRY(get_attribute(run, whole, which->string, out));
        return out->kind == VALUE_UNDEFINED ? get_item(run, whole, which, out) : CALMOE_OK;
    }
    CM_TRY(get_item(run, whole, which, out));
    if (out->kind != VALUE_UNDEFINED || which->kind != VALUE_STRING) return CALMOE_OK;
    return get_attribute(run, whole, which->string, out);
}

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

/* ---- slices ---- */

/* Where a slice of n items begins, and how many it has, as Python counts. */
static int64_t slice_bounds(const struct value bounds[3], int64_t n, int64_t step, int64_t *begin)
{
    int64_t ends[2] = { step > 0 ? 0 : n - 1, step > 0 ? n : -1 };
    for (int i = 0; i < 2; i++) {
        if (bounds[i].kind == VALUE_NONE) continue;
        const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
        const int64_t at = bounds[i].number < 0 ? bounds[i].number + n : bounds[i].number;
        ends[i] = at < low ? low : at > high ? high : at;
    }
    *begin = ends[0];
    const int64_t length = step > 0 ? ends[1] - ends[0] : ends[0] - ends[1], width = step > 0 ? step : -step;
    return length > 0 ? (length - 1) / width + 1 : 0;
}

/* The byte at which character `which` begins, from character *known at byte at on. */
static size_t byte_of(struct string text, int64_t *known, size_t at, int64_t which)
{
    for (; *known < which; ++*known) at += cm_string_step(text, at);
    for (; *known > which; --*known) at -= cm_string_step_back(text, at);
    return at;
}

static calmoe_status slice_text(struct run *run, struct string text, const struct value bounds[3], int64_t step,
                                struct value *out)
{
    struct text_buffer buffer = { .text = NULL };
    int64_t            begin, known = 0;
    CM_TRY(cm_run_count(run, text.n));
    const int64_t n = slice_bounds(bounds, (int64_t)cm_string_length(text), step, &begin);
    size_t        at = n > 0 ? byte_of(text, &known, 0, begin) : 0;
    if (step == 1) {
        const size_t end = n > 0 ? byte_of(text, &known, at, begin + n) : at;
        *out = cm_value_string(cm_string_part(text, at, end));
        return CALMOE_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        at = byte_of(text, &known, at, begin + i * step);
        CM_TRY(cm_buffer_put(run, &buffer, cm_string_part(text, at, at + cm_string_step(text, at))));
    }
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

calmoe_status cm_value_slice(struct run *run, const struct value *whole, const struct value bounds[3],
                             struct value *out)
{
    enum { MAX_STEP = 1 << 30 };
    int64_t step = bounds[2].kind == VALUE_NONE ? 1 : bounds[2].number, begin;
    for (int i = 0; i < 3; i++)
        if (bounds[i].kind != VALUE_NONE && bounds[i].kind != VALUE_INTEGER)
            return cm_run_fail(run, "a slice wants numbers, found %s", cm_value_kind_name(&bounds[i]));
    if (step == 0) return cm_run_fail(run, "a slice with step 0");
    step = step > MAX_STEP ? MAX_STEP : step < -MAX_STEP ? -MAX_STEP : step; /* more than any text or list has */
    if (whole->kind == VALUE_STRING) return slice_text(run, whole->string, bounds, step, out);
    if (whole->kind == VALUE_UNDEFINED) return cm_run_fail(run, "a part is wanted of something that is not defined");
    if (!is_list(whole)) return cm_run_fail(run, "a slice of %s", cm_value_kind_name(whole));
    const int64_t n = slice_bounds(bounds, (int64_t)whole->list->n, step, &begin);
    CM_TRY(cm_list_open(run, (size_t)n, out));
    out->list->kind = whole->list->kind;
    for (int64_t i = 0; i < n; i++) out->list->items[i] = whole->list->items[begin + i * step];
    return CALMOE_OK;
}
