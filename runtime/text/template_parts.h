/* runtime/text/template_parts.h - the inside of a chat template, for the files template_*.c only.
 *
 * A template is read into a tree of nodes (template_lexer.c, template_parser.c, template_expressions.c), which is
 * run once for each conversation (template_run.c, with values in template_values.c, template_operators.c and
 * template_print.c, and what can be called in template_methods.c, template_filters.c and template_calls.c). */
#ifndef RUNTIME_TEXT_TEMPLATE_PARTS_H
#define RUNTIME_TEXT_TEMPLATE_PARTS_H

#include <stdbool.h>

#include "runtime/text/template.h"

enum { /* what a template may use at most: hostile ones must not hang, nor fill memory or stack */
    TEMPLATE_MAX_BYTES = 1 << 20,
    TEMPLATE_MAX_DEPTH = 200,       /* of nodes inside each other                         */
    TEMPLATE_MAX_RUN_DEPTH = 400,   /* of nodes that run inside each other                */
    TEMPLATE_MAX_CALLS = 40,        /* of macros inside each other                        */
    TEMPLATE_MAX_STEPS = 1 << 21,   /* of one rendering: nodes that are run               */
    TEMPLATE_STEP_BYTES = 64,       /* of texts that are looked through count as a step   */
    TEMPLATE_MAX_MEMORY = 64 << 20, /* bytes of a tree; of a rendering, and so many times more than that */
    TEMPLATE_MEMORY_FACTOR = 64,    /* as the conversation has bytes                                     */
    TEMPLATE_MAX_ARGUMENTS = 16     /* of one call                                        */
};

/* ---- memory that is freed together ---- */

struct arena {
    struct arena_block *blocks;
    size_t              n_bytes; /* of all blocks                   */
    size_t              n_more;  /* allowed beyond TEMPLATE_MAX_MEMORY */
};
/* n zeroed bytes at *out. NO_MEMORY, or UNSUPPORTED beyond what is allowed. */
calmoe_status cm_arena_take(struct calmoe_context *ctx, struct arena *arena, size_t n, void *out);
void          cm_arena_close(struct arena *arena);

/* ---- template_strings.c: texts ---- */

struct string {
    const char          *text;  /* (n) not NUL-terminated                                                 */
    size_t               n;
    const unsigned char *marks; /* (n) of each byte, enum template_mark; NULL: the template wrote all of it */
};
struct string cm_string(const char *text);
struct string cm_string_of(const char *text, size_t n);
/* The bytes from `from` up to `to`. */
struct string cm_string_part(struct string string, size_t from, size_t to);
bool          cm_string_is(struct string string, const char *text);
bool          cm_same_string(struct string a, struct string b);
int           cm_string_shown(struct string string); /* its bytes for "%.*s" in a sentence, at most 40 */
/* Bytes of the character at byte `at`; 1 where it is none. */
size_t        cm_string_step(struct string string, size_t at);
/* Bytes of the character that ends before byte `at`; at > 0. */
size_t        cm_string_step_back(struct string string, size_t at);
size_t        cm_string_length(struct string string); /* in characters */
/* Where part begins in string[at ...), string.n where it does not. */
size_t        cm_string_find(struct string string, struct string part, size_t at);
/* Without the white space at its ends, as Python's strip(). */
struct string cm_string_strip(struct string string, bool left, bool right);

/* ---- values ---- */

enum value_kind {
    VALUE_UNDEFINED, VALUE_NONE, VALUE_BOOL, VALUE_INTEGER, VALUE_REAL, VALUE_STRING, VALUE_LIST, VALUE_RECORD,
    VALUE_LOOP, VALUE_MACRO, VALUE_FUNCTION, VALUE_METHOD
};

struct value {
    enum value_kind kind;
    bool            is_silent; /* a NONE that prints as nothing: the content of a message that has none */
    union {
        int64_t                 number; /* of a bool or an integer */
        double                  real;
        struct string           string;
        struct list            *list;
        struct record          *record;
        struct loop            *loop;
        struct macro           *macro;
        const struct call_row  *function;
        struct method          *method;
    };
};

enum list_kind { LIST_PLAIN, LIST_TUPLE, LIST_VIEW, LIST_GENERATOR /* what filters give: walked once, always true */ };
struct list {
    struct value  *items; /* (n of n_room) */
    size_t         n, n_room;
    enum list_kind kind;
};

struct field {
    struct value  key; /* of records that are no dicts, a text */
    struct value  value;
    struct field *next;
};
enum record_kind { RECORD_SCOPE, RECORD_DICT, RECORD_NAMESPACE };
struct record {
    struct field    *fields, *last; /* in the order in which they came */
    size_t           n;
    enum record_kind kind;
};

struct loop { /* the variable `loop` */
    const struct list *list;
    size_t             at;
};

struct macro {
    const struct node *node;
    struct scope      *scope; /* where it was defined */
};

struct method { /* x.strip, not called yet */
    const struct call_row *row;
    struct value           subject;
};

/* ---- the tree ---- */

enum operator {
    OP_AND, OP_OR, OP_NOT, OP_NEGATE, OP_PLUS, OP_ADD, OP_SUBTRACT, OP_MULTIPLY, OP_DIVIDE, OP_FLOOR_DIVIDE,
    OP_MODULO, OP_POWER, OP_JOIN, OP_EQUAL, OP_UNEQUAL, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL, OP_IN,
    OP_NOT_IN
};

enum node_kind {           /* which members a node has                                              */
    /* statements, lists of them linked by next */
    NODE_TEXT,             /* name: what is printed                                                  */
    NODE_OUTPUT,           /* a: what is printed                                                     */
    NODE_SET,              /* a: the target, NODE_NAME, NODE_GET of a namespace, or NODE_LIST; b: the value */
    NODE_CAPTURE,          /* a: the target; body: what prints the value; b: filters round a NODE_CAPTURED, or NULL */
    NODE_FILTERED,         /* body; b: filters round a NODE_CAPTURED                                  */
    NODE_SCOPE,            /* body, whose variables end with it                                      */
    NODE_IF,               /* a: the condition; body; otherwise                                      */
    NODE_FOR,              /* c: the target; a: what is walked; b: a condition or NULL; body; otherwise */
    NODE_MACRO,            /* name; list: NODE_NAMEs, each with its default in a, or NULL; body      */
    NODE_BREAK, NODE_CONTINUE,
    /* expressions */
    NODE_CONSTANT,         /* value                                                                  */
    NODE_NAME,             /* name                                                                   */
    NODE_LIST,             /* list: expressions; is_tuple                                            */
    NODE_DICT,             /* list: keys and values by turns                                         */
    NODE_GET,              /* a: of what; b: which; is_dotted: a.b                                   */
    NODE_SLICE,            /* a: of what; b, c, d: begin, end, step, each or NULL                    */
    NODE_CALL,             /* a: what; list: arguments; also NODE_KEYWORD, NODE_SPREAD               */
    NODE_KEYWORD,          /* name; a: the value                                                     */
    NODE_SPREAD,           /* a: a list of arguments, or a dict of those with names                  */
    NODE_FILTER,           /* name; a: the subject; list: arguments                                  */
    NODE_CAPTURED,         /* what the body of the statement printed                                 */
    NODE_TEST,             /* as NODE_FILTER                                                         */
    NODE_UNARY,            /* op; a                                                                  */
    NODE_BINARY,           /* op; a; b                                                               */
    NODE_CHOICE            /* b if a else c; c may be NULL                                           */
};

struct node {
    enum node_kind kind;
    enum operator  op;
    bool           is_dotted, is_tuple;
    int            line;
    struct string  name;
    struct value   value;
    struct node   *a, *b, *c, *d;
    struct node   *list, *body, *otherwise;
    struct node   *next;
};

struct template {
    struct arena arena;
    struct node *body;
};

/* ---- reading ---- */

enum lexeme_kind { LEX_END, LEX_NAME, LEX_STRING, LEX_INTEGER, LEX_REAL, LEX_SIGN };
struct lexeme {
    enum lexeme_kind kind;
    struct string    text;   /* of a string: what it stands for */
    int64_t          number; /* of an integer                   */
    double           real;
};

enum piece { PIECE_OUTPUT, PIECE_STATEMENT, PIECE_COMMENT, PIECE_NOTHING };

struct parser {
    struct calmoe_context *ctx;
    struct arena          *arena;
    const char            *text; /* (n) line ends are \n */
    size_t                 n, at;
    bool                   begins_line; /* what was read last ended with a line end, or nothing was */
    enum piece             tag;         /* that at stands in                                        */
    int                    n_open;      /* brackets inside it                                       */
    int                    depth;
    size_t                 counted_to;  /* bytes whose line ends are counted                        */
    int                    line;        /* line ends in them                                        */
    struct lexeme          token;       /* the next one inside a tag                                */
};

/* Fails with UNSUPPORTED, the sentence after the line that at stands in. */
calmoe_status cm_parser_fail(struct parser *parser, const char *format, ...) CM_PRINTF(2, 3);
/* Reads text up to the next tag, and the beginning of that (a comment: all of it). *text: what of it is printed. */
calmoe_status cm_parser_next_piece(struct parser *parser, enum piece *piece, struct string *text);
/* Reads one more token of the tag into parser->token. LEX_END: the tag ends here. */
calmoe_status cm_parser_next(struct parser *parser);
/* The token must be the end of the tag, which is left. */
calmoe_status cm_parser_leave(struct parser *parser);
bool          cm_parser_sees(const struct parser *parser, enum lexeme_kind kind, const char *text);
/* Takes the token if it is this sign or name. */
calmoe_status cm_parser_take(struct parser *parser, enum lexeme_kind kind, const char *text, bool *taken);
calmoe_status cm_parser_need(struct parser *parser, enum lexeme_kind kind, const char *text);
calmoe_status cm_parser_need_name(struct parser *parser, struct string *name);
calmoe_status cm_parser_node(struct parser *parser, enum node_kind kind, struct node **out);

/* with_choice: `a if b else c` may stand there. */
calmoe_status cm_parse_expression(struct parser *parser, bool with_choice, struct node **out);
/* The same, or several with commas between them, which are a tuple. */
calmoe_status cm_parse_tuple(struct parser *parser, bool with_choice, struct node **out);
/* The filters at the end of a tag, `| a | b(c)` behind its first sign, round a NODE_CAPTURED. */
calmoe_status cm_parse_filters(struct parser *parser, struct node **out);
calmoe_status cm_parse_template(struct parser *parser, struct node **out);

/* ---- running ---- */

struct scope {
    struct record variables;
    struct scope *parent;
};

struct text_buffer {
    char          *text;  /* (n of n_room) in the arena */
    unsigned char *marks; /* (n of n_room)              */
    size_t         n, n_room;
    bool           is_marked; /* not all marks are 0 */
};

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct run {
    struct calmoe_context       *ctx;
    const struct template_input *input;
    struct arena                 arena;
    struct text_buffer          *out;
    struct scope                *global, *scope;
    const struct value          *captured; /* of NODE_CAPTURED */
    enum flow                    flow;
    size_t                       n_steps;
    int                          n_calls, depth;
    int                          line; /* of what runs now */
    /* cm_methods_of(): methods look into values, too, so operators find them here. */
    const struct call_row *(*methods_of)(const struct value *value);
};

struct arguments {
    struct value  values[TEMPLATE_MAX_ARGUMENTS];
    struct string names[TEMPLATE_MAX_ARGUMENTS]; /* text NULL: by place */
    int           n;
};

struct call { /* one call, its name for messages */
    const char             *what;
    struct value            subject;
    const struct arguments *arguments;
};
struct call_row { /* of a table; one without a name is the last */
    const char *name;
    calmoe_status (*call)(struct run *run, const struct call *call, struct value *out);
};

/* ---- template_values.c: making values, and what they are ---- */

/* Fails with UNSUPPORTED, the sentence after the line of what runs now. */
calmoe_status cm_run_fail(struct run *run, const char *format, ...) CM_PRINTF(2, 3);
/* Counts the work of looking through n bytes. */
calmoe_status cm_run_count(struct run *run, size_t n_bytes);
calmoe_status cm_buffer_put(struct run *run, struct text_buffer *buffer, struct string text);
/* Bytes that stand for a text with such a mark. */
calmoe_status cm_buffer_put_marked(struct run *run, struct text_buffer *buffer, const char *text, size_t n,
                                   unsigned char mark);
struct value  cm_buffer_value(const struct text_buffer *buffer);
struct value  cm_value_undefined(void);
struct value  cm_value_none(void);
struct value  cm_value_bool(bool is);
struct value  cm_value_integer(int64_t number);
struct value  cm_value_real(double real);
struct value  cm_value_string(struct string string);
struct value  cm_value_function(const struct call_row *row);
calmoe_status cm_value_method(struct run *run, const struct call_row *row, const struct value *subject,
                              struct value *out);
/* A list of n values that are not defined. */
calmoe_status cm_list_open(struct run *run, size_t n, struct value *out);
calmoe_status cm_list_put(struct run *run, struct list *list, struct value value);
calmoe_status cm_record_open(struct run *run, enum record_kind kind, struct value *out);
struct value *cm_record_find(const struct record *record, struct string name);
calmoe_status cm_record_put(struct run *run, struct record *record, struct string name, struct value value);
/* The same of dicts, with keys of any kind that may be one. *found NULL: there is none. */
calmoe_status cm_dict_find(struct run *run, const struct record *record, const struct value *key,
                           struct field **found);
calmoe_status cm_dict_put(struct run *run, struct record *record, const struct value *key, struct value value);
void          cm_dict_remove(struct record *record, const struct field *field);
bool          cm_is_dict(const struct value *value);
bool          cm_is_number(const struct value *value); /* bools, integers, reals */
double        cm_number(const struct value *value);
const char   *cm_value_kind_name(const struct value *value);
bool          cm_value_is_true(const struct value *value);
calmoe_status cm_value_equals(struct run *run, const struct value *a, const struct value *b, bool *equal);
/* *order: below 0, 0, above 0. */
calmoe_status cm_value_order(struct run *run, const struct value *a, const struct value *b, int *order);
/* The values that a loop over it walks: of a text its characters, of a dict its keys. *items may be the list itself;
 * a generator has nothing more afterwards. value and items are two. */
calmoe_status cm_value_items(struct run *run, const struct value *value, struct value *items);
calmoe_status cm_need_text(struct run *run, const struct call *call, const struct value *value, struct string *text);
const struct value *cm_argument(const struct call *call, int place, const char *name); /* NULL: not given */
/* The row of this name, NULL: none. */
const struct call_row *cm_find_row(const struct call_row *rows, struct string name);

/* ---- template_letters.c ---- */

enum letters { LETTERS_UPPER, LETTERS_LOWER, LETTERS_CAPITALIZE, LETTERS_TITLE, LETTERS_TITLE_FILTER };
calmoe_status cm_string_letters(struct run *run, struct string text, enum letters letters, struct value *out);

/* ---- template_format.c ---- */

struct call;
/* The method format() of a text. */
calmoe_status cm_string_format(struct run *run, const struct call *call, struct value *out);

/* ---- template_print.c: values as texts ---- */

/* As printing writes it. */
calmoe_status cm_value_text(struct run *run, const struct value *value, struct string *text);

struct json_form { /* of Python's json.dumps() */
    bool          is_ascii, sorts;
    int           indent;                /* -1: all on one line   */
    struct string indent_text;           /* text NULL: blanks     */
    struct string between, behind_key;
};
calmoe_status cm_value_json(struct run *run, const struct value *value, const struct json_form *form,
                            struct value *out);
/* The shortest decimal that reads as this number, as Python prints it; out has 32 bytes. */
void cm_print_real(double real, char out[32]);

/* ---- template_json.c ---- */

struct json_value;
/* mark: of all its texts. */
calmoe_status cm_value_of_json(struct run *run, const struct json_value *json, unsigned char mark, struct value *out);

/* ---- template_operators.c ---- */

calmoe_status cm_value_contains(struct run *run, const struct value *whole, const struct value *part, bool *is_in);
calmoe_status cm_value_binary(struct run *run, enum operator op, const struct value *a, const struct value *b,
                              struct value *out);
calmoe_status cm_value_get(struct run *run, const struct value *whole, const struct value *which, bool is_dotted,
                           struct value *out);
/* attribute: "a.b.0", or a number. */
calmoe_status cm_value_attribute(struct run *run, const struct value *whole, const struct value *attribute,
                                 struct value *out);
/* bounds: begin, end and step, each an integer or none. */
calmoe_status cm_value_slice(struct run *run, const struct value *whole, const struct value bounds[3],
                             struct value *out);

/* ---- what can be called: template_methods.c, template_filters.c, template_calls.c ---- */

/* What values of this kind can do. */
const struct call_row *cm_methods_of(const struct value *value);
extern const struct call_row cm_dict_methods[];
extern const struct call_row cm_text_filters[]; /* methods of texts that are filters, too */
extern const struct call_row cm_filters[];      /* that call no others                    */

calmoe_status cm_define_functions(struct run *run);
calmoe_status cm_call_filter(struct run *run, const struct value *subject, struct string name,
                             const struct arguments *arguments, struct value *out);
calmoe_status cm_call_test(struct run *run, const struct value *subject, struct string name,
                           const struct arguments *arguments, struct value *out);

#endif
