/* tools/prompt_set.c - see prompt_set.h. */
#include "tools/prompt_set.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tools/json_lines.h"

enum { BYTES_PER_TOKEN = 16, LINE_WITHIN = 512 };

struct piece { /* offsets into tokens */
    size_t prompt, answer;
    int    n_prompt, n_answer; /* n_answer -1: no reference */
};

/* Appends the text's tokens; *n becomes their number. */
static bool append_tokens(struct prompt_set *set, const char *text, size_t n_bytes, unsigned flags, size_t *n)
{
    const struct front *front = set->front;
    calmoe_status status = calmoe_tokenize(front->context, front->model, text, n_bytes, flags, NULL, 0, n);
    if (status != CALMOE_OK && status != CALMOE_FULL) return cm_front_succeeded(front, status);
    int32_t *ids = malloc((*n + 1) * sizeof *ids);
    if (ids == NULL) {
        cm_say("no memory for %zu tokens", *n);
        return false;
    }
    status = calmoe_tokenize(front->context, front->model, text, n_bytes, flags, ids, *n, n);
    const bool is_fine =
        cm_front_succeeded(front, status) && cm_bytes_append(&set->tokens, ids, *n * sizeof *ids);
    free(ids);
    return is_fine;
}

static bool append_piece(struct prompt_set *set, const struct piece *piece)
{
    set->n_of[set->n_files]++;
    return cm_bytes_append(&set->pieces, piece, sizeof *piece);
}

/* ---- texts ---- */

/* Where the next prompt begins: after the next empty line if one is near, else after the next line end if one is
 * near. */
static size_t next_begin(const char *text, size_t n_bytes, size_t at)
{
    const size_t      n_near = n_bytes - at < LINE_WITHIN ? n_bytes - at : LINE_WITHIN;
    const char *const near   = text + at;
    const char       *line   = memchr(near, '\n', n_near);
    for (const char *end = line; end != NULL; end = memchr(end + 1, '\n', n_near - (size_t)(end + 1 - near)))
        if ((size_t)(end + 1 - near) < n_near && end[1] == '\n') {
            at = (size_t)(end + 1 - text);
            while (at < n_bytes && text[at] == '\n') at++;
            return at;
        }
    if (line != NULL) return (size_t)(line + 1 - text);
    while (at < n_bytes && ((unsigned char)text[at] & 0xC0) == 0x80) at++; /* to the beginning of a character */
    return at;
}

/* The number of bytes of the text that n_cut tokens from `first` on stand for. */
static size_t bytes_of(const struct prompt_set *set, size_t first)
{
    const int32_t *const ids = (const int32_t *)(const void *)set->tokens.at + first;
    size_t               sum = 0, n;
    for (int i = 0; i < set->n_cut; i++) {
        (void)calmoe_token_bytes(set->front->model, ids[i], 0, &n);
        sum += n;
    }
    return sum;
}

static bool cut_text(struct prompt_set *set, const char *text, size_t n_bytes)
{
    for (size_t at = 0, window = (size_t)set->n_cut * BYTES_PER_TOKEN; at < n_bytes;) {
        const size_t first = set->tokens.n / sizeof(int32_t), n_window = n_bytes - at < window ? n_bytes - at : window;
        size_t       n_tokens;
        if (!append_tokens(set, text + at, n_window, CALMOE_TOKENIZE_BOS, &n_tokens)) return false;
        const bool is_long = n_tokens >= (size_t)set->n_cut + 2; /* the end of the window may have split a token */
        set->tokens.n = (first + (is_long ? (size_t)set->n_cut : 0)) * sizeof(int32_t);
        if (!is_long && n_window == n_bytes - at) return true;
        if (!is_long) {
            window *= 2;
            continue;
        }
        const struct piece piece = {first, 0, set->n_cut, -1};
        if (!append_piece(set, &piece)) return false;
        const size_t n_used = bytes_of(set, first);
        at = next_begin(text, n_bytes, at + (n_used > 0 && n_used < n_window ? n_used : n_window));
    }
    return true;
}

/* ---- JSON lines ---- */

static bool see_line(void *user, const struct json_line *line)
{
    struct prompt_set *set   = user;
    struct piece       piece = {.prompt = set->tokens.n / sizeof(int32_t), .n_answer = -1};
    size_t             n;
    if (line->text != NULL) return cut_text(set, line->text, line->n_text);
    if (!append_tokens(set, line->prompt, line->n_prompt, CALMOE_TOKENIZE_BOS | CALMOE_TOKENIZE_SPECIAL, &n))
        return false;
    piece.n_prompt = n < INT_MAX ? (int)n : INT_MAX;
    if (line->answer != NULL) {
        piece.answer = set->tokens.n / sizeof(int32_t);
        if (!append_tokens(set, line->answer, line->n_answer, CALMOE_TOKENIZE_SPECIAL, &n)) return false;
        piece.n_answer = n < INT_MAX ? (int)n : INT_MAX;
    }
    return append_piece(set, &piece);
}

bool cm_prompt_set_add(struct prompt_set *set, const char *path)
{
    struct bytes text = {0};
    const size_t n    = strlen(path);
    if (set->n_files == PROMPT_SET_FILES) {
        cm_say("more than %d files", PROMPT_SET_FILES);
        return false;
    }
    bool is_fine = cm_bytes_read_file(&text, path);
    if (is_fine && n > 6 && strcmp(path + n - 6, ".jsonl") == 0)
        is_fine = cm_json_lines(path, text.at != NULL ? text.at : "", text.n, see_line, set);
    else if (is_fine) is_fine = cut_text(set, text.at, text.n);
    if (is_fine && set->n_of[set->n_files] == 0) cm_say("'%s' has no prompt: no %d tokens on end", path, set->n_cut);
    set->n_files++;
    cm_bytes_close(&text);
    return is_fine;
}

/* ---- choosing ---- */

bool cm_prompt_set_choose(struct prompt_set *set, int n_most)
{
    const struct piece *const pieces = (const struct piece *)(const void *)set->pieces.at;
    const int32_t *const      tokens = (const int32_t *)(const void *)set->tokens.at;
    const size_t              n_all  = set->pieces.n / sizeof *pieces;
    size_t                    first[PROMPT_SET_FILES] = {0};
    for (int i = 1; i < set->n_files; i++) first[i] = first[i - 1] + set->n_of[i - 1];
    const size_t n_wanted = n_most > 0 && (size_t)n_most < n_all ? (size_t)n_most : n_all;
    set->prompts = malloc((n_wanted + 1) * sizeof *set->prompts);
    if (n_all == 0 || set->prompts == NULL) {
        cm_say(n_all == 0 ? "there are no prompts" : "no memory for prompts");
        return false;
    }
    size_t n_taken[PROMPT_SET_FILES] = {0};
    for (size_t n = 0; n < n_wanted;)
        for (int i = 0; i < set->n_files && n < n_wanted; i++)
            if (n_taken[i] < set->n_of[i]) n_taken[i]++, n++;
    for (int i = 0; i < set->n_files; i++)
        for (size_t j = 0; j < n_taken[i]; j++) { /* spread over the whole file */
            const struct piece *piece = &pieces[first[i] + j * set->n_of[i] / n_taken[i]];
            set->prompts[set->n_prompts++] =
                (calmoe_prompt){tokens + piece->prompt, piece->n_prompt,
                                piece->n_answer < 0 ? NULL : tokens + piece->answer, piece->n_answer};
        }
    return true;
}

void cm_prompt_set_close(struct prompt_set *set)
{
    cm_bytes_close(&set->tokens);
    cm_bytes_close(&set->pieces);
    free(set->prompts);
    memset(set, 0, sizeof *set);
}
