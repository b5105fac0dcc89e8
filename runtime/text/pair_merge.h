/* runtime/text/pair_merge.h - the merging that both tokenizers share: of all neighbours that may be
 * joined, the pair with the lowest order first, the leftmost among equals, until none is left. */
#ifndef RUNTIME_TEXT_PAIR_MERGE_H
#define RUNTIME_TEXT_PAIR_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct tokenizer;

struct symbol { /* a stretch of the text; a chain through the array */
    int32_t  previous, next; /* -1: none                              */
    uint32_t at;             /* byte where it begins                  */
    uint32_t n_bytes;        /* 0: it was joined to the one before    */
    int32_t  id;             /* its token, -1: none                   */
};

struct pair { /* two neighbours that may be joined; entry of a heap */
    uint64_t key;     /* order << 32 | left                             */
    int32_t  right;
    uint32_t n_bytes; /* of both; another sum says that the entry is stale */
    int32_t  id;      /* the token that they make                       */
};

struct pair_work {
    struct symbol *symbols; /* (capacity), of which the caller fills n_symbols: at, n_bytes, id */
    struct pair   *heap;    /* (2 * capacity) */
    int32_t        n_symbols, n_heap, capacity;
};

/* Whether two neighbours may be joined; if so, in which order and to which token. */
typedef bool (*cm_pair_fn)(const struct tokenizer *tokenizer, const char *text, const struct symbol *left,
                           const struct symbol *right, uint32_t *order, int32_t *id);

/* Room for n symbols. What was in the work is lost. */
calmoe_status cm_pair_work_reserve(struct calmoe_context *ctx, struct pair_work *work, size_t n);
void          cm_pair_work_close(struct pair_work *work);

/* O(n log n). Afterwards the chain from symbols[0] is the result. n_symbols > 0. */
void cm_merge_pairs(struct pair_work *work, const struct tokenizer *tokenizer, const char *text,
                    cm_pair_fn may_join);

#endif
