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
    CALMOE_TOKENIZE_BOS     = 1, /* add the beginning-of-sequence token, and at the end the end-of-sequence token, if
                                    the file says so                                                  */
    CALMOE_TOKENIZE_SPECIAL = 2  /* control tokens such as <|im_start|> are recognised in the text; without this flag
                                    they are plain text                                               */
};

/* Encodes text[0 .. n_bytes); any bytes are accepted. If the model's own tokenizer does so (Qwen, OLMoE), the text is
 * first brought into Unicode's normalisation form C: a letter followed by a combining accent becomes the accented
 * letter, and that is what the tokens decode to. *n_tokens gets the number of tokens; at most `capacity` of them are
 * written to tokens. FULL when they did not fit: call again with more room. context may be NULL; it gets the sentence
 * of a failure. */
CALMOE_API calmoe_status calmoe_tokenize(calmoe_context *context, const calmoe_model *model,
                                         const char *text, size_t n_bytes, unsigned flags,
                                         int32_t *tokens, size_t capacity, size_t *n_tokens);

/* The *n_bytes bytes of one token, borrowed until the model is closed. They are not NUL-terminated and may be a part of
 * a character. There are 0 bytes for ids out of range, and for control tokens unless show_special is 1. */
CALMOE_API const char *calmoe_token_bytes(const calmoe_model *model, int32_t token, int show_special,
                                          size_t *n_bytes);
/* 1 if the token ends an answer (end of sequence, end of turn). */
CALMOE_API int calmoe_token_ends(const calmoe_model *model, int32_t token);

/* Tokens in, text out: whole UTF-8 characters, never half of one. */
typedef struct calmoe_text_stream {
    unsigned char state[32]; /* zero it to begin */
} calmoe_text_stream;

/* Writes the NUL-terminated text (often "") that the token completes into text, which has room for n_text bytes. 4
 * times the token's bytes plus 64 is always enough, and 1024 is for any token of up to 240 bytes; otherwise FULL, and
 * nothing changes. token -1 means the end: an incomplete character becomes U+FFFD. */
CALMOE_API calmoe_status calmoe_text_stream_put(const calmoe_model *model, calmoe_text_stream *stream, int32_t token,
                                                char *text, size_t n_text);

#ifdef __cplusplus
}
#endif
#endif
