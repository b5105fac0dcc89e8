/* Random texts through random tokenizers: what was encoded decodes to what it was, and the ids are those of
 * the plainest merging there is, written here with strings. CALMOE_SEED replays a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/text/nfc.h"
#include "runtime/text/tokenizer_parts.h"
#include "tests/support/toy_tokenizer.h"

enum { MAX_TEXT = 96, N_TEXTS = 200, N_VOCABULARIES = 40 };

static struct random        chance;
static struct toy_tokenizer toy;

static int set_up(void **state)
{
    (void)state;
    const char    *seed = getenv("CALMOE_SEED");
    const uint64_t value = seed ? strtoull(seed, NULL, 10) : 1;
    print_message("CALMOE_SEED=%llu\n", (unsigned long long)value);
    chance = cm_random(value);
    return 0;
}

static struct tokenizer *open_toy(void)
{
    struct calmoe_context ctx = { .message = "" };
    struct tokenizer     *tokenizer;
    const calmoe_status   status = toy_open(&ctx, &toy, &tokenizer);
    if (status != CALMOE_OK) print_message("%s\n", ctx.message);
    assert_int_equal(status, CALMOE_OK);
    return tokenizer;
}

/* At most MAX_TEXT bytes: words, signs of several scripts, special tokens, and bytes that are no text. */
static size_t random_text(char *text, bool is_utf8)
{
    static const char *const parts[] = {
        "hello", " world", "the", " the", "  ", "   ", "\n", "\r\n", "\t", "123", "4", "'s", "'LL", "!", "--", "é",
        "e\xcc\x81", "中", "文 ", "ไทย", "한", "🚀", "\u00a0", "\u3000", "\u200b", "<tool>", "<s>", "<|im_end|>", "A", "Ab",
        "aaaa", "▁", "[PAD9]", "½", "٣", "ſ",
    };
    const size_t n_wanted = cm_random_below(&chance, MAX_TEXT - 16);
    size_t       n = 0;
    while (n < n_wanted) {
        if (!is_utf8 && cm_random_below(&chance, 4) == 0) {
            text[n++] = (char)cm_random_below(&chance, 256);
            continue;
        }
        const char *part = parts[cm_random_below(&chance, sizeof parts / sizeof parts[0])];
        memcpy(text + n, part, strlen(part));
        n += strlen(part);
    }
    return n;
}

/* ---- there and back ---- */

static size_t decode(const struct tokenizer *tokenizer, const struct token_list *list, char *out)
{
    size_t n = 0;
    for (int i = 0; i < list->n; i++) {
        int         n_bytes;
        const char *bytes = cm_token_bytes(tokenizer, list->ids[i], true, &n_bytes);
        assert_true(n + (size_t)n_bytes <= 4 * MAX_TEXT);
        memcpy(out + n, bytes, (size_t)n_bytes);
        n += (size_t)n_bytes;
    }
    return n;
}

/* Where the tokenizer normalises, what comes back is the same text in Unicode's sense: both have one form C. */
static void check_back(const struct pretokenizer_row *row, const char *back, size_t n_back, const char *text, size_t n)
{
    struct nfc one = { .n = 0 }, other = { .n = 0 };
    if (row->nfc) {
        assert_int_equal(cm_nfc(NULL, &one, back, n_back, &back, &n_back), CALMOE_OK);
        assert_int_equal(cm_nfc(NULL, &other, text, n, &text, &n), CALMOE_OK);
    }
    assert_int_equal(n_back, n);
    assert_memory_equal(back, text, n);
    cm_nfc_close(&one);
    cm_nfc_close(&other);
}

static void byte_level_texts_come_back(void **state)
{
    (void)state;
    const struct pretokenizer_row *row;
    for (size_t r = 0; (row = cm_pretokenizer_row_at(r)); r++) {
        if (row->is_plain) continue; /* below */
        toy_bpe(&toy, row->names[0]);
        struct tokenizer *tokenizer = open_toy();
        for (int i = 0; i < N_TEXTS; i++) {
            char              text[MAX_TEXT], back[4 * MAX_TEXT];
            const size_t      n = random_text(text, false);
            const unsigned    flags = cm_random_below(&chance, 2) ? TOKENIZE_PARSE_SPECIAL : 0;
            struct token_list list = { .n = 0 };
            assert_int_equal(cm_tokenize(NULL, tokenizer, text, n, flags, &list), CALMOE_OK);
            check_back(row, back, decode(tokenizer, &list, back), text, n);
            cm_token_list_close(&list);
        }
        cm_tokenizer_close(&tokenizer);
    }
}

/* Plain texts turn U+2581 into a space; all else comes back, through the stream too. */
static void check_plain_texts_come_back(void)
{
    struct tokenizer *tokenizer = open_toy();
    for (int i = 0; i < 10 * N_TEXTS; i++) {
        char               text[MAX_TEXT], streamed[4 * MAX_TEXT];
        size_t             n = random_text(text, true), n_streamed = 0;
        struct token_list  list = { .n = 0 };
        struct text_stream stream = { .n_pending = 0 };
        for (char *at; (at = memmem(text, n, SPM_SPACE, 3));) memcpy(at, "+++", 3);
        /* Behind a user-defined token a space is added, which is no part of the text. */
        for (char *at; (at = memmem(text, n, "<tool>", 6));) memcpy(at, "[tool]", 6);
        assert_int_equal(cm_tokenize(NULL, tokenizer, text, n, 0, &list), CALMOE_OK);
        for (int k = 0; k < list.n; k++)
            n_streamed += (size_t)cm_text_stream_put(tokenizer, &stream, list.ids[k], false, streamed + n_streamed,
                                                     (int)(sizeof streamed - n_streamed));
        assert_int_equal(n_streamed, n);
        assert_memory_equal(streamed, text, n);
        cm_token_list_close(&list);
    }
    cm_tokenizer_close(&tokenizer);
}

static void spm_texts_come_back(void **state)
{
    (void)state;
    toy_spm(&toy);
    check_plain_texts_come_back();
}

static void plain_texts_come_back(void **state)
{
    (void)state;
    toy_plain_bpe(&toy);
    check_plain_texts_come_back();
}

/* ---- the plainest merging ---- */

struct plain { /* one piece, as texts of the vocabulary */
    char symbols[MAX_TEXT * 3][TOY_MAX_TEXT];
    int  n;
};

/* Lower goes first; -1: these two may not be joined. */
typedef double (*order_fn)(const char *left, const char *right);

static double order_of_merge(const char *left, const char *right)
{
    for (int i = 0; i < toy.n_merges; i++) {
        const char  *space = strchr(toy.merges[i] + 1, ' ');
        const size_t n = (size_t)(space - toy.merges[i]);
        if (strlen(left) == n && !memcmp(left, toy.merges[i], n) && !strcmp(space + 1, right)) return i;
    }
    return -1;
}

static double order_of_score(const char *left, const char *right)
{
    char text[2 * TOY_MAX_TEXT];
    snprintf(text, sizeof text, "%s%s", left, right);
    for (int id = toy.n_tokens - 1; id >= 3 + 256; id--)
        if (!strcmp(toy.tokens[id], text) && toy.types[id] == TOKEN_NORMAL) return 1000 - (double)toy.scores[id];
    return -1;
}

static void merge_plainly(struct plain *plain, order_fn order_of)
{
    for (;;) {
        int    best = -1;
        double best_order = 0;
        for (int i = 0; i + 1 < plain->n; i++) {
            const double order = order_of(plain->symbols[i], plain->symbols[i + 1]);
            if (order < 0 || (best >= 0 && order >= best_order)) continue;
            best = i;
            best_order = order;
        }
        if (best < 0) return;
        const size_t n = strlen(plain->symbols[best]), n_right = strlen(plain->symbols[best + 1]);
        assert_true(n + n_right < TOY_MAX_TEXT);
        memcpy(plain->symbols[best] + n, plain->symbols[best + 1], n_right + 1);
        plain->n--;
        for (int i = best + 1; i < plain->n; i++) memcpy(plain->symbols[i], plain->symbols[i + 1], TOY_MAX_TEXT);
    }
}

static void check_plain(const struct plain *plain, const struct token_list *list)
{
    assert_int_equal(list->n, plain->n);
    for (int i = 0; i < list->n; i++) assert_string_equal(toy.tokens[list->ids[i]], plain->symbols[i]);
}

/* A text over a small alphabet, where pairs are many; ' ' stands for space. */
static size_t random_letters(char *text, const char *alphabet)
{
    const size_t n = 1 + cm_random_below(&chance, MAX_TEXT - 1);
    for (size_t i = 0; i < n; i++) text[i] = alphabet[cm_random_below(&chance, strlen(alphabet))];
    return n;
}

static void random_merges_are_done_in_order(void **state)
{
    (void)state;
    static struct plain plain;
    for (int v = 0; v < N_VOCABULARIES; v++) {
        toy_bpe(&toy, "gpt-2"); /* letters only, so a text is one piece */
        toy.n_merges = 0;
        static const char *const letters[] = { "a", "b", "c" };
        int ids[64], n_ids = 0;
        for (int i = 0; i < 3; i++) ids[n_ids++] = toy_id(&toy, letters[i]);
        while (n_ids < 3 + 20) {
            char        text[TOY_MAX_TEXT];
            const char *left = toy.tokens[ids[cm_random_below(&chance, (uint64_t)n_ids)]];
            const char *right = toy.tokens[ids[cm_random_below(&chance, (uint64_t)n_ids)]];
            if (strlen(left) + strlen(right) > 12 || order_of_merge(left, right) >= 0) continue;
            snprintf(text, sizeof text, "%.20s %.20s", left, right);
            memcpy(toy.merges[toy.n_merges++], text, sizeof text);
            snprintf(text, sizeof text, "%.20s%.20s", left, right);
            /* Two merges may make one token, as in published files. */
            const int known = toy_id(&toy, text);
            ids[n_ids++] = known >= 0 ? known : toy_add_token(&toy, text, TOKEN_NORMAL);
        }
        struct tokenizer *tokenizer = open_toy();
        for (int i = 0; i < N_TEXTS / 4; i++) {
            char              text[MAX_TEXT];
            const size_t      n = random_letters(text, "abc");
            struct token_list list = { .n = 0 };
            plain.n = (int)n;
            for (size_t at = 0; at < n; at++) snprintf(plain.symbols[at], TOY_MAX_TEXT, "%c", text[at]);
            merge_plainly(&plain, order_of_merge);
            assert_int_equal(cm_tokenize(NULL, tokenizer, text, n, 0, &list), CALMOE_OK);
            check_plain(&plain, &list);
            cm_token_list_close(&list);
        }
        cm_tokenizer_close(&tokenizer);
    }
}

static void add_random_pieces(bool spaces_inside)
{
    static const char *const letters[] = { "▁", "a", "b", "c" };
    toy_spm(&toy);
    toy.n_tokens = 3 + 256;
    for (int i = 0; i < 4; i++) toy_add_token(&toy, letters[i], TOKEN_NORMAL);
    for (int tries = 0; tries < 40; tries++) {
        char      text[TOY_MAX_TEXT] = "";
        size_t    n = 0;
        const int n_letters = 2 + (int)cm_random_below(&chance, 5);
        for (int i = 0; i < n_letters; i++) {
            const uint64_t letter = cm_random_below(&chance, 4);
            if (letter == 0 && i > 0 && !spaces_inside) continue;
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", letters[letter]);
        }
        if (toy_id(&toy, text) >= 0) continue;
        /* Few different scores, so that many are equal. */
        toy.scores[toy_add_token(&toy, text, TOKEN_NORMAL)] = -(float)cm_random_below(&chance, 6) * 0.5f;
    }
}

static void random_scores_are_followed(void **state)
{
    (void)state;
    static struct plain plain;
    for (int v = 0; v < N_VOCABULARIES; v++) {
        add_random_pieces(v % 2);
        struct tokenizer *tokenizer = open_toy();
        if (v % 2 == 0) assert_true(tokenizer->words_apart);
        for (int i = 0; i < N_TEXTS / 4; i++) {
            char              text[MAX_TEXT];
            const size_t      n = random_letters(text, "abc  ");
            struct token_list list = { .n = 0 };
            plain.n = 0;
            snprintf(plain.symbols[plain.n++], TOY_MAX_TEXT, "▁");
            for (size_t at = 0; at < n; at++)
                snprintf(plain.symbols[plain.n++], TOY_MAX_TEXT, text[at] == ' ' ? "▁" : "%c", text[at]);
            merge_plainly(&plain, order_of_score);
            assert_int_equal(cm_tokenize(NULL, tokenizer, text, n, 0, &list), CALMOE_OK);
            check_plain(&plain, &list);
            cm_token_list_close(&list);
        }
        cm_tokenizer_close(&tokenizer);
    }
}

/* A megabyte that is one piece: n log n, or this test would not end. */
static void long_pieces_take_their_time_only(void **state)
{
    (void)state;
    enum { LONG = 1 << 20 };
    char *text = malloc(LONG);
    assert_non_null(text);
    memset(text, 'a', LONG);
    for (int kind = 0; kind < 2; kind++) {
        kind ? toy_spm(&toy) : toy_bpe(&toy, "qwen2");
        struct tokenizer *tokenizer = open_toy();
        struct token_list list = { .n = 0 };
        assert_int_equal(cm_tokenize(NULL, tokenizer, text, LONG, 0, &list), CALMOE_OK);
        assert_int_equal(list.n, kind ? LONG / 4 + 2 : LONG / 4); /* "▁a", "aaaa" …, "aa", "a" */
        cm_token_list_close(&list);
        cm_tokenizer_close(&tokenizer);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level_texts_come_back),
        cmocka_unit_test(spm_texts_come_back),
        cmocka_unit_test(plain_texts_come_back),
        cmocka_unit_test(random_merges_are_done_in_order),
        cmocka_unit_test(random_scores_are_followed),
        cmocka_unit_test(long_pieces_take_their_time_only),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
