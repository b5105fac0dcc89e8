/* template_methods.c - the methods of texts, dicts, lists and of the variable `loop`; some are filters, too. */
#include <string.h>

#include "runtime/text/template_parts.h"
#include "runtime/text/utf8.h"

/* Text that is taken for what it prints as. */
static calmoe_status subject_text(struct run *run, const struct call *call, struct string *text)
{
    CM_TRY(cm_value_text(run, &call->subject, text));
    return cm_run_count(run, text->n);
}

static calmoe_status give_text(struct string text, struct value *out)
{
    *out = cm_value_string(text);
    return CALMOE_OK;
}

/* ---- white space and characters at the ends ---- */

static bool is_one_of(struct string character, struct string set)
{
    for (size_t at = 0; at < set.n; at += cm_string_step(set, at))
        if (cm_same_string(cm_string_part(set, at, at + cm_string_step(set, at)), character)) return true;
    return false;
}

/* Python's strip(chars): of set, characters in any order. */
static struct string strip_set(struct string text, struct string set, bool left, bool right)
{
    size_t from = 0, to = text.n;
    while (left && from < to) {
        const size_t next = from + cm_string_step(text, from);
        if (!is_one_of(cm_string_part(text, from, next), set)) break;
        from = next;
    }
    while (right && to > from) {
        const size_t before = to - cm_string_step_back(text, to);
        if (!is_one_of(cm_string_part(text, before, to), set)) break;
        to = before;
    }
    return cm_string_part(text, from, to);
}

static calmoe_status strip(struct run *run, const struct call *call, bool left, bool right, struct value *out)
{
    const struct value *set = cm_argument(call, 0, "chars");
    struct string       text, characters;
    CM_TRY(subject_text(run, call, &text));
    if (!set || set->kind == VALUE_NONE) return give_text(cm_string_strip(text, left, right), out);
    CM_TRY(cm_need_text(run, call, set, &characters));
    return give_text(strip_set(text, characters, left, right), out);
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

/* removeprefix, removesuffix */
static calmoe_status without(struct run *run, const struct call *call, struct value *out)
{
    struct string text, part;
    const bool    is_prefix = !strcmp(call->what, "removeprefix");
    CM_TRY(subject_text(run, call, &text));
    CM_TRY(cm_need_text(run, call, cm_argument(call, 0, NULL), &part));
    *out = cm_value_string(text);
    if (part.n > text.n) return CALMOE_OK;
    const size_t at = is_prefix ? 0 : text.n - part.n;
    if (!cm_same_string(cm_string_part(text, at, at + part.n), part)) return CALMOE_OK;
    return give_text(is_prefix ? cm_string_part(text, part.n, text.n) : cm_string_part(text, 0, at), out);
}

/* ---- letters ---- */

static calmoe_status change_letters(struct run *run, const struct call *call, enum letters letters, struct value *out)
{
    struct string text;
    CM_TRY(subject_text(run, call, &text));
    return cm_string_letters(run, text, letters, out);
}

static calmoe_status upper(struct run *run, const struct call *call, struct value *out)
{
    return change_letters(run, call, LETTERS_UPPER, out);
}

static calmoe_status lower(struct run *run, const struct call *call, struct value *out)
{
    return change_letters(run, call, LETTERS_LOWER, out);
}

static calmoe_status capitalize(struct run *run, const struct call *call, struct value *out)
{
    return change_letters(run, call, LETTERS_CAPITALIZE, out);
}

static calmoe_status title(struct run *run, const struct call *call, struct value *out)
{
    return change_letters(run, call, LETTERS_TITLE, out);
}

static calmoe_status title_filter(struct run *run, const struct call *call, struct value *out)
{
    return change_letters(run, call, LETTERS_TITLE_FILTER, out);
}

/* ---- parts of texts ---- */

static bool begins_with(struct string text, struct string part, bool at_end)
{
    if (part.n > text.n) return false;
    return cm_same_string(at_end ? cm_string_part(text, text.n - part.n, text.n) : cm_string_part(text, 0, part.n),
                          part);
}

/* startswith, endswith: a text, or any of a tuple of them; in the characters from place `start` up to `end` */
static calmoe_status begins_or_ends(struct run *run, const struct call *call, struct value *out)
{
    const struct value *wanted = cm_argument(call, 0, NULL);
    const struct value *from = cm_argument(call, 1, NULL), *to = cm_argument(call, 2, NULL);
    const struct value  none = cm_value_none(), bounds[3] = { from ? *from : none, to ? *to : none, none };
    const bool          at_end = !strcmp(call->what, "endswith");
    struct string       text, part;
    struct value        whole;
    bool                is = false;
    CM_TRY(subject_text(run, call, &text));
    whole = cm_value_string(text);
    if (from) CM_TRY(cm_value_slice(run, &whole, bounds, out));
    if (from) text = out->string;
    if (wanted && wanted->kind == VALUE_LIST) {
        for (size_t i = 0; i < wanted->list->n; i++) {
            CM_TRY(cm_need_text(run, call, &wanted->list->items[i], &part));
            is = is || begins_with(text, part, at_end);
        }
    } else {
        CM_TRY(cm_need_text(run, call, wanted, &part));
        is = begins_with(text, part, at_end);
    }
    *out = cm_value_bool(is);
    return CALMOE_OK;
}

/* The number of an argument, or the usual one where it is not given. */
static calmoe_status number_argument(struct run *run, const struct call *call, int place, const char *name,
                                     int64_t usual, int64_t *number)
{
    const struct value *given = cm_argument(call, place, name);
    *number = given ? given->number : usual;
    if (given && given->kind != VALUE_INTEGER)
        return cm_run_fail(run, "'%s' wants a number, found %s", call->what, cm_value_kind_name(given));
    return CALMOE_OK;
}

/* split() without a separator: the words between white space; behind the last cut, all that is left. */
static calmoe_status split_words(struct run *run, struct string text, int64_t most, struct value *out)
{
    text = cm_string_strip(text, true, false);
    for (int64_t n = 0; text.n > 0; n++) {
        size_t at = 0;
        while (at < text.n) {
            const size_t length = cm_string_step(text, at);
            if (cm_string_strip(cm_string_part(text, at, at + length), true, false).n == 0) break;
            at += length;
        }
        if (most >= 0 && n == most) return cm_list_put(run, out->list, cm_value_string(text));
        CM_TRY(cm_list_put(run, out->list, cm_value_string(cm_string_part(text, 0, at))));
        text = cm_string_strip(cm_string_part(text, at, text.n), true, false);
    }
    return CALMOE_OK;
}

/* split(separator, n): the parts between its occurrences, at most n cuts. */
static calmoe_status split(struct run *run, const struct call *call, struct value *out)
{
    const struct value *given = cm_argument(call, 0, "sep");
    struct string       text, separator;
    int64_t             most;
    CM_TRY(subject_text(run, call, &text));
    CM_TRY(number_argument(run, call, 1, "maxsplit", -1, &most));
    CM_TRY(cm_list_open(run, 0, out));
    if (!given || given->kind == VALUE_NONE) return split_words(run, text, most, out);
    CM_TRY(cm_need_text(run, call, given, &separator));
    if (separator.n == 0) return cm_run_fail(run, "'split' at an empty text");
    size_t at = 0;
    for (int64_t n = 0; most < 0 || n < most; n++) {
        const size_t next = cm_string_find(text, separator, at);
        if (next == text.n) break;
        CM_TRY(cm_list_put(run, out->list, cm_value_string(cm_string_part(text, at, next))));
        at = next + separator.n;
    }
    return cm_list_put(run, out->list, cm_value_string(cm_string_part(text, at, text.n)));
}

/* Where part begins last in text[0 .. end), text.n where it does not. */
static size_t find_last(struct string text, struct string part, size_t end)
{
    for (size_t at = end; at >= part.n; at--)
        if (cm_same_string(cm_string_part(text, at - part.n, at), part)) return at - part.n;
    return text.n;
}

/* rsplit(separator, n): cuts from the end. */
static calmoe_status rsplit(struct run *run, const struct call *call, struct value *out)
{
    struct string text, separator;
    int64_t       most;
    CM_TRY(subject_text(run, call, &text));
    CM_TRY(number_argument(run, call, 1, "maxsplit", -1, &most));
    CM_TRY(cm_need_text(run, call, cm_argument(call, 0, "sep"), &separator));
    if (separator.n == 0) return cm_run_fail(run, "'rsplit' at an empty text");
    CM_TRY(cm_list_open(run, 0, out));
    size_t end = text.n;
    for (int64_t n = 0; most < 0 || n < most; n++) {
        const size_t at = find_last(text, separator, end);
        if (at == text.n) break;
        CM_TRY(cm_list_put(run, out->list, cm_value_string(cm_string_part(text, at + separator.n, end))));
        end = at;
    }
    CM_TRY(cm_list_put(run, out->list, cm_value_string(cm_string_part(text, 0, end))));
    for (size_t i = 0; i < out->list->n / 2; i++) {
        const struct value first = out->list->items[i];
        out->list->items[i] = out->list->items[out->list->n - 1 - i];
        out->list->items[out->list->n - 1 - i] = first;
    }
    return CALMOE_OK;
}

/* partition, rpartition: (before, separator, behind) */
static calmoe_status partition(struct run *run, const struct call *call, struct value *out)
{
    struct string text, separator;
    const bool    from_end = call->what[0] == 'r';
    CM_TRY(subject_text(run, call, &text));
    CM_TRY(cm_need_text(run, call, cm_argument(call, 0, NULL), &separator));
    if (separator.n == 0) return cm_run_fail(run, "'%s' at an empty text", call->what);
    const size_t at = from_end ? find_last(text, separator, text.n) : cm_string_find(text, separator, 0);
    CM_TRY(cm_list_open(run, 3, out));
    out->list->kind = LIST_TUPLE;
    for (int i = 0; i < 3; i++) out->list->items[i] = cm_value_string(cm_string(""));
    if (at == text.n) {
        out->list->items[from_end ? 2 : 0] = cm_value_string(text);
        return CALMOE_OK;
    }
    out->list->items[0] = cm_value_string(cm_string_part(text, 0, at));
    out->list->items[1] = cm_value_string(cm_string_part(text, at, at + separator.n));
    out->list->items[2] = cm_value_string(cm_string_part(text, at + separator.n, text.n));
    return CALMOE_OK;
}

/* Bytes of the line end at text[at ...), 0 where there is none, as Python's splitlines() has it. */
static size_t line_end(struct string text, size_t at)
{
    const size_t length = cm_string_step(text, at);
    if (length == 1 && (unsigned char)text.text[at] >= 0x80) return 0;
    const uint32_t point = cm_utf8_point(text.text + at, (int)length);
    if (point == '\r' && at + 1 < text.n && text.text[at + 1] == '\n') return 2;
    const bool is_end = (point >= '\n' && point <= '\r') || (point >= 0x1c && point <= 0x1e) || point == 0x85 ||
                        point == 0x2028 || point == 0x2029;
    return is_end ? length : 0;
}

static calmoe_status split_lines(struct run *run, struct string text, bool keeps_ends, struct value *out)
{
    size_t begin = 0;
    CM_TRY(cm_list_open(run, 0, out));
    for (size_t at = 0; at < text.n;) {
        const size_t n_end = line_end(text, at);
        if (n_end > 0) {
            const size_t to = keeps_ends ? at + n_end : at;
            CM_TRY(cm_list_put(run, out->list, cm_value_string(cm_string_part(text, begin, to))));
            begin = at + n_end;
        }
        at += n_end > 0 ? n_end : cm_string_step(text, at);
    }
    if (begin < text.n) CM_TRY(cm_list_put(run, out->list, cm_value_string(cm_string_part(text, begin, text.n))));
    return CALMOE_OK;
}

static calmoe_status splitlines(struct run *run, const struct call *call, struct value *out)
{
    const struct value *keeps_ends = cm_argument(call, 0, "keepends");
    struct string       text;
    CM_TRY(subject_text(run, call, &text));
    return split_lines(run, text, keeps_ends && cm_value_is_true(keeps_ends), out);
}

/* indent(width, first, blank): lines but the first begin with blanks, empty ones only if they are meant to. */
static calmoe_status indent(struct run *run, const struct call *call, struct value *out)
{
    const struct value *width = cm_argument(call, 0, "width"), *first = cm_argument(call, 1, "first"),
                       *blank = cm_argument(call, 2, "blank");
    const bool          with_first = first && cm_value_is_true(first), with_blank = blank && cm_value_is_true(blank);
    struct text_buffer  blanks = { .text = NULL }, buffer = { .text = NULL };
    struct string       text;
    struct value        lines;
    CM_TRY(subject_text(run, call, &text));
    if (call->subject.kind != VALUE_STRING && !call->subject.is_silent)
        return cm_run_fail(run, "'indent' wants a text, found %s", cm_value_kind_name(&call->subject));
    if (width && width->kind != VALUE_STRING && width->kind != VALUE_INTEGER)
        return cm_run_fail(run, "'indent' wants a number, found %s", cm_value_kind_name(width));
    for (int64_t i = 0; i < (width ? width->number : 4) && !(width && width->kind == VALUE_STRING); i++)
        CM_TRY(cm_buffer_put(run, &blanks, cm_string(" ")));
    const struct string step = width && width->kind == VALUE_STRING ? width->string : cm_buffer_value(&blanks).string;
    CM_TRY(split_lines(run, text, false, &lines));
    const size_t last = text.n == 0 ? 0 : text.n - cm_string_step_back(text, text.n);
    if (text.n == 0 || line_end(text, last) > 0) CM_TRY(cm_list_put(run, lines.list, cm_value_string(cm_string(""))));
    for (size_t i = 0; i < lines.list->n; i++) {
        const struct string line = lines.list->items[i].string;
        if (i > 0) CM_TRY(cm_buffer_put(run, &buffer, cm_string("\n")));
        if (i > 0 ? with_blank || line.n > 0 : with_first) CM_TRY(cm_buffer_put(run, &buffer, step));
        CM_TRY(cm_buffer_put(run, &buffer, line));
    }
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

/* replace(old, new, n): at most n times; an empty old stands before and behind each character. */
static calmoe_status replace(struct run *run, const struct call *call, struct value *out)
{
    struct string      text, from, to;
    struct text_buffer buffer = { .text = NULL };
    int64_t            most;
    const struct value *count = cm_argument(call, 2, "count");
    CM_TRY(subject_text(run, call, &text));
    CM_TRY(cm_need_text(run, call, cm_argument(call, 0, "old"), &from));
    CM_TRY(cm_need_text(run, call, cm_argument(call, 1, "new"), &to));
    if (count && count->kind == VALUE_NONE) most = -1;
    else CM_TRY(number_argument(run, call, 2, "count", -1, &most));
    size_t at = 0;
    for (int64_t n = 0; (most < 0 || n < most) && at <= text.n; n++) {
        const size_t next = from.n > 0 ? cm_string_find(text, from, at) : at;
        if (from.n > 0 && next == text.n) break;
        CM_TRY(cm_buffer_put(run, &buffer, cm_string_part(text, at, next)));
        CM_TRY(cm_buffer_put(run, &buffer, to));
        at = next + from.n;
        if (from.n > 0) continue;
        if (at == text.n) {
            at = text.n + 1;
            break;
        }
        const size_t step = cm_string_step(text, at);
        CM_TRY(cm_buffer_put(run, &buffer, cm_string_part(text, at, at + step)));
        at += step;
    }
    if (at < text.n) CM_TRY(cm_buffer_put(run, &buffer, cm_string_part(text, at, text.n)));
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

/* find, rfind, index, count of a part; places are counted in characters */
static calmoe_status find(struct run *run, const struct call *call, struct value *out)
{
    struct string text, part;
    CM_TRY(subject_text(run, call, &text));
    CM_TRY(cm_need_text(run, call, cm_argument(call, 0, NULL), &part));
    if (!strcmp(call->what, "count")) {
        int64_t n = part.n == 0 ? (int64_t)cm_string_length(text) + 1 : 0;
        for (size_t at = 0; part.n > 0 && (at = cm_string_find(text, part, at)) < text.n; at += part.n) n++;
        *out = cm_value_integer(n);
        return CALMOE_OK;
    }
    size_t at = !strcmp(call->what, "rfind") ? find_last(text, part, text.n) : cm_string_find(text, part, 0);
    if (part.n == 0) at = !strcmp(call->what, "rfind") ? text.n : 0;
    const bool found = part.n == 0 || at < text.n;
    if (!found && !strcmp(call->what, "index")) return cm_run_fail(run, "'index': the text is not there");
    *out = cm_value_integer(found ? (int64_t)cm_string_length(cm_string_part(text, 0, at)) : -1);
    return CALMOE_OK;
}

/* separator.join(items) */
static calmoe_status join(struct run *run, const struct call *call, struct value *out)
{
    const struct value *given = cm_argument(call, 0, NULL);
    struct text_buffer  buffer = { .text = NULL };
    struct value        items;
    struct string       text;
    if (!given) return cm_run_fail(run, "'join' wants a list");
    CM_TRY(cm_value_items(run, given, &items));
    for (size_t i = 0; i < items.list->n; i++) {
        if (i > 0) CM_TRY(cm_buffer_put(run, &buffer, call->subject.string));
        CM_TRY(cm_need_text(run, call, &items.list->items[i], &text));
        CM_TRY(cm_buffer_put(run, &buffer, text));
    }
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

/* isdigit, isspace: of a text that is not empty, whether all its characters are */
static calmoe_status is_all(struct run *run, const struct call *call, struct value *out)
{
    struct string text;
    bool          is;
    CM_TRY(subject_text(run, call, &text));
    is = text.n > 0;
    if (!strcmp(call->what, "isspace")) is = is && cm_string_strip(text, true, false).n == 0;
    else for (size_t i = 0; i < text.n; i++) is = is && text.text[i] >= '0' && text.text[i] <= '9';
    *out = cm_value_bool(is);
    return CALMOE_OK;
}

/* ---- dicts ---- */

static calmoe_status get(struct run *run, const struct call *call, struct value *out)
{
    const struct value *key = cm_argument(call, 0, NULL), *usual = cm_argument(call, 1, NULL);
    struct field       *field;
    if (!key) return cm_run_fail(run, "'get' wants a key");
    CM_TRY(cm_dict_find(run, call->subject.record, key, &field));
    *out = field ? field->value : usual ? *usual : cm_value_none();
    return CALMOE_OK;
}

/* items, keys, values */
static calmoe_status view(struct run *run, const struct call *call, struct value *out)
{
    const struct record *record = call->subject.record;
    size_t               n = 0;
    CM_TRY(cm_run_count(run, record->n));
    CM_TRY(cm_list_open(run, record->n, out));
    out->list->kind = LIST_VIEW;
    for (const struct field *field = record->fields; field; field = field->next) {
        struct value *item = &out->list->items[n++];
        *item = call->what[0] == 'k' ? field->key : field->value;
        if (call->what[0] != 'i') continue;
        CM_TRY(cm_list_open(run, 2, item));
        item->list->kind = LIST_TUPLE;
        item->list->items[0] = field->key;
        item->list->items[1] = field->value;
    }
    return CALMOE_OK;
}

static calmoe_status copy_dict(struct run *run, const struct call *call, struct value *out)
{
    CM_TRY(cm_record_open(run, RECORD_DICT, out));
    for (const struct field *field = call->subject.record->fields; field; field = field->next)
        CM_TRY(cm_dict_put(run, out->record, &field->key, field->value));
    return CALMOE_OK;
}

static calmoe_status update(struct run *run, const struct call *call, struct value *out)
{
    const struct value *other = cm_argument(call, 0, NULL);
    *out = cm_value_none();
    if (other && !cm_is_dict(other)) return cm_run_fail(run, "'update' wants a dict");
    for (const struct field *field = other ? other->record->fields : NULL; field; field = field->next)
        CM_TRY(cm_dict_put(run, call->subject.record, &field->key, field->value));
    for (int i = 0; i < call->arguments->n; i++)
        if (call->arguments->names[i].text)
            CM_TRY(cm_record_put(run, call->subject.record, call->arguments->names[i], call->arguments->values[i]));
    return CALMOE_OK;
}

static calmoe_status pop_member(struct run *run, const struct call *call, struct value *out)
{
    const struct value *key = cm_argument(call, 0, NULL), *usual = cm_argument(call, 1, NULL);
    struct field       *field;
    if (!key) return cm_run_fail(run, "'pop' wants a key");
    CM_TRY(cm_dict_find(run, call->subject.record, key, &field));
    if (!field && !usual) return cm_run_fail(run, "'pop': there is no such key");
    *out = field ? field->value : *usual;
    if (field) cm_dict_remove(call->subject.record, field);
    return CALMOE_OK;
}

/* ---- lists ---- */

static calmoe_status copy_list(struct run *run, const struct call *call, struct value *out)
{
    CM_TRY(cm_list_open(run, 0, out));
    for (size_t i = 0; i < call->subject.list->n; i++)
        CM_TRY(cm_list_put(run, out->list, call->subject.list->items[i]));
    return CALMOE_OK;
}

static calmoe_status append(struct run *run, const struct call *call, struct value *out)
{
    const struct value *item = cm_argument(call, 0, NULL);
    *out = cm_value_none();
    if (!item || call->subject.list->kind != LIST_PLAIN) return cm_run_fail(run, "'append' of this");
    return cm_list_put(run, call->subject.list, *item);
}

static calmoe_status pop_item(struct run *run, const struct call *call, struct value *out)
{
    struct list *list = call->subject.list;
    int64_t      at;
    CM_TRY(number_argument(run, call, 0, NULL, -1, &at));
    if (at < 0) at += (int64_t)list->n;
    if (at < 0 || at >= (int64_t)list->n || list->kind != LIST_PLAIN) return cm_run_fail(run, "'pop': no such item");
    *out = list->items[at];
    list->n--;
    for (size_t i = (size_t)at; i < list->n; i++) list->items[i] = list->items[i + 1];
    return CALMOE_OK;
}

/* index, count of an item */
static calmoe_status find_item(struct run *run, const struct call *call, struct value *out)
{
    const struct value *item = cm_argument(call, 0, NULL);
    const struct list  *list = call->subject.list;
    int64_t             n = 0;
    bool                equal;
    if (!item) return cm_run_fail(run, "'%s' wants an item", call->what);
    for (size_t i = 0; i < list->n; i++) {
        CM_TRY(cm_value_equals(run, &list->items[i], item, &equal));
        if (equal && call->what[0] == 'i') {
            *out = cm_value_integer((int64_t)i);
            return CALMOE_OK;
        }
        n += equal;
    }
    if (call->what[0] == 'i') return cm_run_fail(run, "'index': the item is not there");
    *out = cm_value_integer(n);
    return CALMOE_OK;
}

/* ---- loop ---- */

static calmoe_status cycle(struct run *run, const struct call *call, struct value *out)
{
    if (call->arguments->n == 0) return cm_run_fail(run, "'cycle' wants values");
    *out = call->arguments->values[call->subject.loop->at % (size_t)call->arguments->n];
    return CALMOE_OK;
}

/* ---- the tables ---- */

static const struct call_row string_methods[] = {
    { "strip", both_ends },       { "lstrip", left_end },       { "rstrip", right_end },     { "upper", upper },
    { "lower", lower },           { "capitalize", capitalize }, { "title", title },          { "split", split },
    { "rsplit", rsplit },         { "splitlines", splitlines }, { "replace", replace },      { "partition", partition },
    { "rpartition", partition },  { "startswith", begins_or_ends }, { "endswith", begins_or_ends },
    { "find", find },             { "rfind", find },            { "index", find },           { "count", find },
    { "join", join },             { "removeprefix", without },  { "removesuffix", without }, { "isdigit", is_all },
    { "isspace", is_all },        { "format", cm_string_format }, { NULL, NULL },
};
const struct call_row cm_dict_methods[] = {
    { "get", get },          { "items", view },    { "keys", view },        { "values", view },
    { "copy", copy_dict },   { "update", update }, { "pop", pop_member },   { NULL, NULL },
};
static const struct call_row list_methods[] = {
    { "append", append }, { "pop", pop_item }, { "index", find_item }, { "count", find_item },
    { "copy", copy_list }, { NULL, NULL },
};
static const struct call_row loop_methods[] = { { "cycle", cycle }, { NULL, NULL } };
const struct call_row cm_text_filters[] = {
    { "trim", both_ends },   { "upper", upper },     { "lower", lower },   { "capitalize", capitalize },
    { "title", title_filter }, { "replace", replace }, { "indent", indent }, { NULL, NULL },
};

const struct call_row *cm_methods_of(const struct value *value)
{
    static const struct call_row none[] = { { NULL, NULL } };
    switch (value->kind) {
    case VALUE_STRING: return string_methods;
    case VALUE_LIST: return value->list->kind == LIST_GENERATOR ? none : list_methods;
    case VALUE_RECORD: return cm_is_dict(value) ? cm_dict_methods : none;
    case VALUE_LOOP: return loop_methods;
    default: return none;
    }
}
