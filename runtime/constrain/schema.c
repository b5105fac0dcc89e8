/* schema.c - see schema.h: schemas of objects and arrays, choices, references. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/constrain/characters.h"
#include "runtime/constrain/schema_parts.h"

enum { MAX_OPTIONAL = 500 }; /* properties in a row that may be left out: each is a place of a state */

static int32_t emit_schema(struct schema_reader *reader, const struct json_value *schema, int32_t next);

/* ---- objects ---- */

struct object {
    const struct json_value *schema;
    struct json_value properties, required, others; /* json NULL: absent */
    bool              has_others;                   /* properties that are not listed may come */
};

static bool is_true(const struct json_value *value)
{
    bool is;
    return cm_json_bool(NULL, value, &is) == CALMOE_OK && is;
}

static bool is_required(const struct object *object, const char *name)
{
    const char *text;
    size_t      n = 0;
    if (object->required.json) (void)cm_json_array(NULL, &object->required, 0, SIZE_MAX, &n);
    for (size_t i = 0; i < n; i++) {
        const struct json_value element = cm_json_element(&object->required, i);
        if (cm_json_text(NULL, &element, &text) == CALMOE_OK && strcmp(text, name) == 0) return true;
    }
    return false;
}

/* Each required property must be listed, or there is no telling what it is. */
static bool check_object(struct schema_reader *reader, const struct object *object)
{
    const char *text;
    size_t      n = 0;
    if (object->properties.json && cm_json_sort(&object->properties) != JSON_IS_OBJECT) {
        cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, &object->properties, "wanted an object");
        return false;
    }
    if (object->required.json && cm_json_array(NULL, &object->required, 0, SIZE_MAX, &n) != CALMOE_OK) {
        cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, &object->required, "wanted an array of names");
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const struct json_value element = cm_json_element(&object->required, i);
        if (cm_json_text(NULL, &element, &text) == CALMOE_OK && object->properties.json &&
            cm_schema_get(&object->properties, text).json)
            continue;
        cm_schema_fail(reader, CALMOE_UNSUPPORTED, &element, "wanted the name of one of the 'properties'");
        return false;
    }
    return true;
}

/* Behind the properties that are listed: others, and the end. has_one: a property stands before. */
static void emit_object_end(struct schema_reader *reader, const struct object *object, struct text_list *names,
                            int32_t end, int32_t after[2])
{
    struct program *program = reader->program;
    const int32_t   close = cm_emit_blank(reader, end);
    after[0] = end;
    after[1] = close;
    if (!object->has_others) return;
    const int32_t loop = cm_emit_loop(program);
    int32_t value = object->others.json && !is_true(&object->others) ? emit_schema(reader, &object->others, loop)
                                                                     : cm_emit_any(reader, loop);
    value = cm_emit_text(program, ":", 1, cm_emit_blank(reader, value));
    const int32_t key = cm_emit_text(program, "\"", 1, cm_emit_other_key(program, names, value));
    const int32_t more = cm_emit_text(program, ",", 1, cm_emit_blank(reader, key));
    cm_set_loop(program, loop, more, close);
    after[0] = cm_emit_fork(program, key, end);
    after[1] = loop;
}

static int32_t emit_member(struct schema_reader *reader, const struct json_value *member, int32_t next)
{
    struct program *program = reader->program;
    int32_t entry = cm_emit_blank(reader, emit_schema(reader, member, next));
    entry = cm_emit_text(program, "\":", 2, entry);
    entry = cm_emit_json_text(program, member->key, strlen(member->key), entry);
    return cm_emit_text(program, "\"", 1, entry);
}

/* names: of all properties. From the last one to the first, each with what follows it where it is the first that is
 * written ([0]) and where it is not ([1]). */
static int32_t emit_members(struct schema_reader *reader, const struct object *object, struct json_value *members,
                            struct text_list *names, int32_t next)
{
    struct program *program = reader->program;
    int32_t after[2];
    int     n_optional = 0;
    emit_object_end(reader, object, names, cm_emit_text(program, "}", 1, next), after);
    for (int i = names->n; i-- > 0 && program->status == CALMOE_OK;) {
        const bool    must = is_required(object, members[i].key);
        const int32_t member = emit_member(reader, &members[i], after[1]);
        const int32_t further = cm_emit_text(program, ",", 1, cm_emit_blank(reader, member));
        n_optional = must ? 0 : n_optional + 1;
        if (n_optional > MAX_OPTIONAL)
            return cm_schema_fail(reader, CALMOE_UNSUPPORTED, &object->properties,
                                  "more than 500 properties in a row that may be left out");
        after[0] = must ? member : cm_emit_fork(program, member, after[0]);
        after[1] = must ? further : cm_emit_fork(program, further, after[1]);
    }
    return cm_emit_text(program, "{", 1, cm_emit_blank(reader, after[0]));
}

static int32_t emit_object(struct schema_reader *reader, const struct json_value *schema, int32_t next)
{
    struct object object = {.schema = schema, .properties = cm_schema_get(schema, "properties"),
                            .required = cm_schema_get(schema, "required"),
                            .others = cm_schema_get(schema, "additionalProperties")};
    struct calmoe_context *ctx = reader->program->ctx;
    if (!check_object(reader, &object)) return 0;
    bool others_may = false;
    const bool is_flag = object.others.json && cm_json_bool(NULL, &object.others, &others_may) == CALMOE_OK;
    object.has_others = object.others.json ? !is_flag || others_may : !object.properties.json;
    if (!object.properties.json && object.has_others && (is_flag || !object.others.json))
        return cm_emit_any_of_type(reader, TYPE_OBJECT, next);
    struct json_value member = {.key = NULL}, *members = NULL;
    struct text_list  names = {.n = 0};
    size_t n = 0;
    while (object.properties.json && cm_json_next(&object.properties, &member)) n++;
    members = cm_alloc(ctx, n, sizeof *members, "properties");
    names.texts = cm_alloc(ctx, n, sizeof *names.texts, "properties");
    names.n_bytes = cm_alloc(ctx, n, sizeof *names.n_bytes, "properties");
    int32_t entry = 0;
    if (members && names.texts && names.n_bytes) {
        member.key = NULL;
        while (object.properties.json && cm_json_next(&object.properties, &member)) {
            members[names.n] = member;
            names.texts[names.n] = (char *)(uintptr_t)member.key; /* only read */
            names.n_bytes[names.n++] = strlen(member.key);
        }
        entry = emit_members(reader, &object, members, &names, next);
    } else {
        cm_schema_fail(reader, CALMOE_NO_MEMORY, schema, NULL);
    }
    cm_free(members);
    cm_free(names.texts);
    cm_free(names.n_bytes);
    return entry;
}

/* ---- arrays ---- */

static int32_t emit_array(struct schema_reader *reader, const struct json_value *schema, int32_t next)
{
    struct program *program = reader->program;
    const struct json_value items = cm_schema_get(schema, "items");
    int least = 0, most = NO_LIMIT;
    if (!cm_schema_count(reader, schema, "minItems", &least) || !cm_schema_count(reader, schema, "maxItems", &most))
        return 0;
    if (most < least) return cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, schema, "maxItems is less than minItems");
    if (!items.json && least == 0 && most == NO_LIMIT) return cm_emit_any_of_type(reader, TYPE_ARRAY, next);
    const int32_t end = cm_emit_text(program, "]", 1, next), close = cm_emit_blank(reader, end);
    if (most == 0) return cm_emit_text(program, "[", 1, close);
    /* An item is a part that is called: it stands at two places. */
    const int32_t entry = cm_emit_loop(program);
    cm_set_loop(program, entry, items.json ? emit_schema(reader, &items, program->returns)
                                           : cm_emit_any(reader, program->returns), NO_NODE);
    const int32_t again = cm_emit_call(program, entry, program->returns);
    const int32_t further = cm_emit_text(program, ",", 1, cm_emit_blank(reader, again));
    const int32_t more = cm_emit_repeat(program, further, least > 1 ? least - 1 : 0, most == NO_LIMIT ? most : most - 1,
                                        close);
    const int32_t first = cm_emit_call(program, entry, more);
    return cm_emit_text(program, "[", 1, cm_emit_blank(reader, least == 0 ? cm_emit_fork(program, first, end) : first));
}

/* ---- choices and references ---- */

static int32_t emit_alternatives(struct schema_reader *reader, const struct json_value *list, bool is_one, int32_t next)
{
    struct program *program = reader->program;
    int32_t ways = NO_NODE;
    size_t  n;
    char    what[200];
    if (cm_json_array(NULL, list, 1, 1000, &n) != CALMOE_OK)
        return cm_schema_fail(reader, CALMOE_INVALID_ARGUMENT, list, "wanted an array of 1 to 1000 schemas");
    for (size_t i = n; i-- > 0 && program->status == CALMOE_OK;) {
        const struct json_value schema = cm_json_element(list, i);
        for (size_t j = 0; j < i && is_one; j++) {
            const struct json_value other = cm_json_element(list, j);
            if (cm_schemas_are_apart(&reader->root, &schema, &other, &reader->n_comparisons)) continue;
            snprintf(what, sizeof what, "a document may fit both alternative %zu and %zu, or it cannot be told that "
                     "none does; anyOf asks for one or both", j, i);
            return cm_schema_fail(reader, CALMOE_UNSUPPORTED, list, what);
        }
        ways = cm_emit_fork(program, emit_schema(reader, &schema, next), ways);
    }
    return ways;
}

/* The part that a reference calls; it is made when it is first asked for, and may refer to itself. */
static int32_t entry_of(struct schema_reader *reader, const struct json_value *target)
{
    for (int i = 0; i < reader->n_rules; i++)
        if (reader->rules[i].json == target->json) return reader->rules[i].entry;
    if (reader->n_rules == SCHEMA_MAX_RULES)
        return cm_schema_fail(reader, CALMOE_UNSUPPORTED, target, "too many schemas that are referred to");
    const int32_t entry = cm_emit_loop(reader->program);
    reader->rules[reader->n_rules++] = (struct schema_rule){target->json, entry};
    cm_set_loop(reader->program, entry, emit_schema(reader, target, reader->program->returns), NO_NODE);
    return entry;
}

static int32_t emit_reference(struct schema_reader *reader, const struct json_value *reference, int32_t next)
{
    const char *text = "";
    struct json_value target = {.json = NULL};
    if (cm_json_text(NULL, reference, &text) == CALMOE_OK) target = cm_schema_find(&reader->root, text);
    if (!target.json)
        return cm_schema_fail(reader, CALMOE_UNSUPPORTED, reference,
                              "wanted a reference to a part of this schema that is there, such as \"#/$defs/name\"");
    target.parent = reference; /* so that a message says by which way it was come to */
    target.key = text;
    return cm_emit_call(reader->program, entry_of(reader, &target), next);
}

static int32_t emit_all(struct schema_reader *reader, const struct json_value *list, int32_t next)
{
    size_t n;
    if (cm_json_array(NULL, list, 1, 1, &n) != CALMOE_OK)
        return cm_schema_fail(reader, CALMOE_UNSUPPORTED, list, "allOf is read of one schema");
    const struct json_value schema = cm_json_element(list, 0);
    return emit_schema(reader, &schema, next);
}

/* ---- any schema ---- */

static int32_t emit_types(struct schema_reader *reader, const struct json_value *schema, int32_t next)
{
    struct program *program = reader->program;
    const unsigned  types = cm_schema_types(schema);
    if (types == TYPE_ALL && !cm_schema_get(schema, "type").json) return cm_emit_any(reader, next);
    const unsigned plain = types & (TYPE_NULL | TYPE_BOOLEAN);
    int32_t ways = plain ? cm_emit_any_of_type(reader, plain, next) : NO_NODE;
    if (types & (TYPE_INTEGER | TYPE_NUMBER))
        ways = cm_emit_fork(program, cm_emit_schema_number(reader, schema, !(types & TYPE_NUMBER), next), ways);
    if (types & TYPE_STRING) ways = cm_emit_fork(program, cm_emit_schema_text(reader, schema, next), ways);
    if (types & TYPE_ARRAY) ways = cm_emit_fork(program, emit_array(reader, schema, next), ways);
    if (types & TYPE_OBJECT) ways = cm_emit_fork(program, emit_object(reader, schema, next), ways);
    return ways;
}

static int32_t emit_checked(struct schema_reader *reader, const struct json_value *schema, int32_t next)
{
    const struct json_value reference = cm_schema_get(schema, "$ref"), any = cm_schema_get(schema, "anyOf"),
                            one = cm_schema_get(schema, "oneOf"), all = cm_schema_get(schema, "allOf");
    if (reference.json) return emit_reference(reader, &reference, next);
    if (any.json) return emit_alternatives(reader, &any, false, next);
    if (one.json) return emit_alternatives(reader, &one, true, next);
    if (all.json) return emit_all(reader, &all, next);
    if (cm_schema_get(schema, "enum").json || cm_schema_get(schema, "const").json)
        return cm_emit_schema_values(reader, schema, next);
    return emit_types(reader, schema, next);
}

static int32_t emit_schema(struct schema_reader *reader, const struct json_value *schema, int32_t next)
{
    if (reader->program->status != CALMOE_OK) return 0;
    if (is_true(schema)) return cm_emit_any(reader, next);
    if (!cm_schema_check(reader, schema)) return 0;
    if (reader->nesting == SCHEMA_MAX_NESTING)
        return cm_schema_fail(reader, CALMOE_UNSUPPORTED, schema, "schemas are nested too deeply");
    reader->nesting++;
    const int32_t entry = emit_checked(reader, schema, next);
    reader->nesting--;
    return entry;
}

static struct schema_reader begin(struct program *program, const struct schema_form *form)
{
    return (struct schema_reader){.program = program, .form = form,
                                  .n_comparisons = SCHEMA_MAX_COMPARISONS, .any = NO_NODE, .any_object = NO_NODE,
                                  .any_array = NO_NODE, .text_end = NO_NODE, .blank = NO_NODE};
}

int32_t cm_emit_schema(struct program *program, const char *schema, size_t n_bytes, const struct schema_form *form,
                       int32_t next)
{
    struct schema_reader reader = begin(program, form);
    struct json_document document;
    int32_t entry = 0;
    if (program->status != CALMOE_OK) return 0;
    const calmoe_status status = cm_json_parse(program->ctx, "schema", schema, n_bytes, &document);
    cm_program_fail(program, status);
    if (status != CALMOE_OK) return 0;
    reader.root = cm_json_root(&document);
    reader.rules = cm_alloc(program->ctx, SCHEMA_MAX_RULES, sizeof *reader.rules, "a schema");
    if (reader.rules) entry = emit_schema(&reader, &reader.root, next);
    else cm_program_fail(program, CALMOE_NO_MEMORY);
    cm_free(reader.rules);
    cm_json_close(&document);
    return entry;
}

int32_t cm_emit_any_object(struct program *program, const struct schema_form *form, int32_t next)
{
    struct schema_reader reader = begin(program, form);
    return cm_emit_any_of_type(&reader, TYPE_OBJECT, next);
}
