/* calmoe/constraint.h - makes answers have a given form: JSON that fits a schema, a text that matches a pattern, a call
 * of a tool.
 *
 * At each step a constraint decides which tokens are allowed, so that the answer has the form whatever the model tends
 * to say. It is made once; samplers (calmoe_sampler_options.constraint) apply it from the first token of each answer
 * on, that is, to the tokens that calmoe_session_next() and calmoe_engine_next() sample, or to those after
 * calmoe_session_begin_answer(). The answer always consists of whole UTF-8 characters. Control tokens, and tokens that
 * models use as marks such as <think>, are not allowed in it, except where a prefix or suffix contains their text:
 * there such a token is required. Tokens that end the answer are allowed only when the form is complete, and when
 * nothing can be added to it only they are allowed. So an answer is incomplete only if a limit cut it off.
 *
 * These parts of JSON Schema are understood; the schema `true` is, too:
 *
 *     type (one or several), enum, const, $ref to a part of the same schema ("#", "#/$defs/name", …; recursion too)
 *     object   properties, required (of those that are listed), additionalProperties
 *     array    items, minItems, maxItems
 *     string   one of: minLength and maxLength; pattern (as for calmoe_constraint_open_pattern()); format date, time,
 *              date-time, uuid
 *     number, integer   minimum, maximum, exclusiveMinimum, exclusiveMaximum
 *     anyOf; oneOf where no two alternatives can both hold (by type, constants, required properties); allOf of one
 *     title, description, default, examples, deprecated, readOnly, writeOnly, $schema, $id, $comment: no meaning
 *
 * Any other keyword gives UNSUPPORTED, with its place; no keyword is ignored. $ref, anyOf, oneOf, allOf, enum and const
 * must describe a value completely: other keywords beside them are refused (except type beside enum and const). Every
 * answer that is allowed fits the schema, but not every answer that fits is allowed: properties come in the schema's
 * order; a schema with "properties" but without "additionalProperties" allows no others; numbers have at most 15 digits
 * before and after the point, and 2 in the exponent; white space is nothing, one blank, or a line end and up to 20
 * blanks. */
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
    int         compact;   /* 1: no white space in JSON except inside strings (default 0)          */
    const char *after;     /* the form begins after this text has occurred, such as "</think>"; before it all tokens
                              are allowed. NULL: the form begins at once (default)                 */
    int         may_end;   /* 1: the answer may also end before that text has occurred (default 0) */
    int         min_count; /* for calmoe_constraint_open_choice(): at least so many choices in a row (default 1) */
    int         max_count; /* at most so many (default 1); 0 = any number                          */
    const char *separator; /* text between two of them; NULL: nothing (default)                    */
} calmoe_constraint_options;

CALMOE_API void calmoe_constraint_options_init(calmoe_constraint_options *options);

/* The answer is a JSON document that fits a schema (n_bytes of JSON). options may be NULL. The constraint needs the
 * model's vocabulary only; the model must outlive it. BAD_FILE: the schema is not JSON; the sentence names line and
 * column. UNSUPPORTED; INVALID_ARGUMENT: the schema says something that cannot be, such as a type that does not exist.
 * NO_MEMORY. */
CALMOE_API calmoe_status calmoe_constraint_open_json_schema(calmoe_model *model, const char *schema, size_t n_bytes,
                                                            const calmoe_constraint_options *options,
                                                            calmoe_constraint **out);
/* The answer is any JSON object. */
CALMOE_API calmoe_status calmoe_constraint_open_json_object(calmoe_model *model,
                                                            const calmoe_constraint_options *options,
                                                            calmoe_constraint **out);
/* The whole answer matches a regular expression (n_bytes of UTF-8): characters, ., classes, escapes, groups, |, and * +
 * ? {m,n}, with their meaning in ECMAScript. Anything else gives UNSUPPORTED, with its place. */
CALMOE_API calmoe_status calmoe_constraint_open_pattern(calmoe_model *model, const char *pattern, size_t n_bytes,
                                                        const calmoe_constraint_options *options,
                                                        calmoe_constraint **out);

/* A text, a JSON document that fits a schema, and another text, as models write them when they call a tool. The texts
 * are NUL-terminated; where they contain the text of a token that is a mark, such as "<tool_call>", that token is
 * required. */
typedef struct calmoe_constraint_choice {
    const char *prefix;  /* NULL = nothing                              */
    const char *schema;  /* NULL: any JSON object                       */
    size_t      n_bytes; /* of the schema                               */
    const char *suffix;  /* NULL = nothing                              */
} calmoe_constraint_choice;

/* The answer is one of n choices, or several in a row: see min_count and max_count. */
CALMOE_API calmoe_status calmoe_constraint_open_choice(calmoe_model *model, const calmoe_constraint_choice *choices,
                                                       int n, const calmoe_constraint_options *options,
                                                       calmoe_constraint **out);

/* First close the sessions that use it, or give them another sampler. Sets *constraint to NULL; NULL is fine. */
CALMOE_API void calmoe_constraint_close(calmoe_constraint **constraint);

#ifdef __cplusplus
}
#endif
#endif
