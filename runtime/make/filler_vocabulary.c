/* filler_vocabulary.c - see filler_vocabulary.h. */
#include "runtime/make/filler_vocabulary.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { N_BYTES = 256, N_LETTERS = 26, N_PAIRS = N_LETTERS * N_LETTERS, END_TOKEN = N_BYTES };
enum { TEXT_BYTES = 16 }; /* of a token or merge, with the NUL; the end token's 13 are the longest */
enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3 };

/* Byte-level BPE writes a byte as a printable character: itself where it is one in Latin-1, else the next of
 * U+0100 …; `n_hidden` counts those. Two bytes of UTF-8 at most. */
static int write_byte(int byte, int *n_hidden, char *out)
{
    const bool is_shown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int  point = is_shown ? byte : 256 + (*n_hidden)++;
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    out[0] = (char)(0xC0 | point >> 6);
    out[1] = (char)(0x80 | (point & 63));
    return 2;
}

static void write_tokens(struct filler_vocabulary *v)
{
    int n_hidden = 0;
    for (int id = 0; id < v->n_tokens; id++) {
        char     *text = v->text + (size_t)id * TEXT_BYTES;
        const int pair = id - END_TOKEN - 1;
        int       n;
        if (id < N_BYTES) n = write_byte(id, &n_hidden, text);
        else if (id == END_TOKEN) n = snprintf(text, TEXT_BYTES, "<|endoftext|>");
        else if (pair < N_PAIRS) n = snprintf(text, TEXT_BYTES, "%c%c", 'a' + pair / N_LETTERS, 'a' + pair % N_LETTERS);
        else n = snprintf(text, TEXT_BYTES, "tok%d", id);
        v->tokens[id] = (struct meta_string){text, (uint64_t)n};
        v->types[id] = id == END_TOKEN ? TYPE_CONTROL : TYPE_NORMAL;
    }
}

static void write_merges(struct filler_vocabulary *v)
{
    for (int pair = 0; pair < v->n_merges; pair++) {
        char     *text = v->text + ((size_t)v->n_tokens + (size_t)pair) * TEXT_BYTES;
        const int n = snprintf(text, TEXT_BYTES, "%c %c", 'a' + pair / N_LETTERS, 'a' + pair % N_LETTERS);
        v->merges[pair] = (struct meta_string){text, (uint64_t)n};
    }
}

calmoe_status cm_filler_vocabulary_open(struct calmoe_context *ctx, int n_tokens, struct filler_vocabulary *out)
{
    const int    n_room = n_tokens - FILLER_MIN_TOKENS, n_merges = n_room < N_PAIRS ? n_room : N_PAIRS;
    const size_t n = (size_t)n_tokens, m = (size_t)n_merges;
    *out = (struct filler_vocabulary){.n_tokens = n_tokens, .n_merges = n_merges};
    out->text = cm_alloc(ctx, n + m, TEXT_BYTES, "a vocabulary");
    out->tokens = cm_alloc(ctx, n, sizeof *out->tokens, "a vocabulary");
    out->types = cm_alloc(ctx, n, sizeof *out->types, "a vocabulary");
    out->merges = cm_alloc(ctx, m, sizeof *out->merges, "a vocabulary");
    if (!out->text || !out->tokens || !out->types || !out->merges) {
        cm_filler_vocabulary_close(out);
        return CALMOE_NO_MEMORY;
    }
    write_tokens(out);
    write_merges(out);
    return CALMOE_OK;
}

void cm_filler_vocabulary_close(struct filler_vocabulary *vocabulary)
{
    cm_free(vocabulary->text);
    cm_free(vocabulary->tokens);
    cm_free(vocabulary->types);
    cm_free(vocabulary->merges);
    *vocabulary = (struct filler_vocabulary){0};
}

void cm_filler_vocabulary_describe(const struct filler_vocabulary *v, struct meta_draft *draft)
{
    cm_meta_draft_text(draft, "tokenizer.ggml.model", "gpt2");
    cm_meta_draft_text(draft, "tokenizer.ggml.pre", "gpt-2");
    cm_meta_draft_texts(draft, "tokenizer.ggml.tokens", v->tokens, (uint64_t)v->n_tokens);
    cm_meta_draft_i32s(draft, "tokenizer.ggml.token_type", v->types, (uint64_t)v->n_tokens);
    cm_meta_draft_texts(draft, "tokenizer.ggml.merges", v->merges, (uint64_t)v->n_merges);
    cm_meta_draft_u32(draft, "tokenizer.ggml.eos_token_id", END_TOKEN);
    cm_meta_draft_bool(draft, "tokenizer.ggml.add_bos_token", false);
}
