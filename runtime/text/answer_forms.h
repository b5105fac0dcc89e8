/* runtime/text/answer_forms.h - the forms in which models write thoughts and calls of tools. */
#ifndef RUNTIME_TEXT_ANSWER_FORMS_H
#define RUNTIME_TEXT_ANSWER_FORMS_H

#include <stdbool.h>
#include <stddef.h>

enum answer_body {   /* what stands between call_open and call_close                                       */
    BODY_JSON,       /* {"name": N, "arguments": {…}}, or an array of them                                  */
    BODY_TAGGED,     /* a name and parameters, each between tags                                           */
    BODY_NAME_JSON,  /* a name, a separator, the arguments in JSON                                         */
    BODY_PYTHON,     /* [name(key="value", …), …], or as BODY_JSON                                         */
    BODY_QUOTED,     /* call:name{key:value, …}, texts between <|"|>                                       */
    BODY_CHANNELS    /* messages with headers that name a channel and a recipient                          */
};

struct answer_tags {
    const char *name_open, *name_close;   /* name_open "": the name is first, and ends where a line or key_open does */
    const char *key_open, *key_close;
    const char *value_open, *value_close; /* value_open "": the value stands behind key_close                 */
    const char *end;                      /* of the call; NULL: call_close is                                 */
    bool        strips_lines;             /* one line end at either end of a value is not its                 */
};

struct answer_form {
    const char *needles[2];   /* all of them (NULL: none) occur in the templates of models that write so   */
    const char *section_open, *section_close; /* round all calls; NULL where there is no such mark         */
    const char *call_open, *call_close;       /* call_close NULL: the body ends itself; call_open NULL: calls
                                                 begin with the tag of their name, or are bare             */
    enum answer_body          body;
    const struct answer_tags *tags;
    const char *separator;                    /* behind the name                                           */
    const char *id_mark;                      /* between name and an id of the call; NULL                   */
    bool        id_first;     /* the id stands before that mark, and the name behind it                     */
    bool        is_bare;      /* a call may also be the whole answer, without marks                        */
};

struct answer_thought {
    const char *needle, *open, *close;
    const char *text_open, *text_close; /* marks round the answer's text, which are left out; NULL: there are none */
};

/* Of a template; NULL: it says of no such form. */
const struct answer_form    *cm_answer_form(const char *tmpl, size_t n);
const struct answer_thought *cm_answer_thought(const char *tmpl, size_t n);

/* Marks of BODY_CHANNELS. */
#define MARK_START   "<|start|>"
#define MARK_CHANNEL "<|channel|>"
#define MARK_MESSAGE "<|message|>"
#define MARK_END     "<|end|>"
#define MARK_RETURN  "<|return|>"
#define MARK_CALL    "<|call|>"

#endif
