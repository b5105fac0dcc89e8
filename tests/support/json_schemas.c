/* json_schemas.c - see json_schemas.h. */
#include "tests/support/json_schemas.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/documents/json.h"

/* ---- random schemas ---- */

struct writer {
    struct random *random;
    char          *out;
    size_t         n;
    bool           is_full;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(writer->out + writer->n, SCHEMA_BYTES - writer->n, format, arguments);
    va_end(arguments);
    if (n < 0 || writer->n + (size_t)n >= SCHEMA_BYTES) writer->is_full = true;
    else writer->n += (size_t)n;
}

static int below(struct writer *writer, int n) { return (int)cm_random_below(writer->random, (uint64_t)n); }

static const char *const patterns[] = {
    "^[a-z]{2,5}$", "^(?:yes|no)+$", "^\\\\d{1,3}(\\\\.\\\\d+)?$", "[A-F]x?[^a-z]", "^\\\\w+@\\\\w+\\\\.(com|org)$",
    "^.{0,4}$", "^a|b$",
    "^[\\\"\\\\\\\\/\\\\n-]{1,3}$", "^\\\\S+\\\\s\\\\S+$", "^[^\\\\x00-\\\\x7f]{1,4}$", "^(a(b(c|d)?)*){2,3}$",
    "é|[α-ω]{2}",
};
static const char *const values[] = {"null", "true", "1", "-2.5", "\"a\"", "\"abc\"", "\"a\\\"\\\\\\n\"", "[1,\"x\"]",
                                     "{\"k\":[]}", "\"é\"", "1e3", "\"\""};
static const char *const names[] = {"a", "ab", "b", "name", "näme", "x y", "q\\\"\\\\", "longer_name"};
enum { N_NAMES = 8, N_VALUES = 12, N_PATTERNS = 12 };

static void put_schema(struct writer *writer, int depth);

static void put_number(struct writer *writer, bool is_whole)
{
    static const char *const bounds[] = {"0", "-3", "17", "1000", "-250", "2.5", "-0.125", "99.99", "100000", "0.1"};
    const int kind = below(writer, 4), i = below(writer, 10), j = below(writer, 10);
    const double low = strtod(bounds[i], NULL), high = strtod(bounds[j], NULL);
    put(writer, "{\"type\":\"%s\"", is_whole ? "integer" : "number");
    if (kind == 1) put(writer, ",\"%s\":%s", below(writer, 2) ? "minimum" : "exclusiveMinimum", bounds[i]);
    if (kind == 2) put(writer, ",\"%s\":%s", below(writer, 2) ? "maximum" : "exclusiveMaximum", bounds[i]);
    if (kind == 3 && low + 1.5 < high)
        put(writer, ",\"%s\":%s,\"%s\":%s", below(writer, 2) ? "minimum" : "exclusiveMinimum", bounds[i],
            below(writer, 2) ? "maximum" : "exclusiveMaximum", bounds[j]);
    put(writer, "}");
}

static void put_string(struct writer *writer)
{
    static const char *const formats[] = {"date", "time", "date-time", "uuid"};
    const int least = below(writer, 5);
    put(writer, "{\"type\":\"string\"");
    switch (below(writer, 5)) {
    case 0: put(writer, ",\"pattern\":\"%s\"", patterns[below(writer, N_PATTERNS)]); break;
    case 1: put(writer, ",\"format\":\"%s\"", formats[below(writer, 4)]); break;
    case 2: put(writer, ",\"minLength\":%d,\"maxLength\":%d", least, least + below(writer, 6)); break;
    case 3: put(writer, ",\"%s\":%d", below(writer, 2) ? "minLength" : "maxLength", least); break;
    default: break;
    }
    put(writer, "}");
}

static void put_object(struct writer *writer, int depth)
{
    const int first = below(writer, N_NAMES), n = below(writer, 5);
    int n_required = 0;
    put(writer, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < n; i++) {
        put(writer, "%s\"%s\":", i ? "," : "", names[(first + i) % N_NAMES]);
        put_schema(writer, depth - 1);
    }
    put(writer, "},\"required\":[");
    for (int i = 0; i < n; i++)
        if (below(writer, 2)) put(writer, "%s\"%s\"", n_required++ ? "," : "", names[(first + i) % N_NAMES]);
    put(writer, "]");
    switch (below(writer, 4)) {
    case 0: put(writer, ",\"additionalProperties\":false"); break;
    case 1: put(writer, ",\"additionalProperties\":true"); break;
    case 2:
        put(writer, ",\"additionalProperties\":");
        put_schema(writer, 0);
        break;
    default: break;
    }
    put(writer, "}");
}

static void put_array(struct writer *writer, int depth)
{
    const int least = below(writer, 3);
    put(writer, "{\"type\":\"array\"");
    if (below(writer, 6)) {
        put(writer, ",\"items\":");
        put_schema(writer, depth - 1);
    }
    if (below(writer, 2)) put(writer, ",\"minItems\":%d", least);
    if (below(writer, 2)) put(writer, ",\"maxItems\":%d", least + below(writer, 3));
    put(writer, "}");
}

static void put_values(struct writer *writer)
{
    const int n = 1 + below(writer, 5), first = below(writer, N_VALUES);
    if (below(writer, 3) == 0) {
        put(writer, "{\"const\":%s,\"title\":\"t\"}", values[first]);
        return;
    }
    put(writer, "{\"enum\":[");
    for (int i = 0; i < n; i++) put(writer, "%s%s", i ? "," : "", values[(first + i) % N_VALUES]);
    put(writer, "]}");
}

static void put_any_of(struct writer *writer, int depth)
{
    const int n = 1 + below(writer, 3);
    if (below(writer, 3) == 0) {
        put(writer, "{\"oneOf\":[{\"type\":\"null\"},{\"type\":[\"boolean\",\"integer\"]},");
        put_string(writer);
        put(writer, "]}");
        return;
    }
    put(writer, "{\"anyOf\":[");
    for (int i = 0; i < n; i++) {
        if (i) put(writer, ",");
        put_schema(writer, depth - 1);
    }
    put(writer, "]}");
}

static void put_schema(struct writer *writer, int depth)
{
    switch (below(writer, depth > 0 ? 13 : 7)) {
    case 0: put_number(writer, true); break;
    case 1: put_number(writer, false); break;
    case 2: case 3: put_string(writer); break;
    case 4: put_values(writer); break;
    case 5: put(writer, "{\"type\":[\"null\",\"boolean\"]}"); break;
    case 6: put(writer, depth > 1 ? "{\"description\":\"any\"}" : "{\"allOf\":[{\"type\":\"boolean\"}]}"); break;
    case 7: case 8: put_array(writer, depth); break;
    case 9: put_any_of(writer, depth); break;
    case 10: put(writer, "{\"$ref\":\"#/$defs/%s\"}", below(writer, 2) ? "tree" : "we~0ird~1"); break;
    default: put_object(writer, depth); break;
    }
}

void random_schema(struct random *random, char out[SCHEMA_BYTES])
{
    struct writer writer = {.random = random, .out = out};
    put(&writer, "{\"$defs\":{\"tree\":{\"type\":\"object\",\"properties\":{\"value\":{\"type\":\"integer\"},"
        "\"children\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/tree\"},\"maxItems\":2}},"
        "\"required\":[\"value\"]},\"we~ird/\":");
    put_schema(&writer, 0); /* which does not refer to itself alone */
    put(&writer, "},\"anyOf\":[");
    put_schema(&writer, 3);
    put(&writer, "]}");
    if (writer.is_full) snprintf(out, SCHEMA_BYTES, "{}");
}

/* ---- validating ---- */

struct check {
    struct json_value root;
    char             *what; /* (200) */
};

static bool fits(const struct check *check, const struct json_value *schema, const struct json_value *value, int depth);

static bool wrong(const struct check *check, const char *keyword)
{
    snprintf(check->what, 200, "%s", keyword);
    return false;
}

static bool get(const struct json_value *object, const char *key, struct json_value *out)
{
    out->json = NULL;
    return cm_json_sort(object) == JSON_IS_OBJECT && cm_json_find(NULL, object, key, out) == CALMOE_OK && out->json;
}

static size_t n_elements(const struct json_value *array)
{
    size_t n = 0;
    (void)cm_json_array(NULL, array, 0, 1 << 20, &n);
    return n;
}

static double number_of(const struct json_value *value)
{
    double number = 0;
    (void)cm_json_number(NULL, value, -1e300, 1e300, &number);
    return number;
}

static bool is_of_type(const struct json_value *value, const struct json_value *type)
{
    static const char *const sorts[] = {"", "null", "boolean", "integer", "number", "string", "array", "object"};
    const char *name = "";
    (void)cm_json_text(NULL, type, &name);
    const enum json_sort sort = cm_json_sort(value);
    if (strcmp(name, "number") == 0) return sort == JSON_IS_INTEGER || sort == JSON_IS_REAL;
    if (strcmp(name, "integer") == 0 && sort == JSON_IS_REAL)
        return number_of(value) <= (double)(long long)number_of(value) &&
               number_of(value) >= (double)(long long)number_of(value);
    return strcmp(name, sorts[sort]) == 0;
}

static bool matches(const char *pattern, const char *text)
{
    int    error;
    size_t at;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_DOLLAR_ENDONLY,
                                     &error,
                                     &at, NULL);
    if (!code) abort();
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
    const int found = pcre2_match(code, (PCRE2_SPTR)text, strlen(text), 0, 0, data, NULL);
    pcre2_match_data_free(data);
    pcre2_code_free(code);
    return found >= 0;
}

static bool has_format(const char *format, const char *text)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool has_date = strncmp(format, "date", 4) == 0, has_time = strstr(format, "time") != NULL;
    int year, month, day, n = 0;
    if (strcmp(format, "uuid") == 0)
        return matches("^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$", text);
    if (has_date) {
        if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &n) != 3 || n != 10) return false;
        const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        if (year < 1 || month < 1 || month > 12 || day < 1 || day > days[month - 1]) return false;
        if (month == 2 && day == 29 && !is_leap) return false;
        text += 10;
        if (has_time && *text++ != 'T') return false;
    }
    if (!has_time) return *text == '\0';
    return matches("^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$", text);
}

static bool string_fits(const struct check *check, const struct json_value *schema, const struct json_value *value)
{
    struct json_value member;
    const char *text, *wanted;
    int         n_characters = 0;
    if (cm_json_text(NULL, value, &text) != CALMOE_OK) return true;
    for (const char *c = text; *c; c++) n_characters += ((unsigned char)*c & 0xc0) != 0x80;
    if (get(schema, "minLength", &member) && n_characters < number_of(&member)) return wrong(check, "minLength");
    if (get(schema, "maxLength", &member) && n_characters > number_of(&member)) return wrong(check, "maxLength");
    if (get(schema, "pattern", &member) && cm_json_text(NULL, &member, &wanted) == CALMOE_OK && !matches(wanted, text))
        return wrong(check, "pattern");
    if (get(schema, "format", &member) && cm_json_text(NULL, &member, &wanted) == CALMOE_OK && !has_format(wanted,
        text))
        return wrong(check, "format");
    return true;
}

static bool number_fits(const struct check *check, const struct json_value *schema, const struct json_value *value)
{
    struct json_value member;
    const double number = number_of(value);
    if (cm_json_sort(value) != JSON_IS_INTEGER && cm_json_sort(value) != JSON_IS_REAL) return true;
    if (get(schema, "minimum", &member) && number < number_of(&member)) return wrong(check, "minimum");
    if (get(schema, "maximum", &member) && number > number_of(&member)) return wrong(check, "maximum");
    if (get(schema, "exclusiveMinimum", &member) && number <= number_of(&member)) return wrong(check,
        "exclusiveMinimum");
    if (get(schema, "exclusiveMaximum", &member) && number >= number_of(&member)) return wrong(check,
        "exclusiveMaximum");
    return true;
}

static bool array_fits(const struct check *check, const struct json_value *schema, const struct json_value *value,
                       int depth)
{
    struct json_value member, items;
    if (cm_json_sort(value) != JSON_IS_ARRAY) return true;
    const size_t n = n_elements(value);
    if (get(schema, "minItems", &member) && (double)n < number_of(&member)) return wrong(check, "minItems");
    if (get(schema, "maxItems", &member) && (double)n > number_of(&member)) return wrong(check, "maxItems");
    const bool has_items = get(schema, "items", &items);
    for (size_t i = 0; i < n && has_items; i++) {
        const struct json_value element = cm_json_element(value, i);
        if (!fits(check, &items, &element, depth)) return false;
    }
    return true;
}

static bool object_fits(const struct check *check, const struct json_value *schema, const struct json_value *value,
                        int depth)
{
    struct json_value properties = {.json = NULL}, others = {.json = NULL}, member = {.key = NULL}, required, known,
        found;
    const char *name;
    if (cm_json_sort(value) != JSON_IS_OBJECT) return true;
    (void)get(schema, "properties", &properties);
    (void)get(schema, "additionalProperties", &others);
    if (get(schema, "required", &required))
        for (size_t i = 0; i < n_elements(&required); i++) {
            const struct json_value element = cm_json_element(&required, i);
            if (cm_json_text(NULL, &element, &name) == CALMOE_OK && !get(value, name, &found))
                return wrong(check, "required");
        }
    while (cm_json_next(value, &member)) {
        if (properties.json && get(&properties, member.key, &known)) {
            if (!fits(check, &known, &member, depth)) return false;
        } else if (others.json && !fits(check, &others, &member, depth)) {
            return false;
        }
    }
    return true;
}

/* How many schemas of the array fit. */
static size_t n_fitting(const struct check *check, const struct json_value *list, const struct json_value *value,
                        int depth)
{
    size_t n = 0;
    for (size_t i = 0; i < n_elements(list); i++) {
        const struct json_value schema = cm_json_element(list, i);
        n += fits(check, &schema, value, depth);
    }
    return n;
}

static bool choice_fits(const struct check *check, const struct json_value *schema, const struct json_value *value,
                        int depth)
{
    struct json_value member, target;
    const char *reference;
    size_t      n_same = 0;
    if (get(schema, "$ref", &member) && cm_json_text(NULL, &member, &reference) == CALMOE_OK) {
        if (!get(&check->root, "$defs", &target)) return wrong(check, "$ref");
        struct json_value definition;
        const char *key = strstr(reference, "tree") ? "tree" : "we~ird/"; /* all that random_schema() writes */
        if (!get(&target, key, &definition) || !fits(check, &definition, value, depth)) return false;
    }
    if (get(schema, "anyOf", &member) && n_fitting(check, &member, value, depth) == 0) return wrong(check, "anyOf");
    if (get(schema, "oneOf", &member) && n_fitting(check, &member, value, depth) != 1) return wrong(check, "oneOf");
    if (get(schema, "allOf", &member) && n_fitting(check, &member, value, depth) != n_elements(&member))
        return wrong(check, "allOf");
    if (get(schema, "const", &member) && !cm_json_same(&member, value)) return wrong(check, "const");
    if (!get(schema, "enum", &member)) return true;
    for (size_t i = 0; i < n_elements(&member); i++) {
        const struct json_value element = cm_json_element(&member, i);
        n_same += cm_json_same(&element, value);
    }
    return n_same > 0 ? true : wrong(check, "enum");
}

static bool type_fits(const struct check *check, const struct json_value *schema, const struct json_value *value)
{
    struct json_value type;
    if (!get(schema, "type", &type)) return true;
    if (cm_json_sort(&type) == JSON_IS_TEXT) return is_of_type(value, &type) ? true : wrong(check, "type");
    for (size_t i = 0; i < n_elements(&type); i++) {
        const struct json_value element = cm_json_element(&type, i);
        if (is_of_type(value, &element)) return true;
    }
    return wrong(check, "type");
}

static bool fits(const struct check *check, const struct json_value *schema, const struct json_value *value, int depth)
{
    bool all = true;
    if (depth == 0) return wrong(check, "too deep");
    if (cm_json_bool(NULL, schema, &all) == CALMOE_OK) return all ? true : wrong(check, "false");
    return type_fits(check, schema, value) && choice_fits(check, schema, value, depth - 1) &&
           string_fits(check, schema, value) && number_fits(check, schema, value) &&
           array_fits(check, schema, value, depth - 1) && object_fits(check, schema, value, depth - 1);
}

bool fits_schema(const char *schema, const char *document, size_t n_bytes, char what[200])
{
    struct json_document rules, wrapped;
    struct calmoe_context context = {.message = ""};
    /* Only objects and arrays are read by themselves. */
    char *array = malloc(n_bytes + 2);
    if (!array) abort();
    array[0] = '[';
    memcpy(array + 1, document, n_bytes);
    array[n_bytes + 1] = ']';
    bool is_good = false;
    if (cm_json_parse(&context, "schema", schema, strlen(schema), &rules) != CALMOE_OK) abort();
    if (cm_json_parse(&context, "document", array, n_bytes + 2, &wrapped) != CALMOE_OK) {
        snprintf(what, 200, "%.190s", context.message);
    } else {
        const struct json_value list = cm_json_root(&wrapped), root = cm_json_root(&rules);
        const struct json_value value = cm_json_element(&list, 0);
        const struct check check = {.root = root, .what = what};
        is_good = n_elements(&list) == 1 && fits(&check, &root, &value, 400);
        cm_json_close(&wrapped);
    }
    cm_json_close(&rules);
    free(array);
    return is_good;
}

/* ---- random documents ---- */

static bool put_document(struct writer *writer, const struct check *check, const struct json_value *schema, int depth);

/* Of many texts and numbers one that fits, or false. */
static bool put_scalar(struct writer *writer, const struct check *check, const struct json_value *schema)
{
    static const char *const pool[] = {
        "null", "true", "false", "0", "1", "-1", "17", "-3", "100", "-249", "2.25", "-0.0625", "99.98", "0.5", "1000",
        "\"\"", "\"a\"", "\"ab\"", "\"abc\"", "\"yesnoyes\"", "\"12\"", "\"123.45\"", "\"A!\"", "\"xFxZ\"",
            "\"u_1@v.org\"",
        "\"\\\"\"", "\"\\\\/\\n\"", "\"x y\"", "\"é\"", "\"漢字\"", "\"αω\"", "\"abcabbcab\"", "\"zzb\"", "\"axy\"",
            "\"abcd\"",
        "\"2024-02-28\"", "\"1999-12-31\"", "\"23:59:59Z\"", "\"00:00:00.125+05:30\"", "\"2000-01-30T10:20:30-01:00\"",
        "\"123e4567-E89b-12d3-a456-426614174000\"", "\"😀😀\"", "\"é\\t\"", "\"\\b\\f\""};
    for (int trial = 0; trial < 300; trial++) {
        char text[80];
        if (trial % 3 == 0) snprintf(text, sizeof text, "%d", below(writer, 2400) - 600);
        else if (trial % 3 == 1) snprintf(text, sizeof text, "%.3f", (double)(below(writer, 40000) - 8000) / 128);
        else snprintf(text, sizeof text, "%s", pool[below(writer, (int)(sizeof pool / sizeof *pool))]);
        char array[90];
        struct json_document document;
        snprintf(array, sizeof array, "[%s]", text);
        if (cm_json_parse(NULL, "scalar", array, strlen(array), &document) != CALMOE_OK) abort();
        const struct json_value list = cm_json_root(&document), value = cm_json_element(&list, 0);
        const bool is_good = fits(check, schema, &value, 10);
        cm_json_close(&document);
        if (is_good) put(writer, "%s", text);
        if (is_good) return true;
    }
    return false;
}

/* As it stands in the schema: of several ways to write a number there is one that is let through. */
static bool put_value(struct writer *writer, const struct json_value *value)
{
    char  *text;
    size_t n;
    if (cm_json_write_value(NULL, value, &text, &n) != CALMOE_OK) abort();
    put(writer, "%s", text);
    cm_free(text);
    return true;
}

static bool put_members(struct writer *writer, const struct check *check, const struct json_value *schema, int depth)
{
    struct json_value properties, required, member = {.key = NULL};
    const char *name;
    int n = 0;
    put(writer, "{");
    while (get(schema, "properties", &properties) && cm_json_next(&properties, &member)) {
        bool must = false;
        for (size_t i = 0; get(schema, "required", &required) && i < n_elements(&required); i++) {
            const struct json_value element = cm_json_element(&required, i);
            must |= cm_json_text(NULL, &element, &name) == CALMOE_OK && strcmp(name, member.key) == 0;
        }
        if (!must && (depth <= 0 || below(writer, 2))) continue;
        put(writer, "%s\"", n++ ? "," : "");
        for (const char *c = member.key; *c; c++) put(writer, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        put(writer, "\":");
        if (!put_document(writer, check, &member, depth - 1)) return false;
    }
    put(writer, "}");
    return true;
}

static bool put_items(struct writer *writer, const struct check *check, const struct json_value *schema, int depth)
{
    struct json_value member, items = {.json = NULL};
    int least = 0, most = 3;
    if (get(schema, "minItems", &member)) least = (int)number_of(&member);
    if (get(schema, "maxItems", &member)) most = (int)number_of(&member);
    const int n = depth <= 0 || most < least ? least : least + below(writer, most - least + 1);
    put(writer, "[");
    for (int i = 0; i < n; i++) {
        if (i) put(writer, ",");
        if (!get(schema, "items", &items)) put(writer, "{\"x\":[1,null]}");
        else if (!put_document(writer, check, &items, depth - 1)) return false;
    }
    put(writer, "]");
    return true;
}

static bool put_document(struct writer *writer, const struct check *check, const struct json_value *schema, int depth)
{
    struct json_value member, target, definition;
    const char *text;
    if (writer->is_full || depth < -40) return false;
    if (get(schema, "$ref", &member) && cm_json_text(NULL, &member, &text) == CALMOE_OK)
        return get(&check->root, "$defs", &target) &&
               get(&target, strstr(text, "tree") ? "tree" : "we~ird/", &definition) &&
               put_document(writer, check, &definition, depth - 1);
    if (get(schema, "anyOf", &member) || get(schema, "oneOf", &member) || get(schema, "allOf", &member)) {
        const struct json_value chosen = cm_json_element(&member, cm_random_below(writer->random, n_elements(&member)));
        return put_document(writer, check, &chosen, depth - 1);
    }
    if (get(schema, "const", &member)) return put_value(writer, &member);
    if (get(schema, "enum", &member)) {
        const struct json_value chosen = cm_json_element(&member, cm_random_below(writer->random, n_elements(&member)));
        return put_value(writer, &chosen);
    }
    if (get(schema, "type", &member) && cm_json_sort(&member) == JSON_IS_TEXT) {
        (void)cm_json_text(NULL, &member, &text);
        if (strcmp(text, "object") == 0) return put_members(writer, check, schema, depth);
        if (strcmp(text, "array") == 0) return put_items(writer, check, schema, depth);
    }
    return put_scalar(writer, check, schema);
}

bool random_document(struct random *random, const char *schema, char out[SCHEMA_BYTES])
{
    struct json_document rules;
    struct writer writer = {.random = random, .out = out};
    char what[200];
    if (cm_json_parse(NULL, "schema", schema, strlen(schema), &rules) != CALMOE_OK) abort();
    const struct json_value root = cm_json_root(&rules);
    const struct check check = {.root = root, .what = what};
    const bool is_written = put_document(&writer, &check, &root, 4) && !writer.is_full;
    cm_json_close(&rules);
    return is_written;
}
