/* template_parser.c - the statements of a template as trees, and opening and closing templates. */
#include <string.h>

#include "base/memory.h"
#include "runtime/text/template_parts.h"

struct body_end { /* the statements that may end a body; ended_by: which did, -1 = the text's end */
    const char *words[4];
    int         ended_by;
};

static calmoe_status parse_body(struct parser *parser, struct body_end *end, struct node **first);

/* ---- statements, each behind its word ---- */

/* {% if a %} … {% elif b %} … {% else %} … {% endif %} */
static calmoe_status parse_if(struct parser *parser, struct node **out)
{
    struct body_end end = { { "endif", "else", "elif" }, -1 };
    CM_TRY(cm_parser_node(parser, NODE_IF, out));
    CM_TRY(cm_parse_tuple(parser, true, &(*out)->a));
    CM_TRY(cm_parser_leave(parser));
    CM_TRY(parse_body(parser, &end, &(*out)->body));
    if (end.ended_by == 2) {
        if (++parser->depth > TEMPLATE_MAX_DEPTH) return cm_parser_fail(parser, "too many 'elif' follow each other");
        CM_TRY(parse_if(parser, &(*out)->otherwise));
        parser->depth--;
        return CALMOE_OK;
    }
    if (end.ended_by == 1) {
        struct body_end last = { { "endif" }, -1 };
        CM_TRY(cm_parser_leave(parser));
        CM_TRY(parse_body(parser, &last, &(*out)->otherwise));
    }
    return cm_parser_leave(parser);
}

static calmoe_status parse_target(struct parser *parser, struct node **out);

/* A name, or targets in brackets. */
static calmoe_status parse_target_part(struct parser *parser, struct node **out)
{
    bool taken;
    CM_TRY(cm_parser_take(parser, LEX_SIGN, "(", &taken));
    if (taken) {
        if (++parser->depth > TEMPLATE_MAX_DEPTH) return cm_parser_fail(parser, "too much stands inside each other");
        CM_TRY(parse_target(parser, out));
        parser->depth--;
        return cm_parser_need(parser, LEX_SIGN, ")");
    }
    CM_TRY(cm_parser_node(parser, NODE_NAME, out));
    return cm_parser_need_name(parser, &(*out)->name);
}

/* What is assigned to: a, or a, (b, c) for the parts of a list. */
static calmoe_status parse_target(struct parser *parser, struct node **out)
{
    struct node *first;
    bool         taken;
    CM_TRY(parse_target_part(parser, &first));
    *out = first;
    CM_TRY(cm_parser_take(parser, LEX_SIGN, ",", &taken));
    if (!taken) return CALMOE_OK;
    CM_TRY(cm_parser_node(parser, NODE_LIST, out));
    (*out)->list = first;
    for (struct node **at = &first->next; taken; at = &(*at)->next) {
        if (parser->token.kind != LEX_NAME && !cm_parser_sees(parser, LEX_SIGN, "(")) break;
        if (cm_parser_sees(parser, LEX_NAME, "in")) break;
        CM_TRY(parse_target_part(parser, at));
        CM_TRY(cm_parser_take(parser, LEX_SIGN, ",", &taken));
    }
    return CALMOE_OK;
}

/* {% for a, b in c if d %} … {% else %} … {% endfor %} */
static calmoe_status parse_for(struct parser *parser, struct node **out)
{
    struct body_end end = { { "endfor", "else" }, -1 };
    bool            taken;
    CM_TRY(cm_parser_node(parser, NODE_FOR, out));
    CM_TRY(parse_target(parser, &(*out)->c));
    CM_TRY(cm_parser_need(parser, LEX_NAME, "in"));
    CM_TRY(cm_parse_tuple(parser, false, &(*out)->a));
    CM_TRY(cm_parser_take(parser, LEX_NAME, "if", &taken));
    if (taken) CM_TRY(cm_parse_expression(parser, true, &(*out)->b));
    CM_TRY(cm_parser_leave(parser)); /* refuses `recursive` */
    CM_TRY(parse_body(parser, &end, &(*out)->body));
    if (end.ended_by == 1) {
        struct body_end last = { { "endfor" }, -1 };
        CM_TRY(cm_parser_leave(parser));
        CM_TRY(parse_body(parser, &last, &(*out)->otherwise));
    }
    return cm_parser_leave(parser);
}

/* {% set a = b %}, {% set a.b = c %}, {% set a, b = c %}, {% set a | filter %} … {% endset %} */
static calmoe_status parse_set(struct parser *parser, struct node **out)
{
    struct node    *target;
    struct body_end end = { { "endset" }, -1 };
    bool            taken;
    CM_TRY(cm_parser_node(parser, NODE_SET, out));
    CM_TRY(parse_target(parser, &target));
    (*out)->a = target;
    CM_TRY(cm_parser_take(parser, LEX_SIGN, ".", &taken));
    if (taken) {
        CM_TRY(cm_parser_node(parser, NODE_GET, &(*out)->a));
        (*out)->a->a = target;
        CM_TRY(cm_parser_need_name(parser, &(*out)->a->name));
    }
    CM_TRY(cm_parser_take(parser, LEX_SIGN, "=", &taken));
    if (taken) {
        CM_TRY(cm_parse_tuple(parser, true, &(*out)->b));
        return cm_parser_leave(parser);
    }
    (*out)->kind = NODE_CAPTURE;
    CM_TRY(cm_parser_take(parser, LEX_SIGN, "|", &taken));
    if (taken) CM_TRY(cm_parse_filters(parser, &(*out)->b));
    CM_TRY(cm_parser_leave(parser));
    CM_TRY(parse_body(parser, &end, &(*out)->body));
    return cm_parser_leave(parser);
}

/* {% filter a | b %} … {% endfilter %} */
static calmoe_status parse_filtered(struct parser *parser, struct node **out)
{
    struct body_end end = { { "endfilter" }, -1 };
    CM_TRY(cm_parser_node(parser, NODE_FILTERED, out));
    CM_TRY(cm_parse_filters(parser, &(*out)->b));
    CM_TRY(cm_parser_leave(parser));
    CM_TRY(parse_body(parser, &end, &(*out)->body));
    return cm_parser_leave(parser);
}

/* {% macro a(b, c=d) %} … {% endmacro %} */
static calmoe_status parse_macro(struct parser *parser, struct node **out)
{
    struct body_end end = { { "endmacro" }, -1 };
    bool            taken;
    int             n = 0;
    CM_TRY(cm_parser_node(parser, NODE_MACRO, out));
    CM_TRY(cm_parser_need_name(parser, &(*out)->name));
    CM_TRY(cm_parser_need(parser, LEX_SIGN, "("));
    for (struct node **at = &(*out)->list;; at = &(*at)->next) {
        CM_TRY(cm_parser_take(parser, LEX_SIGN, ")", &taken));
        if (taken) break;
        if (++n > TEMPLATE_MAX_ARGUMENTS)
            return cm_parser_fail(parser, "a macro has more than %d arguments", TEMPLATE_MAX_ARGUMENTS);
        CM_TRY(cm_parser_node(parser, NODE_NAME, at));
        CM_TRY(cm_parser_need_name(parser, &(*at)->name));
        CM_TRY(cm_parser_take(parser, LEX_SIGN, "=", &taken));
        if (taken) CM_TRY(cm_parse_expression(parser, true, &(*at)->a));
        CM_TRY(cm_parser_take(parser, LEX_SIGN, ",", &taken));
        if (taken) continue;
        CM_TRY(cm_parser_need(parser, LEX_SIGN, ")"));
        break;
    }
    CM_TRY(cm_parser_leave(parser));
    CM_TRY(parse_body(parser, &end, &(*out)->body));
    if (parser->token.kind == LEX_NAME) CM_TRY(cm_parser_next(parser)); /* {% endmacro a %} */
    return cm_parser_leave(parser);
}

static calmoe_status parse_break(struct parser *parser, struct node **out)
{
    CM_TRY(cm_parser_node(parser, NODE_BREAK, out));
    return cm_parser_leave(parser);
}

static calmoe_status parse_continue(struct parser *parser, struct node **out)
{
    CM_TRY(cm_parser_node(parser, NODE_CONTINUE, out));
    return cm_parser_leave(parser);
}

/* {% generation %} … {% endgeneration %} mark what the model wrote, for training. */
static calmoe_status parse_generation(struct parser *parser, struct node **out)
{
    struct body_end end = { { "endgeneration" }, -1 };
    CM_TRY(cm_parser_node(parser, NODE_SCOPE, out));
    CM_TRY(cm_parser_leave(parser));
    CM_TRY(parse_body(parser, &end, &(*out)->body));
    return cm_parser_leave(parser);
}

/* ---- bodies ---- */

static calmoe_status parse_statement(struct parser *parser, struct node **out)
{
    static const struct {
        const char *word;
        calmoe_status (*parse)(struct parser *parser, struct node **out);
    } statements[] = {
        { "if", parse_if },         { "for", parse_for },     { "set", parse_set },
        { "macro", parse_macro },   { "break", parse_break }, { "continue", parse_continue },
        { "filter", parse_filtered }, { "generation", parse_generation },
    };
    struct string word;
    CM_TRY(cm_parser_need_name(parser, &word));
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        if (cm_string_is(word, statements[i].word)) return statements[i].parse(parser, out);
    return cm_parser_fail(parser, "the statement '%.*s' is not known to this version", cm_string_shown(word),
                          word.text);
}

static calmoe_status parse_output(struct parser *parser, struct node **out)
{
    CM_TRY(cm_parser_node(parser, NODE_OUTPUT, out));
    CM_TRY(cm_parse_tuple(parser, true, &(*out)->a));
    return cm_parser_leave(parser);
}

/* Which of end's words the token is, -1: none. */
static int word_at(const struct parser *parser, const struct body_end *end)
{
    for (int i = 0; i < 4 && end->words[i]; i++)
        if (cm_parser_sees(parser, LEX_NAME, end->words[i])) return i;
    return -1;
}

/* On return the ending word is taken, its tag is not left. */
static calmoe_status parse_body(struct parser *parser, struct body_end *end, struct node **first)
{
    struct node **at = first;
    if (++parser->depth > TEMPLATE_MAX_DEPTH) return cm_parser_fail(parser, "too much stands inside each other");
    for (;;) {
        enum piece    piece;
        struct string text;
        CM_TRY(cm_parser_next_piece(parser, &piece, &text));
        if (text.n > 0) {
            CM_TRY(cm_parser_node(parser, NODE_TEXT, at));
            (*at)->name = text;
            at = &(*at)->next;
        }
        if (piece == PIECE_COMMENT) continue;
        if (piece == PIECE_NOTHING) break;
        end->ended_by = piece == PIECE_STATEMENT ? word_at(parser, end) : -1;
        if (end->ended_by >= 0) {
            parser->depth--;
            return cm_parser_next(parser);
        }
        CM_TRY(piece == PIECE_OUTPUT ? parse_output(parser, at) : parse_statement(parser, at));
        at = &(*at)->next;
    }
    parser->depth--;
    return end->words[0] ? cm_parser_fail(parser, "'%s' is missing", end->words[0]) : CALMOE_OK;
}

/* ---- templates ---- */

/* A copy of the text with \n for every line end, without the last one. */
static calmoe_status copy_text(struct parser *parser, const char *text, size_t n_bytes)
{
    char *copy;
    CM_TRY(cm_arena_take(parser->ctx, parser->arena, n_bytes + 1, &copy));
    for (size_t i = 0; i < n_bytes; i++) {
        if (text[i] == '\r' && i + 1 < n_bytes && text[i + 1] == '\n') continue;
        copy[parser->n++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (parser->n > 0 && copy[parser->n - 1] == '\n') parser->n--;
    parser->text = copy;
    return CALMOE_OK;
}

static calmoe_status read(struct calmoe_context *ctx, const char *text, size_t n_bytes, struct template *tmpl)
{
    struct parser   parser = { .ctx = ctx, .arena = &tmpl->arena, .begins_line = true };
    struct body_end end = { { NULL }, -1 };
    if (n_bytes > TEMPLATE_MAX_BYTES)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "the chat template has more than %d bytes", TEMPLATE_MAX_BYTES);
    CM_TRY(copy_text(&parser, text, n_bytes));
    return parse_body(&parser, &end, &tmpl->body);
}

calmoe_status cm_template_open(struct calmoe_context *ctx, const char *text, size_t n_bytes, struct template **out)
{
    *out = NULL;
    struct template *tmpl = cm_alloc(ctx, 1, sizeof *tmpl, "a chat template");
    if (!tmpl) return CALMOE_NO_MEMORY;
    const calmoe_status status = read(ctx, text, n_bytes, tmpl);
    if (status != CALMOE_OK) cm_template_close(&tmpl);
    *out = tmpl;
    return status;
}

void cm_template_close(struct template **tmpl)
{
    if (!*tmpl) return;
    cm_arena_close(&(*tmpl)->arena);
    cm_free(*tmpl);
    *tmpl = NULL;
}
