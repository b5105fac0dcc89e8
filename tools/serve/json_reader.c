/* tools/serve/json_reader.c - see json_reader.h. */
#include "tools/serve/json_reader.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/serve/json_writer.h"
#include "tools/serve/refusal.h"

/* A struct sent_value is jansson's value. */
static const json_t *plain(const struct sent_value *value) { return (const json_t *)value; }

struct sent_value *cm_sent_read(const char *bytes, size_t n_bytes, struct refusal *refusal)
{
    json_error_t error;
    if (n_bytes == 0) {
        cm_refuse(refusal, 400, NULL, "the body is empty; a JSON object is wanted");
        return NULL;
    }
    json_t *root = json_loadb(bytes, n_bytes, JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory) cm_refuse_memory(refusal);
        else cm_refuse(refusal, 400, NULL, "the body is no JSON: line %d, column %d: %s", error.line, error.column,
                       error.text);
        return NULL;
    }
    if (!json_is_object(root)) {
        cm_refuse(refusal, 400, NULL, "the body wants to be a JSON object, found %s",
                  cm_sent_kind_name((struct sent_value *)root));
        json_decref(root);
        return NULL;
    }
    return (struct sent_value *)root;
}

void cm_sent_free(struct sent_value *document) { json_decref((json_t *)document); }

enum sent_kind cm_sent_kind(const struct sent_value *value)
{
    if (value == NULL) return SENT_NULL;
    switch (json_typeof(plain(value))) {
    case JSON_OBJECT:  return SENT_OBJECT;
    case JSON_ARRAY:   return SENT_ARRAY;
    case JSON_STRING:  return SENT_TEXT;
    case JSON_INTEGER: return SENT_INTEGER;
    case JSON_REAL:    return SENT_REAL;
    case JSON_TRUE:    return SENT_TRUE;
    case JSON_FALSE:   return SENT_FALSE;
    default:           return SENT_NULL;
    }
}

const char *cm_sent_kind_name(const struct sent_value *value)
{
    static const char *const names[] = {
        [SENT_NULL] = "null",     [SENT_FALSE] = "false",   [SENT_TRUE] = "true",
        [SENT_INTEGER] = "a number", [SENT_REAL] = "a number", [SENT_TEXT] = "a text",
        [SENT_ARRAY] = "an array", [SENT_OBJECT] = "an object"};
    return names[cm_sent_kind(value)];
}

const struct sent_value *cm_sent_member(const struct sent_value *object, const char *name)
{
    const json_t *value = object != NULL ? json_object_get(plain(object), name) : NULL;
    return json_is_null(value) ? NULL : (const struct sent_value *)value;
}

size_t cm_sent_n(const struct sent_value *value)
{
    return json_is_array(plain(value)) ? json_array_size(plain(value)) : json_object_size(plain(value));
}

const struct sent_value *cm_sent_at(const struct sent_value *array, size_t i)
{
    return (const struct sent_value *)json_array_get(plain(array), i);
}

const char *cm_sent_string(const struct sent_value *value, size_t *n)
{
    if (n != NULL) *n = json_string_length(plain(value));
    return json_string_value(plain(value));
}

double  cm_sent_number(const struct sent_value *value) { return json_number_value(plain(value)); }
int64_t cm_sent_int(const struct sent_value *value) { return json_integer_value(plain(value)); }

bool cm_sent_each(const struct sent_value *object,
                  bool (*see)(void *user, const char *name, const struct sent_value *value), void *user)
{
    json_t *const all = (json_t *)(uintptr_t)object; /* jansson's iterators lack const, but change nothing */
    for (void *at = json_object_iter(all); at != NULL; at = json_object_iter_next(all, at))
        if (!see(user, json_object_iter_key(at), (struct sent_value *)json_object_iter_value(at))) return false;
    return true;
}

char *cm_sent_print(const struct sent_value *value)
{
    return json_dumps(plain(value), JSON_COMPACT | JSON_ENCODE_ANY);
}

const char *cm_sent_text(const struct sent_value *object, const char *name)
{
    const char *const text = cm_sent_string(cm_sent_member(object, name), NULL);
    return text != NULL ? text : "";
}

void cm_sent_copy(struct json_writer *writer, const char *name, const struct sent_value *value)
{
    char *const text = value != NULL ? cm_sent_print(value) : NULL;
    if (text != NULL) cm_write_json(writer, name, text);
    else if (value != NULL) writer->failed = true;
    free(text);
}

/* ---- members that are checked ---- */

/* The member, or NULL if there is nothing to read: it is absent, or the request is already refused. */
static const struct sent_value *wanted(const struct sent_value *object, const char *name, const struct refusal *refusal)
{
    return refusal->status != 0 ? NULL : cm_sent_member(object, name);
}

bool cm_read_integer(const struct sent_value *object, const char *name, int64_t min, int64_t max, int64_t *out,
                     struct refusal *refusal)
{
    const struct sent_value *value = wanted(object, name, refusal);
    if (value == NULL) return refusal->status == 0;
    const enum sent_kind kind = cm_sent_kind(value);
    const double         real = cm_sent_number(value);
    /* Some clients write whole numbers as 5.0. */
    const bool is_whole = kind == SENT_INTEGER ||
                          (kind == SENT_REAL && real == floor(real) && fabs(real) < 9007199254740992.0);
    const int64_t number = kind == SENT_INTEGER ? cm_sent_int(value) : is_whole ? (int64_t)real : 0;
    if (is_whole && number >= min && number <= max) {
        *out = number;
        return true;
    }
    if (kind == SENT_INTEGER || kind == SENT_REAL)
        return cm_refuse(refusal, 400, name, "'%s' wants a whole number from %lld to %lld, found %.17g", name,
                         (long long)min, (long long)max, real);
    return cm_refuse(refusal, 400, name, "'%s' wants a whole number, found %s", name, cm_sent_kind_name(value));
}

bool cm_read_int(const struct sent_value *object, const char *name, int min, int max, int *out,
                 struct refusal *refusal)
{
    int64_t    number = *out;
    const bool is_fine = cm_read_integer(object, name, min, max, &number, refusal);
    if (is_fine) *out = (int)number;
    return is_fine;
}

bool cm_read_real(const struct sent_value *object, const char *name, double min, double max, float *out,
                  struct refusal *refusal)
{
    const struct sent_value *value = wanted(object, name, refusal);
    if (value == NULL) return refusal->status == 0;
    const double number = cm_sent_number(value);
    if (cm_sent_kind(value) != SENT_INTEGER && cm_sent_kind(value) != SENT_REAL)
        return cm_refuse(refusal, 400, name, "'%s' wants a number, found %s", name, cm_sent_kind_name(value));
    if (!(number >= min && number <= max))
        return cm_refuse(refusal, 400, name, "'%s' wants a number from %g to %g, found %.9g", name, min, max, number);
    *out = (float)number;
    return true;
}

bool cm_read_bool(const struct sent_value *object, const char *name, bool *out, struct refusal *refusal)
{
    const struct sent_value *value = wanted(object, name, refusal);
    if (value == NULL) return refusal->status == 0;
    if (cm_sent_kind(value) != SENT_TRUE && cm_sent_kind(value) != SENT_FALSE)
        return cm_refuse(refusal, 400, name, "'%s' wants true or false, found %s", name, cm_sent_kind_name(value));
    *out = cm_sent_kind(value) == SENT_TRUE;
    return true;
}

bool cm_read_text(const struct sent_value *object, const char *name, const char **out, struct refusal *refusal)
{
    const struct sent_value *value = wanted(object, name, refusal);
    if (value == NULL) return refusal->status == 0;
    if (cm_sent_kind(value) != SENT_TEXT)
        return cm_refuse(refusal, 400, name, "'%s' wants a text, found %s", name, cm_sent_kind_name(value));
    *out = cm_sent_string(value, NULL);
    return true;
}

bool cm_read_value(const struct sent_value *object, const char *name, enum sent_kind kind,
                   const struct sent_value **out, struct refusal *refusal)
{
    const struct sent_value *value = wanted(object, name, refusal);
    if (value == NULL) return refusal->status == 0;
    if (cm_sent_kind(value) != kind)
        return cm_refuse(refusal, 400, name, "'%s' wants %s, found %s", name,
                         kind == SENT_ARRAY ? "an array" : "an object", cm_sent_kind_name(value));
    *out = value;
    return true;
}
