/* answer_parser.c - an answer, byte by byte, as texts, thoughts and calls: finds the marks that stand between them.
 * What is inside a call is read in answer_calls.c and its neighbours; how bytes are held until they are understood, and
 * events told, stands in answer_events.c. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/answer_parts.h"
#include "runtime/text/tokenizer_parts.h"

/* ---- texts and thoughts ---- */

enum {
    SEE_THINK, SEE_END_THINK, SEE_SECTION, SEE_END_SECTION, SEE_CALL, SEE_END_CALL, SEE_NAME, SEE_TEXT, SEE_END_TEXT,
    N_MARKS
};

static void list_marks(const struct answer_parser *p, const char *marks[N_MARKS])
{
    const struct answer_form *form = p->form;
    const bool                in_text = p->state == STATE_TEXT && form;
    /* Some models call before they close their thought; without tools there is nothing to call. */
    const bool                calls = in_text || (form && p->parameters.n > 0 && !p->is_silent);
    const bool                has_texts = p->shown && p->state == STATE_TEXT;
    marks[SEE_THINK] = p->thought && p->state == STATE_TEXT ? p->thought->open : NULL;
    marks[SEE_END_THINK] = p->thought ? p->thought->close : NULL;
    marks[SEE_SECTION] = calls ? form->section_open : NULL;
    marks[SEE_END_SECTION] = in_text ? form->section_close : NULL;
    marks[SEE_CALL] = calls ? form->call_open : NULL;
    marks[SEE_END_CALL] = in_text ? form->call_close : NULL;
    /* And some begin with the name, without the mark of a call before it. */
    marks[SEE_NAME] = in_text && form->tags && form->tags->name_open[0] ? form->tags->name_open : NULL;
    marks[SEE_TEXT] = has_texts ? p->shown->text_open : NULL;
    marks[SEE_END_TEXT] = has_texts ? p->shown->text_close : NULL;
}

/* An answer may begin with a call that has no mark; *waits: it is not told yet. */
static bool begins_bare(struct answer_parser *p, bool *waits)
{
    size_t at = 0;
    *waits = false;
    if (!p->form || !p->form->is_bare || p->has_begun || p->state != STATE_TEXT || p->is_silent) return false;
    while (at < cm_left(p) && cm_answer_is_white(cm_held(p)[at])) at++;
    *waits = at == cm_left(p) && !p->at_end;
    return at < cm_left(p) && (cm_held(p)[at] == '{' || cm_held(p)[at] == '[');
}

static bool step_prose(struct answer_parser *p)
{
    const enum answer_kind kind = p->state == STATE_THOUGHT ? ANSWER_REASONING : ANSWER_TEXT;
    const char            *marks[N_MARKS];
    int                    which;
    bool                   waits;
    if (cm_left(p) == 0) return false;
    if (begins_bare(p, &waits)) {
        p->opener = p->body = p->at;
        p->is_unmarked = true;
        p->in_thought = false;
        cm_answer_open_body(p, BODY_PYTHON);
        return true;
    }
    if (waits) return false;
    list_marks(p, marks);
    const size_t n = cm_answer_find(p, marks, N_MARKS, &which);
    cm_answer_say_prose(p, kind, cm_held(p), n);
    p->at += n;
    if (which < 0) return false;
    const size_t opener = p->at;
    p->at += strlen(marks[which]);
    const bool may_be_call = which == SEE_CALL || which == SEE_NAME; /* else the mark is text, with what is before it */
    if (!may_be_call) cm_answer_pass_mark(p);
    if (which == SEE_THINK) p->state = STATE_THOUGHT;
    if (which == SEE_END_THINK) p->state = STATE_TEXT;
    if (!may_be_call) return true;
    p->opener = opener;
    p->body = p->at;
    p->in_thought = p->state == STATE_THOUGHT;
    p->is_unmarked = which == SEE_NAME;
    cm_answer_open_body(p, p->form->body);
    return true;
}

/* ---- bytes ---- */

static bool step(struct answer_parser *p)
{
    if (p->form && p->form->body == BODY_CHANNELS) return cm_answer_step_channels(p);
    if (p->state != STATE_BODY) return step_prose(p);
    switch (p->how) {
    case BODY_JSON: return cm_answer_step_json(p);
    case BODY_TAGGED: return cm_answer_step_tagged(p);
    case BODY_NAME_JSON: return cm_answer_step_name_json(p);
    case BODY_PYTHON: return cm_answer_step_python(p);
    case BODY_QUOTED: return cm_answer_step_quoted(p);
    case BODY_CHANNELS: break;
    }
    return false;
}

/* What is behind `at`, or may have to be read again, moves to the front. */
static void drop_read(struct answer_parser *p)
{
    const size_t n = p->opener < p->at ? p->opener : p->at;
    if (n == 0) return;
    memmove(p->held.at, p->held.at + n, p->held.n - n);
    p->held.n -= n;
    p->at -= n;
    if (p->opener != SIZE_MAX) {
        p->opener -= n;
        p->body -= n;
    }
}

static calmoe_status advance(struct answer_parser *p)
{
    while (p->status == CALMOE_OK && step(p)) {}
    if (p->status == CALMOE_OK) drop_read(p);
    cm_answer_tell(p, p->at_end);
    return p->status;
}

/* Whether a control token's text is, or is a part of, one of the marks that are looked for. */
static bool is_of_marks(const struct answer_parser *p, const char *text, size_t n)
{
    static const char *const channels[] = { MARK_START, MARK_CHANNEL, MARK_MESSAGE, MARK_END, MARK_RETURN, MARK_CALL,
                                            "<|constrain|>" };
    const struct answer_form *form = p->form;
    const struct answer_tags *tags = form ? form->tags : NULL;
    const char *const         marks[] = {
        form ? form->section_open : NULL, form ? form->section_close : NULL, form ? form->call_open : NULL,
        form ? form->call_close : NULL, form ? form->separator : NULL, form ? form->id_mark : NULL,
        p->shown ? p->shown->open : NULL, p->shown ? p->shown->close : NULL, tags ? tags->key_open : NULL,
        tags ? tags->key_close : NULL, tags ? tags->value_open : NULL, tags ? tags->value_close : NULL,
        tags ? tags->name_open : NULL, p->shown ? p->shown->text_open : NULL, p->shown ? p->shown->text_close : NULL,
        form && form->body == BODY_QUOTED ? "<|\"|>" : NULL,
    };
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (marks[i] && marks[i][0] && memmem(marks[i], strlen(marks[i]), text, n)) return true;
    for (size_t i = 0; form && form->body == BODY_CHANNELS && i < sizeof channels / sizeof channels[0]; i++)
        if (strlen(channels[i]) == n && !memcmp(channels[i], text, n)) return true;
    return false;
}

calmoe_status cm_answer_parser_put(struct answer_parser *p, const char *bytes, size_t n, bool is_control)
{
    if (p->status != CALMOE_OK || n == 0) return p->status;
    if (is_control && !is_of_marks(p, bytes, n)) return CALMOE_OK;
    cm_answer_add(p, &p->held, bytes, n);
    return advance(p);
}

calmoe_status cm_answer_parser_put_token(struct answer_parser *p, int32_t token)
{
    int         n;
    const char *bytes = cm_token_bytes(p->tokenizer, token, true, &n);
    if (n == 0) return p->status;
    const struct token *known = &p->tokenizer->tokens[token];
    return cm_answer_parser_put(p, bytes, (size_t)n, known->type == TOKEN_CONTROL || known->is_shown);
}

calmoe_status cm_answer_parser_finish(struct answer_parser *p)
{
    p->at_end = true;
    calmoe_status status = advance(p);
    while (status == CALMOE_OK && p->state == STATE_BODY && p->opener != SIZE_MAX) {
        cm_answer_no_call(p); /* behind its opener there may be a call */
        status = advance(p);
    }
    if (status == CALMOE_OK && p->state == STATE_BODY && p->has_name) cm_answer_end_call(p);
    if (status == CALMOE_OK && !p->drops_blank && (p->state == STATE_TEXT || p->state == STATE_THOUGHT))
        cm_answer_say(p, p->state == STATE_TEXT ? ANSWER_TEXT : ANSWER_REASONING, p->blank.at, p->blank.n);
    p->blank.n = 0;
    cm_answer_tell(p, true);
    return p->status;
}

bool cm_answer_parser_in_text(const struct answer_parser *p)
{
    return p->state == STATE_TEXT;
}

/* ---- parsers ---- */

/* What a tool's schema says is copied, with the texts behind the list moved along. */
static calmoe_status copy_parameters(struct calmoe_context *ctx, const struct tool_parameters *from,
                                     struct tool_parameters *out)
{
    *out = *from;
    out->list = cm_alloc(ctx, from->n_bytes, 1, "the tools");
    if (!out->list) return CALMOE_NO_MEMORY;
    if (from->n_bytes > 0) memcpy(out->list, from->list, from->n_bytes);
    for (size_t i = 0; i < from->n; i++) {
        out->list[i].function = (const char *)out->list + (from->list[i].function - (const char *)from->list);
        out->list[i].name = (const char *)out->list + (from->list[i].name - (const char *)from->list);
    }
    return CALMOE_OK;
}

/* Reads what the prompt ends with, which may have opened a thought. */
static calmoe_status read_prompt(struct answer_parser *p, const struct chat_prompt *prompt)
{
    p->is_silent = true;
    CM_TRY(cm_answer_parser_put(p, prompt->text.text + prompt->tail, prompt->text.n - prompt->tail, false));
    p->is_silent = p->has_begun = false;
    p->held.n = p->at = p->out.n = p->blank.n = 0;
    if (p->state == STATE_BODY && p->opener != SIZE_MAX) p->state = STATE_TEXT;
    p->opener = SIZE_MAX;
    return CALMOE_OK;
}

static calmoe_status fill(struct answer_parser *p, const struct answer_source *source)
{
    p->form = source->no_calls ? NULL : cm_answer_form(source->tmpl, source->n_tmpl);
    const struct answer_form *form = cm_answer_form(source->tmpl, source->n_tmpl);
    if (form && form->body == BODY_CHANNELS) p->form = form;
    p->shown = cm_answer_thought(source->tmpl, source->n_tmpl);
    if (form && form->body == BODY_CHANNELS) p->shown = NULL;
    p->thought = source->no_reasoning ? NULL : p->shown;
    if (!source->prompt) return CALMOE_OK;
    CM_TRY(copy_parameters(p->ctx, &source->prompt->parameters, &p->parameters));
    return read_prompt(p, source->prompt);
}

calmoe_status cm_answer_parser_open(struct calmoe_context *ctx, const struct answer_source *source,
                                    struct answer_parser **out)
{
    struct answer_parser *p = *out = cm_alloc(ctx, 1, sizeof *p, "a parser of answers");
    if (!p) return CALMOE_NO_MEMORY;
    p->ctx = ctx;
    p->tokenizer = source->tokenizer;
    p->tell = source->tell;
    p->user = source->user;
    p->no_calls = source->no_calls;
    p->no_reasoning = source->no_reasoning;
    p->opener = SIZE_MAX;
    const calmoe_status status = fill(p, source);
    if (status != CALMOE_OK) cm_answer_parser_close(out);
    return status;
}

void cm_answer_parser_close(struct answer_parser **parser)
{
    struct answer_parser *p = *parser;
    if (!p) return;
    struct answer_text *texts[] = { &p->held, &p->out, &p->blank, &p->name, &p->key, &p->early, &p->id };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) cm_free(texts[i]->at);
    cm_free(p->parameters.list);
    cm_free(p);
    *parser = NULL;
}
