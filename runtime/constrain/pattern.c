/* pattern.c - see pattern.h. A pattern is read into a tree of pieces, since programs are made from their ends. */
#include "runtime/constrain/pattern.h"

#include <string.h>

#include "base/memory.h"
#include "runtime/text/utf8.h"

enum { MAX_BYTES = 2048, MAX_PIECES = 4096, MAX_SETS = 256, MAX_NESTING = 50, MAX_TIMES = 4096, NO_PIECE = -1 };

enum piece_kind { PIECE_EMPTY, PIECE_SET, PIECE_BOTH, PIECE_EITHER, PIECE_TIMES };

struct piece {
    enum piece_kind kind;
    int one, other; /* pieces; SET: one is the number of the set */
    int min, max;
};

struct reader {
    struct program       *program;
    const struct pattern *pattern;
    size_t                at;
    int                   nesting;
    int                   n_pieces, n_sets;
    struct piece         *pieces; /* (MAX_PIECES) */
    struct characters    *sets;   /* (MAX_SETS)   */
};

/* ---- reading ---- */

static int fail(struct reader *reader, const char *what)
{
    if (reader->program->status == CALMOE_OK)
        cm_program_fail(reader->program, cm_fail(reader->program->ctx, CALMOE_UNSUPPORTED,
                                                 "%s, at byte %zu of \"%.*s\": "
                        "%s", reader->pattern->where, reader->at, (int)reader->pattern->n_bytes, reader->pattern->text,
                        what));
    return 0;
}

static bool is_over(const struct reader *reader) { return reader->at >= reader->pattern->n_bytes; }

static char peek(const struct reader *reader) { return is_over(reader) ? '\0' : reader->pattern->text[reader->at]; }

static bool take(struct reader *reader, const char *text)
{
    const size_t n = strlen(text);
    if (reader->pattern->n_bytes - reader->at < n || memcmp(reader->pattern->text + reader->at, text, n) != 0)
        return false;
    reader->at += n;
    return true;
}

static int add_piece(struct reader *reader, struct piece piece)
{
    if (reader->n_pieces == MAX_PIECES) return fail(reader, "the pattern is too long");
    reader->pieces[reader->n_pieces] = piece;
    return reader->n_pieces++;
}

static int add_set(struct reader *reader, const struct characters *set)
{
    if (reader->n_sets == MAX_SETS || set->is_full) return fail(reader, "the pattern has too many classes");
    reader->sets[reader->n_sets] = *set;
    return add_piece(reader, (struct piece){.kind = PIECE_SET, .one = reader->n_sets++});
}

static uint32_t read_character(struct reader *reader)
{
    const char  *text = reader->pattern->text + reader->at;
    const int    n = cm_utf8_length(text, reader->pattern->n_bytes - reader->at);
    if (n <= 0) return (uint32_t)fail(reader, "wanted UTF-8");
    reader->at += (size_t)n;
    return cm_utf8_point(text, n);
}

/* \xHH, \uHHHH: their digits. */
static uint32_t read_code(struct reader *reader, int n_digits)
{
    uint32_t code = 0;
    for (int i = 0; i < n_digits; i++) {
        static const char digits[] = "0123456789abcdef";
        const char  c = peek(reader), lower = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
        const char *digit = lower ? strchr(digits, lower) : NULL;
        if (!digit) return (uint32_t)fail(reader, "wanted hexadecimal digits");
        code = code * 16 + (uint32_t)(digit - digits);
        reader->at++;
    }
    return code;
}

static void add_class(struct characters *set, char letter)
{
    static const struct character_range white[] = { /* ECMAScript's WhiteSpace and LineTerminator */
        {9, 13}, {32, 32}, {0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
        {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
    if (letter == 'd' || letter == 'w') cm_characters_add(set, '0', '9');
    if (letter == 'w') {
        cm_characters_add(set, 'A', 'Z');
        cm_characters_add(set, 'a', 'z');
        cm_characters_add(set, '_', '_');
    }
    for (size_t i = 0; letter == 's' && i < sizeof white / sizeof *white; i++)
        cm_characters_add(set, white[i].first, white[i].last);
}

/* What follows a backslash: a class is added to the set, and true; or *character is the one that is meant. */
static bool read_escape(struct reader *reader, struct characters *set, uint32_t *character)
{
    static const char names[] = "tnrfv", meant[] = "\t\n\r\f\v", signs[] = "^$\\.*+?()[]{}|/-\"'`~!@#%&=:;<>, ";
    const char  letter = peek(reader);
    const char *name = letter ? strchr(names, letter) : NULL;
    *character = (unsigned char)letter;
    reader->at += !is_over(reader); /* a pattern may end here, which is told below */
    if (letter && strchr("dws", letter)) {
        add_class(set, letter);
        return true;
    }
    if (letter && strchr("DWS", letter)) {
        struct characters others = {.n = 0};
        add_class(&others, (char)(letter - 'A' + 'a'));
        cm_characters_sort(&others);
        cm_characters_invert(&others);
        for (int i = 0; i < others.n; i++) cm_characters_add(set, others.ranges[i].first, others.ranges[i].last);
        return true;
    }
    if (name) *character = (unsigned char)meant[name - names];
    else if (letter == 'x') *character = read_code(reader, 2);
    else if (letter == 'u') *character = read_code(reader, 4);
    else if (!letter || !strchr(signs, letter)) fail(reader, "this escape is not read");
    return false;
}

/* Behind "[". */
static int read_class(struct reader *reader)
{
    struct characters set = {.n = 0};
    const bool is_inverted = take(reader, "^");
    while (!take(reader, "]")) {
        uint32_t first, last;
        if (is_over(reader)) return fail(reader, "wanted ]");
        if (take(reader, "\\")) {
            if (read_escape(reader, &set, &first)) continue;
        } else {
            first = read_character(reader);
        }
        last = first;
        const bool is_range = peek(reader) == '-' && reader->at + 1 < reader->pattern->n_bytes &&
                              reader->pattern->text[reader->at + 1] != ']';
        if (is_range) {
            reader->at++;
            if (!take(reader, "\\")) last = read_character(reader);
            else if (read_escape(reader, &set, &last)) return fail(reader, "a class ends no range");
        }
        if (last < first) return fail(reader, "a range that ends before it begins");
        cm_characters_add(&set, first, last);
        if (reader->program->status != CALMOE_OK) return 0;
    }
    cm_characters_sort(&set);
    if (is_inverted) cm_characters_invert(&set);
    return add_set(reader, &set);
}

static int read_either(struct reader *reader, bool is_outermost);

static int read_group(struct reader *reader)
{
    if (!take(reader, "?:") && peek(reader) == '?')
        return fail(reader, "groups that look ahead or behind, or have names, are not read");
    if (++reader->nesting > MAX_NESTING) return fail(reader, "groups are nested too deeply");
    const int piece = read_either(reader, false);
    reader->nesting--;
    return take(reader, ")") ? piece : fail(reader, "wanted )");
}

static int read_atom(struct reader *reader)
{
    struct characters set = {.n = 0};
    uint32_t character;
    if (take(reader, "(")) return read_group(reader);
    if (take(reader, "[")) return read_class(reader);
    if (strchr("^$", peek(reader))) return fail(reader, "^ and $ stand at the ends of a pattern only");
    if (strchr("*+?{", peek(reader))) return fail(reader, "nothing stands before this to be repeated");
    if (take(reader, ".")) {
        for (const char *line_end = "\n\r"; *line_end; line_end++)
            cm_characters_add(&set, (unsigned char)*line_end, (unsigned char)*line_end);
        cm_characters_add(&set, 0x2028, 0x2029);
        cm_characters_sort(&set);
        cm_characters_invert(&set);
        return add_set(reader, &set);
    }
    if (take(reader, "\\")) {
        if (!read_escape(reader, &set, &character)) cm_characters_add(&set, character, character);
    } else {
        character = read_character(reader);
        cm_characters_add(&set, character, character);
    }
    cm_characters_sort(&set);
    return add_set(reader, &set);
}

static int read_number(struct reader *reader)
{
    int number = 0;
    if (peek(reader) < '0' || peek(reader) > '9') return fail(reader, "wanted a number of times");
    for (; peek(reader) >= '0' && peek(reader) <= '9'; reader->at++) {
        number = number * 10 + (peek(reader) - '0');
        if (number > MAX_TIMES) return fail(reader, "wanted at most 4096 times");
    }
    return number;
}

static int read_times(struct reader *reader)
{
    struct piece piece = {.kind = PIECE_TIMES, .one = read_atom(reader), .min = 0, .max = NO_LIMIT};
    if (reader->program->status != CALMOE_OK) return 0;
    if (take(reader, "{")) {
        piece.min = piece.max = read_number(reader);
        if (take(reader, ",")) piece.max = peek(reader) == '}' ? NO_LIMIT : read_number(reader);
        if (!take(reader, "}") || piece.max < piece.min) return fail(reader, "wanted {times} or {least,most}");
    } else if (take(reader, "+")) {
        piece.min = 1;
    } else if (take(reader, "?")) {
        piece.max = 1;
    } else if (!take(reader, "*")) {
        return piece.one;
    }
    (void)take(reader, "?"); /* which of them come first makes no difference here */
    if (!is_over(reader) && strchr("*+{", peek(reader))) return fail(reader, "what is repeated needs a group");
    return add_piece(reader, piece);
}

/* Any text, where the pattern may begin or end inside. */
static int add_anything(struct reader *reader)
{
    struct characters all = {.n = 0};
    cm_characters_add(&all, 0, LAST_CHARACTER);
    const int one = add_set(reader, &all);
    return add_piece(reader, (struct piece){.kind = PIECE_TIMES, .one = one, .max = NO_LIMIT});
}

static int add_both(struct reader *reader, int one, int other)
{
    if (one == NO_PIECE) return other;
    return add_piece(reader, (struct piece){.kind = PIECE_BOTH, .one = one, .other = other});
}

static int read_sequence(struct reader *reader, bool is_outermost)
{
    const bool is_open = is_outermost && !reader->pattern->is_whole;
    const bool is_begin = is_outermost && take(reader, "^");
    bool       is_end = false;
    int        piece = is_open && !is_begin ? add_anything(reader) : NO_PIECE;
    while (!is_over(reader) && peek(reader) != '|' && peek(reader) != ')' && reader->program->status == CALMOE_OK) {
        if (is_outermost && take(reader, "$")) {
            is_end = true;
            if (!is_over(reader) && peek(reader) != '|') return fail(reader, "$ stands at the end of a pattern only");
            break;
        }
        piece = add_both(reader, piece, read_times(reader));
    }
    if (is_open && !is_end) piece = add_both(reader, piece, add_anything(reader));
    return piece != NO_PIECE ? piece : add_piece(reader, (struct piece){.kind = PIECE_EMPTY});
}

static int read_either(struct reader *reader, bool is_outermost)
{
    int piece = read_sequence(reader, is_outermost);
    while (take(reader, "|") && reader->program->status == CALMOE_OK)
        piece = add_piece(reader, (struct piece){.kind = PIECE_EITHER, .one = piece,
                                                 .other = read_sequence(reader, is_outermost)});
    return piece;
}

/* ---- writing ---- */

static int32_t emit_piece(const struct reader *reader, int number, int32_t next);

static int32_t emit_times(const struct reader *reader, const struct piece *piece, int32_t next)
{
    struct program *program = reader->program;
    if (piece->max == 1)
        return piece->min == 1 ? emit_piece(reader, piece->one, next)
                               : cm_emit_fork(program, emit_piece(reader, piece->one, next), next);
    if (piece->max == NO_LIMIT && piece->min <= 1) {
        const int32_t loop = cm_emit_loop(program), body = emit_piece(reader, piece->one, loop);
        cm_set_loop(program, loop, body, next);
        return piece->min == 1 ? body : loop;
    }
    return cm_emit_repeat(program, emit_piece(reader, piece->one, program->returns), piece->min, piece->max, next);
}

static int32_t emit_piece(const struct reader *reader, int number, int32_t next)
{
    const struct piece *piece = &reader->pieces[number];
    struct program     *program = reader->program;
    if (program->status != CALMOE_OK) return 0;
    switch (piece->kind) {
    case PIECE_SET: return cm_emit_characters(program, &reader->sets[piece->one], reader->pattern->writing, next);
    case PIECE_BOTH: /* a long row leans to the left */
        for (; piece->kind == PIECE_BOTH; piece = &reader->pieces[number = piece->one])
            next = emit_piece(reader, piece->other, next);
        return emit_piece(reader, number, next);
    case PIECE_EITHER: {
        int32_t ways = NO_NODE;
        for (; piece->kind == PIECE_EITHER; piece = &reader->pieces[number = piece->one])
            ways = cm_emit_fork(program, emit_piece(reader, piece->other, next), ways);
        return cm_emit_fork(program, emit_piece(reader, number, next), ways);
    }
    case PIECE_TIMES: return emit_times(reader, piece, next);
    default: return next;
    }
}

int32_t cm_emit_pattern(struct program *program, const struct pattern *pattern, int32_t next)
{
    struct reader reader = {.program = program, .pattern = pattern};
    if (program->status != CALMOE_OK) return 0;
    if (pattern->n_bytes > MAX_BYTES) {
        cm_program_fail(program, cm_fail(program->ctx, CALMOE_UNSUPPORTED,
                                         "%s: the pattern has %zu bytes, more than %d",
                                         pattern->where, pattern->n_bytes, MAX_BYTES));
        return 0;
    }
    reader.pieces = cm_alloc(program->ctx, MAX_PIECES, sizeof *reader.pieces, "a pattern");
    reader.sets = cm_alloc(program->ctx, MAX_SETS, sizeof *reader.sets, "a pattern");
    int32_t entry = 0;
    if (!reader.pieces || !reader.sets) {
        cm_program_fail(program, CALMOE_NO_MEMORY);
    } else {
        const int piece = read_either(&reader, true);
        if (!is_over(&reader)) fail(&reader, "a ) that nothing opens");
        entry = emit_piece(&reader, piece, next);
    }
    cm_free(reader.pieces);
    cm_free(reader.sets);
    return entry;
}
