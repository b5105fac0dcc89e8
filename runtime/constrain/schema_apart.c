/* schema_apart.c - are two schemas such that no document fits both? Asked by oneOf, of which exactly one has to fit:
 * where alternatives are apart, that is what anyOf asks for. */
#include <string.h>

#include "runtime/constrain/schema_parts.h"

enum { MAX_STEPS = 64, MAX_NAME = 256 };

struct look {
    const struct json_value *root;
    int64_t                 *n_left; /* values and names that may yet be compared: a schema may ask for very many */
};

static bool may_compare(const struct look *look) { return --*look->n_left >= 0; }

/* One step of a reference, "/name", with ~1 for / and ~0 for ~; *rest: what follows. False: too long. */
static bool read_step(const char *at, char name[MAX_NAME], const char **rest)
{
    size_t n = 0;
    for (at++; *at && *at != '/'; at++) {
        if (n == MAX_NAME - 1) return false;
        const bool is_escape = at[0] == '~' && (at[1] == '0' || at[1] == '1');
        name[n++] = !is_escape ? *at : at[1] == '0' ? '~' : '/';
        at += is_escape;
    }
    name[n] = '\0';
    *rest = at;
    return true;
}

static struct json_value step_into(const struct json_value *value, const char *name)
{
    size_t n, i = 0;
    if (cm_json_sort(value) == JSON_IS_OBJECT) return cm_schema_get(value, name);
    if (cm_json_array(NULL, value, 1, 1 << 20, &n) != CALMOE_OK || !*name) return (struct json_value){.json = NULL};
    for (const char *digit = name; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || i >= n) return (struct json_value){.json = NULL};
        i = i * 10 + (size_t)(*digit - '0');
    }
    return i < n ? cm_json_element(value, i) : (struct json_value){.json = NULL};
}

struct json_value cm_schema_find(const struct json_value *root, const char *reference)
{
    struct json_value value = *root;
    if (reference[0] != '#' || (reference[1] && reference[1] != '/')) return (struct json_value){.json = NULL};
    for (reference++; *reference && value.json;) {
        char name[MAX_NAME];
        if (!read_step(reference, name, &reference)) return (struct json_value){.json = NULL};
        value = step_into(&value, name);
        value.parent = NULL; /* was on the stack of this function */
    }
    return value;
}

/* What references lead to; json NULL where they lead nowhere, or round and round. */
static struct json_value follow(const struct json_value *root, struct json_value schema)
{
    for (int i = 0; i < MAX_STEPS; i++) {
        const struct json_value reference = cm_schema_get(&schema, "$ref");
        const char             *text;
        if (!reference.json || cm_json_text(NULL, &reference, &text) != CALMOE_OK) return schema;
        schema = cm_schema_find(root, text);
    }
    return (struct json_value){.json = NULL};
}

/* Types of the documents that a schema lets through or, is_fitting, of all that fit it: where it names no type that is
 * any. Numbers count as integers too. */
static unsigned types_of(const struct json_value *schema, bool is_fitting)
{
    static const unsigned of_sort[] = {0, TYPE_NULL, TYPE_BOOLEAN, TYPE_INTEGER | TYPE_NUMBER,
                                       TYPE_INTEGER | TYPE_NUMBER, TYPE_STRING, TYPE_ARRAY, TYPE_OBJECT};
    const struct json_value only = cm_schema_get(schema, "const"), some = cm_schema_get(schema, "enum");
    size_t   n;
    unsigned found = 0;
    if (only.json) return of_sort[cm_json_sort(&only)];
    if (some.json && cm_json_array(NULL, &some, 1, 1 << 20, &n) == CALMOE_OK) {
        for (size_t i = 0; i < n; i++) {
            const struct json_value value = cm_json_element(&some, i);
            found |= of_sort[cm_json_sort(&value)];
        }
        return found;
    }
    if (is_fitting && !cm_schema_get(schema, "type").json) return TYPE_ALL;
    found = cm_schema_types(schema);
    return found & (TYPE_INTEGER | TYPE_NUMBER) ? found | TYPE_INTEGER | TYPE_NUMBER : found;
}

/* Value i of const or enum; json NULL: there are no more, or neither keyword. */
static struct json_value value_of(const struct json_value *schema, size_t i)
{
    const struct json_value only = cm_schema_get(schema, "const"), some = cm_schema_get(schema, "enum");
    size_t n;
    if (only.json) return i == 0 ? only : (struct json_value){.json = NULL};
    if (!some.json || cm_json_array(NULL, &some, 1, 1 << 20, &n) != CALMOE_OK || i >= n)
        return (struct json_value){.json = NULL};
    return cm_json_element(&some, i);
}

static bool values_are_apart(const struct look *look, const struct json_value *a, const struct json_value *b)
{
    if (!value_of(a, 0).json || !value_of(b, 0).json) return false;
    for (size_t i = 0; value_of(a, i).json; i++)
        for (size_t j = 0; value_of(b, j).json; j++) {
            const struct json_value one = value_of(a, i), other = value_of(b, j);
            if (!may_compare(look) || cm_json_same(&one, &other)) return false;
        }
    return true;
}

static bool requires(const struct look *look, const struct json_value *schema, const char *name)
{
    const struct json_value required = cm_schema_get(schema, "required");
    const char *text;
    size_t      n;
    if (!required.json || cm_json_array(NULL, &required, 0, 1 << 20, &n) != CALMOE_OK) return false;
    for (size_t i = 0; i < n && may_compare(look); i++) {
        const struct json_value element = cm_json_element(&required, i);
        if (cm_json_text(NULL, &element, &text) == CALMOE_OK && strcmp(text, name) == 0) return true;
    }
    return false;
}

/* Does b require a property that objects of a, as they are let through, never have? */
static bool lacks_one(const struct look *look, const struct json_value *a, const struct json_value *b)
{
    const struct json_value others = cm_schema_get(a, "additionalProperties"), has = cm_schema_get(a, "properties");
    const struct json_value required = cm_schema_get(b, "required");
    const char *text;
    size_t      n;
    bool        is_closed = has.json && !others.json, is_open;
    if (others.json && cm_json_bool(NULL, &others, &is_open) == CALMOE_OK && !is_open) is_closed = true;
    if (!is_closed || !required.json || cm_json_array(NULL, &required, 0, 1 << 20, &n) != CALMOE_OK) return false;
    for (size_t i = 0; i < n && may_compare(look); i++) {
        const struct json_value element = cm_json_element(&required, i);
        if (cm_json_text(NULL, &element, &text) == CALMOE_OK && !cm_schema_get(&has, text).json) return true;
    }
    return false;
}

static bool excludes(const struct look *look, struct json_value a, struct json_value b, int depth);

/* Of objects that a lets through. */
static bool object_excludes(const struct look *look, const struct json_value *a, const struct json_value *b,
                            int depth)
{
    const struct json_value of_a = cm_schema_get(a, "properties"), of_b = cm_schema_get(b, "properties");
    struct json_value member = {.key = NULL};
    while (of_a.json && of_b.json && cm_json_sort(&of_a) == JSON_IS_OBJECT && may_compare(look) &&
           cm_json_next(&of_a, &member)) {
        const struct json_value other = cm_schema_get(&of_b, member.key);
        if (other.json && requires(look, a, member.key) && excludes(look, member, other, depth - 1)) return true;
    }
    return lacks_one(look, a, b);
}

/* Does nothing that a lets through fit b, as far as can be seen? */
static bool excludes(const struct look *look, struct json_value a, struct json_value b, int depth)
{
    a = follow(look->root, a);
    b = follow(look->root, b);
    if (depth == 0 || cm_json_sort(&a) != JSON_IS_OBJECT || cm_json_sort(&b) != JSON_IS_OBJECT) return false;
    for (const char *const *name = (const char *const[]){"anyOf", "oneOf", "allOf", NULL}; *name; name++)
        if (cm_schema_get(&a, *name).json || cm_schema_get(&b, *name).json) return false;
    if ((types_of(&a, false) & types_of(&b, true)) == 0 || values_are_apart(look, &a, &b)) return true;
    return types_of(&a, false) == TYPE_OBJECT && object_excludes(look, &a, &b, depth);
}

bool cm_schemas_are_apart(const struct json_value *root, const struct json_value *a, const struct json_value *b,
                          int64_t *n_left)
{
    const struct look look = {root, n_left};
    return excludes(&look, *a, *b, 4) && excludes(&look, *b, *a, 4);
}
