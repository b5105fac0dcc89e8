/* runtime/constrain/token_trie.h - a vocabulary's tokens by their bytes, so that what their texts have in common is
 * looked at once. */
#ifndef RUNTIME_CONSTRAIN_TOKEN_TRIE_H
#define RUNTIME_CONSTRAIN_TOKEN_TRIE_H

#include <stdint.h>

#include "runtime/text/tokenizer.h"

struct trie_node {     /* of depth-first order; the root is not among them                       */
    uint32_t end;      /* number of the first node behind this one and all that hang on it       */
    int32_t  token;    /* whose text ends here, -1 = none's; others of that text: token_trie.same */
    uint16_t depth;    /* bytes of the text up to this one                                       */
    uint8_t  byte;
};

struct special_token { /* one that is more than its text, and no part of other texts */
    const char *text;  /* the tokenizer's */
    int32_t     n_bytes;
    int32_t     id;
};

struct token_trie {
    const struct tokenizer *tokenizer;
    int32_t           n_tokens;
    uint32_t          n_nodes;
    struct trie_node *nodes;    /* (n_nodes) of plain tokens                               */
    int32_t          *same;     /* (n_tokens) the next token of the same text, -1 = none   */
    int32_t           n_specials;
    struct special_token *specials; /* (n_specials) control tokens, and user-defined ones that are written like them:
                                       <…>, […]; not those that end answers                  */
    int32_t           n_ends;
    int32_t          *ends;     /* (n_ends) tokens that end an answer */
};

/* Borrows the tokenizer. NO_MEMORY. */
calmoe_status cm_token_trie_open(struct calmoe_context *ctx, const struct tokenizer *tokenizer,
                                 struct token_trie **out);
void          cm_token_trie_close(struct token_trie **trie); /* sets it to NULL; NULL is fine */

#endif
