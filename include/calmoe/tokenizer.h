/* calmoe/tokenizer.h - text to token ids and back, with a model's vocabulary. */
#ifndef CALMOE_TOKENIZER_H
#define CALMOE_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CALMOE_TOKENIZE_BOS     = 1, /* begin with BOS (end with EOS) where the file says so              */
    CALMOE_TOKENIZE_SPECIAL = 2  /* control tokens such as <|im_start|> are cut out of the text; without it
                                    they are plain text                                               */
};

/* Encodes text[0 .. n_bytes); any bytes are accepted. Where the model's own tokenizer does so (Qwen, OLMoE), the
 * text is first brought into Unicode's normalisation form C: a letter and an accent apart give the tokens of the
 * letter with the accent, and tokens decode to that. *n_tokens gets the number of tokens; at most
 * capacity of them are written to tokens. FULL when they did not fit (call again with more room).
 * context: where the sentence of a failure goes; may be NULL. */
CALMOE_API calmoe_status calmoe_tokenize(calmoe_context *context, const calmoe_model *model,
                                         const char *text, size_t n_bytes, unsigned flags,
                                         int32_t *tokens, size_t capacity, size_t *n_tokens);

/* The bytes of one token: *n_bytes of them, borrowed until the model is closed, not NUL-terminated,
 * possibly half a character; 0 bytes for control tokens (unless show_special) and ids out of range. */
CALMOE_API const char *calmoe_token_bytes(const calmoe_model *model, int32_t token, int show_special,
                                          size_t *n_bytes);
/* 1 when the token ends an answer (end of sequence, end of turn). */
CALMOE_API int calmoe_token_ends(const calmoe_model *model, int32_t token);

/* Tokens in, text out: whole UTF-8 characters, never half of one. */
typedef struct calmoe_text_stream {
    unsigned char state[32]; /* zero it to begin */
} calmoe_text_stream;

/* Writes a NUL-terminated text (often "") into text. n_text: 4 * the token's bytes + 64 is always enough,
 * and 1024 is for any token of up to 240 bytes; FULL otherwise, and nothing changes.
 * token -1: the end; gives what was still pending as U+FFFD. */
CALMOE_API calmoe_status calmoe_text_stream_put(const calmoe_model *model, calmoe_text_stream *stream, int32_t token,
                                                char *text, size_t n_text);

#ifdef __cplusplus
}
#endif
#endif
