/* runtime/text/tokenizer.h - text to token ids and back, as a model's file says.
 *
 * Two algorithms: byte-level BPE ("gpt2": a table of pre-tokenizers, PCRE2 in UTF and UCP mode) and
 * SentencePiece-style merging by score ("llama"). Immutable after opening; shareable by threads that
 * each bring their own context. */
#ifndef RUNTIME_TEXT_TOKENIZER_H
#define RUNTIME_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/load/model_file.h"

enum { CM_TOKEN_BYTES = 1024 }; /* the longest text of a token; files with longer ones are refused */

struct tokenizer;

/* UNSUPPORTED for a tokenizer model or pre-tokenizer that is not known, by name. BAD_FILE for holes:
 * missing lists, wrong types, counts that differ … What published files are known to have is a remark in
 * the log: equal texts (the last one counts), merges of texts that are no tokens (ignored), bytes without
 * a token, ids of special tokens that are out of range (the usual token is used instead, or none).
 * Copies what it needs: file may be closed afterwards. */
calmoe_status cm_tokenizer_open(struct calmoe_context *ctx, const struct model_file *file,
                                struct tokenizer **out);
void          cm_tokenizer_close(struct tokenizer **tokenizer);

struct token_list { /* grows; zeroed = empty */
    int32_t *ids;
    int      n;
    int      capacity;
};
void cm_token_list_close(struct token_list *list);

enum { /* flags of cm_tokenize */
    TOKENIZE_ADD_BOS       = 1, /* begin with BOS (and end with EOS) where the file says so         */
    TOKENIZE_PARSE_SPECIAL = 2  /* cut control tokens such as <|im_start|> out of the text; without
                                   it they are plain text. User-defined tokens are always cut.      */
};
/* Appends the ids of text[0 .. n_bytes) to *list. Any bytes are accepted: invalid UTF-8 goes through
 * byte by byte and comes back as it was (bytes that the vocabulary lacks become the unknown token, or
 * nothing). Where the model's own tokenizer normalises (pretokenizer_list.h), text between special tokens
 * is brought into Unicode's form C first, and comes back in it. A BOS that stands in the text itself is not
 * doubled. On failure the list is as it was. */
calmoe_status cm_tokenize(struct calmoe_context *ctx, const struct tokenizer *tokenizer,
                          const char *text, size_t n_bytes, unsigned flags, struct token_list *list);

/* The bytes that token stands for, at most CM_TOKEN_BYTES; *n_bytes 0 for control tokens unless
 * show_special. Borrowed, not NUL-terminated. Token ids out of range give 0 bytes. */
const char *cm_token_bytes(const struct tokenizer *tokenizer, int32_t token, bool show_special,
                           int *n_bytes);

/* Streaming decode: puts tokens in, whole UTF-8 characters come out; never half a one. Bytes that can
 * begin no character come out as U+FFFD. Zeroed = at the beginning of a text; set `started` where the
 * output goes on with one, such as a prompt that was shown as it is. */
struct text_stream {
    unsigned char pending[8];
    int           n_pending;
    bool          started;       /* SPM: no leading space is dropped any more */
};
/* Appends to out (capacity bytes; 4 * the token's bytes + 32 is enough) and returns the number of bytes. */
int cm_text_stream_put(const struct tokenizer *tokenizer, struct text_stream *stream, int32_t token,
                       bool show_special, char *out, int capacity);
/* What is still pending at the end, as U+FFFD. */
int cm_text_stream_end(struct text_stream *stream, char *out, int capacity);

int32_t cm_tokenizer_n_tokens(const struct tokenizer *tokenizer);
bool    cm_token_ends_generation(const struct tokenizer *tokenizer, int32_t token);
/* Whether it is more than its text: control tokens, the unknown one, and those that the model's makers defined. */
bool    cm_token_is_special(const struct tokenizer *tokenizer, int32_t token);
/* False for padding entries and unused ones, which must never be sampled. */
bool    cm_token_is_usable(const struct tokenizer *tokenizer, int32_t token);
int32_t cm_tokenizer_bos(const struct tokenizer *tokenizer); /* -1: none */
int32_t cm_tokenizer_eos(const struct tokenizer *tokenizer); /* -1: none */
bool    cm_tokenizer_adds_bos(const struct tokenizer *tokenizer);
const char *cm_tokenizer_name(const struct tokenizer *tokenizer); /* "bpe/qwen2", "spm" */
/* The id whose text is exactly this (control tokens included), -1: none. */
int32_t cm_tokenizer_find(const struct tokenizer *tokenizer, const char *text);

#endif
