/* template_lexer.c - cuts a template into text and tags, and tags into tokens.
 *
 * Where white space beside tags goes: `-` at a tag's edge takes all of it there. A block or comment tag also takes
 * the line end behind it, and the blanks before it on its line if nothing else stands there; `+` at its edge keeps
 * them. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
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
    if (sign == '-') {
        while (text->n > 0 && is_white(text->text[text->n - 1])) text->n--;
        return;
    }
    if (sign == '+' || tag == PIECE_OUTPUT) return;
    size_t n = text->n;
    while (n > 0 && text->text[n - 1] != '\n' && is_white(text->text[n - 1])) n--;
    if (n > 0 ? text->text[n - 1] == '\n' : parser->begins_line) text->n = n;
}

/* Behind a tag's last byte: takes what the sign at its end swallows. */
static void trim_behind(struct parser *parser, char sign)
{
    if (sign == '-')
        while (is_white(peek(parser, 0))) parser->at++;
    else if (sign != '+' && parser->tag != PIECE_OUTPUT && peek(parser, 0) == '\n')
        parser->at++;
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
    *text = (struct string){ parser->text + begin, parser->at - begin };
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

/* The value of n hexadecimal digits at text, -1 where they are none. */
static int32_t hexadecimal(const char *text, size_t n_left, int n)
{
    int32_t value = 0;
    if (n_left < (size_t)n) return -1;
    for (int i = 0; i < n; i++) {
        if (!isxdigit((unsigned char)text[i])) return -1;
        const int c = tolower((unsigned char)text[i]);
        value = value * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return value;
}

/* What follows the backslash at text[0]: writes what it stands for, says how many bytes were read. */
static size_t unescape(const char *text, size_t n_left, char *out, size_t *n_out)
{
    static const char names[] = "ntr\\'\"abfv", values[] = "\n\t\r\\'\"\a\b\f\v";
    const char       *name = n_left > 1 && text[1] ? strchr(names, text[1]) : NULL;
    const int         n_digits = n_left < 2 ? 0 : text[1] == 'u' ? 4 : text[1] == 'x' ? 2 : 0;
    const int32_t     point = n_digits ? hexadecimal(text + 2, n_left - 2, n_digits) : -1;
    if (name) {
        out[(*n_out)++] = values[name - names];
        return 2;
    }
    if (point >= 0 && (point < 0xd800 || point > 0xdfff)) {
        *n_out += (size_t)cm_utf8_write((uint32_t)point, out + *n_out);
        return 2 + (size_t)n_digits;
    }
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
    parser->token.text = (struct string){ out, n };
    parser->at = end + 1;
    return CALMOE_OK;
}

static calmoe_status read_number(struct parser *parser)
{
    const size_t begin = parser->at;
    int64_t      number = 0;
    for (; isdigit((unsigned char)peek(parser, 0)) || peek(parser, 0) == '_'; parser->at++) {
        if (peek(parser, 0) == '_') continue;
        if (number > INT32_MAX) return cm_parser_fail(parser, "a number is too large");
        number = number * 10 + (peek(parser, 0) - '0');
    }
    parser->token.kind = LEX_INTEGER;
    parser->token.number = number;
    if (peek(parser, 0) == '.' && isdigit((unsigned char)peek(parser, 1))) {
        parser->token.kind = LEX_REAL;
        do parser->at++;
        while (isdigit((unsigned char)peek(parser, 0)));
    }
    parser->token.text = (struct string){ parser->text + begin, parser->at - begin };
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
    parser->token.text = (struct string){ parser->text + parser->at, n };
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
    parser->token.text = (struct string){ parser->text + begin, parser->at - begin };
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
