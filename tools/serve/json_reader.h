/* tools/serve/json_reader.h - reads JSON that a client sent. Members of objects are checked as they are read. Of the
 * server's files, only json_reader.c uses jansson.
 *
 * If a known member has the wrong type, the client made a mistake, and the refusal names the member. Unknown members
 * are ignored. */
#ifndef TOOLS_SERVE_JSON_READER_H
#define TOOLS_SERVE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct refusal;      /* tools/serve/refusal.h */
struct json_writer;  /* tools/serve/json_writer.h */
struct sent_value;   /* opaque; borrowed from its document */

enum sent_kind { SENT_NULL, SENT_FALSE, SENT_TRUE, SENT_INTEGER, SENT_REAL, SENT_TEXT, SENT_ARRAY,
                 SENT_OBJECT };

/* Parses a document, which must be an object; NULL, and the refusal filled. Texts may contain NUL characters. */
struct sent_value *cm_sent_read(const char *bytes, size_t n_bytes, struct refusal *refusal);
void               cm_sent_free(struct sent_value *document); /* NULL is fine */

/* All of these treat NULL as a JSON null: an absent member is the same as one that is null. */
enum sent_kind           cm_sent_kind(const struct sent_value *value);
const char              *cm_sent_kind_name(const struct sent_value *value); /* "a number", "a text", … */
const struct sent_value *cm_sent_member(const struct sent_value *object, const char *name);
size_t                   cm_sent_n(const struct sent_value *array_or_object); /* 0 for others */
const struct sent_value *cm_sent_at(const struct sent_value *array, size_t i);
const char *cm_sent_string(const struct sent_value *value, size_t *n); /* NULL: it is not a text; n may be NULL */
double      cm_sent_number(const struct sent_value *value);            /* 0 if it is not a number            */
int64_t     cm_sent_int(const struct sent_value *value);               /* 0 if it is not a whole number      */
/* Calls see() for each member of an object, in the order of the text, until it returns false. */
bool cm_sent_each(const struct sent_value *object,
                  bool (*see)(void *user, const char *name, const struct sent_value *value), void *user);
/* The text of a member, or "". */
const char *cm_sent_text(const struct sent_value *object, const char *name);
/* Writes the value as it is, under the name; nothing for NULL. */
void cm_sent_copy(struct json_writer *writer, const char *name, const struct sent_value *value);
/* The value as compact text, to be freed; NULL if there is no memory. */
char *cm_sent_print(const struct sent_value *value);

/* Each of these reads a member into *out, which stays as it is if the member is absent or null. If the member is wrong,
 * the refusal is filled with status 400 and the member's name, unless it is filled already. They return false if the
 * refusal is filled. */
bool cm_read_integer(const struct sent_value *object, const char *name, int64_t min, int64_t max, int64_t *out,
                     struct refusal *refusal);
bool cm_read_int(const struct sent_value *object, const char *name, int min, int max, int *out,
                 struct refusal *refusal);
bool cm_read_real(const struct sent_value *object, const char *name, double min, double max, float *out,
                  struct refusal *refusal);
bool cm_read_bool(const struct sent_value *object, const char *name, bool *out, struct refusal *refusal);
bool cm_read_text(const struct sent_value *object, const char *name, const char **out, struct refusal *refusal);
/* A member that is an object or an array, whichever kind says. */
bool cm_read_value(const struct sent_value *object, const char *name, enum sent_kind kind,
                   const struct sent_value **out, struct refusal *refusal);

#endif
