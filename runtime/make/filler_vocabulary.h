/* runtime/make/filler_vocabulary.h - a vocabulary for models that have learned nothing: byte-level BPE with any
 * number of tokens, so that any text can be tokenized and every id has a text. */
#ifndef RUNTIME_MAKE_FILLER_VOCABULARY_H
#define RUNTIME_MAKE_FILLER_VOCABULARY_H

#include "runtime/load/meta_draft.h"

/* The 256 bytes and the end token. */
enum { FILLER_MIN_TOKENS = 257, FILLER_MAX_TOKENS = 1 << 22 };

struct filler_vocabulary {
    int                 n_tokens, n_merges;
    struct meta_string *tokens; /* (n_tokens)                         */
    int32_t            *types;  /* (n_tokens)                         */
    struct meta_string *merges; /* (n_merges)                         */
    char               *text;   /* what tokens and merges point into  */
};

/* Tokens: bytes 0 … 255, "<|endoftext|>" (256), pairs of small letters with their merges as far as there is
 * room, then "tok933", …. NO_MEMORY. */
calmoe_status cm_filler_vocabulary_open(struct calmoe_context *ctx, int n_tokens, struct filler_vocabulary *out);
void          cm_filler_vocabulary_close(struct filler_vocabulary *vocabulary); /* zeroed is fine */
/* The tokenizer's entries; the vocabulary must live until the file is written. */
void          cm_filler_vocabulary_describe(const struct filler_vocabulary *vocabulary, struct meta_draft *draft);

#endif
