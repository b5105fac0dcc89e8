/* fuzz_tokenizer.c - any bytes as text, through small tokenizers of each kind.
 *
 * Byte 0 chooses the tokenizer and the flags, the rest is the text. Byte-level ids must decode to the very
 * bytes, or where the tokenizer normalises, to a text with the same form C; streamed output must be valid
 * UTF-8; ids must be in range. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/text/nfc.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/utf8.h"
#include "tests/support/toy_tokenizer.h"

enum { N_KINDS = 8, MAX_TEXT_BYTES = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())

static const char *const pre[N_KINDS - 1] = { /* the last kind is SPM */
    "qwen2", "llama-bpe", "gpt-4o", "deepseek-v3", "deepseek-llm", "exaone-moe", "default"
};

static const struct tokenizer *tokenizer_of_kind(int kind)
{
    static struct toy_tokenizer toy;
    static struct tokenizer    *tokenizers[N_KINDS]; /* for the whole run */
    if (!tokenizers[kind]) {
        kind < N_KINDS - 1 ? toy_bpe(&toy, pre[kind]) : toy_spm(&toy);
        toy.bos = toy_id(&toy, "<s>");
        CHECK(toy_open(NULL, &toy, &tokenizers[kind]) == CALMOE_OK);
    }
    return tokenizers[kind];
}

/* The tokens' bytes one after another are the text. */
static void check_bytes(const struct tokenizer *tokenizer, const struct token_list *list, const char *text,
                        size_t size, bool normalises)
{
    static char back[3 * MAX_TEXT_BYTES]; /* form C is at most three times as long */
    size_t      n_back = 0;
    for (int i = 0; i < list->n; i++) {
        int         n;
        const char *bytes = cm_token_bytes(tokenizer, list->ids[i], true, &n);
        CHECK((size_t)n <= sizeof back - n_back);
        memcpy(back + n_back, bytes, (size_t)n);
        n_back += (size_t)n;
    }
    struct nfc  one = { .n = 0 }, other = { .n = 0 };
    const char *got = back;
    if (normalises) {
        CHECK(cm_nfc(NULL, &one, back, n_back, &got, &n_back) == CALMOE_OK);
        CHECK(cm_nfc(NULL, &other, text, size, &text, &size) == CALMOE_OK);
    }
    CHECK(n_back == size && memcmp(got, text, size) == 0);
    cm_nfc_close(&one);
    cm_nfc_close(&other);
}

static void check_utf8(const char *text, int n)
{
    for (int at = 0; at < n;) {
        const int length = cm_utf8_length(text + at, (size_t)(n - at));
        CHECK(length > 0);
        at += length;
    }
}

static void check_stream(const struct tokenizer *tokenizer, const struct token_list *list, bool show_special)
{
    struct text_stream stream = { .n_pending = 0 };
    char               out[4 * CM_TOKEN_BYTES + 32];
    for (int i = 0; i < list->n; i++)
        check_utf8(out, cm_text_stream_put(tokenizer, &stream, list->ids[i], show_special, out, sizeof out));
    check_utf8(out, cm_text_stream_end(&stream, out, sizeof out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MAX_TEXT_BYTES) return 0;
    const int               kind = data[0] % N_KINDS;
    const unsigned          flags = data[0] / N_KINDS % 4;
    const struct tokenizer *tokenizer = tokenizer_of_kind(kind);
    const char             *text = (const char *)data + 1;
    struct token_list       list = { .n = 0 };
    CHECK(cm_tokenize(NULL, tokenizer, text, size - 1, flags, &list) == CALMOE_OK);
    for (int i = 0; i < list.n; i++)
        CHECK(list.ids[i] >= 0 && list.ids[i] < cm_tokenizer_n_tokens(tokenizer));
    if (kind < N_KINDS - 1 && !(flags & TOKENIZE_ADD_BOS)) check_bytes(tokenizer, &list, text, size - 1, kind == 0);
    check_stream(tokenizer, &list, data[0] / N_KINDS / 4 % 2);
    cm_token_list_close(&list);
    return 0;
}
