/* template_print.c - values as texts: as printing writes them, as Python's repr() does inside lists, and as JSON in the
 * form of Python's json.dumps(). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/text/template_parts.h"
#include "runtime/text/utf8.h"

void cm_print_real(double real, char out[32])
{
    char digits[32];
    int  precision = 1;
    if (isnan(real) || isinf(real)) {
        snprintf(out, 32, "%s", isnan(real) ? "nan" : real < 0 ? "-inf" : "inf");
        return;
    }
    do snprintf(digits, sizeof digits, "%.*e", precision - 1, real);
    while (strtod(digits, NULL) != real && ++precision <= 17);
    const int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        char *e = strchr(digits, 'e');
        snprintf(out, 32, "%.*se%c%02d", (int)(e - digits), digits, exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    const int n_behind = precision - 1 - exponent;
    snprintf(out, 32, "%.*f", n_behind > 0 ? n_behind : 1, real);
}

static calmoe_status put(struct run *run, struct text_buffer *buffer, const char *text)
{
    return cm_buffer_put(run, buffer, cm_string(text));
}

static calmoe_status put_number(struct run *run, struct text_buffer *buffer, const struct value *value, bool as_json)
{
    char text[32];
    if (value->kind == VALUE_REAL) cm_print_real(value->real, text);
    else snprintf(text, sizeof text, "%" PRId64, value->number);
    if (as_json && value->kind == VALUE_REAL && !isfinite(value->real))
        snprintf(text, sizeof text, "%s", isnan(value->real) ? "NaN" : value->real < 0 ? "-Infinity" : "Infinity");
    return put(run, buffer, text);
}

/* ---- repr() ---- */

/* Whether Python prints the character as it is. Of characters that are not assigned it is not told. */
static bool is_printable(uint32_t point)
{
    static const struct { uint32_t first, last; } hidden[] = {
        { 0, 0x1f }, { 0x7f, 0xa0 }, { 0xad, 0xad }, { 0x600, 0x605 }, { 0x61c, 0x61c }, { 0x6dd, 0x6dd },
        { 0x70f, 0x70f }, { 0x1680, 0x1680 }, { 0x180e, 0x180e }, { 0x2000, 0x200f }, { 0x2028, 0x202f },
        { 0x205f, 0x206f }, { 0x3000, 0x3000 }, { 0xd800, 0xf8ff }, { 0xfeff, 0xfeff }, { 0xfff0, 0xfffb },
        { 0xfffe, 0xffff }, { 0xe0000, 0xe0fff }, { 0xf0000, 0x10ffff },
    };
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        if (point >= hidden[i].first && point <= hidden[i].last) return false;
    return true;
}

static calmoe_status put_repr_character(struct run *run, struct text_buffer *buffer, struct string character,
                                        char quote)
{
    static const char names[] = "ntr", values[] = "\n\t\r";
    const char        c = character.text[0];
    char              text[16];
    if (c == quote || c == '\\') {
        snprintf(text, sizeof text, "\\%c", c);
    } else if (c && strchr(values, c)) {
        snprintf(text, sizeof text, "\\%c", names[strchr(values, c) - values]);
    } else {
        const uint32_t point = cm_utf8_point(character.text, (int)character.n);
        if (is_printable(point)) return cm_buffer_put(run, buffer, character);
        snprintf(text, sizeof text, point < 0x100 ? "\\x%02x" : point < 0x10000 ? "\\u%04x" : "\\U%08x",
                 (unsigned)point);
    }
    return cm_buffer_put_marked(run, buffer, text, strlen(text), character.marks ? character.marks[0] : 0);
}

static calmoe_status put_repr_text(struct run *run, struct text_buffer *buffer, struct string text)
{
    const bool has_single = text.n > 0 && memchr(text.text, '\'', text.n);
    const char quote = has_single && !memchr(text.text, '"', text.n) ? '"' : '\'';
    CM_TRY(cm_buffer_put(run, buffer, cm_string_of(&quote, 1)));
    for (size_t at = 0; at < text.n;) {
        const size_t length = cm_string_step(text, at);
        CM_TRY(put_repr_character(run, buffer, cm_string_part(text, at, at + length), quote));
        at += length;
    }
    return cm_buffer_put(run, buffer, cm_string_of(&quote, 1));
}

static calmoe_status put_repr(struct run *run, struct text_buffer *buffer, const struct value *value);

static calmoe_status put_repr_list(struct run *run, struct text_buffer *buffer, const struct list *list)
{
    const bool is_tuple = list->kind == LIST_TUPLE;
    CM_TRY(put(run, buffer, is_tuple ? "(" : "["));
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0) CM_TRY(put(run, buffer, ", "));
        CM_TRY(put_repr(run, buffer, &list->items[i]));
    }
    return put(run, buffer, is_tuple ? list->n == 1 ? ",)" : ")" : "]");
}

static calmoe_status put_repr_dict(struct run *run, struct text_buffer *buffer, const struct record *record)
{
    CM_TRY(put(run, buffer, "{"));
    for (const struct field *field = record->fields; field; field = field->next) {
        if (field != record->fields) CM_TRY(put(run, buffer, ", "));
        CM_TRY(put_repr(run, buffer, &field->key));
        CM_TRY(put(run, buffer, ": "));
        CM_TRY(put_repr(run, buffer, &field->value));
    }
    return put(run, buffer, "}");
}

/* As printing does, but for texts, which stand in quotes. */
static calmoe_status put_repr_kind(struct run *run, struct text_buffer *buffer, const struct value *value)
{
    switch (value->kind) {
    case VALUE_UNDEFINED: return put(run, buffer, "Undefined");
    case VALUE_NONE: return put(run, buffer, "None");
    case VALUE_BOOL: return put(run, buffer, value->number ? "True" : "False");
    case VALUE_INTEGER:
    case VALUE_REAL: return put_number(run, buffer, value, false);
    case VALUE_STRING: return put_repr_text(run, buffer, value->string);
    case VALUE_LIST:
        if (value->list->kind == LIST_PLAIN || value->list->kind == LIST_TUPLE)
            return put_repr_list(run, buffer, value->list);
        break;
    case VALUE_RECORD:
        if (cm_is_dict(value)) return put_repr_dict(run, buffer, value->record);
        break;
    default: break;
    }
    return cm_run_fail(run, "%s is not printed", cm_value_kind_name(value));
}

static calmoe_status put_repr(struct run *run, struct text_buffer *buffer, const struct value *value)
{
    CM_TRY(cm_run_count(run, 0));
    if (++run->depth > TEMPLATE_MAX_RUN_DEPTH) return cm_run_fail(run, "too much stands inside each other");
    CM_TRY(put_repr_kind(run, buffer, value));
    run->depth--;
    return CALMOE_OK;
}

calmoe_status cm_value_text(struct run *run, const struct value *value, struct string *text)
{
    struct text_buffer buffer = { .text = NULL };
    *text = cm_string("");
    if (value->kind == VALUE_UNDEFINED || value->is_silent) return CALMOE_OK;
    if (value->kind == VALUE_STRING) {
        *text = value->string;
        return CALMOE_OK;
    }
    CM_TRY(put_repr(run, &buffer, value));
    *text = cm_buffer_value(&buffer).string;
    return CALMOE_OK;
}

/* ---- JSON ---- */

static calmoe_status put_json_character(struct run *run, struct text_buffer *buffer, struct string character,
                                        bool is_ascii)
{
    static const char   names[] = "\"\\nrtbf", values[] = "\"\\\n\r\t\b\f";
    const char          c = character.text[0];
    const unsigned char mark = character.marks ? character.marks[0] : 0;
    char                text[16];
    if (c && strchr(values, c)) {
        snprintf(text, sizeof text, "\\%c", names[strchr(values, c) - values]);
        return cm_buffer_put_marked(run, buffer, text, 2, mark);
    }
    const bool     is_broken = character.n == 1 && (unsigned char)c >= 0x80;
    const uint32_t point = is_broken ? 0xfffd : cm_utf8_point(character.text, (int)character.n);
    if (point >= 0x20 && (point < 0x7f || !is_ascii)) return cm_buffer_put(run, buffer, character);
    if (point == 0x7f) return cm_buffer_put(run, buffer, character);
    if (point < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", (unsigned)point);
    else
        snprintf(text, sizeof text, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (point >> 10)),
                 (unsigned)(0xdc00 | (point & 0x3ff)));
    return cm_buffer_put_marked(run, buffer, text, strlen(text), mark);
}

static calmoe_status put_json_text(struct run *run, struct text_buffer *buffer, struct string text, bool is_ascii)
{
    CM_TRY(cm_run_count(run, text.n));
    CM_TRY(put(run, buffer, "\""));
    for (size_t at = 0; at < text.n;) {
        const size_t length = cm_string_step(text, at);
        CM_TRY(put_json_character(run, buffer, cm_string_part(text, at, at + length), is_ascii));
        at += length;
    }
    return put(run, buffer, "\"");
}

static calmoe_status put_json(struct run *run, struct text_buffer *buffer, const struct value *value,
                              const struct json_form *form, int depth);

/* What stands before an item, or before the end: with indent a new line of so many levels. */
static calmoe_status put_line(struct run *run, struct text_buffer *buffer, const struct json_form *form, int depth)
{
    if (form->indent < 0 && !form->indent_text.text) return CALMOE_OK;
    CM_TRY(put(run, buffer, "\n"));
    for (int i = 0; i < depth; i++) {
        if (form->indent_text.text) CM_TRY(cm_buffer_put(run, buffer, form->indent_text));
        for (int k = 0; !form->indent_text.text && k < form->indent; k++) CM_TRY(put(run, buffer, " "));
    }
    return CALMOE_OK;
}

static calmoe_status put_json_list(struct run *run, struct text_buffer *buffer, const struct list *list,
                                   const struct json_form *form, int depth)
{
    if (list->n == 0) return put(run, buffer, "[]");
    CM_TRY(put(run, buffer, "["));
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0) CM_TRY(cm_buffer_put(run, buffer, form->between));
        CM_TRY(put_line(run, buffer, form, depth + 1));
        CM_TRY(put_json(run, buffer, &list->items[i], form, depth + 1));
    }
    CM_TRY(put_line(run, buffer, form, depth));
    return put(run, buffer, "]");
}

static calmoe_status put_json_key(struct run *run, struct text_buffer *buffer, const struct value *key,
                                  const struct json_form *form)
{
    if (key->kind == VALUE_STRING) return put_json_text(run, buffer, key->string, form->is_ascii);
    if (key->kind == VALUE_LIST) return cm_run_fail(run, "%s is no key in JSON", cm_value_kind_name(key));
    CM_TRY(put(run, buffer, "\""));
    CM_TRY(put_json(run, buffer, key, form, 0));
    return put(run, buffer, "\"");
}

/* The member after `last` in the order of keys; those that are no texts have no order with them. */
static calmoe_status next_sorted(struct run *run, const struct record *record, const struct field *last,
                                 const struct field **next)
{
    *next = NULL;
    for (const struct field *field = record->fields; field; field = field->next) {
        int order = 1;
        if (last) CM_TRY(cm_value_order(run, &field->key, &last->key, &order));
        if (order <= 0) continue;
        if (*next) CM_TRY(cm_value_order(run, &(*next)->key, &field->key, &order));
        if (order > 0) *next = field;
    }
    return CALMOE_OK;
}

static calmoe_status put_json_dict(struct run *run, struct text_buffer *buffer, const struct record *record,
                                   const struct json_form *form, int depth)
{
    const struct field *field = record->fields;
    if (record->n == 0) return put(run, buffer, "{}");
    CM_TRY(put(run, buffer, "{"));
    if (form->sorts) CM_TRY(next_sorted(run, record, NULL, &field));
    for (size_t i = 0; field; i++) {
        if (i > 0) CM_TRY(cm_buffer_put(run, buffer, form->between));
        CM_TRY(put_line(run, buffer, form, depth + 1));
        CM_TRY(put_json_key(run, buffer, &field->key, form));
        CM_TRY(cm_buffer_put(run, buffer, form->behind_key));
        CM_TRY(put_json(run, buffer, &field->value, form, depth + 1));
        if (form->sorts) CM_TRY(next_sorted(run, record, field, &field));
        else field = field->next;
    }
    CM_TRY(put_line(run, buffer, form, depth));
    return put(run, buffer, "}");
}

static calmoe_status put_json_kind(struct run *run, struct text_buffer *buffer, const struct value *value,
                                   const struct json_form *form, int depth)
{
    switch (value->kind) {
    case VALUE_NONE: return put(run, buffer, "null");
    case VALUE_BOOL: return put(run, buffer, value->number ? "true" : "false");
    case VALUE_INTEGER:
    case VALUE_REAL: return put_number(run, buffer, value, true);
    case VALUE_STRING: return put_json_text(run, buffer, value->string, form->is_ascii);
    case VALUE_LIST:
        if (value->list->kind == LIST_PLAIN || value->list->kind == LIST_TUPLE)
            return put_json_list(run, buffer, value->list, form, depth);
        break;
    case VALUE_RECORD:
        if (cm_is_dict(value)) return put_json_dict(run, buffer, value->record, form, depth);
        break;
    default: break;
    }
    return cm_run_fail(run, "%s is nothing in JSON", cm_value_kind_name(value));
}

static calmoe_status put_json(struct run *run, struct text_buffer *buffer, const struct value *value,
                              const struct json_form *form, int depth)
{
    CM_TRY(cm_run_count(run, 0));
    if (++run->depth > TEMPLATE_MAX_RUN_DEPTH) return cm_run_fail(run, "too much stands inside each other");
    CM_TRY(put_json_kind(run, buffer, value, form, depth));
    run->depth--;
    return CALMOE_OK;
}

calmoe_status cm_value_json(struct run *run, const struct value *value, const struct json_form *form,
                            struct value *out)
{
    struct text_buffer buffer = { .text = NULL };
    CM_TRY(put_json(run, &buffer, value, form, 0));
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}
