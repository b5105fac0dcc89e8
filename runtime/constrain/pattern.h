/* runtime/constrain/pattern.h - regular expressions as programs: what JSON Schema's "pattern" asks of a text.
 *
 * Read are literal characters, ., classes ([a-z], [^…], \d \w \s and their opposites), escapes, groups, |, * + ? and
 * {m,n}, and ^ and $ at the ends of an alternative. They mean what ECMAScript says, for whole characters. */
#ifndef RUNTIME_CONSTRAIN_PATTERN_H
#define RUNTIME_CONSTRAIN_PATTERN_H

#include "runtime/constrain/characters.h"

struct pattern {
    const char  *text;
    size_t       n_bytes;
    enum writing writing;
    bool         is_whole; /* the pattern is of the whole text; else, where no ^ or $ says so, of a part of it */
    const char  *where;    /* for messages: what the pattern stands in */
};

/* UNSUPPORTED, with the place in the pattern, where it asks for something else. */
int32_t cm_emit_pattern(struct program *program, const struct pattern *pattern, int32_t next);

#endif
