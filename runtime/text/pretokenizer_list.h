/* runtime/text/pretokenizer_list.h - the pre-tokenizers of published models, one row each: the regular
 * expressions that cut text into pieces before byte pairs are merged inside each piece. */
#ifndef RUNTIME_TEXT_PRETOKENIZER_LIST_H
#define RUNTIME_TEXT_PRETOKENIZER_LIST_H

#include <stdbool.h>
#include <stddef.h>

enum { PRETOKENIZER_MAX_STAGES = 6, PRETOKENIZER_MAX_NAMES = 16 };

struct pretokenizer_row {
    const char *names[PRETOKENIZER_MAX_NAMES];   /* what `tokenizer.ggml.pre` may say; ends with NULL   */
    const char *stages[PRETOKENIZER_MAX_STAGES]; /* PCRE2 patterns, see below; ends with NULL           */
    bool ignore_merges;    /* a piece that is a token as a whole is that token                          */
    bool add_bos;          /* the default where the file does not say                                   */
    bool always_bos;       /* whatever the file says                                                    */
    bool no_bos;           /* no BOS token where the file names none                                    */
    bool nfc;              /* text is brought into normalisation form C first; files have no field for it */
    bool is_plain;         /* tokens are plain texts, not bytes as printable characters: tokenizer_parts.h */
    bool merges_may_lack;  /* then the pair whose merged token has the lowest id goes first (tiktoken)  */
};
/* Stage n cuts inside each piece that stage n - 1 left: its matches become pieces, and so do the gaps
 * between them. No pattern matches the empty string. Each pattern needs time linear in the text. */

/* The row that has this name, or NULL. */
const struct pretokenizer_row *cm_pretokenizer_row(const char *name, size_t n_bytes);
/* Row i of the table, NULL behind the last. */
const struct pretokenizer_row *cm_pretokenizer_row_at(size_t i);

#endif
