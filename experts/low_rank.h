/* experts/low_rank.h - what adapters (LoRA: Hu et al., 2021) add to products of weight matrices, for some rows only:
 *
 *     y = W x   becomes   y = W x + scale B (A x),   A (rank, columns), B (rows, rank), all in float32.
 *
 * Each element of A x is one lane's sum over ascending columns (kernels/linear.h), each of B (A x) one fmaf chain over
 * ascending ranks that begins at 0, and y takes it in by one fmaf. Sets are added in their order, which does not depend
 * on who is in the step; so a row's bits depend on the row and on the sets that it uses, and on nothing else. The
 * weights of W are not touched. */
#ifndef EXPERTS_LOW_RANK_H
#define EXPERTS_LOW_RANK_H

#include <stdint.h>

#include "kernels/linear.h"
#include "kernels/vector_ops.h"

enum { LOW_RANK_MOST = 4096 }; /* a larger rank is no low one */

/* Of one packed matrix W, or of some of its rows. */
struct low_rank {
    struct matrix          a;         /* (rank, columns), packed, near W                                   */
    const float           *b;         /* (rank, n_rows): B column by column                                */
    int                    first_row; /* B's first row is this one of W's                                  */
    int                    n_rows;
    float                  scale;     /* the adapter's own, such as alpha / rank                           */
    const struct low_rank *next;      /* one more of the same matrix; NULL = it was the last               */
};

/* Of the embedding: the row of a token becomes row + scale B A_token. */
struct low_rank_embedding {
    int          rank; /* 0: nothing is added        */
    const float *a;    /* (n_vocab, rank)            */
    const float *b;    /* (rank, dim)                */
    float        scale;
};

/* All of one adapter, as an engine runs it. */
struct low_rank_set {
    const struct low_rank    **of; /* by matrix.id, for each of the engine's matrices; NULL: nothing is added */
    struct low_rank_embedding  embedding;
};

struct low_rank_use {
    const struct low_rank_set *set;
    float                      scale; /* on the set's own scales */
};

/* What the rows of one sequence use, in the order in which it is added. */
struct low_rank_uses {
    int                        n;
    const struct low_rank_use *uses; /* (n) */
};

/* Who uses what in a step. */
struct low_rank_rows {
    int                                n_sets;
    const struct low_rank_set  *const *sets;   /* (n_sets) all that a row may use, in the order in which they are added */
    const struct low_rank_uses *const *of_row; /* by row; NULL: the row uses none */
};

/* A product that was just computed: y (n, stride) = rows begin … end of W times n rows of x. */
struct low_rank_product {
    const struct matrix      *matrix;
    int                       begin, end;
    const struct activations *x;
    const int32_t            *which; /* (n) rows of x; NULL = the first               */
    const int32_t            *rows;  /* (n) whose they are, as of_row counts; NULL = as which says */
    int                       n;
    float                    *y;
    size_t                    stride;
};

/* y takes in what the rows' sets add. By the worker that computed it. */
void cm_low_rank_add(const struct vector_ops *ops, const struct low_rank_rows *rows,
                     const struct low_rank_product *product);
/* The same for a row (dim) of the embedding. uses may be NULL. */
void cm_low_rank_embed(const struct vector_ops *ops, const struct low_rank_uses *uses, int32_t token, int dim,
                       float *row);

#endif
