/* tools/serve/json_reader.h - JSON that a client sent: values to look at, and members of objects that are checked as
 * they are read. The server's door to jansson.
 *
 * A wrong type of a member that is known is the client's mistake and is told by the member's name; unknown members are
 * nobody's business. */
#ifndef TOOLS_SERVE_JSON_READER_H
#define TOOLS_SERVE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct refusal;      /* tools/serve/refusal.h */
struct json_writer;  /* tools/serve/json_writer.h */
struct json_value;   /* opaque; borrowed from its document */

enum json_kind { JSON_IS_NULL, JSON_IS_FALSE, JSON_IS_TRUE, JSON_IS_INTEGER, JSON_IS_REAL, JSON_IS_TEXT, JSON_IS_ARRAY,
                 JSON_IS_OBJECT };

/* The document, an object, or NULL and refusal filled. Texts may hold NUL characters. */
struct json_value *cm_json_read(const char *bytes, size_t n_bytes, struct refusal *refusal);
void               cm_json_free(struct json_value *document); /* NULL is fine */

/* All of these answer for NULL as for a JSON null: an absent member is one that is null. */
enum json_kind           cm_json_kind(const struct json_value *value);
const char              *cm_json_kind_name(const struct json_value *value); /* "a number", "a text", … */
const struct json_value *cm_json_member(const struct json_value *object, const char *name);
size_t                   cm_json_n(const struct json_value *array_or_object); /* 0 for others */
const struct json_value *cm_json_at(const struct json_value *array, size_t i);
const char *cm_json_string(const struct json_value *value, size_t *n); /* NULL: it is no text; n may be NULL */
double      cm_json_number(const struct json_value *value);            /* 0 for what is no number            */
int64_t     cm_json_int(const struct json_value *value);               /* 0 for what is no whole number      */
/* Calls see for each member of an object, in the order of the text, until it answers false. */
bool cm_json_each(const struct json_value *object,
                  bool (*see)(void *user, const char *name, const struct json_value *value), void *user);
/* The text of a member, or "". */
const char *cm_json_member_text(const struct json_value *object, const char *name);
/* Writes the value as it is, under the name; nothing for NULL. */
void cm_json_copy(struct json_writer *writer, const char *name, const struct json_value *value);
/* As compact text, to be freed; NULL without memory. */
char *cm_json_print(const struct json_value *value);

/* Each reads a member, leaves *out as it is where it is absent or null, and otherwise fills refusal: 400, by the
 * member's name, unless refusal is filled already. False where it filled it, or it was. */
bool cm_read_integer(const struct json_value *object, const char *name, int64_t min, int64_t max, int64_t *out,
                     struct refusal *refusal);
bool cm_read_int(const struct json_value *object, const char *name, int min, int max, int *out,
                 struct refusal *refusal);
bool cm_read_real(const struct json_value *object, const char *name, double min, double max, float *out,
                  struct refusal *refusal);
bool cm_read_bool(const struct json_value *object, const char *name, bool *out, struct refusal *refusal);
bool cm_read_text(const struct json_value *object, const char *name, const char **out, struct refusal *refusal);
/* An object or an array, as kind says. */
bool cm_read_value(const struct json_value *object, const char *name, enum json_kind kind,
                   const struct json_value **out, struct refusal *refusal);

#endif
