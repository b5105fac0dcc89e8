/* runtime/text/template_parts.h - the inside of a chat template, for the files template_*.c only.
 *
 * A template is read into a tree of nodes (template_lexer.c, template_parser.c, template_expressions.c), which is
 * run once for each conversation (template_run.c, with values in template_values.c and what can be called in
 * template_calls.c). */
#ifndef RUNTIME_TEXT_TEMPLATE_PARTS_H
#define RUNTIME_TEXT_TEMPLATE_PARTS_H

#include <stdbool.h>

#include "runtime/text/template.h"

enum { /* what a template may use at most: hostile ones must not hang, nor fill memory or stack */
    TEMPLATE_MAX_BYTES = 1 << 20,
    TEMPLATE_MAX_DEPTH = 200,       /* of nodes inside each other                         */
    TEMPLATE_MAX_CALLS = 16,        /* of macros inside each other                        */
    TEMPLATE_MAX_STEPS = 1 << 20,   /* of one rendering: nodes that are run               */
    TEMPLATE_MAX_MEMORY = 64 << 20, /* bytes of a tree, or of one rendering               */
    TEMPLATE_MAX_ARGUMENTS = 8      /* of one call                                        */
};

/* ---- memory that is freed together ---- */

struct arena {
    struct arena_block *blocks;
    size_t              n_bytes; /* of all blocks */
};
/* n zeroed bytes at *out. NO_MEMORY, or UNSUPPORTED beyond TEMPLATE_MAX_MEMORY. */
calmoe_status cm_arena_take(struct calmoe_context *ctx, struct arena *arena, size_t n, void *out);
void          cm_arena_close(struct arena *arena);

/* ---- values ---- */

struct string {
    const char *text; /* (n) not NUL-terminated */
    size_t      n;
};
struct string cm_string(const char *text);
bool          cm_string_is(struct string string, const char *text);
int           cm_string_shown(struct string string); /* its bytes for "%.*s" in a sentence, at most 40 */

enum value_kind {
    VALUE_UNDEFINED, VALUE_NONE, VALUE_BOOL, VALUE_INTEGER, VALUE_STRING, VALUE_LIST, VALUE_RECORD, VALUE_MACRO,
    VALUE_FUNCTION
};

struct value {
    enum value_kind kind;
    union {
        int64_t            number; /* of a bool or an integer */
        struct string      string;
        struct list       *list;
        struct record     *record;
        const struct node *macro;
        int                function; /* row of the table in template_calls.c */
    };
};

struct list {
    struct value *items; /* (n) */
    size_t        n;
};

struct field {
    struct string name;
    struct value  value;
    struct field *next;
};
struct record { /* a dict, a namespace, the variable `loop`, a scope's variables */
    struct field *fields;
    bool          is_dict;
    bool          may_be_set; /* a namespace: {% set ns.x = … %} */
};

/* ---- the tree ---- */

enum operator {
    OP_AND, OP_OR, OP_NOT, OP_NEGATE, OP_PLUS, OP_ADD, OP_SUBTRACT, OP_MULTIPLY, OP_DIVIDE, OP_FLOOR_DIVIDE,
    OP_MODULO, OP_JOIN, OP_EQUAL, OP_UNEQUAL, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL, OP_IN, OP_NOT_IN
};

enum node_kind {           /* which members a node has                                              */
    /* statements, lists of them linked by next */
    NODE_TEXT,             /* name: what is printed                                                  */
    NODE_OUTPUT,           /* a: what is printed                                                     */
    NODE_SET,              /* a: the target, NODE_NAME or NODE_GET; b: the value                     */
    NODE_CAPTURE,          /* a: the target; body: what prints the value                             */
    NODE_IF,               /* a: the condition; body; otherwise                                      */
    NODE_FOR,              /* list: NODE_NAMEs; a: what is walked; b: a condition or NULL; body; otherwise */
    NODE_MACRO,            /* name; list: NODE_NAMEs, each with its default in a, or NULL; body      */
    NODE_BREAK, NODE_CONTINUE,
    /* expressions */
    NODE_CONSTANT,         /* value                                                                  */
    NODE_NAME,             /* name                                                                   */
    NODE_LIST,             /* list: expressions                                                      */
    NODE_GET,              /* a: of what; b: which; is_dotted: a.b                                   */
    NODE_SLICE,            /* a: of what; b, c, d: begin, end, step, each or NULL                    */
    NODE_CALL,             /* a: what; list: arguments; those with a name are NODE_KEYWORD           */
    NODE_KEYWORD,          /* name; a: the value                                                     */
    NODE_FILTER,           /* name; a: the subject; list: arguments                                  */
    NODE_TEST,             /* the same                                                               */
    NODE_UNARY,            /* op; a                                                                  */
    NODE_BINARY,           /* op; a; b                                                               */
    NODE_CHOICE,           /* b if a else c; c may be NULL                                           */
    NODE_NOT_KNOWN         /* name: what it is. An error when it is run                              */
};

struct node {
    enum node_kind kind;
    enum operator  op;
    bool           is_dotted;
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
calmoe_status cm_parse_template(struct parser *parser, struct node **out);

/* ---- running ---- */

struct scope {
    struct record variables;
    struct scope *parent;
};

struct text_buffer {
    char  *text; /* (n of n_room) in the arena */
    size_t n, n_room;
};

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct run {
    struct calmoe_context       *ctx;
    const struct template_input *input;
    struct arena                 arena;
    struct text_buffer          *out;
    struct scope                *global, *scope;
    enum flow                    flow;
    int                          n_steps, n_calls, depth;
    int                          line; /* of what runs now */
};

struct arguments {
    struct value  values[TEMPLATE_MAX_ARGUMENTS];
    struct string names[TEMPLATE_MAX_ARGUMENTS]; /* text NULL: by place */
    int           n;
};

/* ---- template_values.c ---- */

/* Fails with UNSUPPORTED, the sentence after the line of what runs now. */
calmoe_status cm_run_fail(struct run *run, const char *format, ...) CM_PRINTF(2, 3);
calmoe_status cm_buffer_put(struct run *run, struct text_buffer *buffer, struct string text);
/* Without the white space at its ends, as Python's strip(). */
struct string cm_string_strip(struct string string, bool left, bool right);
struct value cm_value_bool(bool is);
struct value cm_value_integer(int64_t number);
struct value cm_value_string(struct string string);
const char  *cm_value_kind_name(const struct value *value);
bool         cm_value_is_true(const struct value *value);
calmoe_status cm_value_equals(struct run *run, const struct value *a, const struct value *b, bool *equal);
calmoe_status cm_value_contains(struct run *run, const struct value *whole, const struct value *part, bool *is_in);
/* As printing writes it; UNSUPPORTED for lists and the like. */
calmoe_status cm_value_text(struct run *run, const struct value *value, struct string *text);
calmoe_status cm_value_binary(struct run *run, enum operator op, const struct value *a, const struct value *b,
                              struct value *out);
calmoe_status cm_list_open(struct run *run, size_t n, struct value *out);
calmoe_status cm_record_open(struct run *run, bool is_dict, struct value *out);
struct value *cm_record_find(const struct record *record, struct string name);
calmoe_status cm_record_put(struct run *run, struct record *record, struct string name, struct value value);
calmoe_status cm_value_get(struct run *run, const struct value *whole, const struct value *which, bool is_dotted,
                           struct value *out);
/* bounds: begin, end and step, each an integer or none. */
calmoe_status cm_value_slice(struct run *run, const struct value *whole, const struct value bounds[3],
                             struct value *out);

/* ---- template_calls.c ---- */

calmoe_status cm_define_functions(struct run *run);
calmoe_status cm_call_function(struct run *run, int function, const struct arguments *arguments, struct value *out);
calmoe_status cm_call_method(struct run *run, const struct value *subject, struct string name,
                             const struct arguments *arguments, struct value *out);
calmoe_status cm_call_filter(struct run *run, const struct value *subject, struct string name,
                             const struct arguments *arguments, struct value *out);
calmoe_status cm_call_test(struct run *run, const struct value *subject, struct string name,
                           const struct arguments *arguments, struct value *out);

#endif
