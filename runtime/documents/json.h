/* runtime/documents/json.h - JSON files, read with a path to each value. The only jansson door.
 *
 * A value knows its parent, so that a message can say where it stands:
 *     'plan.json': layers[3][17]: found 9, wanted an integer from 0 to 3
 * Values are plain structs on the caller's stack; each borrows its document and its parent, which must
 * stay where they are as long as it is used. */
#ifndef RUNTIME_DOCUMENTS_JSON_H
#define RUNTIME_DOCUMENTS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum { JSON_MAX_BYTES = 16 << 20, JSON_FINGERPRINT_DIGITS = 16 };

struct json_document {
    char *name;        /* the last component of the path, or what the text is, for messages */
    void *root;        /* jansson's                                                         */
    bool  is_argument; /* of a call: what is wrong in it is INVALID_ARGUMENT, not BAD_FILE   */
};

struct json_value {
    const void                 *json; /* jansson's; NULL = absent (cm_json_find) */
    const struct json_document *document;
    const struct json_value    *parent; /* NULL for the root               */
    const char                 *key;    /* in the parent, where it is an object */
    size_t                      index;  /* in the parent, where it is an array  */
};

/* Reads a file or a text of at most JSON_MAX_BYTES bytes. BAD_FILE: what is wrong with line and column;
 * a member that occurs twice, a NUL character and anything after the value are wrong too. */
calmoe_status cm_json_open(struct calmoe_context *ctx, const char *path, struct json_document *out);
calmoe_status cm_json_parse(struct calmoe_context *ctx, const char *name, const void *text,
                            size_t n_bytes, struct json_document *out);
/* The same for a text that a caller handed over: INVALID_ARGUMENT. what: "the conversation". Its texts may hold NUL
 * characters. Quietly: failures but NO_MEMORY leave no sentence, and *out has no root. */
calmoe_status cm_json_parse_argument(struct calmoe_context *ctx, const char *what, const char *text, size_t n_bytes,
                                     struct json_document *out);
calmoe_status cm_json_parse_quietly(struct calmoe_context *ctx, const char *text, size_t n_bytes,
                                    struct json_document *out);
void          cm_json_close(struct json_document *document); /* zeroes it; a zeroed one is fine */

/* How documents of a kind become a struct of `size` bytes. */
struct json_kind {
    size_t size;
    calmoe_status (*read)(struct calmoe_context *ctx, const struct json_document *document, void *out);
    void (*close)(void *out); /* zeroes it */
};

/* The same, handed to the kind's read(), and closed. *out is zeroed before; a failure closes it. */
calmoe_status cm_json_read_file(struct calmoe_context *ctx, const char *path, const struct json_kind *kind, void *out);
calmoe_status cm_json_read_text(struct calmoe_context *ctx, const char *name, const void *text, size_t n_bytes,
                                const struct json_kind *kind, void *out);

struct json_value cm_json_root(const struct json_document *document); /* an object or an array */
bool              cm_json_is_object(const struct json_value *value);

/* ---- values of any kind, for those who take what is there ---- */

enum json_sort {
    JSON_IS_ABSENT, JSON_IS_NULL, JSON_IS_BOOL, JSON_IS_INTEGER, JSON_IS_REAL, JSON_IS_TEXT, JSON_IS_ARRAY,
    JSON_IS_OBJECT
};
enum json_sort cm_json_sort(const struct json_value *value);
int64_t        cm_json_integer(const struct json_value *value);          /* of an integer or a bool; else 0 */
double         cm_json_real(const struct json_value *value);             /* of a number; else 0             */
const char    *cm_json_bytes(const struct json_value *value, size_t *n); /* of a text; else "". NULs may be inside */
size_t         cm_json_length(const struct json_value *value);           /* elements or members; else 0     */
/* The member of an object; its json is NULL where there is none, or no object. */
struct json_value cm_json_get(const struct json_value *object, const char *key);
/* Members of an object in the document's order: *member begins zeroed. False: there are no more. */
bool           cm_json_next(const struct json_value *object, struct json_value *member);
/* The same value? 1 and 1.0 are. */
bool           cm_json_same(const struct json_value *a, const struct json_value *b);
/* The value as JSON without white space, the caller's (cm_free()). NO_MEMORY. */
calmoe_status  cm_json_write_value(struct calmoe_context *ctx, const struct json_value *value, char **out,
                                   size_t *n_bytes);
/* Where a value stands, for messages: "schema: properties.name"; out has n_out bytes. */
void           cm_json_where(const struct json_value *value, char *out, size_t n_out);

/* Each of the following fails with BAD_FILE (INVALID_ARGUMENT): where, found, wanted. */

/* value is an object whose members are all among known[0 .. n_known). */
calmoe_status cm_json_check_object(struct calmoe_context *ctx, const struct json_value *value,
                                   const char *const *known, size_t n_known);
/* The member of an object: it must be there / out->json is NULL where it is not. */
calmoe_status cm_json_member(struct calmoe_context *ctx, const struct json_value *object,
                             const char *key, struct json_value *out);
calmoe_status cm_json_find(struct calmoe_context *ctx, const struct json_value *object,
                           const char *key, struct json_value *out);
/* value is an array of min to max elements. */
calmoe_status     cm_json_array(struct calmoe_context *ctx, const struct json_value *value, size_t min,
                                size_t max, size_t *n_elements);
struct json_value cm_json_element(const struct json_value *array, size_t i); /* i < n_elements */

calmoe_status cm_json_int(struct calmoe_context *ctx, const struct json_value *value, int64_t min,
                          int64_t max, int64_t *out);
/* Integers are numbers too. */
calmoe_status cm_json_number(struct calmoe_context *ctx, const struct json_value *value, double min,
                             double max, double *out);
calmoe_status cm_json_bool(struct calmoe_context *ctx, const struct json_value *value, bool *out);
/* UTF-8, NUL-terminated, the document's. */
calmoe_status cm_json_text(struct calmoe_context *ctx, const struct json_value *value,
                           const char **out);

/* What our own files begin with: the member "schema", schemas[*which] of n_schemas; and "version", that of the library
 * which wrote it: for people, so any text will do. */
calmoe_status cm_json_schema(struct calmoe_context *ctx, const struct json_value *root, const char *const *schemas,
                           int n_schemas, int *which);
calmoe_status cm_json_version(struct calmoe_context *ctx, const struct json_value *root);
/* A text of JSON_FINGERPRINT_DIGITS of 0-9a-f. */
calmoe_status cm_json_digits(struct calmoe_context *ctx, const struct json_value *value,
                             char out[JSON_FINGERPRINT_DIGITS + 1]);
/* The member "fingerprint" of a model's object: JSON_FINGERPRINT_DIGITS of 0-9a-f. */
calmoe_status cm_json_fingerprint(struct calmoe_context *ctx, const struct json_value *model,
                                  char out[JSON_FINGERPRINT_DIGITS + 1]);

/* For checks of the caller's own: fails with "where: found <the value>, wanted <wanted>". */
calmoe_status cm_json_wrong(struct calmoe_context *ctx, const struct json_value *value,
                            const char *wanted);

/* "KEY": NUMBER in the fewest of `digits` digits or less that read back as the same number (below 17: the same
 * float); a point whatever the process's locale writes. */
void cm_json_write_number(FILE *file, const char *key, double number, int digits);

#endif
