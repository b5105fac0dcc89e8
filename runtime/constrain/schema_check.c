/* schema_check.c - is a schema made of keywords that are read, and of such as are read together? */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "runtime/constrain/schema_parts.h"

enum keyword_use {
    USE_REMARK,  /* asks for nothing                                                     */
    USE_TYPE,
    USE_CHOICE,  /* says all of the value: beside it may stand remarks and, for some, types */
    USE_PART     /* of values of some types                                              */
};

struct keyword {
    const char      *name;
    enum keyword_use use;
    unsigned         types; /* of a PART                             */
};

static const struct keyword keywords[] = {
    {"title", USE_REMARK, 0}, {"description", USE_REMARK, 0}, {"default", USE_REMARK, 0}, {"examples", USE_REMARK, 0},
    {"example", USE_REMARK, 0}, {"deprecated", USE_REMARK, 0}, {"readOnly", USE_REMARK, 0},
    {"writeOnly", USE_REMARK, 0}, {"$schema", USE_REMARK, 0}, {"$id", USE_REMARK, 0}, {"$comment", USE_REMARK, 0},
    {"$defs", USE_REMARK, 0}, {"definitions", USE_REMARK, 0},
    {"type", USE_TYPE, 0},
    {"$ref", USE_CHOICE, 0}, {"anyOf", USE_CHOICE, 0}, {"oneOf", USE_CHOICE, 0}, {"allOf", USE_CHOICE, 0},
    {"enum", USE_CHOICE, 0}, {"const", USE_CHOICE, 0},
    {"properties", USE_PART, TYPE_OBJECT}, {"required", USE_PART, TYPE_OBJECT},
    {"additionalProperties", USE_PART, TYPE_OBJECT},
    {"items", USE_PART, TYPE_ARRAY}, {"minItems", USE_PART, TYPE_ARRAY}, {"maxItems", USE_PART, TYPE_ARRAY},
    {"minLength", USE_PART, TYPE_STRING}, {"maxLength", USE_PART, TYPE_STRING}, {"pattern", USE_PART, TYPE_STRING},
    {"format", USE_PART, TYPE_STRING},
    {"minimum", USE_PART, TYPE_NUMBER}, {"maximum", USE_PART, TYPE_NUMBER},
    {"exclusiveMinimum", USE_PART, TYPE_NUMBER}, {"exclusiveMaximum", USE_PART, TYPE_NUMBER},
};

static const struct { const char *name; unsigned bit; } types[] = {
    {"null", TYPE_NULL}, {"boolean", TYPE_BOOLEAN}, {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER},
    {"string", TYPE_STRING}, {"array", TYPE_ARRAY}, {"object", TYPE_OBJECT},
};

int32_t cm_schema_fail(struct schema_reader *reader, calmoe_status status, const struct json_value *where,
                       const char *what)
{
    char place[400];
    if (reader->program->status != CALMOE_OK) return 0;
    if (what) {
        cm_json_where(where, place, sizeof place);
        (void)cm_fail(reader->program->ctx, status, "%s: %s", place, what);
    }
    cm_program_fail(reader->program, status);
    return 0;
}

static const struct keyword *find_keyword(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(keywords[i].name, name) == 0) return &keywords[i];
    return NULL;
}

struct json_value cm_schema_get(const struct json_value *schema, const char *keyword)
{
    struct json_value member = {.json = NULL};
    if (cm_json_sort(schema) != JSON_IS_OBJECT || cm_json_find(NULL, schema, keyword, &member) != CALMOE_OK)
        member.json = NULL;
    return member;
}

static unsigned type_of_name(const struct json_value *name)
{
    const char *text;
    if (cm_json_text(NULL, name, &text) != CALMOE_OK) return 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, text) == 0) return types[i].bit;
    return 0;
}

/* 0: the keyword names none, or one that is not known. */
static unsigned named_types(const struct json_value *type)
{
    size_t   n;
    unsigned all = 0;
    if (cm_json_sort(type) == JSON_IS_TEXT) return type_of_name(type);
    if (cm_json_array(NULL, type, 1, 7, &n) != CALMOE_OK) return 0;
    for (size_t i = 0; i < n; i++) {
        const struct json_value name = cm_json_element(type, i);
        const unsigned          bit = type_of_name(&name);
        if (bit == 0) return 0;
        all |= bit;
    }
    return all;
}

unsigned cm_schema_types(const struct json_value *schema)
{
    const struct json_value type = cm_schema_get(schema, "type");
    struct json_value member = {.key = NULL};
    unsigned found = 0;
    if (type.json) return named_types(&type);
    while (cm_json_next(schema, &member)) {
        const struct keyword *keyword = find_keyword(member.key);
        if (keyword && keyword->use == USE_PART) found |= keyword->types;
    }
    return found ? found : TYPE_ALL;
}

static bool are_together(struct schema_reader *reader, const struct json_value *schema, const char *choice)
{
    const bool takes_types = strcmp(choice, "enum") == 0 || strcmp(choice, "const") == 0;
    struct json_value member = {.key = NULL};
    char what[160];
    while (cm_json_next(schema, &member)) {
        const struct keyword *keyword = find_keyword(member.key);
        if (strcmp(member.key, choice) == 0 || keyword->use == USE_REMARK) continue;
        if (keyword->use == USE_TYPE && takes_types) continue;
        snprintf(what, sizeof what, "this keyword is not read beside '%s'", choice);
        cm_schema_fail(reader, CALMOE_UNSUPPORTED, &member, what);
        return false;
    }
    return true;
}

bool cm_schema_check(struct schema_reader *reader, const struct json_value *schema)
{
    struct json_value member = {.key = NULL};
    const char       *choice = NULL;
    if (cm_json_sort(schema) != JSON_IS_OBJECT) {
        cm_schema_fail(reader, CALMOE_UNSUPPORTED, schema, "a schema is read that is an object, or true");
        return false;
    }
    while (cm_json_next(schema, &member)) {
        const struct keyword *keyword = find_keyword(member.key);
        if (!keyword) {
            cm_schema_fail(reader, CALMOE_UNSUPPORTED, &member, "this keyword is not read");
            return false;
        }
        if (keyword->use == USE_CHOICE && !choice) choice = member.key;
        if (keyword->use == USE_TYPE && named_types(&member) == 0) {
            cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, &member, "wanted names of types: null, boolean, integer, "
                           "number, string, array, object");
            return false;
        }
    }
    return !choice || are_together(reader, schema, choice);
}

bool cm_schema_count(struct schema_reader *reader, const struct json_value *schema, const char *keyword, int *out)
{
    const struct json_value value = cm_schema_get(schema, keyword);
    double number;
    if (!value.json) return true;
    if (cm_json_number(NULL, &value, 0, 1e6, &number) == CALMOE_OK && number <= (double)(int)number) {
        *out = (int)number;
        return true;
    }
    cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, &value, "wanted a whole number from 0 to 1000000");
    return false;
}
