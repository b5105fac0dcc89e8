/* chat_learn.c - finds a template's chat format by running it.
 *
 * The template is run on conversations whose texts are words that occur nowhere else: what it writes between them are
 * the texts of the format. How it treats white space and thoughts shows on texts that have some. Then the format must
 * write other conversations, longer and stranger ones, byte for byte as the template does; if it does not, the file
 * has no format that can be told, and none is guessed. */
#include <string.h>

#include "base/memory.h"
#include "runtime/text/chat_format.h"
#include "runtime/text/template.h"
#include "runtime/text/tokenizer_parts.h"

enum { MAX_MESSAGES = 8, MAX_WORDS = 4 };

#define SYSTEM "Qsystemtext"
#define FIRST  "Qfirsttext"
#define REPLY  "Qreplytext"
#define SECOND "Qsecondtext"
#define THOUGHT "<think>\nQthoughttext\n</think>\n\n"

struct learner {
    struct calmoe_context *ctx;
    struct template       *tmpl;
    const struct tokenizer *tokenizer;
    struct chat_tokens     tokens;
    int64_t                now;
    struct chat_format     format;     /* its texts are in pieces       */
    char                  *pieces[16]; /* (n_pieces) what is to be freed */
    int                    n_pieces;
};

static calmoe_status refuse(struct learner *learner, const char *why)
{
    return cm_fail(learner->ctx, CALMOE_UNSUPPORTED, "%s", why);
}

/* ---- running the template ---- */

/* The texts of a conversation in turn: system (NULL: none), user, answer, user, … */
struct conversation {
    const char *texts[MAX_MESSAGES];
    int         n; /* texts behind the system's: an odd number */
};

/* A template that opens an answer's last part itself is given that part alone. */
static calmoe_status render(struct learner *learner, const struct conversation *conversation, char **out)
{
    struct template_message messages[MAX_MESSAGES];
    int                     n = 0;
    if (conversation->texts[0]) messages[n++] = (struct template_message){ "system", conversation->texts[0] };
    for (int i = 1; i <= conversation->n; i++) {
        const char *text = conversation->texts[i];
        messages[n++] = i % 2 ? (struct template_message){ "user", text }
                              : (struct template_message){
                                    "assistant", text + cm_chat_last_part(&learner->format, text, strlen(text)) };
    }
    const struct template_input input = { .messages = messages, .n_messages = n, .now = learner->now,
                                          .bos = learner->tokens.bos[0] ? learner->tokens.bos : NULL,
                                          .eos = learner->tokens.eos[0] ? learner->tokens.eos : NULL };
    struct template_text        text;
    const calmoe_status         status = cm_template_render(learner->ctx, learner->tmpl, &input, &text);
    *out = text.text;
    text.text = NULL;
    cm_template_text_close(&text);
    return status;
}

/* What stands before, between and behind words that follow each other in text, each once: n + 1 pieces, which the
 * learner owns. False where they do not. */
static calmoe_status cut(struct learner *learner, const char *text, const char *const words[], int n,
                         const char *pieces[], bool *fits)
{
    const char *at = text;
    *fits = true;
    for (int i = 0; i <= n; i++) {
        const char *word = i < n ? strstr(at, words[i]) : at + strlen(at);
        *fits = word && (i == n || !strstr(word + 1, words[i]));
        if (!*fits) return CALMOE_OK;
        char *piece = cm_copy_text(learner->ctx, at, (size_t)(word - at));
        if (!piece) return CALMOE_NO_MEMORY;
        pieces[i] = learner->pieces[learner->n_pieces++] = piece;
        at = word + (i < n ? strlen(words[i]) : 0);
    }
    return CALMOE_OK;
}

/* ---- the texts of the format ---- */

/* Bytes of the control token that the text begins with, 0 where it does not. */
static calmoe_status first_control_token(struct learner *learner, const char *text, size_t *n)
{
    const struct tokenizer *tokenizer = learner->tokenizer;
    struct token_list       list = { .n = 0 };
    *n = 0;
    calmoe_status status = cm_tokenize(learner->ctx, tokenizer, text, strlen(text), TOKENIZE_PARSE_SPECIAL, &list);
    const struct token *first = list.n > 0 ? &tokenizer->tokens[list.ids[0]] : NULL;
    if (first && (first->type == TOKEN_CONTROL || first->is_shown)) *n = (size_t)first->n_text;
    cm_token_list_close(&list);
    return status;
}

/* Before an answer that was given stands what asks for one. It may ask by opening the answer, as with a thought, or by
 * leaving white space to it, or the control tokens that open its last part; where it leaves more to it, the history
 * would say that twice. */
static calmoe_status check_answer(struct learner *learner)
{
    struct chat_format *format = &learner->format;
    const size_t        n_ask = strlen(format->ask), n_answer = strlen(format->answer);
    size_t              n_mark;
    if (n_answer <= n_ask && !memcmp(format->ask, format->answer, n_answer)) return CALMOE_OK;
    if (n_answer > n_ask && !memcmp(format->ask, format->answer, n_ask)) {
        const char *left = format->answer + n_ask;
        if (strspn(left, " \n") == n_answer - n_ask) return CALMOE_OK;
        CM_TRY(first_control_token(learner, left, &n_mark));
        if (n_mark > 0) {
            format->opening = left;
            format->n_mark = n_mark;
            return CALMOE_OK;
        }
    }
    return refuse(learner, "its chat template writes parts of answers that the model writes as well");
}

static calmoe_status learn_turns(struct learner *learner)
{
    static const struct conversation two = { { NULL, FIRST, REPLY, SECOND }, 3 };
    static const char *const         words[] = { FIRST, REPLY, SECOND };
    const char                      *pieces[4];
    char                            *text;
    bool                             fits;
    CM_TRY(render(learner, &two, &text));
    const calmoe_status status = cut(learner, text, words, 3, pieces, &fits);
    cm_free(text);
    CM_TRY(status);
    if (!fits) return refuse(learner, "its chat template does not write what participants said in turn");
    learner->format.begin = pieces[0];
    learner->format.answer = pieces[1];
    learner->format.between = pieces[2];
    learner->format.ask = pieces[3];
    return check_answer(learner);
}

/* A template may refuse a system text, or write none; then the format has no place for one. */
static calmoe_status learn_system(struct learner *learner)
{
    static const struct conversation with = { { SYSTEM, FIRST }, 1 };
    static const char *const         words[] = { SYSTEM, FIRST };
    const char                      *pieces[3];
    char                            *text;
    bool                             fits;
    calmoe_status                    status = render(learner, &with, &text);
    if (status == CALMOE_INVALID_ARGUMENT) return CALMOE_OK;
    CM_TRY(status);
    status = cut(learner, text, words, 2, pieces, &fits);
    cm_free(text);
    CM_TRY(status);
    if (!fits || strcmp(pieces[2], learner->format.ask)) return CALMOE_OK;
    learner->format.system_begin = pieces[0];
    learner->format.system_end = pieces[1];
    return CALMOE_OK;
}

/* ---- what is done with the participants' texts ---- */

/* Whether the format writes the conversation as the template does. */
static calmoe_status agrees(struct learner *learner, const struct conversation *conversation, bool *agrees)
{
    char *text;
    CM_TRY(render(learner, conversation, &text));
    const char *at = text;
    *agrees = true;
    for (int i = 1; i <= conversation->n && *agrees; i += 2) {
        const struct chat_turn turn = { conversation->texts[0], conversation->texts[i], i == 1, i < conversation->n };
        struct chat_part       parts[CHAT_MAX_PARTS];
        int                    n = cm_chat_turn_parts(&learner->format, &turn, parts);
        *agrees = n > 0;
        if (turn.is_answered && n > 0) {
            const char *answer = conversation->texts[i + 1];
            size_t      begin, end;
            cm_chat_answer_bounds(&learner->format, answer, strlen(answer), &begin, &end);
            parts[n++] = (struct chat_part){ answer + begin, end - begin, false };
        }
        for (int k = 0; k < n && *agrees; k++) {
            *agrees = !strncmp(at, parts[k].text, parts[k].n);
            at += *agrees ? parts[k].n : 0;
        }
    }
    *agrees = *agrees && *at == '\0';
    cm_free(text);
    return CALMOE_OK;
}

/* Tries the ways to strip until the conversation comes out right. */
static calmoe_status learn_strip(struct learner *learner, const struct conversation *conversation, unsigned *strip,
                                 bool *found)
{
    static const unsigned ways[] = { 0, STRIP_BOTH, STRIP_LINES, STRIP_LEFT, STRIP_RIGHT, STRIP_LINES | STRIP_RIGHT };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        *strip = ways[i];
        CM_TRY(agrees(learner, conversation, found));
        if (*found) return CALMOE_OK;
    }
    *strip = 0;
    return CALMOE_OK;
}

static calmoe_status learn_strips(struct learner *learner)
{
    static const struct conversation user = { { NULL, "\n " FIRST " \n" }, 1 };
    static const struct conversation answer = { { NULL, FIRST, "\n " REPLY " \n", SECOND }, 3 };
    static const struct conversation thought = { { NULL, FIRST, THOUGHT " " REPLY " \n", SECOND }, 3 };
    struct chat_format              *format = &learner->format;
    bool                             found;
    CM_TRY(learn_strip(learner, &user, &format->strip_user, &found));
    if (!found) return refuse(learner, "its chat template changes what users say");
    CM_TRY(learn_strip(learner, &answer, &format->strip_answer, &found));
    if (!found) return refuse(learner, "its chat template changes what was answered");
    CM_TRY(agrees(learner, &thought, &found));
    if (found) return CALMOE_OK;
    format->drops_thoughts = true;
    CM_TRY(learn_strip(learner, &thought, &format->strip_thoughtful, &found));
    return found ? CALMOE_OK : refuse(learner, "its chat template changes the thoughts of answers");
}

static calmoe_status learn_system_strips(struct learner *learner, bool *found)
{
    static const struct conversation user = { { SYSTEM, "\n " FIRST " \n" }, 1 };
    static const struct conversation system = { { "\n " SYSTEM " \n", FIRST }, 1 };
    CM_TRY(learn_strip(learner, &user, &learner->format.strip_user_with_system, found));
    if (*found) CM_TRY(learn_strip(learner, &system, &learner->format.strip_system, found));
    return CALMOE_OK;
}

/* ---- holding the format against the template ---- */

/* Longer than what was learned from, and with texts that templates look for. */
static const struct conversation trials[] = {
    { { NULL, FIRST }, 1 },
    { { NULL, FIRST, REPLY, SECOND, "Qmore\n\nlines", "Qlast" }, 5 },
    { { NULL, "Qa", "Qb", "Qc", "Qd", "Qe", "Qf", "Qg" }, 7 },
    { { NULL, "Qa /no_think", "Qb", "/think Qc </think> <think>", "Qd" THOUGHT "Qe", "Qf" }, 5 },
    { { NULL, "  Qa\n", THOUGHT, "Qb\t", THOUGHT "\n\tQc\n", "\nQd" }, 5 },
    { { NULL, "Qa", "<|channel|>analysis<|message|>Qb<|end|><|start|>assistant<|channel|>final<|message|>Qc",
        "Qd" }, 3 },
    { { NULL, "<tool_response>Qa", "</think>Qb", "Qc</tool_response>", "Q</think>Qd</think>\n\nQe", "Qf" }, 5 },
};
static const struct conversation system_trials[] = {
    { { SYSTEM, FIRST, REPLY, SECOND }, 3 },
    { { "Qs /no_think", "Qa", "Qb", "Qc", "Qd", "Qe" }, 5 },
    { { " Qs\n\nQt /think\n", "\nQa ", THOUGHT "Qb", "Qc\n" }, 3 },
};

static calmoe_status try_all(struct learner *learner, const struct conversation *conversations, size_t n, bool *fit)
{
    *fit = true;
    for (size_t i = 0; i < n && *fit; i++) CM_TRY(agrees(learner, &conversations[i], fit));
    return CALMOE_OK;
}

static calmoe_status learn(struct learner *learner)
{
    bool fits;
    CM_TRY(learn_turns(learner));
    CM_TRY(learn_strips(learner));
    CM_TRY(try_all(learner, trials, sizeof trials / sizeof trials[0], &fits));
    if (!fits) return refuse(learner, "its chat template writes turns that depend on more than their place");
    CM_TRY(learn_system(learner));
    if (!learner->format.system_begin) return CALMOE_OK;
    CM_TRY(learn_system_strips(learner, &fits));
    if (fits) CM_TRY(try_all(learner, system_trials, sizeof system_trials / sizeof system_trials[0], &fits));
    if (!fits) learner->format.system_begin = learner->format.system_end = NULL;
    return CALMOE_OK;
}

calmoe_status cm_chat_learn(struct calmoe_context *ctx, const char *text, size_t n_bytes,
                            const struct tokenizer *tokenizer, int64_t now, struct chat_format **out)
{
    struct learner learner = { .ctx = ctx, .tokenizer = tokenizer, .now = now, .format = { .name = "template" } };
    *out = NULL;
    CM_TRY(cm_template_open(ctx, text, n_bytes, &learner.tmpl));
    cm_chat_tokens(tokenizer, &learner.tokens);
    calmoe_status status = learn(&learner);
    if (status == CALMOE_OK)
        status = cm_chat_format_find_name(ctx, &learner.format, &learner.tokens, &learner.format.name);
    if (status == CALMOE_OK) status = cm_chat_format_copy(ctx, &learner.format, NULL, out);
    for (int i = 0; i < learner.n_pieces; i++) cm_free(learner.pieces[i]);
    cm_template_close(&learner.tmpl);
    return status;
}

calmoe_status cm_chat_format_of_file(struct calmoe_context *ctx, const struct model_file *file,
                                     const struct tokenizer *tokenizer, int64_t now, struct chat_format **out,
                                     char why[CM_MESSAGE_BYTES])
{
    struct meta_string    text = { "", 0 };
    struct calmoe_context quiet = { .message = "" };
    *out = NULL;
    why[0] = '\0';
    if (cm_meta_get_string(NULL, file, "tokenizer.chat_template", &text) != CALMOE_OK || text.n_bytes == 0) {
        memcpy(why, "it has no chat template", sizeof "it has no chat template");
        return CALMOE_OK;
    }
    const calmoe_status status = cm_chat_learn(&quiet, text.bytes, (size_t)text.n_bytes, tokenizer, now, out);
    if (status == CALMOE_NO_MEMORY) return cm_fail(ctx, status, "%s", quiet.message);
    if (status != CALMOE_OK) memcpy(why, quiet.message, sizeof quiet.message);
    return CALMOE_OK;
}
