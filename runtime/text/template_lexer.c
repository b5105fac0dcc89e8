/* template_lexer.c - cuts a template into text and tags, and tags into tokens.
 *
 * Where white space beside tags goes: `-` at a tag's edge takes all of it there. A block or comment tag also takes
 * the line end behind it, and the blanks before it on its line if nothing else stands there; `+` at its edge keeps
 * them. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/text/template_parts.h"
#include "runtime/text/utf8.h"

/* The line that the parser stands in. */
static int line_of(struct parser *parser)
{
    for (; parser->counted_to < parser->at && parser->counted_to < parser->n; parser->counted_to++)
        parser->line += parser->text[parser->counted_to] == '\n';
    return parser->line + 1;
}

calmoe_status cm_parser_fail(struct parser *parser, const char *format, ...)
{
    char    sentence[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return cm_fail(parser->ctx, CALMOE_UNSUPPORTED, "line %d of the chat template: %s", line_of(parser), sentence);
}

static bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The byte at `ahead` bytes from here, NUL behind the end. */
static char peek(const struct parser *parser, size_t ahead)
{
    return parser->at + ahead < parser->n ? parser->text[parser->at + ahead] : '\0';
}

/* ---- text between tags ---- */

static enum piece tag_at(const struct parser *parser)
{
    if (peek(parser, 0) != '{') return PIECE_NOTHING;
    switch (peek(parser, 1)) {
    case '{': return PIECE_OUTPUT;
    case '%': return PIECE_STATEMENT;
    case '#': return PIECE_COMMENT;
    default:  return PIECE_NOTHING;
    }
}

/* Takes off the blanks that a tag with this sign at its front swallows. */
static void trim_before(const struct parser *parser, enum piece tag, char sign, struct string *text)
{
    if (sign == '-') *text = cm_string_strip(*text, false, true);
    if (sign == '-' || sign == '+' || tag == PIECE_OUTPUT) return;
    const char  *line = text->n > 0 ? memrchr(text->text, '\n', text->n) : NULL;
    const size_t begin = line ? (size_t)(line - text->text) + 1 : 0;
    const bool   is_blank = cm_string_strip(cm_string_part(*text, begin, text->n), false, true).n == 0;
    if (is_blank && (begin > 0 || parser->begins_line)) text->n = begin;
}

/* Behind a tag's last byte: takes what the sign at its end swallows. */
static void trim_behind(struct parser *parser, char sign)
{
    if (sign == '-') {
        const struct string rest = cm_string_of(parser->text + parser->at, parser->n - parser->at);
        parser->at = parser->n - cm_string_strip(rest, true, false).n;
    } else if (sign != '+' && parser->tag != PIECE_OUTPUT && peek(parser, 0) == '\n') {
        parser->at++;
    }
    parser->begins_line = parser->text[parser->at - 1] == '\n';
    parser->tag = PIECE_NOTHING;
}

static calmoe_status skip_comment(struct parser *parser)
{
    const char *end = memmem(parser->text + parser->at, parser->n - parser->at, "#}", 2);
    if (!end) return cm_parser_fail(parser, "a comment has no end");
    const size_t at = (size_t)(end - parser->text);
    const char   sign = at > parser->at ? end[-1] : '\0';
    parser->at = at + 2;
    trim_behind(parser, sign == '-' || sign == '+' ? sign : '\0');
    return CALMOE_OK;
}

calmoe_status cm_parser_next_piece(struct parser *parser, enum piece *piece, struct string *text)
{
    const size_t begin = parser->at;
    while (parser->at < parser->n && tag_at(parser) == PIECE_NOTHING) parser->at++;
    *text = cm_string_of(parser->text + begin, parser->at - begin);
    *piece = parser->tag = tag_at(parser);
    if (*piece == PIECE_NOTHING) return CALMOE_OK;
    const char sign = peek(parser, 2);
    trim_before(parser, *piece, sign, text);
    parser->at += sign == '-' || sign == '+' ? 3 : 2;
    parser->n_open = 0;
    return *piece == PIECE_COMMENT ? skip_comment(parser) : cm_parser_next(parser);
}

/* ---- tokens ---- */

/* Bytes of the tag's end if it stands here, else 0; *sign: what stands at its edge. */
static size_t end_at(const struct parser *parser, char *sign)
{
    const char close = parser->tag == PIECE_OUTPUT ? '}' : '%';
    const bool has_sign = peek(parser, 0) == '-' || (peek(parser, 0) == '+' && close == '%');
    *sign = has_sign ? peek(parser, 0) : '\0';
    return peek(parser, has_sign) == close && peek(parser, has_sign + 1u) == '}' ? has_sign + 2u : 0;
}

/* The value of up to n digits of the base at text; *n_read: their number. */
static uint32_t digits_at(const char *text, size_t n_left, int n, int base, int *n_read)
{
    uint32_t value = 0;
    for (*n_read = 0; *n_read < n && (size_t)*n_read < n_left; ++*n_read) {
        const int c = tolower((unsigned char)text[*n_read]);
        const int digit = isdigit(c) ? c - '0' : isxdigit(c) ? c - 'a' + 10 : base;
        if (digit >= base) break;
        value = value * (uint32_t)base + (uint32_t)digit;
    }
    return value;
}

/* A character by its number: \xhh, \uhhhh, \Uhhhhhhhh, \ooo. Bytes that were read, 0 where it is none. */
static size_t unescape_number(const char *text, size_t n_left, char *out, size_t *n_out)
{
    const char     kind = n_left > 1 ? text[1] : '\0';
    const int      n_digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    const bool     is_octal = kind >= '0' && kind <= '7';
    int            n_read;
    const uint32_t point = is_octal ? digits_at(text + 1, n_left - 1, 3, 8, &n_read)
                                    : digits_at(text + (n_left > 2 ? 2 : 0), n_left > 2 ? n_left - 2 : 0, n_digits, 16,
                                                &n_read);
    if (n_read == 0 || (!is_octal && n_read != n_digits)) return 0;
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return 0;
    *n_out += (size_t)cm_utf8_write(point, out + *n_out);
    return (is_octal ? 1 : 2) + (size_t)n_read;
}

/* What follows the backslash at text[0]: writes what it stands for, says how many bytes were read. */
static size_t unescape(const char *text, size_t n_left, char *out, size_t *n_out)
{
    static const char names[] = "ntr\\'\"abfv", values[] = "\n\t\r\\'\"\a\b\f\v";
    const char       *name = n_left > 1 && text[1] ? strchr(names, text[1]) : NULL;
    if (name) {
        out[(*n_out)++] = values[name - names];
        return 2;
    }
    if (n_left > 1 && text[1] == '\n') return 2; /* the line goes on */
    const size_t n_read = unescape_number(text, n_left, out, n_out);
    if (n_read > 0) return n_read;
    out[(*n_out)++] = '\\';
    return 1;
}

static calmoe_status read_string(struct parser *parser, char quote)
{
    const size_t begin = parser->at + 1;
    size_t       end = begin;
    while (end < parser->n && parser->text[end] != quote) end += parser->text[end] == '\\' ? 2 : 1;
    if (end >= parser->n) return cm_parser_fail(parser, "a string has no end");
    char  *out;
    size_t n = 0;
    CM_TRY(cm_arena_take(parser->ctx, parser->arena, end - begin + 4, &out));
    for (size_t at = begin; at < end;) {
        if (parser->text[at] == '\\') {
            at += unescape(parser->text + at, end - at, out, &n);
        } else {
            out[n++] = parser->text[at++];
        }
    }
    parser->token.kind = LEX_STRING;
    parser->token.text = cm_string_of(out, n);
    parser->at = end + 1;
    return CALMOE_OK;
}

/* Digits with _ between them. */
static void skip_digits(struct parser *parser)
{
    while (isdigit((unsigned char)peek(parser, 0)) ||
           (peek(parser, 0) == '_' && isdigit((unsigned char)peek(parser, 1))))
        parser->at++;
}

static calmoe_status read_number(struct parser *parser)
{
    const size_t begin = parser->at;
    char         copy[64];
    size_t       n = 0;
    skip_digits(parser);
    parser->token.kind = LEX_INTEGER;
    if (peek(parser, 0) == '.' && isdigit((unsigned char)peek(parser, 1))) {
        parser->token.kind = LEX_REAL;
        parser->at++;
        skip_digits(parser);
    }
    const size_t sign = peek(parser, 1) == '-' || peek(parser, 1) == '+';
    if (tolower((unsigned char)peek(parser, 0)) == 'e' && isdigit((unsigned char)peek(parser, 1 + sign))) {
        parser->token.kind = LEX_REAL;
        parser->at += 1 + sign;
        skip_digits(parser);
    }
    parser->token.text = cm_string_of(parser->text + begin, parser->at - begin);
    for (size_t i = begin; i < parser->at && n + 1 < sizeof copy; i++)
        if (parser->text[i] != '_') copy[n++] = parser->text[i];
    copy[n] = '\0';
    parser->token.real = strtod(copy, NULL);
    parser->token.number = parser->token.kind == LEX_INTEGER && n < 19 ? strtoll(copy, NULL, 10) : INT64_MAX;
    if (n + 1 == sizeof copy || (parser->token.kind == LEX_INTEGER && parser->token.number >= INT64_C(1) << 62))
        return cm_parser_fail(parser, "a number is too large");
    return CALMOE_OK;
}

static calmoe_status read_sign(struct parser *parser)
{
    static const char *const pairs[] = { "==", "!=", ">=", "<=", "//", "**", NULL };
    static const char        singles[] = "+-*/%~()[]{}<>=.:|,;";
    const char               c = peek(parser, 0);
    size_t                   n = strchr(singles, c) ? 1 : 0;
    for (int i = 0; pairs[i]; i++)
        if (c == pairs[i][0] && peek(parser, 1) == pairs[i][1]) n = 2;
    if (n == 0) return cm_parser_fail(parser, "'%c' is not expected", isprint((unsigned char)c) ? c : '?');
    if (strchr("([{", c)) parser->n_open++;
    if (strchr(")]}", c) && parser->n_open > 0) parser->n_open--;
    parser->token.kind = LEX_SIGN;
    parser->token.text = cm_string_of(parser->text + parser->at, n);
    parser->at += n;
    return CALMOE_OK;
}

calmoe_status cm_parser_next(struct parser *parser)
{
    char sign;
    while (is_white(peek(parser, 0))) parser->at++;
    const char c = peek(parser, 0);
    if (parser->at >= parser->n || c == '\0') return cm_parser_fail(parser, "a tag has no end");
    parser->token = (struct lexeme){ .kind = LEX_END };
    if (parser->n_open == 0 && end_at(parser, &sign)) return CALMOE_OK;
    if (c == '\'' || c == '"') return read_string(parser, c);
    if (isdigit((unsigned char)c)) return read_number(parser);
    if (!isalpha((unsigned char)c) && c != '_') return read_sign(parser);
    const size_t begin = parser->at;
    while (isalnum((unsigned char)peek(parser, 0)) || peek(parser, 0) == '_') parser->at++;
    parser->token.kind = LEX_NAME;
    parser->token.text = cm_string_of(parser->text + begin, parser->at - begin);
    return CALMOE_OK;
}

calmoe_status cm_parser_leave(struct parser *parser)
{
    char sign;
    if (parser->token.kind != LEX_END)
        return cm_parser_fail(parser, "'%.*s' is not expected", cm_string_shown(parser->token.text),
                              parser->token.text.text);
    parser->at += end_at(parser, &sign);
    trim_behind(parser, sign);
    return CALMOE_OK;
}

/* ---- asking for tokens ---- */

bool cm_parser_sees(const struct parser *parser, enum lexeme_kind kind, const char *text)
{
    return parser->token.kind == kind && cm_string_is(parser->token.text, text);
}

calmoe_status cm_parser_take(struct parser *parser, enum lexeme_kind kind, const char *text, bool *taken)
{
    *taken = cm_parser_sees(parser, kind, text);
    return *taken ? cm_parser_next(parser) : CALMOE_OK;
}

calmoe_status cm_parser_need(struct parser *parser, enum lexeme_kind kind, const char *text)
{
    bool taken;
    CM_TRY(cm_parser_take(parser, kind, text, &taken));
    return taken ? CALMOE_OK : cm_parser_fail(parser, "'%s' is wanted", text);
}

calmoe_status cm_parser_need_name(struct parser *parser, struct string *name)
{
    if (parser->token.kind != LEX_NAME) return cm_parser_fail(parser, "a name is wanted");
    *name = parser->token.text;
    return cm_parser_next(parser);
}

calmoe_status cm_parser_node(struct parser *parser, enum node_kind kind, struct node **out)
{
    CM_TRY(cm_arena_take(parser->ctx, parser->arena, sizeof **out, out));
    (*out)->kind = kind;
    (*out)->line = line_of(parser);
    return CALMOE_OK;
}
