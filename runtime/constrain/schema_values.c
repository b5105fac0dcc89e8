/* schema_values.c - what documents are made of, whatever the schema: white space, texts, keys, any value. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/constrain/characters.h"
#include "runtime/constrain/numbers.h"
#include "runtime/constrain/schema_parts.h"

enum { MAX_BLANKS = 20 }; /* behind a line end */

int32_t cm_emit_blank(struct schema_reader *reader, int32_t next)
{
    struct program *program = reader->program;
    if (reader->form->is_compact) return next;
    if (reader->blank == NO_NODE) {
        struct byte_set blanks = {{0}};
        cm_byte_set_add(&blanks, ' ', ' ');
        cm_byte_set_add(&blanks, '\t', '\t');
        reader->blank = cm_emit_bytes(program, &blanks, program->returns);
    }
    const int32_t indented = cm_emit_repeat(program, reader->blank, 0, MAX_BLANKS, next);
    const int32_t white = cm_emit_fork(program, cm_emit_text(program, " ", 1, next),
                                       cm_emit_text(program, "\n", 1, indented));
    return cm_emit_fork(program, next, white);
}

int32_t cm_emit_text_end(struct schema_reader *reader, int32_t next)
{
    struct program *program = reader->program;
    if (reader->text_end == NO_NODE) {
        const int32_t loop = cm_emit_loop(program);
        cm_set_loop(program, loop, cm_emit_any_json_character(program, loop),
                    cm_emit_text(program, "\"", 1, program->returns));
        reader->text_end = loop;
    }
    return cm_emit_call(program, reader->text_end, next);
}

/* ---- any value ---- */

/* `open` item (, item)* `close` of any items, or none. */
static int32_t emit_list(struct schema_reader *reader, const char *open, const char *close, bool has_keys)
{
    struct program *program = reader->program;
    const int32_t   end = cm_emit_text(program, close, 1, program->returns);
    const int32_t   loop = cm_emit_loop(program);
    int32_t         item = cm_emit_any(reader, loop);
    if (has_keys) {
        item = cm_emit_text(program, ":", 1, cm_emit_blank(reader, item));
        item = cm_emit_text(program, "\"", 1, cm_emit_text_end(reader, item));
    }
    const int32_t more = cm_emit_text(program, ",", 1, cm_emit_blank(reader, item));
    cm_set_loop(program, loop, more, cm_emit_blank(reader, end));
    return cm_emit_text(program, open, 1, cm_emit_blank(reader, cm_emit_fork(program, item, end)));
}

static int32_t literals(struct program *program, unsigned types, int32_t next)
{
    int32_t ways = NO_NODE;
    if (types & TYPE_NULL) ways = cm_emit_text(program, "null", 4, next);
    if (types & TYPE_BOOLEAN)
        ways = cm_emit_fork(program, cm_emit_fork(program, cm_emit_text(program, "true", 4, next),
                                                  cm_emit_text(program, "false", 5, next)), ways);
    return ways;
}

/* A value of the shared part, which is made when it is asked for first; parts may contain themselves. */
static int32_t emit_shared(struct schema_reader *reader, int32_t *part, unsigned type, int32_t next)
{
    struct program *program = reader->program;
    if (*part == NO_NODE) {
        const int32_t entry = *part = cm_emit_loop(program);
        const int32_t body = type == TYPE_OBJECT ? emit_list(reader, "{", "}", true)
                             : type == TYPE_ARRAY ? emit_list(reader, "[", "]", false)
                                                  : cm_emit_any_of_type(reader, TYPE_ALL, program->returns);
        cm_set_loop(program, entry, body, NO_NODE);
    }
    return cm_emit_call(program, *part, next);
}

int32_t cm_emit_any(struct schema_reader *reader, int32_t next)
{
    return emit_shared(reader, &reader->any, TYPE_ALL, next);
}

int32_t cm_emit_any_of_type(struct schema_reader *reader, unsigned types, int32_t next)
{
    static const struct bounds none = {.has_least = false};
    struct program *program = reader->program;
    int32_t ways = literals(program, types, next);
    if (types & (TYPE_INTEGER | TYPE_NUMBER))
        ways = cm_emit_fork(program, cm_emit_number(program, &none, !(types & TYPE_NUMBER), "", next), ways);
    if (types & TYPE_STRING)
        ways = cm_emit_fork(program, cm_emit_text(program, "\"", 1, cm_emit_text_end(reader, next)), ways);
    if (types & TYPE_ARRAY)
        ways = cm_emit_fork(program, emit_shared(reader, &reader->any_array, TYPE_ARRAY, next), ways);
    if (types & TYPE_OBJECT)
        ways = cm_emit_fork(program, emit_shared(reader, &reader->any_object, TYPE_OBJECT, next), ways);
    return ways;
}

/* ---- one of several texts ---- */

static void sort_texts(struct text_list *list)
{
    for (int i = 1; i < list->n; i++) {
        char *const  text = list->texts[i];
        const size_t n = list->n_bytes[i];
        int          at = i;
        for (; at > 0 && strcmp(text, list->texts[at - 1]) < 0; at--) {
            list->texts[at] = list->texts[at - 1];
            list->n_bytes[at] = list->n_bytes[at - 1];
        }
        list->texts[at] = text;
        list->n_bytes[at] = n;
    }
}

/* Texts first … end - 1 share their first n bytes; how many of them share the next one with the first. */
static int n_alike(const struct text_list *list, int first, int end, size_t n)
{
    int i = first + 1;
    while (i < end && list->texts[i][n] == list->texts[first][n]) i++;
    return i - first;
}

/* What is left of texts first … end - 1 behind n bytes. */
static int32_t emit_rest(struct program *program, const struct text_list *list, int first, int end, size_t n,
                         int32_t next)
{
    int32_t ways = NO_NODE;
    const char *text = list->texts[first];
    size_t shared = n;
    while (shared < list->n_bytes[first] && n_alike(list, first, end, shared) == end - first) shared++;
    for (int i = first, m; i < end && program->status == CALMOE_OK; i += m) {
        m = n_alike(list, i, end, shared);
        if (list->n_bytes[i] == shared) { /* it, and its doubles */
            ways = cm_emit_fork(program, next, ways);
        } else {
            const int32_t rest = emit_rest(program, list, i, i + m, shared + 1, next);
            ways = cm_emit_fork(program, cm_emit_text(program, list->texts[i] + shared, 1, rest), ways);
        }
    }
    return cm_emit_text(program, text + n, shared - n, ways);
}

int32_t cm_emit_one_of(struct program *program, struct text_list *list, int32_t next)
{
    sort_texts(list);
    return list->n == 0 ? NO_NODE : emit_rest(program, list, 0, list->n, 0, next);
}

/* ---- another key ---- */

/* Any character but `without` (NUL-terminated), those that would be escaped and, if has_long, those of several
 * bytes. */
static int32_t emit_other_character(struct program *program, const char *without, bool has_long, int32_t next)
{
    struct characters set = {.n = 0};
    cm_characters_add(&set, 0, 0x1f);
    cm_characters_add(&set, '"', '"');
    cm_characters_add(&set, '\\', '\\');
    for (; *without; without++) cm_characters_add(&set, (unsigned char)*without, (unsigned char)*without);
    if (!has_long) cm_characters_add(&set, 0x80, LAST_CHARACTER);
    cm_characters_sort(&set);
    cm_characters_invert(&set);
    return cm_emit_characters(program, &set, WRITING_PLAIN, next);
}

/* The names from `first` to `end` - 1 share the n bytes that were read. free: the rest of a key that is no name. */
static int32_t emit_beside(struct program *program, const struct text_list *names, int first, int end, size_t n,
                           int32_t free, int32_t next)
{
    char    taken[129];
    int     n_taken = 0;
    bool    has_long = true, is_name = false;
    int32_t ways = NO_NODE;
    for (int i = first, m; i < end && program->status == CALMOE_OK; i += m) {
        const unsigned char byte = (unsigned char)names->texts[i][n];
        m = n_alike(names, i, end, n);
        if (byte == '\0') is_name = true;
        else if (byte >= 0x80) has_long = false; /* not looked into: fewer keys than there might be */
        else {
            taken[n_taken++] = (char)byte;
            if (byte < 0x20 || byte == '"' || byte == '\\') continue;
            const int32_t rest = emit_beside(program, names, i, i + m, n + 1, free, next);
            ways = cm_emit_fork(program, cm_emit_range(program, byte, byte, rest), ways);
        }
    }
    taken[n_taken] = '\0';
    ways = cm_emit_fork(program, emit_other_character(program, taken, has_long, free), ways);
    return is_name ? ways : cm_emit_fork(program, cm_emit_text(program, "\"", 1, next), ways);
}

int32_t cm_emit_other_key(struct program *program, struct text_list *names, int32_t next)
{
    const int32_t loop = cm_emit_loop(program);
    cm_set_loop(program, loop, emit_other_character(program, "", true, loop), cm_emit_text(program, "\"", 1, next));
    sort_texts(names);
    return emit_beside(program, names, 0, names->n, 0, loop, next);
}
