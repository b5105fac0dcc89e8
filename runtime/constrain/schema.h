/* runtime/constrain/schema.h - a JSON Schema as a program: of which documents are let through, all fit the schema.
 *
 * calmoe/constraint.h says what is read. Nothing is passed over: a keyword that is not read is UNSUPPORTED, with its
 * place, and so is one that is read but not beside what stands there. */
#ifndef RUNTIME_CONSTRAIN_SCHEMA_H
#define RUNTIME_CONSTRAIN_SCHEMA_H

#include "runtime/constrain/program.h"

struct schema_form {
    bool is_compact; /* no white space between the parts of a document */
};

/* schema (n_bytes): JSON. The program fails with BAD_FILE where it is none, UNSUPPORTED, INVALID_ARGUMENT,
 * NO_MEMORY. */
int32_t cm_emit_schema(struct program *program, const char *schema, size_t n_bytes, const struct schema_form *form,
                       int32_t next);
/* Any object. */
int32_t cm_emit_any_object(struct program *program, const struct schema_form *form, int32_t next);

#endif
