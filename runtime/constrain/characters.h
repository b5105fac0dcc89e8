/* runtime/constrain/characters.h - sets of characters, and programs that read one of them in UTF-8: never a part of
 * one, an overlong form or a surrogate. */
#ifndef RUNTIME_CONSTRAIN_CHARACTERS_H
#define RUNTIME_CONSTRAIN_CHARACTERS_H

#include "runtime/constrain/program.h"

enum { CHARACTERS_MAX_RANGES = 200, LAST_CHARACTER = 0x10ffff };

struct character_range { uint32_t first, last; };

struct characters {
    int  n;
    bool is_full; /* there was no room for a range */
    struct character_range ranges[CHARACTERS_MAX_RANGES]; /* sorted and apart after cm_characters_sort() */
};

void cm_characters_add(struct characters *set, uint32_t first, uint32_t last);
void cm_characters_sort(struct characters *set);
/* All others; the set is sorted. */
void cm_characters_invert(struct characters *set);

/* How characters stand in the text: as they are, or as in a JSON string, where some are escaped. */
enum writing { WRITING_PLAIN, WRITING_JSON };

/* One of a sorted set. In JSON those that must be escaped are, in one way, and no others. The set may hold the
 * character 0 in plain writing only: JSON leaves it out. */
int32_t cm_emit_characters(struct program *program, const struct characters *set, enum writing writing, int32_t next);
/* One character of a JSON string in any of its ways to be written, but for escaped surrogates. */
int32_t cm_emit_any_json_character(struct program *program, int32_t next);
/* text (n_bytes of UTF-8) as the inside of a JSON string. */
int32_t cm_emit_json_text(struct program *program, const char *text, size_t n_bytes, int32_t next);

#endif
