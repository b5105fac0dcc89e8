/* chat.c - a turn in a chat format, as tokens; and what the history keeps of an answer. */
#include <string.h>

#include "base/memory.h"
#include "runtime/text/chat_format.h"
#include "runtime/text/tokenizer_parts.h"
#include "runtime/text/utf8.h"

static const char thought_end[] = "</think>";

/* ---- texts ---- */

static bool is_white(const char *text, size_t n)
{
    const int length = cm_utf8_length(text, n);
    return length == (int)n && cm_utf8_is_white(cm_utf8_point(text, length));
}

static void strip_text(unsigned strip, const char *text, size_t *begin, size_t *end)
{
    while ((strip & STRIP_LINES) && *begin < *end && text[*begin] == '\n') ++*begin;
    while ((strip & STRIP_LEFT) && *begin < *end) {
        const int length = cm_utf8_length(text + *begin, *end - *begin);
        if (length < 1 || !is_white(text + *begin, (size_t)length)) break;
        *begin += (size_t)length;
    }
    while ((strip & STRIP_RIGHT) && *begin < *end) {
        size_t at = *end - 1;
        while (at > *begin && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
        if (!is_white(text + at, *end - at)) break;
        *end = at;
    }
}

static struct chat_part participant(unsigned strip, const char *text)
{
    size_t begin = 0, end = strlen(text);
    strip_text(strip, text, &begin, &end);
    return (struct chat_part){ text + begin, end - begin, false };
}

static struct chat_part ours(const char *text)
{
    return (struct chat_part){ text, strlen(text), true };
}

int cm_chat_turn_parts(const struct chat_format *format, const struct chat_turn *turn,
                       struct chat_part parts[CHAT_MAX_PARTS])
{
    const bool has_system = turn->is_first && turn->system;
    int        n = 0;
    if (has_system && !format->system_begin) return 0;
    if (has_system) {
        parts[n++] = ours(format->system_begin);
        parts[n++] = participant(format->strip_system, turn->system);
        parts[n++] = ours(format->system_end);
    } else {
        parts[n++] = ours(turn->is_first ? format->begin : format->between);
    }
    parts[n++] = participant(has_system ? format->strip_user_with_system : format->strip_user, turn->user);
    parts[n++] = ours(turn->is_answered ? format->answer : format->ask);
    return n;
}

/* Where the text behind the last of these words begins; 0: they do not occur. */
static size_t behind_last(const char *text, size_t n, const char *words)
{
    const size_t n_words = strlen(words);
    for (size_t at = n; at >= n_words; at--)
        if (!memcmp(text + at - n_words, words, n_words)) return at;
    return 0;
}

size_t cm_chat_last_part(const struct chat_format *format, const char *text, size_t n)
{
    const size_t begin = format->opening ? behind_last(text, n, format->opening) : 0;
    const bool   has_parts = format->opening && n >= format->n_mark && !memcmp(text, format->opening, format->n_mark);
    return has_parts && begin == 0 ? n : begin;
}

void cm_chat_answer_bounds(const struct chat_format *format, const char *text, size_t n, size_t *begin, size_t *end)
{
    const size_t thought = format->drops_thoughts ? behind_last(text, n, thought_end) : 0;
    const size_t part = cm_chat_last_part(format, text, n);
    const bool   is_thoughtful = thought > 0;
    *begin = thought > part ? thought : part;
    *end = n;
    strip_text(is_thoughtful ? format->strip_thoughtful : format->strip_answer, text, begin, end);
}

/* ---- turns as tokens ---- */

/* BOS goes first where the file wants it before every text, unless the format's own text begins with it. */
static bool lacks_bos(const struct tokenizer *tokenizer, const struct chat_part *first)
{
    if (!tokenizer->adds_bos) return false;
    const struct token *bos = &tokenizer->tokens[tokenizer->bos];
    return first->n < bos->n_text || bos->n_text == 0 || memcmp(first->text, bos->text, bos->n_text) != 0;
}

calmoe_status cm_chat_turn(struct calmoe_context *ctx, const struct chat_format *format,
                           const struct tokenizer *tokenizer, const struct chat_turn *turn, struct token_list *list)
{
    struct chat_part parts[CHAT_MAX_PARTS];
    struct text_part texts[CHAT_MAX_PARTS];
    const int        n_before = list->n, n = cm_chat_turn_parts(format, turn, parts);
    if (n == 0)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "chat format '%s' has no place for a system text", format->name);
    for (int i = 0; i < n; i++) texts[i] = (struct text_part){ parts[i].text, parts[i].n, parts[i].is_ours };
    calmoe_status status = CALMOE_OK;
    if (turn->is_first && lacks_bos(tokenizer, &parts[0]))
        status = cm_token_list_put(ctx, list, tokenizer->bos);
    if (status == CALMOE_OK)
        status = cm_tokenize_parts(ctx, tokenizer, texts, n, TOKENIZE_SPARE_SPACE, list);
    if (status != CALMOE_OK) list->n = n_before;
    return status;
}

/* ---- answers ---- */

struct answer {
    char   *text;     /* (n) what ask opens of it, and its tokens                             */
    size_t  n, n_opened;
    size_t  n_led_by; /* bytes of it that the format itself writes there in history          */
    size_t *ends;     /* (n_tokens) where each token's bytes end                              */
};

/* What long says beyond a beginning of short, "" where it does not begin so. */
static const char *beyond(const char *long_text, const char *short_text)
{
    const size_t n = strlen(short_text);
    return strncmp(long_text, short_text, n) ? "" : long_text + n;
}

static calmoe_status read_answer(struct calmoe_context *ctx, const struct chat_format *format,
                                 const struct tokenizer *tokenizer, const int32_t *tokens, int n_tokens,
                                 struct answer *answer)
{
    const char *opened = beyond(format->ask, format->answer), *led_by = beyond(format->answer, format->ask);
    size_t      n = answer->n_opened = strlen(opened);
    int         n_bytes;
    for (int i = 0; i < n_tokens; i++) {
        cm_token_bytes(tokenizer, tokens[i], true, &n_bytes);
        n += (size_t)n_bytes;
    }
    answer->text = cm_alloc(ctx, n, 1, "an answer");
    answer->ends = answer->text ? cm_alloc(ctx, (size_t)n_tokens, sizeof *answer->ends, "an answer") : NULL;
    if (!answer->ends) return CALMOE_NO_MEMORY;
    memcpy(answer->text, opened, answer->n_opened);
    answer->n = answer->n_opened;
    for (int i = 0; i < n_tokens; i++) {
        const char *bytes = cm_token_bytes(tokenizer, tokens[i], true, &n_bytes);
        memcpy(answer->text + answer->n, bytes, (size_t)n_bytes);
        answer->n += (size_t)n_bytes;
        answer->ends[i] = answer->n;
    }
    if (answer->n >= strlen(led_by) && !memcmp(answer->text, led_by, strlen(led_by)))
        answer->n_led_by = strlen(led_by);
    return CALMOE_OK;
}

/* Whether answer and what is kept say the same as ask and the tokens did. */
static bool reads_the_same(const struct chat_format *format, const struct answer *answer, size_t begin, size_t end)
{
    const char  *pieces[4] = { format->answer, answer->text + begin, format->ask, answer->text + answer->n_opened };
    const size_t sizes[4] = { strlen(format->answer), end - begin, strlen(format->ask), answer->n - answer->n_opened };
    if (sizes[0] + sizes[1] != sizes[2] + sizes[3]) return false;
    for (size_t i = 0; i < sizes[0] + sizes[1]; i++) {
        const char kept = i < sizes[0] ? pieces[0][i] : pieces[1][i - sizes[0]];
        const char fed = i < sizes[2] ? pieces[2][i] : pieces[3][i - sizes[2]];
        if (kept != fed) return false;
    }
    return true;
}

/* Tokens that lie in [begin, end) whole stay as they are; what is left of those that are cut is tokenized as text. */
static calmoe_status keep(struct calmoe_context *ctx, const struct tokenizer *tokenizer, const struct answer *answer,
                          const int32_t *tokens, int n_tokens, size_t begin, size_t end, struct token_list *list)
{
    const size_t opened_end = answer->n_opened < end ? answer->n_opened : end;
    size_t       token_begin = answer->n_opened;
    if (begin < opened_end)
        CM_TRY(cm_tokenize(ctx, tokenizer, answer->text + begin, opened_end - begin, TOKENIZE_PARSE_SPECIAL, list));
    for (int i = 0; i < n_tokens; i++) {
        const size_t token_end = answer->ends[i];
        const size_t from = token_begin > begin ? token_begin : begin, to = token_end < end ? token_end : end;
        if (from == token_begin && to == token_end)
            CM_TRY(cm_token_list_put(ctx, list, tokens[i]));
        else if (from < to)
            CM_TRY(cm_tokenize(ctx, tokenizer, answer->text + from, to - from, 0, list));
        token_begin = token_end;
    }
    return CALMOE_OK;
}

calmoe_status cm_chat_answer(struct calmoe_context *ctx, const struct chat_format *format,
                             const struct tokenizer *tokenizer, const int32_t *tokens, int n, struct token_list *list,
                             bool *differs)
{
    const int     n_before = list->n;
    struct answer answer = { NULL, 0, 0, 0, NULL };
    size_t        begin, end;
    calmoe_status status = read_answer(ctx, format, tokenizer, tokens, n, &answer);
    if (status == CALMOE_OK) {
        cm_chat_answer_bounds(format, answer.text + answer.n_led_by, answer.n - answer.n_led_by, &begin, &end);
        begin += answer.n_led_by;
        end += answer.n_led_by;
        *differs = !reads_the_same(format, &answer, begin, end);
        status = keep(ctx, tokenizer, &answer, tokens, n, begin, end, list);
    }
    if (status != CALMOE_OK) list->n = n_before;
    cm_free(answer.text);
    cm_free(answer.ends);
    return status;
}
