/* runtime/adapters/adapter.h - an adapter as data: which tensors of a model it changes, and by what. Read from a file
 * as other programs write it, or from a folder of Hugging Face's PEFT; the rest of the runtime sees only this.
 *
 * Every pair says: these rows of the tensor W act as if B A, times scale, were added to them. A prefix says what
 * attention finds before the first token. */
#ifndef RUNTIME_ADAPTERS_ADAPTER_H
#define RUNTIME_ADAPTERS_ADAPTER_H

#include "runtime/families/model_spec.h"
#include "runtime/load/model_file.h"

enum { ADAPTER_MAX_PAIRS = 1 << 20, ADAPTER_MAX_POSITIONS = 1 << 20 /* of a prefix */ };

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

/* Trained keys and values of positions before a sequence (prefix tuning: Li and Liang, 2021; in each layer: P-tuning
 * v2, Liu et al., 2021). All layers attend, with heads of one size and number. */
struct adapter_prefix {
    int    n_positions; /* 0: there is none                                              */
    int    n_layers, n_heads, head_size;
    float *numbers;     /* (n_positions, n_layers, 2, n_heads, head_size): keys as attention reads them, values */
};

static inline size_t cm_prefix_n_floats(const struct adapter_prefix *prefix) /* of one position */
{
    return (size_t)prefix->n_layers * 2 * (size_t)prefix->n_heads * (size_t)prefix->head_size;
}

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

/* What an adapter is for. */
struct adapter_model {
    const struct model_file *file;
    const struct model_spec *spec;
    const char              *path; /* for messages */
};

/* A file or a folder; *out is closed by the caller. IO, BAD_FILE, NO_MEMORY; INVALID_ARGUMENT: it is for another model;
 * UNSUPPORTED: it wants more than is added to products. */
calmoe_status cm_adapter_open(struct calmoe_context *ctx, const struct adapter_model *model, const char *path,
                              struct adapter **out);
void          cm_adapter_close(struct adapter **adapter); /* NULL inside is fine */

#endif
