/* runtime/text/answer_parts.h - the inside of a parser of answers, for the files answer_*.c only.
 *
 * Bytes that came and are not understood yet are held. Each step looks at them from `at` on and takes some, or says
 * that it needs more; where nothing more will come (at_end), it must take them all in the end. */
#ifndef RUNTIME_TEXT_ANSWER_PARTS_H
#define RUNTIME_TEXT_ANSWER_PARTS_H

#include "runtime/text/answer_parser.h"

struct answer_text { /* grows */
    char  *at; /* (n of n_room) */
    size_t n, n_room;
};

enum answer_state { STATE_TEXT, STATE_THOUGHT, STATE_HEADER, STATE_BODY };

struct value_scan { /* of a value in JSON, byte by byte */
    int  depth;
    bool in_text, is_escaped, is_plain; /* is_plain: a number or a word, which ends before what follows it */
};

enum { ANSWER_MAX_DEPTH = 256 }; /* of brackets in a literal */

struct answer_parser {
    struct calmoe_context       *ctx;
    calmoe_status                status; /* the first failure: from then on nothing is done */
    const struct tokenizer      *tokenizer;
    const struct answer_form    *form;    /* of calls; NULL: there are none                 */
    const struct answer_thought *thought; /* NULL: there are none                           */
    const struct answer_thought *shown;   /* marks that are text, not dropped as control tokens */
    bool                         no_calls, no_reasoning;
    struct tool_parameters       parameters;
    answer_fn                    tell;
    void                        *user;

    bool                is_silent; /* what is read belongs to the prompt          */
    bool                at_end;
    enum answer_state   state;
    struct answer_text  held;
    size_t              at;
    size_t              opener;      /* where the mark of a call begins in held, until its name is known; SIZE_MAX  */
    size_t              body;        /* where the body behind it begins                                         */

    struct answer_text  out;         /* of the event that is being gathered       */
    enum answer_kind    out_kind;
    struct answer_text  blank;       /* white space that may stand before a mark  */
    bool                drops_blank; /* it stands behind one                      */
    bool                has_begun;   /* something other than white space was there */

    enum answer_body    how;         /* of the body that is read                  */
    int                 stage;       /* of it                                     */
    bool                in_array;
    bool                is_unmarked; /* it began without a mark                   */
    bool                in_thought;  /* it began before the thought was closed    */
    struct value_scan   scan;
    struct answer_text  name, key, early, id; /* early: arguments before the name is known */
    bool                has_name;
    int                 n_calls, n_keys;
    bool                is_text;     /* the value is a text, by its schema        */
    char                quote;       /* of a literal's text; 0 outside of one     */
    int                 depth;       /* of brackets in a literal                  */
    char                brackets[ANSWER_MAX_DEPTH];
};

/* ---- answer_events.c ---- */

static inline const char *cm_held(const struct answer_parser *p)
{
    return p->held.at + p->at;
}
static inline size_t cm_left(const struct answer_parser *p)
{
    return p->held.n - p->at;
}
void cm_answer_add(struct answer_parser *p, struct answer_text *text, const char *bytes, size_t n);
/* What is held begins with the mark. *may: it may come to, with more. */
bool cm_answer_sees(const struct answer_parser *p, const char *mark, bool *may);
/* Where the first of n marks begins in what is held from `at` on; *which it is, -1: none. Then the answer is how many
 * bytes surely belong to none. NULLs among the marks are passed over. */
size_t cm_answer_find(const struct answer_parser *p, const char *const marks[], int n, int *which);
bool   cm_answer_is_white(char c);
void   cm_answer_skip_white(struct answer_parser *p);
/* More of an event of this kind. */
void cm_answer_say(struct answer_parser *p, enum answer_kind kind, const char *bytes, size_t n);
/* The same of text or a thought, where white space next to marks is left out. */
void cm_answer_say_prose(struct answer_parser *p, enum answer_kind kind, const char *bytes, size_t n);
/* A mark stood here. */
void cm_answer_pass_mark(struct answer_parser *p);
/* Tells what was gathered of an event: whole characters of it, or all. */
void cm_answer_tell(struct answer_parser *p, bool all);

/* ---- answer_calls.c ---- */

void cm_answer_open_body(struct answer_parser *p, enum answer_body how);
void cm_answer_close_body(struct answer_parser *p);
/* What was taken for a call is none: its opener is text, and what follows is read as such. */
void cm_answer_no_call(struct answer_parser *p);
void cm_answer_begin_call(struct answer_parser *p, const char *name, size_t n);
void cm_answer_end_call(struct answer_parser *p);
void cm_answer_arguments(struct answer_parser *p, const char *bytes, size_t n);
/* The same as inside a text of JSON. */
void cm_answer_escaped(struct answer_parser *p, const char *bytes, size_t n);
/* `"key": ` with what stands before it. */
void cm_answer_key(struct answer_parser *p, const char *key, size_t n);
bool cm_answer_knows_tool(const struct answer_parser *p, const char *name, size_t n);
/* Takes bytes of a value and hands them on as arguments. *ended: it is whole. False: more is needed. */
bool cm_answer_pass_value(struct answer_parser *p, bool *ended);
/* Steps: whether something was taken. */
bool cm_answer_step_json(struct answer_parser *p);
bool cm_answer_step_name_json(struct answer_parser *p);
bool cm_answer_step_tagged(struct answer_parser *p);   /* answer_tags.c     */
bool cm_answer_step_python(struct answer_parser *p);   /* answer_literals.c */
bool cm_answer_step_quoted(struct answer_parser *p);
bool cm_answer_step_channels(struct answer_parser *p); /* answer_channels.c */

#endif
