/* runtime/adapters/adapter.h - an adapter as data: which tensors of a model it changes, and by what; or keys and values
 * that attention finds before the first token (adapter_prefix.h). Where it comes from: adapter_reader.h.
 *
 * Every pair says: these rows of the tensor W act as if B A, times scale, were added to them. */
#ifndef RUNTIME_ADAPTERS_ADAPTER_H
#define RUNTIME_ADAPTERS_ADAPTER_H

#include "runtime/adapters/adapter_prefix.h"
#include "runtime/load/model_file.h"

enum { ADAPTER_MAX_PAIRS = 1 << 20 };

struct adapter_pair {
    const struct file_tensor *target;       /* the model's tensor                                                */
    bool                      is_embedding; /* rows that tokens read; else a matrix that something is multiplied by,
                                               which the embedding may be, too, where it serves as output       */
    int                       slice;        /* which matrix of a stack (shape[2]); -1 = each of them             */
    int                       first_row, n_rows; /* of the matrix, that B has rows for                           */
    int                       rank;
    float                     scale;        /* alpha / rank, or whatever the adapter says                        */
    float                    *a;            /* (rank, columns); of the embedding (n_vocab, rank)                 */
    float                    *b;            /* (n_rows, rank); of the embedding (dim, rank)                      */
};

struct adapter {
    const char          *kind;  /* "gguf" or "peft"; static            */
    char                *name;  /* as the file calls it; "" = it does not */
    int                  n_pairs, capacity;
    struct adapter_pair *pairs;
    struct adapter_prefix prefix;
    int                  rank;  /* the largest                         */
    float                alpha; /* 0 = the file names none, or several */
    uint64_t             n_parameters;
    char                 fingerprint[17]; /* of what it adds where     */
};

void cm_adapter_close(struct adapter **adapter); /* NULL inside is fine */

#endif
