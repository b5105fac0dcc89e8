/* template_values.c - what a template computes with: texts, numbers, lists, dicts. As in Python, where a bool is a
 * number too. Each byte of a text has a mark that says who wrote it; texts made of others keep theirs. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/template_parts.h"

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

calmoe_status cm_run_count(struct run *run, size_t n_bytes)
{
    run->n_steps += 1 + n_bytes / TEMPLATE_STEP_BYTES;
    return run->n_steps > TEMPLATE_MAX_STEPS ? cm_run_fail(run, "it takes too long") : CALMOE_OK;
}

static calmoe_status buffer_grow(struct run *run, struct text_buffer *buffer, size_t n)
{
    if (n <= buffer->n_room - buffer->n) return CALMOE_OK;
    const size_t   n_room = 2 * buffer->n_room + n + 64;
    char          *text = NULL;
    unsigned char *marks = NULL;
    CM_TRY(cm_arena_take(run->ctx, &run->arena, n_room, &text));
    CM_TRY(cm_arena_take(run->ctx, &run->arena, n_room, &marks));
    if (buffer->n > 0) {
        memcpy(text, buffer->text, buffer->n);
        memcpy(marks, buffer->marks, buffer->n);
    }
    buffer->text = text;
    buffer->marks = marks;
    buffer->n_room = n_room;
    return CALMOE_OK;
}

calmoe_status cm_buffer_put(struct run *run, struct text_buffer *buffer, struct string text)
{
    if (text.n == 0) return CALMOE_OK;
    CM_TRY(buffer_grow(run, buffer, text.n));
    memcpy(buffer->text + buffer->n, text.text, text.n);
    if (text.marks) {
        memcpy(buffer->marks + buffer->n, text.marks, text.n);
        buffer->is_marked = true;
    }
    buffer->n += text.n; /* marks are 0 where nothing was written */
    return CALMOE_OK;
}

calmoe_status cm_buffer_put_marked(struct run *run, struct text_buffer *buffer, const char *text, size_t n,
                                   unsigned char mark)
{
    CM_TRY(cm_buffer_put(run, buffer, cm_string_of(text, n)));
    if (mark == MARK_TEMPLATE || n == 0) return CALMOE_OK;
    memset(buffer->marks + buffer->n - n, mark, n);
    buffer->is_marked = true;
    return CALMOE_OK;
}

struct value cm_buffer_value(const struct text_buffer *buffer)
{
    return cm_value_string((struct string){ buffer->text ? buffer->text : "", buffer->n,
                                            buffer->is_marked ? buffer->marks : NULL });
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
    const size_t most = TEMPLATE_MAX_MEMORY + arena->n_more;
    if (n > most || arena->n_bytes + n + ARENA_ALIGNMENT > most)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "the chat template takes more than %zu MiB of memory", most >> 20);
    const size_t wanted = (n + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
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

/* ---- making values ---- */

struct value cm_value_undefined(void)
{
    return (struct value){ .kind = VALUE_UNDEFINED };
}

struct value cm_value_none(void)
{
    return (struct value){ .kind = VALUE_NONE };
}

struct value cm_value_bool(bool is)
{
    return (struct value){ .kind = VALUE_BOOL, .number = is };
}

struct value cm_value_integer(int64_t number)
{
    return (struct value){ .kind = VALUE_INTEGER, .number = number };
}

struct value cm_value_real(double real)
{
    return (struct value){ .kind = VALUE_REAL, .real = real };
}

struct value cm_value_string(struct string string)
{
    return (struct value){ .kind = VALUE_STRING, .string = string };
}

struct value cm_value_function(const struct call_row *row)
{
    return (struct value){ .kind = VALUE_FUNCTION, .function = row };
}

calmoe_status cm_value_method(struct run *run, const struct call_row *row, const struct value *subject,
                              struct value *out)
{
    struct method *method = NULL;
    CM_TRY(cm_arena_take(run->ctx, &run->arena, sizeof *method, &method));
    *method = (struct method){ row, *subject };
    *out = (struct value){ .kind = VALUE_METHOD, .method = method };
    return CALMOE_OK;
}

calmoe_status cm_list_open(struct run *run, size_t n, struct value *out)
{
    struct list *list = NULL;
    if (n > TEMPLATE_MAX_STEPS) return cm_run_fail(run, "a list of more than %d items", TEMPLATE_MAX_STEPS);
    CM_TRY(cm_arena_take(run->ctx, &run->arena, sizeof *list, &list));
    CM_TRY(cm_arena_take(run->ctx, &run->arena, n * sizeof *list->items, &list->items));
    list->n = list->n_room = n;
    *out = (struct value){ .kind = VALUE_LIST, .list = list };
    return CALMOE_OK;
}

calmoe_status cm_list_put(struct run *run, struct list *list, struct value value)
{
    if (list->n == list->n_room) {
        struct value *items = NULL;
        const size_t  n_room = 2 * list->n_room + 8;
        CM_TRY(cm_arena_take(run->ctx, &run->arena, n_room * sizeof *items, &items));
        if (list->n > 0) memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->n_room = n_room;
    }
    list->items[list->n++] = value;
    return CALMOE_OK;
}

/* ---- records ---- */

calmoe_status cm_record_open(struct run *run, enum record_kind kind, struct value *out)
{
    struct record *record = NULL;
    CM_TRY(cm_arena_take(run->ctx, &run->arena, sizeof *record, &record));
    record->kind = kind;
    *out = (struct value){ .kind = VALUE_RECORD, .record = record };
    return CALMOE_OK;
}

static struct field *find_field(const struct record *record, struct string name)
{
    for (struct field *field = record->fields; field; field = field->next)
        if (field->key.kind == VALUE_STRING && cm_same_string(field->key.string, name)) return field;
    return NULL;
}

struct value *cm_record_find(const struct record *record, struct string name)
{
    struct field *field = find_field(record, name);
    return field ? &field->value : NULL;
}

static calmoe_status append_field(struct run *run, struct record *record, const struct value *key, struct value value)
{
    struct field *field;
    CM_TRY(cm_arena_take(run->ctx, &run->arena, sizeof *field, &field));
    *field = (struct field){ *key, value, NULL };
    if (record->last) record->last->next = field;
    else record->fields = field;
    record->last = field;
    record->n++;
    return CALMOE_OK;
}

calmoe_status cm_record_put(struct run *run, struct record *record, struct string name, struct value value)
{
    const struct value key = cm_value_string(name);
    struct field      *field = find_field(record, name);
    if (!field) return append_field(run, record, &key, value);
    field->value = value;
    return CALMOE_OK;
}

calmoe_status cm_dict_find(struct run *run, const struct record *record, const struct value *key,
                           struct field **found)
{
    *found = NULL;
    CM_TRY(cm_run_count(run, record->n));
    if (key->kind == VALUE_STRING) {
        *found = find_field(record, key->string);
        return CALMOE_OK;
    }
    if (!cm_is_number(key) && key->kind > VALUE_NONE && !(key->kind == VALUE_LIST && key->list->kind == LIST_TUPLE))
        return cm_run_fail(run, "%s is no key of a dict", cm_value_kind_name(key));
    for (struct field *field = record->fields; field; field = field->next) {
        bool equal;
        CM_TRY(cm_value_equals(run, &field->key, key, &equal));
        if (equal) *found = field;
        if (equal) break;
    }
    return CALMOE_OK;
}

calmoe_status cm_dict_put(struct run *run, struct record *record, const struct value *key, struct value value)
{
    struct field *field;
    CM_TRY(cm_dict_find(run, record, key, &field));
    if (!field) return append_field(run, record, key, value);
    field->value = value;
    return CALMOE_OK;
}

void cm_dict_remove(struct record *record, const struct field *removed)
{
    struct field *before = NULL;
    for (struct field *field = record->fields; field && field != removed; field = field->next) before = field;
    if (before) before->next = removed->next;
    else record->fields = removed->next;
    if (record->last == removed) record->last = before;
    record->n--;
}

/* ---- asking values ---- */

bool cm_is_dict(const struct value *value)
{
    return value->kind == VALUE_RECORD && value->record->kind == RECORD_DICT;
}

bool cm_is_number(const struct value *value)
{
    return value->kind == VALUE_INTEGER || value->kind == VALUE_BOOL || value->kind == VALUE_REAL;
}

double cm_number(const struct value *value)
{
    return value->kind == VALUE_REAL ? value->real : (double)value->number;
}

const char *cm_value_kind_name(const struct value *value)
{
    static const char *const names[] = { "nothing (it is not defined)", "none", "a bool", "a number", "a number",
                                         "a text", "a list", "a namespace", "a loop", "a macro", "a function",
                                         "a method" };
    if (cm_is_dict(value)) return "a dict";
    if (value->kind == VALUE_LIST && value->list->kind == LIST_GENERATOR) return "a generator";
    return names[value->kind];
}

bool cm_value_is_true(const struct value *value)
{
    switch (value->kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE: return false;
    case VALUE_BOOL:
    case VALUE_INTEGER: return value->number != 0;
    case VALUE_REAL: return value->real < 0 || value->real > 0;
    case VALUE_STRING: return value->string.n > 0;
    case VALUE_LIST: return value->list->n > 0 || value->list->kind == LIST_GENERATOR;
    case VALUE_RECORD: return value->record->kind != RECORD_DICT || value->record->n > 0;
    case VALUE_LOOP:
    case VALUE_MACRO:
    case VALUE_FUNCTION:
    case VALUE_METHOD: break;
    }
    return true;
}

static calmoe_status equal_lists(struct run *run, const struct list *a, const struct list *b, bool *equal)
{
    *equal = a == b || (a->n == b->n && a->kind == b->kind && a->kind != LIST_GENERATOR);
    for (size_t i = 0; a != b && *equal && i < a->n; i++)
        CM_TRY(cm_value_equals(run, &a->items[i], &b->items[i], equal));
    return CALMOE_OK;
}

static calmoe_status equal_records(struct run *run, const struct record *a, const struct record *b, bool *equal)
{
    *equal = a == b;
    if (*equal || a->kind != RECORD_DICT || b->kind != RECORD_DICT) return CALMOE_OK;
    *equal = a->n == b->n;
    for (const struct field *field = a->fields; *equal && field; field = field->next) {
        struct field *other;
        CM_TRY(cm_dict_find(run, b, &field->key, &other));
        *equal = other != NULL;
        if (other) CM_TRY(cm_value_equals(run, &field->value, &other->value, equal));
    }
    return CALMOE_OK;
}

calmoe_status cm_value_equals(struct run *run, const struct value *a, const struct value *b, bool *equal)
{
    CM_TRY(cm_run_count(run, a->kind == VALUE_STRING && b->kind == VALUE_STRING ? a->string.n : 0));
    if (run->depth > TEMPLATE_MAX_RUN_DEPTH) return cm_run_fail(run, "too much stands inside each other");
    if (cm_is_number(a) && cm_is_number(b)) {
        const bool are_reals = a->kind == VALUE_REAL || b->kind == VALUE_REAL;
        const double x = cm_number(a), y = cm_number(b);
        *equal = are_reals ? x <= y && x >= y : a->number == b->number;
        return CALMOE_OK;
    }
    *equal = a->kind == b->kind;
    if (!*equal) return CALMOE_OK;
    calmoe_status status = CALMOE_OK;
    run->depth++;
    if (a->kind == VALUE_STRING) *equal = cm_same_string(a->string, b->string);
    if (a->kind == VALUE_LIST) status = equal_lists(run, a->list, b->list, equal);
    if (a->kind == VALUE_RECORD) status = equal_records(run, a->record, b->record, equal);
    if (a->kind == VALUE_LOOP) *equal = a->loop == b->loop;
    if (a->kind == VALUE_MACRO) *equal = a->macro == b->macro;
    if (a->kind == VALUE_FUNCTION) *equal = a->function == b->function;
    if (a->kind == VALUE_METHOD) *equal = a->method == b->method;
    run->depth--;
    return status;
}

/* ---- walking values ---- */

static calmoe_status characters(struct run *run, struct string text, struct value *items)
{
    size_t at = 0;
    CM_TRY(cm_list_open(run, cm_string_length(text), items));
    for (size_t i = 0; i < items->list->n; i++) {
        const size_t next = at + cm_string_step(text, at);
        items->list->items[i] = cm_value_string(cm_string_part(text, at, next));
        at = next;
    }
    return CALMOE_OK;
}

calmoe_status cm_value_items(struct run *run, const struct value *value, struct value *items)
{
    size_t n = 0;
    switch (value->kind) {
    case VALUE_UNDEFINED: return cm_list_open(run, 0, items);
    case VALUE_STRING: return characters(run, value->string, items);
    case VALUE_LIST:
        *items = *value;
        if (value->list->kind != LIST_GENERATOR) return CALMOE_OK;
        CM_TRY(cm_list_open(run, 0, items));
        *items->list = *value->list;
        items->list->kind = LIST_PLAIN;
        value->list->n = 0;
        return CALMOE_OK;
    case VALUE_RECORD:
        if (!cm_is_dict(value)) break;
        CM_TRY(cm_list_open(run, value->record->n, items));
        for (const struct field *field = value->record->fields; field; field = field->next)
            items->list->items[n++] = field->key;
        return CALMOE_OK;
    default: break;
    }
    return cm_run_fail(run, "%s has no items to walk over", cm_value_kind_name(value));
}

/* ---- arguments of calls ---- */

const struct value *cm_argument(const struct call *call, int place, const char *name)
{
    for (int i = 0; i < call->arguments->n; i++) {
        const struct string given = call->arguments->names[i];
        if (given.text ? name && cm_string_is(given, name) : i == place) return &call->arguments->values[i];
    }
    return NULL;
}

calmoe_status cm_need_text(struct run *run, const struct call *call, const struct value *value, struct string *text)
{
    const bool is_text = value && value->kind == VALUE_STRING;
    *text = is_text ? value->string : cm_string("");
    return is_text ? CALMOE_OK
                   : cm_run_fail(run, "'%s' wants a text, found %s", call->what,
                                 value ? cm_value_kind_name(value) : "nothing");
}

const struct call_row *cm_find_row(const struct call_row *rows, struct string name)
{
    for (const struct call_row *row = rows; row->name; row++)
        if (cm_string_is(name, row->name)) return row;
    return NULL;
}
