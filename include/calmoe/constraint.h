/* calmoe/constraint.h - answers that have a form: JSON that fits a schema, texts that fit a pattern, calls of tools.
 *
 * A constraint says at each step which tokens may come, so that the answer's text has the form whatever the model would
 * like to say. It is made once, and samplers use it (calmoe_sampler_options.constraint) from the first token of each
 * answer on: tokens that calmoe_session_next() and calmoe_engine_next() sample, or those behind
 * calmoe_session_begin_answer(). Characters are whole UTF-8 always. Control tokens and others that models use as marks,
 * such as <think>, never come inside, but where a prefix or suffix has their text: there nothing else will do. Tokens
 * that end the answer come only where it is complete, and where nothing can be added, nothing else comes. An answer
 * that is cut by a limit is incomplete; then and only then.
 *
 * Of JSON Schema this is read (and so is true):
 *
 *     type (one or several), enum, const, $ref to a part of the same schema ("#", "#/$defs/name", …; recursion too)
 *     object   properties, required (of those that are listed), additionalProperties
 *     array    items, minItems, maxItems
 *     string   one of: minLength and maxLength; pattern (pattern.h of the source says which); format date, time,
 *              date-time, uuid
 *     number, integer   minimum, maximum, exclusiveMinimum, exclusiveMaximum
 *     anyOf; oneOf where no two alternatives can both hold (by type, constants, required properties); allOf of one
 *     title, description, default, examples, deprecated, readOnly, writeOnly, $schema, $id, $comment: no meaning
 *
 * Any other keyword is UNSUPPORTED, with its place; none is passed over. $ref, anyOf, oneOf, allOf, enum and const say
 * all of a value: beside them no keyword that would say more is read (type is, beside enum and const). What is let
 * through always fits the schema; not everything that fits is let through: properties come in the schema's order, and
 * where "properties" is there without "additionalProperties", only those; numbers have up to 15 digits before and
 * behind the point, and exponents 2; white space is nothing, one blank, or a line end and up to 20 blanks. */
#ifndef CALMOE_CONSTRAINT_H
#define CALMOE_CONSTRAINT_H

#include <stddef.h>

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_constraint calmoe_constraint;

typedef struct calmoe_constraint_options {
    size_t      size;      /* set by calmoe_constraint_options_init()                              */
    int         compact;   /* 1: no white space in JSON but inside of strings (default 0)          */
    const char *after;     /* the form begins when this text has come first, such as "</think>"; before it any tokens
                              may come. NULL: at once (default)                                    */
    int         may_end;   /* 1: the answer may also end before that text has come (default 0)     */
    int         min_count; /* of calmoe_constraint_open_choice(): so many in a row (default 1)     */
    int         max_count; /* (default 1); 0 = any number                                          */
    const char *separator; /* between two of them; NULL: nothing (default)                         */
} calmoe_constraint_options;

CALMOE_API void calmoe_constraint_options_init(calmoe_constraint_options *options);

/* The answer is a JSON document that fits a schema (n_bytes of JSON). options may be NULL. The model, of which the
 * vocabulary is enough, must outlive the constraint. BAD_FILE: the schema is no JSON, with line and column.
 * UNSUPPORTED; INVALID_ARGUMENT: it says what cannot be, such as a type that there is not. NO_MEMORY. */
CALMOE_API calmoe_status calmoe_constraint_open_json_schema(calmoe_model *model, const char *schema, size_t n_bytes,
                                                            const calmoe_constraint_options *options,
                                                            calmoe_constraint **out);
/* The answer is any JSON object. */
CALMOE_API calmoe_status calmoe_constraint_open_json_object(calmoe_model *model,
                                                            const calmoe_constraint_options *options,
                                                            calmoe_constraint **out);
/* The whole answer fits a regular expression (n_bytes of UTF-8): characters, ., classes, escapes, groups, |, * + ?
 * {m,n}, as ECMAScript understands them. UNSUPPORTED, with the place, for more than that. */
CALMOE_API calmoe_status calmoe_constraint_open_pattern(calmoe_model *model, const char *pattern, size_t n_bytes,
                                                        const calmoe_constraint_options *options,
                                                        calmoe_constraint **out);

/* A text, a JSON document that fits a schema, and a text: how a model calls one of its tools. Texts are NUL-terminated;
 * tokens of the model that are marks, such as "<tool_call>", are those tokens. */
typedef struct calmoe_constraint_choice {
    const char *prefix;  /* NULL = nothing                              */
    const char *schema;  /* NULL: any JSON object                       */
    size_t      n_bytes; /* of the schema                               */
    const char *suffix;  /* NULL = nothing                              */
} calmoe_constraint_choice;

/* The answer is one of n choices, or several in a row: min_count, max_count. */
CALMOE_API calmoe_status calmoe_constraint_open_choice(calmoe_model *model, const calmoe_constraint_choice *choices,
                                                       int n, const calmoe_constraint_options *options,
                                                       calmoe_constraint **out);

/* Sessions that use it are closed, or have another sampler, before. Sets it to NULL; NULL is fine. */
CALMOE_API void calmoe_constraint_close(calmoe_constraint **constraint);

#ifdef __cplusplus
}
#endif
#endif
