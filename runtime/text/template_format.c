/* template_format.c - Python's '{} and {name:>5}'.format(…) for templates: fields by number or name, their parts, and
 * what stands behind a colon for texts, numbers and all that is printed as a text. */
#include <stdio.h>
#include <string.h>

#include "runtime/text/template_parts.h"

struct field_form { /* [[fill]align][sign][#][0][width][,][.precision][type] */
    struct string fill;
    char          align, sign, type; /* 0: none given */
    bool          groups;
    int           width, precision;  /* precision -1: none given */
};

struct formatter { /* one call */
    const struct call *call;
    struct string      text;
    int                next; /* place of the next field without a name */
    bool               is_counted, is_numbered;
};

enum { MOST_WIDTH = 4096, MOST_PRECISION = 100 };

static calmoe_status fail_of_form(struct run *run, struct string form)
{
    return cm_run_fail(run, "the form '%.*s' of 'format' is not known to this version", cm_string_shown(form),
                       form.text);
}

/* A number at *at; `usual` where there is none, and -2 where it is too large. */
static int read_number(struct string text, size_t *at, int usual)
{
    int number = usual;
    for (; *at < text.n && text.text[*at] >= '0' && text.text[*at] <= '9'; ++*at) {
        number = (number < 0 ? 0 : number) * 10 + (text.text[*at] - '0');
        if (number > MOST_WIDTH) return -2;
    }
    return number;
}

static bool is_align(char c)
{
    return c == '<' || c == '>' || c == '^' || c == '=';
}

static calmoe_status read_form(struct run *run, struct string text, struct field_form *form)
{
    size_t       at = 0;
    const size_t n_fill = text.n > 0 ? cm_string_step(text, 0) : 0;
    *form = (struct field_form){ .fill = cm_string(" "), .precision = -1 };
    if (n_fill < text.n && is_align(text.text[n_fill])) {
        form->fill = cm_string_part(text, 0, n_fill);
        at = n_fill;
    }
    if (at < text.n && is_align(text.text[at])) form->align = text.text[at++];
    if (at < text.n && text.text[at] && strchr("+- ", text.text[at])) form->sign = text.text[at++];
    if (at < text.n && text.text[at] == '0') {
        if (!form->align) form->fill = cm_string("0");
        if (!form->align) form->align = '=';
        at++;
    }
    form->width = read_number(text, &at, 0);
    if (at < text.n && text.text[at] == ',') form->groups = text.text[at++] != 0;
    if (at < text.n && text.text[at] == '.') {
        at++;
        form->precision = read_number(text, &at, -2);
    }
    if (at < text.n) form->type = text.text[at++];
    const bool is_too_large = form->width < 0 || form->precision < -1 || form->precision > MOST_PRECISION;
    return at < text.n || is_too_large ? fail_of_form(run, text) : CALMOE_OK;
}

/* ---- one value ---- */

static calmoe_status put_fill(struct run *run, struct text_buffer *out, const struct field_form *form, size_t n)
{
    for (size_t i = 0; i < n; i++) CM_TRY(cm_buffer_put(run, out, form->fill));
    return CALMOE_OK;
}

/* sign and text, filled up to the form's width. */
static calmoe_status put_padded(struct run *run, struct text_buffer *out, const struct field_form *form, char align,
                                struct string sign, struct string text)
{
    const size_t n = sign.n + cm_string_length(text), width = (size_t)form->width, missing = width > n ? width - n : 0;
    const size_t before = align == '>' ? missing : align == '^' ? missing / 2 : 0;
    CM_TRY(put_fill(run, out, form, before));
    CM_TRY(cm_buffer_put(run, out, sign));
    if (align == '=') CM_TRY(put_fill(run, out, form, missing));
    CM_TRY(cm_buffer_put(run, out, text));
    return put_fill(run, out, form, align == '=' ? 0 : missing - before);
}

/* Digits with a comma between each three of those before the point. */
static void group(const char *digits, char *out)
{
    const size_t n_whole = strspn(digits, "0123456789");
    size_t       n = 0;
    for (size_t i = 0; i < n_whole; i++) {
        if (i > 0 && (n_whole - i) % 3 == 0) out[n++] = ',';
        out[n++] = digits[i];
    }
    memcpy(out + n, digits + n_whole, strlen(digits + n_whole) + 1);
}

/* The digits of a number without its sign; false: no such type. */
static bool print_number(const struct value *value, const struct field_form *form, char *out, size_t size)
{
    const bool     is_whole = value->kind != VALUE_REAL;
    const uint64_t whole = is_whole ? (uint64_t)(value->number < 0 ? -value->number : value->number) : 0;
    const double   real = cm_number(value) < 0 ? -cm_number(value) : cm_number(value);
    const int      precision = form->precision < 0 ? 6 : form->precision;
    char           usual[32];
    switch (form->type) {
    case 0:
        if (!is_whole && form->precision >= 0) return false;
        if (!is_whole) cm_print_real(real, usual);
        if (!is_whole) snprintf(out, size, "%s", usual);
        /* fall through */
    case 'd':
        if (is_whole) snprintf(out, size, "%llu", (unsigned long long)whole);
        return is_whole ? form->precision < 0 : form->type == 0;
    case 'x': snprintf(out, size, "%llx", (unsigned long long)whole); return is_whole;
    case 'X': snprintf(out, size, "%llX", (unsigned long long)whole); return is_whole;
    case 'f':
    case 'F': snprintf(out, size, "%.*f", precision, real); return true;
    case 'e': snprintf(out, size, "%.*e", precision, real); return true;
    case '%': snprintf(out, size, "%.*f%%", precision, 100 * real); return true;
    default: return false;
    }
}

static calmoe_status put_number(struct run *run, struct text_buffer *out, const struct value *value,
                                const struct field_form *form, struct string spec)
{
    char digits[512], grouped[700]; /* of the largest real, 309 digits and the precision */
    if (!print_number(value, form, digits, sizeof digits)) return fail_of_form(run, spec);
    group(digits, grouped);
    const bool is_negative = cm_number(value) < 0;
    const char sign[2] = { is_negative ? '-' : form->sign, '\0' };
    const bool has_sign = is_negative || form->sign == '+' || form->sign == ' ';
    return put_padded(run, out, form, form->align ? form->align : '>', cm_string(has_sign ? sign : ""),
                      cm_string(form->groups ? grouped : digits));
}

static calmoe_status put_formatted(struct run *run, struct text_buffer *out, const struct value *value,
                                   struct string spec)
{
    struct field_form form;
    struct string     text;
    CM_TRY(read_form(run, spec, &form));
    const bool is_number = cm_is_number(value) && (value->kind != VALUE_BOOL || spec.n > 0);
    if (is_number) return put_number(run, out, value, &form, spec);
    CM_TRY(cm_value_text(run, value, &text));
    if (spec.n == 0) return cm_buffer_put(run, out, text);
    const bool is_text = value->kind == VALUE_STRING && (!form.type || form.type == 's') && !form.sign && !form.groups;
    if (!is_text || form.align == '=') return fail_of_form(run, spec);
    if (form.precision >= 0) {
        size_t at = 0;
        for (int i = 0; i < form.precision && at < text.n; i++) at += cm_string_step(text, at);
        text = cm_string_part(text, 0, at);
    }
    return put_padded(run, out, &form, form.align ? form.align : '<', cm_string(""), text);
}

/* ---- fields ---- */

static calmoe_status find_value(struct run *run, struct formatter *formatter, struct string name, struct value *out)
{
    const struct arguments *arguments = formatter->call->arguments;
    size_t                  at = 0;
    const bool              is_counted = name.n == 0;
    int                     place = is_counted ? formatter->next++ : read_number(name, &at, -1);
    const bool              is_number = is_counted || (name.n > 0 && at == name.n);
    formatter->is_counted = formatter->is_counted || is_counted;
    formatter->is_numbered = formatter->is_numbered || (is_number && !is_counted);
    if (formatter->is_counted && formatter->is_numbered)
        return cm_run_fail(run, "'format' has fields with numbers and fields without");
    for (int i = 0; i < arguments->n; i++) {
        const struct string given = arguments->names[i];
        const bool          fits = is_number ? !given.text && place-- == 0 : given.text && cm_same_string(given, name);
        if (!fits) continue;
        *out = arguments->values[i];
        return CALMOE_OK;
    }
    return cm_run_fail(run, "'format' has no value for the field '%.*s'", cm_string_shown(name), name.text);
}

/* What a field names: a value, or a part of one, as in a.b or a[b]. */
static calmoe_status read_field(struct run *run, struct formatter *formatter, struct string path, struct value *out)
{
    size_t at = 0;
    while (at < path.n && path.text[at] != '.' && path.text[at] != '[') at++;
    CM_TRY(find_value(run, formatter, cm_string_part(path, 0, at), out));
    while (at < path.n) {
        const bool          is_dotted = path.text[at] == '.';
        const struct string end = cm_string(is_dotted ? "." : "]");
        size_t              to = cm_string_find(path, end, at + 1);
        if (is_dotted && cm_string_find(path, cm_string("["), at + 1) < to)
            to = cm_string_find(path, cm_string("["), at + 1);
        size_t              at_number = 0;
        const struct string part = cm_string_part(path, at + 1, to);
        const int           number = read_number(part, &at_number, -1);
        const bool          is_number = !is_dotted && part.n > 0 && at_number == part.n;
        const struct value  which = is_number ? cm_value_integer(number) : cm_value_string(part), whole = *out;
        CM_TRY(cm_value_get(run, &whole, &which, is_dotted, out));
        at = is_dotted ? to : to + 1;
    }
    return CALMOE_OK;
}

/* A field between braces: what it names, and behind a colon how it is written. */
static calmoe_status put_field(struct run *run, struct formatter *formatter, struct string field,
                               struct text_buffer *out)
{
    const size_t        colon = cm_string_find(field, cm_string(":"), 0);
    const struct string path = cm_string_part(field, 0, colon);
    const struct string spec = colon < field.n ? cm_string_part(field, colon + 1, field.n) : cm_string("");
    const bool          is_more = path.n >= 2 && path.text[path.n - 2] == '!';
    const bool          as_text = is_more && path.text[path.n - 1] == 's';
    struct value        value;
    struct string       text;
    if (is_more && !as_text) return fail_of_form(run, field);
    CM_TRY(read_field(run, formatter, is_more ? cm_string_part(path, 0, path.n - 2) : path, &value));
    if (as_text) {
        CM_TRY(cm_value_text(run, &value, &text));
        value = cm_value_string(text);
    }
    return put_formatted(run, out, &value, spec);
}

calmoe_status cm_string_format(struct run *run, const struct call *call, struct value *out)
{
    struct formatter   formatter = { .call = call };
    struct text_buffer buffer = { .text = NULL };
    CM_TRY(cm_value_text(run, &call->subject, &formatter.text));
    const struct string text = formatter.text;
    CM_TRY(cm_run_count(run, text.n));
    for (size_t at = 0; at < text.n;) {
        const char c = text.text[at];
        if ((c == '{' || c == '}') && at + 1 < text.n && text.text[at + 1] == c) {
            CM_TRY(cm_buffer_put(run, &buffer, cm_string_part(text, at, at + 1)));
            at += 2;
        } else if (c == '{') {
            const size_t end = cm_string_find(text, cm_string("}"), at);
            const struct string field = cm_string_part(text, at + 1, end < text.n ? end : at + 1);
            const bool nests = field.n > 0 && memchr(field.text, '{', field.n);
            if (end == text.n || nests) return fail_of_form(run, cm_string_part(text, at, text.n));
            CM_TRY(put_field(run, &formatter, field, &buffer));
            at = end + 1;
        } else if (c == '}') {
            return fail_of_form(run, cm_string_part(text, at, text.n));
        } else {
            size_t end = at;
            while (end < text.n && text.text[end] != '{' && text.text[end] != '}') end++;
            CM_TRY(cm_buffer_put(run, &buffer, cm_string_part(text, at, end)));
            at = end;
        }
    }
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}
