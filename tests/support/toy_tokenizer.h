/* tests/support/toy_tokenizer.h - small complete tokenizers, made by code, that tests may bend. */
#ifndef TESTS_SUPPORT_TOY_TOKENIZER_H
#define TESTS_SUPPORT_TOY_TOKENIZER_H

#include "runtime/text/tokenizer.h"
#include "tests/support/gguf_builder.h"

enum { TOY_MAX = 640, TOY_MAX_TEXT = 64 };

struct toy_tokenizer {
    const char *model;  /* "gpt2", "llama", "gemma4"; NULL: the key is left out */
    const char *pre;    /* NULL: the key is left out                  */
    int         n_tokens, n_merges;
    char        tokens[TOY_MAX][TOY_MAX_TEXT];
    int32_t     types[TOY_MAX];
    float       scores[TOY_MAX];
    char        merges[TOY_MAX][TOY_MAX_TEXT];
    int64_t     bos, eos, unknown;           /* -1: the key is left out */
    int         add_bos, add_eos, add_space; /* 0, 1; -1: the key is left out */
    const char *chat_template, *tool_template; /* NULL: the key is left out */
    const char *without;                     /* a key to leave out, whatever the above say */
};

/* Byte-level BPE: ids 0 … 255 are the bytes 33 … 126, 161 … 172, 174 … 255 and then the other 68; then one
 * token for each of some merges; then control tokens (TOY_SPECIALS), user-defined "<tool>" and "  "
 * (two spaces), and one padding row. No BOS is added. */
void toy_bpe(struct toy_tokenizer *toy, const char *pre);
/* SPM: <unk>, <s>, </s>, 256 byte tokens, then normal pieces with falling scores, user-defined "<tool>". */
void toy_spm(struct toy_tokenizer *toy);
/* The texts of the SPM toy merged by a list instead of scores, as Gemma 4's files have it; "\n\n", "<eos>" of type
 * normal, control tokens "<turn|>", "<|tool_response>". No space is added before texts. */
void toy_plain_bpe(struct toy_tokenizer *toy);
int  toy_add_token(struct toy_tokenizer *toy, const char *text, int32_t type); /* its id */
int  toy_id(const struct toy_tokenizer *toy, const char *text);                /* -1: none */

#define TOY_SPECIALS                                                                                \
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<|end|>", "<|user|>",             \
    "<|assistant|>", "<|system|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",         \
    "<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", "<｜User｜>", "<｜Assistant｜>",        \
    "[gMASK]", "<sop>", "<|header_start|>", "<|header_end|>", "<|eot|>", "[INST]", "[/INST]"

/* Adds the toy's keys, as the fields say. */
void toy_write(const struct toy_tokenizer *toy, struct gguf_builder *builder);
/* Opens the tokenizer of a file with these keys. */
calmoe_status toy_open(struct calmoe_context *ctx, const struct toy_tokenizer *toy, struct tokenizer **out);
calmoe_status toy_open_builder(struct calmoe_context *ctx, struct gguf_builder *builder,
                               struct tokenizer **out);

#endif
