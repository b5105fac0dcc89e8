/* template_expressions.c - the expressions of a template as trees. From the loosest binding to the tightest:
 *
 *     a if b else c · or · and · not · == != < <= > >= in, not in · + - · ~ · * / // % · ** · - (sign)
 *
 * and then, behind an operand, what is done with it: .name, [item], (arguments), |filter, is test. */
#include "runtime/text/template_parts.h"

static calmoe_status parse_not(struct parser *parser, struct node **out);
static calmoe_status parse_unary(struct parser *parser, bool with_filters, struct node **out);

/* ---- operators ---- */

struct level { /* operators that bind alike, from the left */
    struct {
        const char      *text;
        enum lexeme_kind kind;
        enum operator    op;
    } rows[8];
    calmoe_status (*operand)(struct parser *parser, struct node **out);
};

static calmoe_status binary(struct parser *parser, enum operator op, struct node *a, struct node *b, struct node **out)
{
    CM_TRY(cm_parser_node(parser, NODE_BINARY, out));
    (*out)->op = op;
    (*out)->a = a;
    (*out)->b = b;
    return CALMOE_OK;
}

static calmoe_status parse_level(struct parser *parser, const struct level *level, struct node **out)
{
    CM_TRY(level->operand(parser, out));
    for (int i = 0; level->rows[i].text;) {
        bool taken;
        CM_TRY(cm_parser_take(parser, level->rows[i].kind, level->rows[i].text, &taken));
        if (!taken) {
            i++;
            continue;
        }
        struct node *left = *out, *right;
        CM_TRY(level->operand(parser, &right));
        CM_TRY(binary(parser, level->rows[i].op, left, right, out));
        i = 0;
    }
    return CALMOE_OK;
}

static calmoe_status parse_factor(struct parser *parser, struct node **out)
{
    return parse_unary(parser, true, out);
}

static calmoe_status parse_power(struct parser *parser, struct node **out)
{
    static const struct level level = { { { "**", LEX_SIGN, OP_POWER } }, parse_factor };
    return parse_level(parser, &level, out);
}

static calmoe_status parse_product(struct parser *parser, struct node **out)
{
    static const struct level level = { {
        { "*", LEX_SIGN, OP_MULTIPLY }, { "/", LEX_SIGN, OP_DIVIDE }, { "//", LEX_SIGN, OP_FLOOR_DIVIDE },
        { "%", LEX_SIGN, OP_MODULO } }, parse_power };
    return parse_level(parser, &level, out);
}

static calmoe_status parse_joined(struct parser *parser, struct node **out)
{
    static const struct level level = { { { "~", LEX_SIGN, OP_JOIN } }, parse_product };
    return parse_level(parser, &level, out);
}

static calmoe_status parse_sum(struct parser *parser, struct node **out)
{
    static const struct level level = { { { "+", LEX_SIGN, OP_ADD }, { "-", LEX_SIGN, OP_SUBTRACT } }, parse_joined };
    return parse_level(parser, &level, out);
}

/* A comparison's operator if one stands here. */
static calmoe_status take_comparison(struct parser *parser, enum operator *op, bool *taken)
{
    static const struct {
        const char   *text;
        enum operator op;
    } signs[] = { { "==", OP_EQUAL }, { "!=", OP_UNEQUAL }, { "<", OP_LESS }, { "<=", OP_LESS_EQUAL },
                  { ">", OP_GREATER }, { ">=", OP_GREATER_EQUAL } };
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        *op = signs[i].op;
        CM_TRY(cm_parser_take(parser, LEX_SIGN, signs[i].text, taken));
        if (*taken) return CALMOE_OK;
    }
    *op = OP_IN;
    CM_TRY(cm_parser_take(parser, LEX_NAME, "in", taken));
    if (*taken || !cm_parser_sees(parser, LEX_NAME, "not")) return CALMOE_OK;
    *op = OP_NOT_IN;
    *taken = true;
    CM_TRY(cm_parser_next(parser));
    return cm_parser_need(parser, LEX_NAME, "in");
}

/* a < b < c is a < b and b < c; nothing here has side effects, so b may be evaluated twice. */
static calmoe_status parse_comparison(struct parser *parser, struct node **out)
{
    struct node *left, *right, *one;
    bool         taken, is_first = true;
    CM_TRY(parse_sum(parser, &left));
    *out = left;
    for (;; is_first = false, left = right) {
        enum operator op;
        CM_TRY(take_comparison(parser, &op, &taken));
        if (!taken) return CALMOE_OK;
        CM_TRY(parse_sum(parser, &right));
        CM_TRY(binary(parser, op, left, right, &one));
        if (is_first) *out = one;
        else CM_TRY(binary(parser, OP_AND, *out, one, out));
    }
}

static calmoe_status parse_not(struct parser *parser, struct node **out)
{
    bool taken;
    CM_TRY(cm_parser_take(parser, LEX_NAME, "not", &taken));
    if (!taken) return parse_comparison(parser, out);
    struct node *operand;
    if (++parser->depth > TEMPLATE_MAX_DEPTH) return cm_parser_fail(parser, "too much stands inside each other");
    CM_TRY(parse_not(parser, &operand));
    parser->depth--;
    CM_TRY(cm_parser_node(parser, NODE_UNARY, out));
    (*out)->op = OP_NOT;
    (*out)->a = operand;
    return CALMOE_OK;
}

static calmoe_status parse_and(struct parser *parser, struct node **out)
{
    static const struct level level = { { { "and", LEX_NAME, OP_AND } }, parse_not };
    return parse_level(parser, &level, out);
}

static calmoe_status parse_or(struct parser *parser, struct node **out)
{
    static const struct level level = { { { "or", LEX_NAME, OP_OR } }, parse_and };
    return parse_level(parser, &level, out);
}

calmoe_status cm_parse_expression(struct parser *parser, bool with_choice, struct node **out)
{
    if (++parser->depth > TEMPLATE_MAX_DEPTH) return cm_parser_fail(parser, "too much stands inside each other");
    CM_TRY(parse_or(parser, out));
    bool taken = with_choice;
    while (taken) {
        CM_TRY(cm_parser_take(parser, LEX_NAME, "if", &taken));
        if (!taken) break;
        struct node *choice;
        bool         has_else;
        CM_TRY(cm_parser_node(parser, NODE_CHOICE, &choice));
        choice->b = *out;
        CM_TRY(parse_or(parser, &choice->a));
        CM_TRY(cm_parser_take(parser, LEX_NAME, "else", &has_else));
        if (has_else) CM_TRY(cm_parse_expression(parser, true, &choice->c));
        *out = choice;
    }
    parser->depth--;
    return CALMOE_OK;
}

/* ---- operands ---- */

/* Expressions with commas between them up to the sign `close`, which is taken. */
static calmoe_status parse_items(struct parser *parser, const char *close, struct node **first)
{
    bool taken;
    for (struct node **at = first;; at = &(*at)->next) {
        CM_TRY(cm_parser_take(parser, LEX_SIGN, close, &taken));
        if (taken) return CALMOE_OK;
        CM_TRY(cm_parse_expression(parser, true, at));
        CM_TRY(cm_parser_take(parser, LEX_SIGN, ",", &taken));
        if (!taken) return cm_parser_need(parser, LEX_SIGN, close);
    }
}

static calmoe_status parse_dict(struct parser *parser, struct node **out)
{
    bool taken;
    CM_TRY(cm_parser_need(parser, LEX_SIGN, "{"));
    CM_TRY(cm_parser_node(parser, NODE_DICT, out));
    for (struct node **at = &(*out)->list;; at = &(*at)->next) {
        CM_TRY(cm_parser_take(parser, LEX_SIGN, "}", &taken));
        if (taken) return CALMOE_OK;
        CM_TRY(cm_parse_expression(parser, true, at));
        CM_TRY(cm_parser_need(parser, LEX_SIGN, ":"));
        at = &(*at)->next;
        CM_TRY(cm_parse_expression(parser, true, at));
        CM_TRY(cm_parser_take(parser, LEX_SIGN, ",", &taken));
        if (!taken) return cm_parser_need(parser, LEX_SIGN, "}");
    }
}

calmoe_status cm_parse_tuple(struct parser *parser, bool with_choice, struct node **out)
{
    bool         taken;
    struct node *first;
    CM_TRY(cm_parse_expression(parser, with_choice, &first));
    *out = first;
    CM_TRY(cm_parser_take(parser, LEX_SIGN, ",", &taken));
    if (!taken) return CALMOE_OK;
    CM_TRY(cm_parser_node(parser, NODE_LIST, out));
    (*out)->is_tuple = true;
    (*out)->list = first;
    for (struct node **at = &first->next; taken; at = &(*at)->next) {
        if (parser->token.kind == LEX_END || cm_parser_sees(parser, LEX_SIGN, ")")) break;
        CM_TRY(cm_parse_expression(parser, with_choice, at));
        CM_TRY(cm_parser_take(parser, LEX_SIGN, ",", &taken));
    }
    return CALMOE_OK;
}

/* An expression in brackets, or a tuple. */
static calmoe_status parse_brackets(struct parser *parser, struct node **out)
{
    bool taken;
    CM_TRY(cm_parser_need(parser, LEX_SIGN, "("));
    CM_TRY(cm_parser_take(parser, LEX_SIGN, ")", &taken));
    if (taken) {
        CM_TRY(cm_parser_node(parser, NODE_LIST, out));
        (*out)->is_tuple = true;
        return CALMOE_OK;
    }
    CM_TRY(cm_parse_tuple(parser, true, out));
    return cm_parser_need(parser, LEX_SIGN, ")");
}

/* 'a' 'b' is 'ab'. */
static calmoe_status parse_strings(struct parser *parser, struct node **out)
{
    struct node *more;
    CM_TRY(cm_parser_node(parser, NODE_CONSTANT, out));
    (*out)->value.kind = VALUE_STRING;
    (*out)->value.string = parser->token.text;
    CM_TRY(cm_parser_next(parser));
    if (parser->token.kind != LEX_STRING) return CALMOE_OK;
    CM_TRY(parse_strings(parser, &more));
    return binary(parser, OP_ADD, *out, more, out);
}

static calmoe_status parse_name(struct parser *parser, struct node **out)
{
    static const struct {
        const char     *text[2];
        enum value_kind kind;
        int64_t         number;
    } words[] = { { { "true", "True" }, VALUE_BOOL, 1 }, { { "false", "False" }, VALUE_BOOL, 0 },
                  { { "none", "None" }, VALUE_NONE, 0 } };
    CM_TRY(cm_parser_node(parser, NODE_NAME, out));
    (*out)->name = parser->token.text;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (cm_string_is((*out)->name, words[i].text[0]) || cm_string_is((*out)->name, words[i].text[1])) {
            (*out)->kind = NODE_CONSTANT;
            (*out)->value = (struct value){ .kind = words[i].kind, .number = words[i].number };
        }
    return cm_parser_next(parser);
}

static calmoe_status parse_operand(struct parser *parser, struct node **out)
{
    switch (parser->token.kind) {
    case LEX_NAME: return parse_name(parser, out);
    case LEX_STRING: return parse_strings(parser, out);
    case LEX_INTEGER:
        CM_TRY(cm_parser_node(parser, NODE_CONSTANT, out));
        (*out)->value = (struct value){ .kind = VALUE_INTEGER, .number = parser->token.number };
        return cm_parser_next(parser);
    case LEX_REAL:
        CM_TRY(cm_parser_node(parser, NODE_CONSTANT, out));
        (*out)->value = cm_value_real(parser->token.real);
        return cm_parser_next(parser);
    case LEX_SIGN:
    case LEX_END: break;
    }
    if (cm_parser_sees(parser, LEX_SIGN, "(")) return parse_brackets(parser, out);
    if (cm_parser_sees(parser, LEX_SIGN, "{")) return parse_dict(parser, out);
    if (!cm_parser_sees(parser, LEX_SIGN, "["))
        return cm_parser_fail(parser, "'%.*s' is not expected", cm_string_shown(parser->token.text),
                              parser->token.text.text ? parser->token.text.text : "");
    CM_TRY(cm_parser_next(parser));
    CM_TRY(cm_parser_node(parser, NODE_LIST, out));
    return parse_items(parser, "]", &(*out)->list);
}

/* ---- what is done with an operand ---- */

/* Arguments behind "(" up to ")": a, b=c, *d, **e. */
static calmoe_status parse_arguments(struct parser *parser, struct node **first)
{
    bool taken;
    int  n = 0;
    for (struct node **at = first;; at = &(*at)->next) {
        CM_TRY(cm_parser_take(parser, LEX_SIGN, ")", &taken));
        if (taken) return CALMOE_OK;
        if (++n > TEMPLATE_MAX_ARGUMENTS)
            return cm_parser_fail(parser, "a call has more than %d arguments", TEMPLATE_MAX_ARGUMENTS);
        struct node *argument;
        bool         is_list, is_dict;
        CM_TRY(cm_parser_take(parser, LEX_SIGN, "*", &is_list));
        CM_TRY(cm_parser_take(parser, LEX_SIGN, "**", &is_dict));
        CM_TRY(cm_parse_expression(parser, true, &argument));
        CM_TRY(cm_parser_take(parser, LEX_SIGN, "=", &taken));
        *at = argument;
        if (is_list || is_dict) {
            CM_TRY(cm_parser_node(parser, NODE_SPREAD, at));
            (*at)->a = argument;
        } else if (taken) {
            if (argument->kind != NODE_NAME) return cm_parser_fail(parser, "a name is wanted before '='");
            CM_TRY(cm_parser_node(parser, NODE_KEYWORD, at));
            (*at)->name = argument->name;
            CM_TRY(cm_parse_expression(parser, true, &(*at)->a));
        }
        CM_TRY(cm_parser_take(parser, LEX_SIGN, ",", &taken));
        if (!taken) return cm_parser_need(parser, LEX_SIGN, ")");
    }
}

/* [item] or [begin:end:step], behind "[". */
static calmoe_status parse_item(struct parser *parser, struct node *whole, struct node **out)
{
    bool taken;
    CM_TRY(cm_parser_node(parser, NODE_GET, out));
    (*out)->a = whole;
    struct node **const parts[3] = { &(*out)->b, &(*out)->c, &(*out)->d };
    for (int i = 0; i < 3; i++) {
        if (!cm_parser_sees(parser, LEX_SIGN, ":") && !cm_parser_sees(parser, LEX_SIGN, "]"))
            CM_TRY(cm_parse_expression(parser, true, parts[i]));
        CM_TRY(cm_parser_take(parser, LEX_SIGN, ":", &taken));
        if (!taken) break;
        (*out)->kind = NODE_SLICE;
    }
    if ((*out)->kind == NODE_GET && !(*out)->b) return cm_parser_fail(parser, "an item's name is wanted");
    return cm_parser_need(parser, LEX_SIGN, "]");
}

static calmoe_status parse_dotted(struct parser *parser, struct node *whole, struct node **out)
{
    CM_TRY(cm_parser_node(parser, NODE_GET, out));
    CM_TRY(cm_parser_node(parser, NODE_CONSTANT, &(*out)->b));
    (*out)->a = whole;
    (*out)->is_dotted = true;
    if (parser->token.kind == LEX_INTEGER) { /* a.0 is a[0] */
        (*out)->b->value = cm_value_integer(parser->token.number);
        return cm_parser_next(parser);
    }
    (*out)->b->value.kind = VALUE_STRING;
    return cm_parser_need_name(parser, &(*out)->b->value.string);
}

static calmoe_status parse_call(struct parser *parser, struct node *what, struct node **out)
{
    CM_TRY(cm_parser_node(parser, NODE_CALL, out));
    (*out)->a = what;
    return parse_arguments(parser, &(*out)->list);
}

static calmoe_status parse_filter(struct parser *parser, struct node *subject, struct node **out)
{
    bool taken;
    CM_TRY(cm_parser_node(parser, NODE_FILTER, out));
    (*out)->a = subject;
    CM_TRY(cm_parser_need_name(parser, &(*out)->name));
    CM_TRY(cm_parser_take(parser, LEX_SIGN, "(", &taken));
    return taken ? parse_arguments(parser, &(*out)->list) : CALMOE_OK;
}

calmoe_status cm_parse_filters(struct parser *parser, struct node **out)
{
    bool taken = true;
    CM_TRY(cm_parser_node(parser, NODE_CAPTURED, out));
    for (int n = 0; taken; n++) {
        if (n > TEMPLATE_MAX_DEPTH) return cm_parser_fail(parser, "too much is done with one value");
        CM_TRY(parse_filter(parser, *out, out));
        CM_TRY(cm_parser_take(parser, LEX_SIGN, "|", &taken));
    }
    return CALMOE_OK;
}

static calmoe_status parse_uses(struct parser *parser, bool with_filters, struct node **out);

static calmoe_status parse_argument(struct parser *parser, struct node **out)
{
    CM_TRY(parse_operand(parser, out));
    return parse_uses(parser, false, out);
}

/* `is a`, `is not a`, `is a(x)`, `is a x`. */
static calmoe_status parse_test(struct parser *parser, struct node *subject, struct node **out)
{
    bool         is_not, taken;
    struct node *test;
    CM_TRY(cm_parser_take(parser, LEX_NAME, "not", &is_not));
    CM_TRY(cm_parser_node(parser, NODE_TEST, &test));
    test->a = subject;
    CM_TRY(cm_parser_need_name(parser, &test->name));
    CM_TRY(cm_parser_take(parser, LEX_SIGN, "(", &taken));
    const bool is_name = parser->token.kind == LEX_NAME && !cm_parser_sees(parser, LEX_NAME, "else") &&
                         !cm_parser_sees(parser, LEX_NAME, "or") && !cm_parser_sees(parser, LEX_NAME, "and") &&
                         !cm_parser_sees(parser, LEX_NAME, "if") && !cm_parser_sees(parser, LEX_NAME, "is");
    if (taken) CM_TRY(parse_arguments(parser, &test->list));
    else if (is_name || parser->token.kind == LEX_STRING || parser->token.kind == LEX_INTEGER ||
             parser->token.kind == LEX_REAL || cm_parser_sees(parser, LEX_SIGN, "[") ||
             cm_parser_sees(parser, LEX_SIGN, "{"))
        CM_TRY(parse_argument(parser, &test->list));
    *out = test;
    if (!is_not) return CALMOE_OK;
    CM_TRY(cm_parser_node(parser, NODE_UNARY, out));
    (*out)->op = OP_NOT;
    (*out)->a = test;
    return CALMOE_OK;
}

/* A chain is as deep as it is long when it is run, so its links count as depth. */
static calmoe_status parse_uses(struct parser *parser, bool with_filters, struct node **out)
{
    static const struct {
        const char      *text;
        enum lexeme_kind kind;
        bool             is_filter;
        calmoe_status (*parse)(struct parser *parser, struct node *subject, struct node **out);
    } uses[] = {
        { ".", LEX_SIGN, false, parse_dotted }, { "[", LEX_SIGN, false, parse_item },
        { "(", LEX_SIGN, false, parse_call },   { "|", LEX_SIGN, true, parse_filter },
        { "is", LEX_NAME, true, parse_test },
    };
    enum { N_USES = sizeof uses / sizeof uses[0] };
    int n_links = 0;
    for (int i = 0; i < N_USES;) {
        bool taken = false;
        if (!uses[i].is_filter || with_filters)
            CM_TRY(cm_parser_take(parser, uses[i].kind, uses[i].text, &taken));
        if (!taken) {
            i++;
            continue;
        }
        if (++n_links > TEMPLATE_MAX_DEPTH) return cm_parser_fail(parser, "too much is done with one value");
        CM_TRY(uses[i].parse(parser, *out, out));
        i = 0;
    }
    return CALMOE_OK;
}

static calmoe_status parse_unary(struct parser *parser, bool with_filters, struct node **out)
{
    bool is_minus, is_plus = false;
    if (++parser->depth > TEMPLATE_MAX_DEPTH) return cm_parser_fail(parser, "too much stands inside each other");
    CM_TRY(cm_parser_take(parser, LEX_SIGN, "-", &is_minus));
    if (!is_minus) CM_TRY(cm_parser_take(parser, LEX_SIGN, "+", &is_plus));
    if (is_minus || is_plus) {
        struct node *operand;
        CM_TRY(parse_unary(parser, false, &operand));
        CM_TRY(cm_parser_node(parser, NODE_UNARY, out));
        (*out)->op = is_minus ? OP_NEGATE : OP_PLUS;
        (*out)->a = operand;
    } else {
        CM_TRY(parse_operand(parser, out));
    }
    CM_TRY(parse_uses(parser, with_filters, out));
    parser->depth--;
    return CALMOE_OK;
}
