/* runtime/text/chat_format.h - what a chat format consists of, for the files chat*.c only. */
#ifndef RUNTIME_TEXT_CHAT_FORMAT_H
#define RUNTIME_TEXT_CHAT_FORMAT_H

#include "runtime/text/chat.h"

enum strip { /* what is taken off a text before it is used, added up */
    STRIP_LEFT  = 1, /* white space at its beginning */
    STRIP_RIGHT = 2, /* and at its end               */
    STRIP_LINES = 4, /* line ends at its beginning   */
    STRIP_BOTH  = STRIP_LEFT | STRIP_RIGHT
};

/* A conversation is, with what is written between the texts of the participants:
 *
 *     begin USER ask ANSWER between USER ask ANSWER between …           without a system text, or
 *     system_begin SYSTEM system_end USER ask ANSWER between USER …     with one
 *
 * A turn is what stands between two answers. All of it is text of the template's, in which control tokens are
 * tokens; what participants said is plain text. */
struct chat_format {
    const char *name;         /* "chatml"; "template" for one that only a file's template has            */
    const char *begin;        /* with the default system text, where the format has one                  */
    const char *system_begin; /* NULL: there is no place for a system text                               */
    const char *system_end;
    const char *ask;
    const char *answer;       /* stands in the place of ask before an answer that was given: mostly the same;
                                 ask may go on with the beginning of an answer, such as "<think>\n", or answer
                                 with white space or an opening that the model writes itself when it is asked */
    const char *opening;      /* NULL, or what answer goes on with behind ask: control tokens that open the part of an
                                 answer that the history keeps, such as "<|channel|>final<|message|>"; answers in the
                                 history begin behind the last of them                                    */
    size_t      n_mark;       /* bytes of opening's first token; an answer that begins with it, for another part, and
                                 never comes to the opening, leaves nothing in the history                */
    const char *between;
    unsigned    strip_user;   /* enum strip                                                              */
    unsigned    strip_user_with_system; /* of the first user's text, behind a system text                */
    unsigned    strip_system;
    unsigned    strip_answer; /* of answers in the history that hold no thought                          */
    bool        drops_thoughts; /* answers in the history begin behind their last </think>               */
    unsigned    strip_thoughtful; /* of what is left of those                                            */
};

/* ---- chat_list.c: the formats that have names ---- */

struct chat_tokens { /* the texts of these tokens; "" where there is none */
    char bos[CM_TOKEN_BYTES + 1];
    char eos[CM_TOKEN_BYTES + 1];
};
void cm_chat_tokens(const struct tokenizer *tokenizer, struct chat_tokens *tokens);
/* A copy of from and all its texts, in which {bos} and {eos} become the texts of these tokens; tokens NULL: its texts
 * as they are. */
calmoe_status cm_chat_format_copy(struct calmoe_context *ctx, const struct chat_format *from,
                                  const struct chat_tokens *tokens, struct chat_format **out);
/* *name: that of the row that is the same format; else it is left as it is. */
calmoe_status cm_chat_format_find_name(struct calmoe_context *ctx, const struct chat_format *format,
                                       const struct chat_tokens *tokens, const char **name);

/* ---- chat.c ---- */

struct chat_part {
    const char *text;
    size_t      n;
    bool        is_ours; /* a text of the format's, not of a participant's */
};
enum { CHAT_MAX_PARTS = 6 };
/* The parts of a turn; their number. 0: the turn has a system text and the format no place for it. */
int cm_chat_turn_parts(const struct chat_format *format, const struct chat_turn *turn,
                       struct chat_part parts[CHAT_MAX_PARTS]);
/* Where the part of an answer begins that the history keeps, by the format's opening; 0: the answer has no parts. */
size_t cm_chat_last_part(const struct chat_format *format, const char *text, size_t n);
/* What of an answer the history keeps: text[*begin .. *end). */
void cm_chat_answer_bounds(const struct chat_format *format, const char *text, size_t n, size_t *begin, size_t *end);

/* ---- chat_learn.c ---- */

/* The format of a template, found by running it on short conversations and held against it on others; now: for
 * templates that tell the date. UNSUPPORTED with the reason where its conversations have no such form. */
calmoe_status cm_chat_learn(struct calmoe_context *ctx, const char *text, size_t n_bytes,
                            const struct tokenizer *tokenizer, int64_t now, struct chat_format **out);

#endif
