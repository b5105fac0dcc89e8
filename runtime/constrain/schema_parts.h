/* runtime/constrain/schema_parts.h - the inside of how a schema becomes a program, for schema*.c only. */
#ifndef RUNTIME_CONSTRAIN_SCHEMA_PARTS_H
#define RUNTIME_CONSTRAIN_SCHEMA_PARTS_H

#include "runtime/constrain/schema.h"
#include "runtime/documents/json.h"

enum { SCHEMA_MAX_RULES = 4096, SCHEMA_MAX_NESTING = 200, SCHEMA_MAX_COMPARISONS = 1 << 20 };

enum { /* types, as bits */
    TYPE_NULL = 1, TYPE_BOOLEAN = 2, TYPE_INTEGER = 4, TYPE_NUMBER = 8, TYPE_STRING = 16, TYPE_ARRAY = 32,
    TYPE_OBJECT = 64, TYPE_ALL = 127
};

struct schema_rule { /* a schema that others refer to */
    const void *json;
    int32_t     entry;
};

struct schema_reader {
    struct program           *program;
    const struct schema_form *form;
    struct json_value         root;
    int                       nesting;
    int                       n_rules;
    struct schema_rule       *rules; /* (SCHEMA_MAX_RULES) */
    int64_t                   n_comparisons; /* that oneOf may yet make: a schema can ask for very many */
    int32_t any, any_object, any_array, text_end, blank; /* parts that are shared; NO_NODE: not made yet */
};

struct text_list { /* of JSON texts, sorted by their bytes */
    int     n;
    char  **texts;
    size_t *n_bytes;
};

/* The program fails; returns 0. what: may be NULL for NO_MEMORY, which said it already. */
int32_t cm_schema_fail(struct schema_reader *reader, calmoe_status status, const struct json_value *where,
                       const char *what);

/* ---- schema_check.c ---- */

/* Is the schema an object of keywords that are read, together? Else the program fails, and false. */
bool     cm_schema_check(struct schema_reader *reader, const struct json_value *schema);
/* The types that it names or, where it names none, that its keywords are of; TYPE_ALL: neither. */
unsigned cm_schema_types(const struct json_value *schema);
/* The member of a schema; json NULL: absent. */
struct json_value cm_schema_get(const struct json_value *schema, const char *keyword);
/* A count: minItems … *out stays where the keyword is absent. False, and the program fails, where it is no count. */
bool     cm_schema_count(struct schema_reader *reader, const struct json_value *schema, const char *keyword, int *out);

/* ---- schema_apart.c ---- */

/* Does no document fit both, as far as can be seen by *n_left comparisons, which become fewer? Of documents that
 * programs let through. */
bool cm_schemas_are_apart(const struct json_value *root, const struct json_value *a, const struct json_value *b,
                          int64_t *n_left);
/* What "#/a/b" names, without its parents; json NULL: nothing. */
struct json_value cm_schema_find(const struct json_value *root, const char *reference);

/* ---- schema_values.c: parts of documents ---- */

/* White space where it may stand; next itself in the compact form. */
int32_t cm_emit_blank(struct schema_reader *reader, int32_t next);
/* The rest of a JSON string, behind its first quote, of any characters. */
int32_t cm_emit_text_end(struct schema_reader *reader, int32_t next);
int32_t cm_emit_any(struct schema_reader *reader, int32_t next);
int32_t cm_emit_any_of_type(struct schema_reader *reader, unsigned type, int32_t next);
/* One of a list of texts, sorted here. */
int32_t cm_emit_one_of(struct program *program, struct text_list *list, int32_t next);
/* The rest of a key behind its quote, with the last quote, that is none of the names; without escapes. */
int32_t cm_emit_other_key(struct program *program, struct text_list *names, int32_t next);

/* ---- schema_text.c ---- */

int32_t cm_emit_schema_text(struct schema_reader *reader, const struct json_value *schema, int32_t next);
int32_t cm_emit_schema_number(struct schema_reader *reader, const struct json_value *schema, bool is_whole,
                              int32_t next);
/* enum and const. */
int32_t cm_emit_schema_values(struct schema_reader *reader, const struct json_value *schema, int32_t next);

#endif
