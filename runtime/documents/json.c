/* json.c - JSON files, read with a path to each value. */
#include "runtime/documents/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file_map.h"
#include "base/memory.h"

enum {
    WHERE_BYTES = 256, /* of a path; a longer one is cut  */
    FOUND_BYTES = 96,  /* of a value; a longer one is cut */
    NUMBER_BYTES = 40  /* of a number that is written     */
};

/* ---- documents ---- */

static const char *fault_name(enum json_error_code code)
{
    switch (code) {
    case json_error_stack_overflow: return "values are nested too deeply";
    case json_error_premature_end_of_input: return "the text ends too early";
    case json_error_end_of_input_expected: return "something follows the value";
    case json_error_invalid_utf8: return "the text is not UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key: return "a NUL character";
    case json_error_duplicate_key: return "a member that was there before";
    case json_error_numeric_overflow: return "a number that is too large";
    default: return "not JSON";
    }
}

static calmoe_status fault_of(const struct json_document *document)
{
    return document->is_argument ? CALMOE_INVALID_ARGUMENT : CALMOE_BAD_FILE;
}

/* Parses text into *out, whose name and is_argument are set; takes the name over. */
static calmoe_status parse(struct calmoe_context *ctx, const char *text, size_t n_bytes, size_t flags,
                           struct json_document *out)
{
    const char *quote = out->is_argument ? "" : "'";
    if (out->name == NULL) return CALMOE_NO_MEMORY;
    if (n_bytes > JSON_MAX_BYTES) {
        const calmoe_status status = cm_fail(ctx, fault_of(out), "%s%s%s has %zu bytes; at most %d are read", quote,
                                             out->name, quote, n_bytes, JSON_MAX_BYTES);
        cm_json_close(out);
        return status;
    }
    json_error_t error;
    out->root = json_loadb(text != NULL ? text : "", n_bytes, flags, &error);
    if (out->root != NULL) return CALMOE_OK;
    const enum json_error_code code = json_error_code(&error);
    const calmoe_status        status =
        code == json_error_out_of_memory
                   ? cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for '%s'", out->name)
                   : cm_fail(ctx, fault_of(out), "%s%s%s, line %d, column %d: %s", quote, out->name, quote,
                             error.line, error.column, fault_name(code));
    cm_json_close(out);
    return status;
}

calmoe_status cm_json_parse(struct calmoe_context *ctx, const char *path, const void *text,
                            size_t n_bytes, struct json_document *out)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    *out = (struct json_document){.name = cm_copy_text(ctx, name, strlen(name))};
    return parse(ctx, text, n_bytes, JSON_REJECT_DUPLICATES, out);
}

calmoe_status cm_json_parse_argument(struct calmoe_context *ctx, const char *what, const char *text, size_t n_bytes,
                                     struct json_document *out)
{
    *out = (struct json_document){.name = cm_copy_text(ctx, what, strlen(what)), .is_argument = true};
    return parse(ctx, text, n_bytes, JSON_ALLOW_NUL, out);
}

calmoe_status cm_json_parse_quietly(struct calmoe_context *ctx, const char *text, size_t n_bytes,
                                    struct json_document *out)
{
    struct calmoe_context quiet = {.message = ""};
    *out = (struct json_document){.name = cm_copy_text(ctx, "", 0), .is_argument = true};
    if (out->name == NULL) return CALMOE_NO_MEMORY;
    const calmoe_status status = parse(&quiet, text, n_bytes, JSON_ALLOW_NUL, out);
    return status == CALMOE_NO_MEMORY ? cm_fail(ctx, status, "%s", quiet.message) : CALMOE_OK;
}

calmoe_status cm_json_open(struct calmoe_context *ctx, const char *path, struct json_document *out)
{
    *out = (struct json_document){0};
    struct file_map map;
    CM_TRY(cm_file_map_open(ctx, path, &map));
    const calmoe_status status = cm_json_parse(ctx, path, map.bytes, map.n_bytes, out);
    cm_file_map_close(&map);
    return status;
}

void cm_json_close(struct json_document *document)
{
    json_decref(document->root);
    cm_free(document->name);
    *document = (struct json_document){0};
}

/* Takes the document over. */
static calmoe_status hand_on(struct calmoe_context *ctx, struct json_document *document, const struct json_kind *kind,
                             void *out)
{
    const calmoe_status status = kind->read(ctx, document, out);
    cm_json_close(document);
    if (status != CALMOE_OK) kind->close(out);
    return status;
}

calmoe_status cm_json_read_file(struct calmoe_context *ctx, const char *path, const struct json_kind *kind, void *out)
{
    struct json_document document;
    memset(out, 0, kind->size);
    CM_TRY(cm_json_open(ctx, path, &document));
    return hand_on(ctx, &document, kind, out);
}

calmoe_status cm_json_read_text(struct calmoe_context *ctx, const char *name, const void *text, size_t n_bytes,
                                const struct json_kind *kind, void *out)
{
    struct json_document document;
    memset(out, 0, kind->size);
    CM_TRY(cm_json_parse(ctx, name, text, n_bytes, &document));
    return hand_on(ctx, &document, kind, out);
}

struct json_value cm_json_root(const struct json_document *document)
{
    return (struct json_value){.json = document->root, .document = document};
}

bool cm_json_is_object(const struct json_value *value) { return json_is_object((const json_t *)value->json); }

/* ---- values of any kind ---- */

enum json_sort cm_json_sort(const struct json_value *value)
{
    static const enum json_sort sorts[] = {
        [JSON_OBJECT] = JSON_IS_OBJECT, [JSON_ARRAY] = JSON_IS_ARRAY, [JSON_STRING] = JSON_IS_TEXT,
        [JSON_INTEGER] = JSON_IS_INTEGER, [JSON_REAL] = JSON_IS_REAL, [JSON_TRUE] = JSON_IS_BOOL,
        [JSON_FALSE] = JSON_IS_BOOL, [JSON_NULL] = JSON_IS_NULL,
    };
    const json_t *json = value->json;
    return json != NULL ? sorts[json_typeof(json)] : JSON_IS_ABSENT;
}

int64_t cm_json_integer(const struct json_value *value)
{
    const json_t *json = value->json;
    return json_is_true(json) ? 1 : json_integer_value(json);
}

double cm_json_real(const struct json_value *value) { return json_number_value(value->json); }

const char *cm_json_bytes(const struct json_value *value, size_t *n)
{
    const char *text = json_string_value(value->json);
    *n = json_string_length(value->json);
    return text != NULL ? text : "";
}

size_t cm_json_length(const struct json_value *value)
{
    const json_t *json = value->json;
    return json_is_array(json) ? json_array_size(json) : json_object_size(json);
}

struct json_value cm_json_get(const struct json_value *object, const char *key)
{
    return (struct json_value){json_object_get(object->json, key), object->document, object, key, 0};
}

/* ---- messages ---- */

/* Appends to text, which has room for WHERE_BYTES, and stays terminated when it is full. */
static void append(char *text, const char *format, const char *key, size_t index)
{
    const size_t length = strlen(text);
    if (key != NULL) snprintf(text + length, WHERE_BYTES - length, format, key);
    else snprintf(text + length, WHERE_BYTES - length, "[%zu]", index);
}

/* Writes the path of a value: "" for the root, "layers[3]" for an element of a member. */
static void write_where(const struct json_value *value, char *text)
{
    if (value->parent == NULL) {
        text[0] = '\0';
        return;
    }
    write_where(value->parent, text);
    append(text, text[0] != '\0' ? ".%.64s" : "%.64s", value->key, value->index);
}

static void write_found(const json_t *json, char text[FOUND_BYTES])
{
    switch (json != NULL ? (int)json_typeof(json) : -1) {
    case JSON_OBJECT: snprintf(text, FOUND_BYTES, "an object"); break;
    case JSON_ARRAY: snprintf(text, FOUND_BYTES, "an array of %zu", json_array_size(json)); break;
    case JSON_STRING: snprintf(text, FOUND_BYTES, "\"%.64s\"", json_string_value(json)); break;
    case JSON_INTEGER:
        snprintf(text, FOUND_BYTES, "%lld", (long long)json_integer_value(json));
        break;
    case JSON_REAL: snprintf(text, FOUND_BYTES, "the number %g", json_real_value(json)); break;
    case JSON_TRUE: snprintf(text, FOUND_BYTES, "true"); break;
    case JSON_FALSE: snprintf(text, FOUND_BYTES, "false"); break;
    case JSON_NULL: snprintf(text, FOUND_BYTES, "null"); break;
    default: snprintf(text, FOUND_BYTES, "nothing"); break;
    }
}

static calmoe_status fail_with(struct calmoe_context *ctx, const struct json_value *value,
                               const char *found, const char *wanted)
{
    char where[WHERE_BYTES];
    write_where(value, where);
    if (value->document->is_argument)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%s: found %s, wanted %s",
                       where[0] != '\0' ? where : value->document->name, found, wanted);
    return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': %s%sfound %s, wanted %s", value->document->name,
                   where, where[0] != '\0' ? ": " : "", found, wanted);
}

calmoe_status cm_json_wrong(struct calmoe_context *ctx, const struct json_value *value,
                            const char *wanted)
{
    char found[FOUND_BYTES];
    write_found(value->json, found);
    return fail_with(ctx, value, found, wanted);
}

/* ---- objects and arrays ---- */

static bool is_among(const char *key, const char *const *known, size_t n_known)
{
    for (size_t i = 0; i < n_known; i++)
        if (strcmp(key, known[i]) == 0) return true;
    return false;
}

calmoe_status cm_json_check_object(struct calmoe_context *ctx, const struct json_value *value,
                                   const char *const *known, size_t n_known)
{
    if (!json_is_object((const json_t *)value->json)) return cm_json_wrong(ctx, value, "an object");
    json_t *object = (json_t *)(uintptr_t)value->json; /* jansson's iterator wants it writable */
    const char *key;
    json_t     *member;
    json_object_foreach(object, key, member)
    {
        if (is_among(key, known, n_known)) continue;
        const struct json_value unknown = {member, value->document, value, key, 0};
        return fail_with(ctx, &unknown, "an unknown member", "none of that name");
    }
    return CALMOE_OK;
}

calmoe_status cm_json_find(struct calmoe_context *ctx, const struct json_value *object,
                           const char *key, struct json_value *out)
{
    if (!json_is_object((const json_t *)object->json))
        return cm_json_wrong(ctx, object, "an object");
    *out = (struct json_value){json_object_get(object->json, key), object->document, object, key,
                               0};
    return CALMOE_OK;
}

calmoe_status cm_json_member(struct calmoe_context *ctx, const struct json_value *object,
                             const char *key, struct json_value *out)
{
    CM_TRY(cm_json_find(ctx, object, key, out));
    return out->json != NULL ? CALMOE_OK : cm_json_wrong(ctx, out, "a value");
}

calmoe_status cm_json_array(struct calmoe_context *ctx, const struct json_value *value, size_t min,
                            size_t max, size_t *n_elements)
{
    char         wanted[FOUND_BYTES];
    const size_t n_found = json_array_size(value->json); /* 0 for what is no array */
    if (json_is_array((const json_t *)value->json) && n_found >= min && n_found <= max) {
        *n_elements = n_found;
        return CALMOE_OK;
    }
    if (min == max) snprintf(wanted, sizeof wanted, "an array of %zu", min);
    else snprintf(wanted, sizeof wanted, "an array of %zu to %zu", min, max);
    return cm_json_wrong(ctx, value, wanted);
}

struct json_value cm_json_element(const struct json_value *array, size_t i)
{
    return (struct json_value){json_array_get(array->json, i), array->document, array, NULL, i};
}

/* ---- objects and values of any kind ---- */

bool cm_json_next(const struct json_value *object, struct json_value *member)
{
    json_t *json = (json_t *)(uintptr_t)object->json; /* jansson's iterator wants it writable */
    void   *at = member->key == NULL ? json_object_iter(json)
                                     : json_object_iter_next(json, json_object_iter_at(json, member->key));
    if (at == NULL) return false;
    *member = (struct json_value){json_object_iter_value(at), object->document, object, json_object_iter_key(at), 0};
    return true;
}

bool cm_json_same(const struct json_value *a, const struct json_value *b)
{
    const json_t *one = a->json, *other = b->json;
    if (json_is_number(one) && json_is_number(other)) {
        const double x = json_number_value(one), y = json_number_value(other);
        return x <= y && x >= y;
    }
    return json_equal(one, other);
}

calmoe_status cm_json_write_value(struct calmoe_context *ctx, const struct json_value *value, char **out,
                                  size_t *n_bytes)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    *n_bytes = json_dumpb(value->json, NULL, 0, flags);
    *out = *n_bytes > 0 ? cm_alloc(ctx, *n_bytes + 1, 1, "JSON") : NULL;
    if (*out == NULL) return CALMOE_NO_MEMORY;
    (void)json_dumpb(value->json, *out, *n_bytes, flags);
    return CALMOE_OK;
}

void cm_json_where(const struct json_value *value, char *out, size_t n_out)
{
    char where[WHERE_BYTES];
    write_where(value, where);
    snprintf(out, n_out, "%s%s%s", value->document->name, where[0] != '\0' ? ": " : "", where);
}

/* ---- scalars ---- */

calmoe_status cm_json_int(struct calmoe_context *ctx, const struct json_value *value, int64_t min,
                          int64_t max, int64_t *out)
{
    char          wanted[FOUND_BYTES];
    const int64_t found = json_integer_value(value->json); /* 0 for what is no integer */
    if (json_is_integer((const json_t *)value->json) && found >= min && found <= max) {
        *out = found;
        return CALMOE_OK;
    }
    snprintf(wanted, sizeof wanted, "an integer from %" PRId64 " to %" PRId64, min, max);
    return cm_json_wrong(ctx, value, wanted);
}

calmoe_status cm_json_number(struct calmoe_context *ctx, const struct json_value *value, double min,
                             double max, double *out)
{
    char         wanted[FOUND_BYTES];
    const double found = json_number_value(value->json); /* 0 for what is no number */
    if (json_is_number((const json_t *)value->json) && found >= min && found <= max) {
        *out = found;
        return CALMOE_OK;
    }
    snprintf(wanted, sizeof wanted, "a number from %g to %g", min, max);
    return cm_json_wrong(ctx, value, wanted);
}

calmoe_status cm_json_bool(struct calmoe_context *ctx, const struct json_value *value, bool *out)
{
    if (!json_is_boolean((const json_t *)value->json))
        return cm_json_wrong(ctx, value, "true or false");
    *out = json_is_true((const json_t *)value->json);
    return CALMOE_OK;
}

calmoe_status cm_json_text(struct calmoe_context *ctx, const struct json_value *value,
                           const char **out)
{
    if (!json_is_string((const json_t *)value->json)) return cm_json_wrong(ctx, value, "a text");
    *out = json_string_value(value->json);
    return CALMOE_OK;
}

/* ---- what our own files have in common ---- */

calmoe_status cm_json_schema(struct calmoe_context *ctx, const struct json_value *root, const char *const *schemas,
                             int n_schemas, int *which)
{
    struct json_value value = {0};
    const char       *text = "";
    char              wanted[FOUND_BYTES] = "";
    CM_TRY(cm_json_member(ctx, root, "schema", &value));
    CM_TRY(cm_json_text(ctx, &value, &text));
    for (*which = 0; *which < n_schemas; ++*which)
        if (strcmp(text, schemas[*which]) == 0) return CALMOE_OK;
    for (int i = 0; i < n_schemas; i++) {
        const size_t n = strlen(wanted);
        snprintf(wanted + n, sizeof wanted - n, "%s\"%s\"", i > 0 ? " or " : "", schemas[i]);
    }
    return cm_json_wrong(ctx, &value, wanted);
}

calmoe_status cm_json_version(struct calmoe_context *ctx, const struct json_value *root)
{
    struct json_value value = {0};
    const char       *text = "";
    CM_TRY(cm_json_member(ctx, root, "version", &value));
    return cm_json_text(ctx, &value, &text);
}

calmoe_status cm_json_digits(struct calmoe_context *ctx, const struct json_value *value,
                             char out[JSON_FINGERPRINT_DIGITS + 1])
{
    const char *text = "";
    CM_TRY(cm_json_text(ctx, value, &text));
    if (strlen(text) != JSON_FINGERPRINT_DIGITS || strspn(text, "0123456789abcdef") != JSON_FINGERPRINT_DIGITS)
        return cm_json_wrong(ctx, value, "16 digits 0-9a-f");
    memcpy(out, text, JSON_FINGERPRINT_DIGITS + 1);
    return CALMOE_OK;
}

calmoe_status cm_json_fingerprint(struct calmoe_context *ctx, const struct json_value *model,
                                  char out[JSON_FINGERPRINT_DIGITS + 1])
{
    struct json_value value = {0};
    CM_TRY(cm_json_member(ctx, model, "fingerprint", &value));
    return cm_json_digits(ctx, &value, out);
}

/* ---- writing ---- */

void cm_json_write_number(FILE *file, const char *key, double number, int digits)
{
    char   text[NUMBER_BYTES];
    double back = (double)NAN;
    for (int n = 1; n <= digits && back != number; n++) {
        snprintf(text, sizeof text, "%.*g", n, number);
        sscanf(text, "%lf", &back);
        if (digits < 17 && (float)back == (float)number) break; /* a float's */
    }
    for (char *at = text; *at; at++)
        if (!strchr("0123456789+-e.", *at)) *at = '.';
    fprintf(file, "\"%s\": %s", key, text);
}
