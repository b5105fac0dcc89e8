/* tests/support/json_schemas.h - random JSON Schemas of the keywords that are read, and a validator that knows nothing
 * of how they are read. */
#ifndef TESTS_SUPPORT_JSON_SCHEMAS_H
#define TESTS_SUPPORT_JSON_SCHEMAS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/random.h"

enum { SCHEMA_BYTES = 1 << 14 };

/* Writes a random schema, NUL-terminated. */
void random_schema(struct random *random, char out[SCHEMA_BYTES]);

/* Is it JSON that fits the schema? what: why not. */
bool fits_schema(const char *schema, const char *document, size_t n_bytes, char what[200]);

/* Writes a random document that fits the schema, NUL-terminated, by the order of properties that the schema has,
 * without white space; false where it became too long or the schema has keywords that the writer does not follow. */
bool random_document(struct random *random, const char *schema, char out[SCHEMA_BYTES]);

#endif
