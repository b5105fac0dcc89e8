/* schema_text.c - schemas of texts and numbers, and of values that are listed. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/constrain/numbers.h"
#include "runtime/constrain/pattern.h"
#include "runtime/constrain/schema_parts.h"

/* ---- texts ---- */

/* Without 29 February, which is not in every year, and without leap seconds. */
#define DATE "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-" \
             "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
#define TIME "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define HEX(n) "[0-9a-fA-F]{" #n "}"

static const struct { const char *name, *pattern; } formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE "T" TIME},
    {"uuid", HEX(8) "-" HEX(4) "-" HEX(4) "-" HEX(4) "-" HEX(12)},
};

static int32_t emit_pattern(struct schema_reader *reader, const struct json_value *value, const char *text,
                            bool is_whole, int32_t next)
{
    char where[400];
    cm_json_where(value, where, sizeof where);
    const struct pattern pattern = {.text = text, .n_bytes = strlen(text), .writing = WRITING_JSON,
                                    .is_whole = is_whole, .where = where};
    return cm_emit_pattern(reader->program, &pattern, next);
}

static int32_t emit_format(struct schema_reader *reader, const struct json_value *format, int32_t next)
{
    const char *name = "";
    if (cm_json_text(NULL, format, &name) == CALMOE_OK)
        for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
            if (strcmp(formats[i].name, name) == 0) return emit_pattern(reader, format, formats[i].pattern, true, next);
    return cm_schema_fail(reader, CALMOE_UNSUPPORTED, format, "formats that are read: date, time, date-time, uuid");
}

static int32_t emit_length(struct schema_reader *reader, const struct json_value *schema, int32_t next)
{
    struct program *program = reader->program;
    int least = 0, most = NO_LIMIT;
    if (!cm_schema_count(reader, schema, "minLength", &least) || !cm_schema_count(reader, schema, "maxLength", &most))
        return 0;
    if (most < least)
        return cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, schema, "maxLength is less than minLength");
    if (most == NO_LIMIT && least == 0) return cm_emit_text_end(reader, next);
    const int32_t end = cm_emit_text(program, "\"", 1, next);
    return cm_emit_repeat(program, cm_emit_any_json_character(program, program->returns), least, most, end);
}

int32_t cm_emit_schema_text(struct schema_reader *reader, const struct json_value *schema, int32_t next)
{
    struct program *program = reader->program;
    const struct json_value pattern = cm_schema_get(schema, "pattern"), format = cm_schema_get(schema, "format");
    const bool has_length = cm_schema_get(schema, "minLength").json || cm_schema_get(schema, "maxLength").json;
    const int32_t end = cm_emit_text(program, "\"", 1, next);
    const char   *text;
    int32_t       inside;
    if ((pattern.json != NULL) + (format.json != NULL) + has_length > 1)
        return cm_schema_fail(reader, CALMOE_UNSUPPORTED, schema,
                              "pattern, format and lengths are not read beside each other");
    if (format.json) {
        inside = emit_format(reader, &format, end);
    } else if (pattern.json) {
        if (cm_json_text(NULL, &pattern, &text) != CALMOE_OK)
            return cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, &pattern, "wanted a text");
        inside = emit_pattern(reader, &pattern, text, false, end);
    } else {
        inside = emit_length(reader, schema, next);
    }
    return cm_emit_text(program, "\"", 1, inside);
}

/* ---- numbers ---- */

/* False: the program fails. */
static bool read_bound(struct schema_reader *reader, const struct json_value *schema, const char *keyword, bool *has,
                       double *bound)
{
    const struct json_value value = cm_schema_get(schema, keyword);
    if (!value.json) return true;
    *has = true;
    if (cm_json_number(NULL, &value, -1e300, 1e300, bound) == CALMOE_OK) return true;
    cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, &value, "wanted a number");
    return false;
}

int32_t cm_emit_schema_number(struct schema_reader *reader, const struct json_value *schema, bool is_whole,
                              int32_t next)
{
    struct bounds bounds = {.has_least = false};
    double        above = 0, below = 0;
    bool          is_above = false, is_below = false;
    char          where[400];
    if (!read_bound(reader, schema, "minimum", &bounds.has_least, &bounds.least) ||
        !read_bound(reader, schema, "maximum", &bounds.has_most, &bounds.most) ||
        !read_bound(reader, schema, "exclusiveMinimum", &is_above, &above) ||
        !read_bound(reader, schema, "exclusiveMaximum", &is_below, &below))
        return 0;
    if (is_above && (!bounds.has_least || above >= bounds.least)) {
        bounds.has_least = bounds.is_above = true;
        bounds.least = above;
    }
    if (is_below && (!bounds.has_most || below <= bounds.most)) {
        bounds.has_most = bounds.is_below = true;
        bounds.most = below;
    }
    cm_json_where(schema, where, sizeof where);
    return cm_emit_number(reader->program, &bounds, is_whole, where, next);
}

/* ---- values that are listed ---- */

static bool has_type(const struct json_value *value, unsigned types)
{
    double number = 0;
    switch (cm_json_sort(value)) {
    case JSON_IS_NULL: return (types & TYPE_NULL) != 0;
    case JSON_IS_BOOL: return (types & TYPE_BOOLEAN) != 0;
    case JSON_IS_INTEGER: return (types & (TYPE_INTEGER | TYPE_NUMBER)) != 0;
    case JSON_IS_REAL: /* 1.0 is an integer */
        (void)cm_json_number(NULL, value, -1e300, 1e300, &number);
        return (types & TYPE_NUMBER) != 0 ||
               ((types & TYPE_INTEGER) != 0 && number > -1e15 && number < 1e15 && number <= (double)(int64_t)number &&
                number >= (double)(int64_t)number);
    case JSON_IS_TEXT: return (types & TYPE_STRING) != 0;
    case JSON_IS_ARRAY: return (types & TYPE_ARRAY) != 0;
    default: return (types & TYPE_OBJECT) != 0;
    }
}

static calmoe_status list_values(struct schema_reader *reader, const struct json_value *schema, size_t n,
                                 struct text_list *list)
{
    const struct json_value only = cm_schema_get(schema, "const"), some = cm_schema_get(schema, "enum");
    const unsigned types = cm_schema_get(schema, "type").json ? cm_schema_types(schema) : TYPE_ALL;
    struct calmoe_context *ctx = reader->program->ctx;
    list->texts = cm_alloc(ctx, n, sizeof *list->texts, "values");
    list->n_bytes = cm_alloc(ctx, n, sizeof *list->n_bytes, "values");
    if (!list->texts || !list->n_bytes) return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const struct json_value value = only.json ? only : cm_json_element(&some, i);
        if (!has_type(&value, types)) continue;
        CM_TRY(cm_json_write_value(ctx, &value, &list->texts[list->n], &list->n_bytes[list->n]));
        list->n++;
    }
    return CALMOE_OK;
}

int32_t cm_emit_schema_values(struct schema_reader *reader, const struct json_value *schema, int32_t next)
{
    const struct json_value only = cm_schema_get(schema, "const"), some = cm_schema_get(schema, "enum");
    struct text_list list = {.n = 0};
    size_t  n = 1;
    int32_t entry = 0;
    if (!only.json && cm_json_array(NULL, &some, 1, 1 << 16, &n) != CALMOE_OK)
        return cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, &some, "wanted 1 to 65536 values");
    const calmoe_status status = list_values(reader, schema, n, &list);
    if (status != CALMOE_OK) cm_schema_fail(reader, status, schema, NULL);
    else if (list.n == 0) cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, schema, "none of the values is of its type");
    else entry = cm_emit_one_of(reader->program, &list, next);
    for (int i = 0; list.texts && i < (int)n; i++) cm_free(list.texts[i]);
    cm_free(list.texts);
    cm_free(list.n_bytes);
    return entry;
}
