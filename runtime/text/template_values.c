/* template_values.c - what a template computes with: texts, whole numbers, lists, records. As in Python, where a
 * bool is a number too. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/template_parts.h"
#include "runtime/text/utf8.h"

/* ---- a run ---- */

calmoe_status cm_run_fail(struct run *run, const char *format, ...)
{
    char    sentence[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return cm_fail(run->ctx, CALMOE_UNSUPPORTED, "line %d of the chat template: %s", run->line, sentence);
}

calmoe_status cm_buffer_put(struct run *run, struct text_buffer *buffer, struct string text)
{
    if (text.n > buffer->n_room - buffer->n) {
        const size_t n_room = 2 * buffer->n_room + text.n + 256;
        char        *grown = NULL;
        CM_TRY(cm_arena_take(run->ctx, &run->arena, n_room, &grown));
        if (buffer->n > 0) memcpy(grown, buffer->text, buffer->n);
        buffer->text = grown;
        buffer->n_room = n_room;
    }
    if (text.n > 0) memcpy(buffer->text + buffer->n, text.text, text.n);
    buffer->n += text.n;
    return CALMOE_OK;
}

/* ---- memory ---- */

struct arena_block {
    struct arena_block *next;
    size_t              n, n_used; /* bytes behind this header */
};

enum { BLOCK_BYTES = 16 * 1024, ARENA_ALIGNMENT = 16 };

calmoe_status cm_arena_take(struct calmoe_context *ctx, struct arena *arena, size_t n, void *out)
{
    const size_t header = (sizeof(struct arena_block) + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    const size_t wanted = (n + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (n > TEMPLATE_MAX_MEMORY || arena->n_bytes + wanted > TEMPLATE_MAX_MEMORY)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "the chat template takes more than %d MiB of memory",
                       TEMPLATE_MAX_MEMORY >> 20);
    if (!arena->blocks || wanted > arena->blocks->n - arena->blocks->n_used) {
        const size_t        n_block = wanted > BLOCK_BYTES ? wanted : BLOCK_BYTES;
        struct arena_block *block = cm_alloc(ctx, header + n_block, 1, "a chat template");
        if (!block) return CALMOE_NO_MEMORY;
        block->n = n_block;
        block->next = arena->blocks;
        arena->blocks = block;
        arena->n_bytes += n_block;
    }
    void *taken = (char *)arena->blocks + header + arena->blocks->n_used;
    arena->blocks->n_used += wanted;
    memcpy(out, &taken, sizeof taken);
    return CALMOE_OK;
}

void cm_arena_close(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *next = arena->blocks->next;
        cm_free(arena->blocks);
        arena->blocks = next;
    }
    arena->n_bytes = 0;
}

/* ---- texts ---- */

struct string cm_string(const char *text)
{
    return (struct string){ text, strlen(text) };
}

bool cm_string_is(struct string string, const char *text)
{
    return string.n == strlen(text) && !memcmp(string.text, text, string.n);
}

static bool same_string(struct string a, struct string b)
{
    return a.n == b.n && (a.n == 0 || !memcmp(a.text, b.text, a.n));
}

int cm_string_shown(struct string string)
{
    return string.n < 40 ? (int)string.n : 40;
}

struct string cm_string_strip(struct string string, bool left, bool right)
{
    while (left && string.n > 0) {
        const int length = cm_utf8_length(string.text, string.n);
        if (length < 1 || !cm_utf8_is_white(cm_utf8_point(string.text, length))) break;
        string.text += length;
        string.n -= (size_t)length;
    }
    while (right && string.n > 0) {
        size_t at = string.n - 1;
        while (at > 0 && string.n - at < 4 && ((unsigned char)string.text[at] & 0xc0) == 0x80) at--;
        const int length = cm_utf8_length(string.text + at, string.n - at);
        if (length != (int)(string.n - at) || !cm_utf8_is_white(cm_utf8_point(string.text + at, length))) break;
        string.n = at;
    }
    return string;
}

/* ---- making values ---- */

struct value cm_value_bool(bool is)
{
    return (struct value){ .kind = VALUE_BOOL, .number = is };
}

struct value cm_value_integer(int64_t number)
{
    return (struct value){ .kind = VALUE_INTEGER, .number = number };
}

struct value cm_value_string(struct string string)
{
    return (struct value){ .kind = VALUE_STRING, .string = string };
}

calmoe_status cm_list_open(struct run *run, size_t n, struct value *out)
{
    struct list *list = NULL;
    if (n > TEMPLATE_MAX_STEPS) return cm_run_fail(run, "a list of more than %d items", TEMPLATE_MAX_STEPS);
    CM_TRY(cm_arena_take(run->ctx, &run->arena, sizeof *list, &list));
    CM_TRY(cm_arena_take(run->ctx, &run->arena, n * sizeof *list->items, &list->items));
    list->n = n;
    *out = (struct value){ .kind = VALUE_LIST, .list = list };
    return CALMOE_OK;
}

calmoe_status cm_record_open(struct run *run, bool is_dict, struct value *out)
{
    struct record *record = NULL;
    CM_TRY(cm_arena_take(run->ctx, &run->arena, sizeof *record, &record));
    record->is_dict = is_dict;
    *out = (struct value){ .kind = VALUE_RECORD, .record = record };
    return CALMOE_OK;
}

struct value *cm_record_find(const struct record *record, struct string name)
{
    for (struct field *field = record->fields; field; field = field->next)
        if (same_string(field->name, name)) return &field->value;
    return NULL;
}

calmoe_status cm_record_put(struct run *run, struct record *record, struct string name, struct value value)
{
    struct value *found = cm_record_find(record, name);
    if (!found) {
        struct field *field;
        CM_TRY(cm_arena_take(run->ctx, &run->arena, sizeof *field, &field));
        field->name = name;
        field->next = record->fields;
        record->fields = field;
        found = &field->value;
    }
    *found = value;
    return CALMOE_OK;
}

/* ---- asking values ---- */

const char *cm_value_kind_name(const struct value *value)
{
    static const char *const names[] = { "nothing (it is not defined)", "none", "a bool", "a number", "a text",
                                         "a list", "a record", "a macro", "a function" };
    return names[value->kind];
}

bool cm_value_is_true(const struct value *value)
{
    switch (value->kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE: return false;
    case VALUE_BOOL:
    case VALUE_INTEGER: return value->number != 0;
    case VALUE_STRING: return value->string.n > 0;
    case VALUE_LIST: return value->list->n > 0;
    case VALUE_RECORD: return !value->record->is_dict || value->record->fields;
    case VALUE_MACRO:
    case VALUE_FUNCTION: break;
    }
    return true;
}

static bool is_number(const struct value *value)
{
    return value->kind == VALUE_INTEGER || value->kind == VALUE_BOOL;
}

static calmoe_status equal_lists(struct run *run, const struct list *a, const struct list *b, bool *equal)
{
    *equal = a->n == b->n;
    for (size_t i = 0; *equal && i < a->n; i++) CM_TRY(cm_value_equals(run, &a->items[i], &b->items[i], equal));
    return CALMOE_OK;
}

static calmoe_status equal_records(struct run *run, const struct record *a, const struct record *b, bool *equal)
{
    *equal = a == b;
    if (*equal || !a->is_dict || !b->is_dict) return CALMOE_OK;
    int difference = 0;
    for (const struct field *field = a->fields; field; field = field->next) difference++;
    for (const struct field *field = b->fields; field; field = field->next) difference--;
    *equal = difference == 0;
    for (const struct field *field = a->fields; *equal && field; field = field->next) {
        const struct value *other = cm_record_find(b, field->name);
        *equal = other != NULL;
        if (other) CM_TRY(cm_value_equals(run, &field->value, other, equal));
    }
    return CALMOE_OK;
}

calmoe_status cm_value_equals(struct run *run, const struct value *a, const struct value *b, bool *equal)
{
    if (++run->n_steps > TEMPLATE_MAX_STEPS || run->depth > TEMPLATE_MAX_DEPTH)
        return cm_run_fail(run, "it takes too long");
    if (is_number(a) && is_number(b)) {
        *equal = a->number == b->number;
        return CALMOE_OK;
    }
    *equal = a->kind == b->kind;
    if (!*equal) return CALMOE_OK;
    calmoe_status status = CALMOE_OK;
    run->depth++;
    if (a->kind == VALUE_STRING) *equal = same_string(a->string, b->string);
    if (a->kind == VALUE_LIST) status = equal_lists(run, a->list, b->list, equal);
    if (a->kind == VALUE_RECORD) status = equal_records(run, a->record, b->record, equal);
    if (a->kind == VALUE_MACRO) *equal = a->macro == b->macro;
    if (a->kind == VALUE_FUNCTION) *equal = a->function == b->function;
    run->depth--;
    return status;
}

calmoe_status cm_value_contains(struct run *run, const struct value *whole, const struct value *part, bool *is_in)
{
    *is_in = false;
    if (whole->kind == VALUE_UNDEFINED) return CALMOE_OK;
    if (whole->kind == VALUE_STRING && part->kind == VALUE_STRING) {
        *is_in = part->string.n == 0 || (whole->string.n > 0 && memmem(whole->string.text, whole->string.n,
                                                                       part->string.text, part->string.n));
        return CALMOE_OK;
    }
    if (whole->kind == VALUE_RECORD && whole->record->is_dict) {
        *is_in = part->kind == VALUE_STRING && cm_record_find(whole->record, part->string);
        return CALMOE_OK;
    }
    if (whole->kind != VALUE_LIST)
        return cm_run_fail(run, "%s is not looked for in %s", cm_value_kind_name(part), cm_value_kind_name(whole));
    for (size_t i = 0; !*is_in && i < whole->list->n; i++)
        CM_TRY(cm_value_equals(run, &whole->list->items[i], part, is_in));
    return CALMOE_OK;
}

calmoe_status cm_value_text(struct run *run, const struct value *value, struct string *text)
{
    char *number = NULL;
    switch (value->kind) {
    case VALUE_UNDEFINED: *text = cm_string(""); return CALMOE_OK;
    case VALUE_NONE: *text = cm_string("None"); return CALMOE_OK;
    case VALUE_BOOL: *text = cm_string(value->number ? "True" : "False"); return CALMOE_OK;
    case VALUE_STRING: *text = value->string; return CALMOE_OK;
    case VALUE_INTEGER:
        CM_TRY(cm_arena_take(run->ctx, &run->arena, 24, &number));
        snprintf(number, 24, "%" PRId64, value->number);
        *text = cm_string(number);
        return CALMOE_OK;
    case VALUE_LIST:
    case VALUE_RECORD:
    case VALUE_MACRO:
    case VALUE_FUNCTION: break;
    }
    return cm_run_fail(run, "%s is not printed by this version", cm_value_kind_name(value));
}

/* ---- operators ---- */

static calmoe_status join(struct run *run, struct string a, struct string b, struct value *out)
{
    char *text;
    CM_TRY(cm_arena_take(run->ctx, &run->arena, a.n + b.n, &text));
    if (a.n > 0) memcpy(text, a.text, a.n);
    if (b.n > 0) memcpy(text + a.n, b.text, b.n);
    *out = cm_value_string((struct string){ text, a.n + b.n });
    return CALMOE_OK;
}

static calmoe_status add_lists(struct run *run, const struct list *a, const struct list *b, struct value *out)
{
    CM_TRY(cm_list_open(run, a->n + b->n, out));
    if (a->n > 0) memcpy(out->list->items, a->items, a->n * sizeof *a->items);
    if (b->n > 0) memcpy(out->list->items + a->n, b->items, b->n * sizeof *b->items);
    return CALMOE_OK;
}

/* Numbers stay below 2^62, so that no sum of two overflows; quotients round down, as Python's do. */
static calmoe_status compute(struct run *run, enum operator op, int64_t a, int64_t b, struct value *out)
{
    int64_t result = 0;
    bool    is_known = true;
    if ((op == OP_FLOOR_DIVIDE || op == OP_MODULO) && b == 0) return cm_run_fail(run, "a division by 0");
    switch (op) {
    case OP_ADD: result = a + b; break;
    case OP_SUBTRACT: result = a - b; break;
    case OP_MULTIPLY: is_known = !__builtin_mul_overflow(a, b, &result); break;
    case OP_FLOOR_DIVIDE: result = a / b - (a % b != 0 && (a < 0) != (b < 0)); break;
    case OP_MODULO: result = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0); break;
    default: is_known = false; break;
    }
    if (!is_known || result >= INT64_C(1) << 62 || result <= -(INT64_C(1) << 62))
        return cm_run_fail(run, "this arithmetic is not known to this version");
    *out = cm_value_integer(result);
    return CALMOE_OK;
}

static calmoe_status compare(struct run *run, enum operator op, const struct value *a, const struct value *b,
                             struct value *out)
{
    int order = 0;
    if (is_number(a) && is_number(b)) {
        order = a->number < b->number ? -1 : a->number > b->number;
    } else if (a->kind == VALUE_STRING && b->kind == VALUE_STRING) {
        const size_t n = a->string.n < b->string.n ? a->string.n : b->string.n;
        order = n > 0 ? memcmp(a->string.text, b->string.text, n) : 0;
        if (order == 0) order = a->string.n < b->string.n ? -1 : a->string.n > b->string.n;
    } else {
        return cm_run_fail(run, "%s and %s have no order", cm_value_kind_name(a), cm_value_kind_name(b));
    }
    *out = cm_value_bool(op == OP_LESS ? order < 0 : op == OP_LESS_EQUAL ? order <= 0 : op == OP_GREATER ? order > 0
                                                                                                         : order >= 0);
    return CALMOE_OK;
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
    if (op == OP_ADD && a->kind == VALUE_STRING && b->kind == VALUE_STRING) return join(run, a->string, b->string, out);
    if (op == OP_ADD && a->kind == VALUE_LIST && b->kind == VALUE_LIST) return add_lists(run, a->list, b->list, out);
    if (is_number(a) && is_number(b)) return compute(run, op, a->number, b->number, out);
    return cm_run_fail(run, "%s and %s do not go together", cm_value_kind_name(a), cm_value_kind_name(b));
}

/* ---- parts of values ---- */

static bool is_ascii(struct string string)
{
    for (size_t i = 0; i < string.n; i++)
        if ((unsigned char)string.text[i] >= 0x80) return false;
    return true;
}

calmoe_status cm_value_get(struct run *run, const struct value *whole, const struct value *which, bool is_dotted,
                           struct value *out)
{
    static const char *const methods[] = { "items", "keys", "values", "get", "pop", "update", "copy", "clear" };
    *out = (struct value){ .kind = VALUE_UNDEFINED };
    if (whole->kind == VALUE_UNDEFINED) return cm_run_fail(run, "a part is wanted of something that is not defined");
    if (whole->kind == VALUE_RECORD && which->kind == VALUE_STRING) {
        const struct value *found = cm_record_find(whole->record, which->string);
        for (size_t i = 0; whole->record->is_dict && is_dotted && i < sizeof methods / sizeof methods[0]; i++)
            if (cm_string_is(which->string, methods[i]))
                return cm_run_fail(run, "'%s' of a dict is not known to this version", methods[i]);
        if (found) *out = *found;
        return CALMOE_OK;
    }
    if (whole->kind == VALUE_LIST && which->kind == VALUE_INTEGER) {
        const int64_t n = (int64_t)whole->list->n, at = which->number < 0 ? which->number + n : which->number;
        if (at >= 0 && at < n) *out = whole->list->items[at];
        return CALMOE_OK;
    }
    if (whole->kind == VALUE_STRING && which->kind == VALUE_INTEGER && is_ascii(whole->string)) {
        const int64_t n = (int64_t)whole->string.n, at = which->number < 0 ? which->number + n : which->number;
        if (at >= 0 && at < n) *out = cm_value_string((struct string){ whole->string.text + at, 1 });
        return CALMOE_OK;
    }
    /* What else could be asked of a text or a list is a method, or not there. */
    if (which->kind == VALUE_STRING && whole->kind != VALUE_LIST && whole->kind != VALUE_STRING) return CALMOE_OK;
    return cm_run_fail(run, "this part of %s is not known to this version", cm_value_kind_name(whole));
}

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
    return length > 0 ? (length + width - 1) / width : 0;
}

calmoe_status cm_value_slice(struct run *run, const struct value *whole, const struct value bounds[3],
                             struct value *out)
{
    const int64_t step = bounds[2].kind == VALUE_NONE ? 1 : bounds[2].number;
    int64_t       begin;
    for (int i = 0; i < 3; i++)
        if (bounds[i].kind != VALUE_NONE && bounds[i].kind != VALUE_INTEGER)
            return cm_run_fail(run, "a slice wants numbers, found %s", cm_value_kind_name(&bounds[i]));
    if (step == 0) return cm_run_fail(run, "a slice with step 0");
    if (whole->kind == VALUE_STRING && step == 1 && is_ascii(whole->string)) {
        const int64_t n = slice_bounds(bounds, (int64_t)whole->string.n, 1, &begin);
        *out = cm_value_string((struct string){ whole->string.text + begin, (size_t)n });
        return CALMOE_OK;
    }
    if (whole->kind != VALUE_LIST)
        return cm_run_fail(run, "this slice of %s is not known to this version", cm_value_kind_name(whole));
    const int64_t n = slice_bounds(bounds, (int64_t)whole->list->n, step, &begin);
    CM_TRY(cm_list_open(run, (size_t)n, out));
    for (int64_t i = 0; i < n; i++) out->list->items[i] = whole->list->items[begin + i * step];
    return CALMOE_OK;
}
