/* experts/exchange.h - what ranks compute of a step comes together: rows of float32, of which each rank has some
 * columns. Only finished values travel, never a sum, so each has the bits that one process alone gives it.
 *
 * Rows that only quantized products read travel as these read them: of blocks that lie whole in a rank's columns, codes
 * and scales, a quarter of the bytes. A block that ranks have parts of travels as floats, and each rank quantizes it
 * then. Quantizing looks at one block and gives the same codes wherever it is done. */
#ifndef EXPERTS_EXCHANGE_H
#define EXPERTS_EXCHANGE_H

#include "base/team.h"
#include "experts/placement.h"
#include "kernels/vector_ops.h"

struct exchange {                /* of an engine; all ranks' have seen the same exchanges           */
    struct calmoe_context    *ctx;
    struct ranks             *ranks;
    const struct rank_shares *shares;
    const struct vector_ops  *ops;
    size_t                    capacity;       /* bytes that an exchange may have, of all ranks       */
    uint8_t                  *sent, *received; /* (capacity) each                                    */
    uint32_t                  n_exchanges;
    /* Whether the step at hand goes on is one decision: what one rank wants is known to all behind the next exchange.
     * Written by the one worker that exchanges. */
    bool                      wants_stop;     /* by this rank                                        */
    bool                      has_failed;     /* something of the step, on this rank                 */
    bool                      is_stopped;     /* by any, or failed on any                            */
    int                       failed_rank;    /* the first on which something failed; -1 = none      */
    calmoe_status             failure;        /* of an exchange: then the context has the sentence   */
};

/* Before a step. */
static inline void cm_exchange_begin_step(struct exchange *exchange)
{
    exchange->wants_stop = exchange->has_failed = exchange->is_stopped = false;
    exchange->failed_rank = -1;
}

/* Columns 0 … n_units * unit of rows, in units that ranks share in multiples of quantum: kv heads, or single columns
 * in the multiples in which matrices are cut. */
struct exchange_piece {
    float *values; /* (rows, n_units * unit) */
    int    n_rows, n_units, unit, quantum;
    const int32_t *rows; /* (n_rows): which of them; NULL = the first                       */
    int    n_columns;    /* columns below this one alone are wanted; 0 = all                */
    bool   is_input;     /* a matrix product reads the rows, and nothing else               */
    int    block;        /* of the one form that it reads, 32 or 256; 0: it travels as floats */
    struct activations *input; /* that values belong to, where is_input                     */
    unsigned            kinds; /* of input, that the product reads                          */
};

/* Columns of a block of the form that products of these kinds read; 0: they read floats, or several forms. */
static inline int cm_block_of_kinds(unsigned kinds)
{
    return kinds == cm_kind_bit(ACTIVATION_Q32) ? 32 : kinds == cm_kind_bit(ACTIVATION_Q256) ? 256 : 0;
}

static inline struct exchange_piece cm_as_input(struct exchange_piece piece)
{
    piece.is_input = true;
    return piece;
}

/* The rows of an input are read by products of these kinds, and by nothing else; with floats: by adapters' as well. */
static inline struct exchange_piece cm_input_piece(struct exchange_piece piece, struct activations *input,
                                                   unsigned kinds, bool with_floats)
{
    piece.is_input = true;
    piece.block = with_floats ? 0 : cm_block_of_kinds(kinds);
    piece.input = input;
    piece.kinds = kinds;
    return piece;
}

/* A matrix's output: n columns. */
static inline struct exchange_piece cm_columns_piece(float *values, int n_rows, int n)
{
    return (struct exchange_piece){.values = values, .n_rows = n_rows, .n_units = n, .unit = 1,
                                   .quantum = CM_SLICE_QUANTUM};
}

/* What heads give, n_heads times `size` columns. */
static inline struct exchange_piece cm_heads_piece(float *values, int n_rows, int n_heads, int size)
{
    return (struct exchange_piece){.values = values, .n_rows = n_rows, .n_units = n_heads, .unit = size, .quantum = 1};
}

/* most_floats: of all ranks together, in any exchange. */
calmoe_status cm_exchange_open(struct calmoe_context *ctx, struct ranks *ranks, const struct rank_shares *shares,
                               enum isa isa, size_t most_floats, struct exchange **out);
void          cm_exchange_close(struct exchange **exchange); /* NULL inside is fine */

/* By all workers, as a barrier: the worker that comes last fills in what other ranks have of all pieces. */
void cm_exchange_meet(struct exchange *exchange, const struct exchange_piece *pieces, int n_pieces,
                      const struct worker *me);
/* The same of pieces that may be larger than an exchange, in as many of these as it takes, one row at least in each;
 * where `to` is not -1, for that rank alone. Where there is nothing it is a barrier. */
void cm_exchange_meet_in_parts(struct exchange *exchange, const struct exchange_piece *pieces, int n_pieces, int to,
                               const struct worker *me);

/* Rows that are each whole on one rank, of which every rank wants the columns that are its own. */
struct exchange_deal {
    float  *values;    /* (rows[n_ranks], n_columns)                                          */
    int     n_columns; /* in the multiples in which matrices are cut                          */
    int32_t rows[CM_MAX_RANKS + 1]; /* rank r has rows[r] … rows[r + 1]                       */
};
/* By all workers, as a barrier, in one exchange: this rank's columns of other ranks' rows are filled in. */
void     cm_exchange_deal(struct exchange *exchange, const struct exchange_deal *deal, const struct worker *me);
uint64_t cm_exchange_deal_bytes(const struct rank_shares *shares, const struct exchange_deal *deal, int to); /* pure */

struct exchange_words { /* that only rank 0 has */
    void  *at;
    size_t n_bytes;
};
/* By all workers, as a barrier, in one exchange: the others get what rank 0 has, less than an exchange may have. */
void cm_exchange_tell(struct exchange *exchange, const struct exchange_words *words, int n, const struct worker *me);

/* Behind a meeting, by any worker: a row of an input is quantized as far as it did not come so. */
void cm_exchange_quantize(const struct exchange *exchange, const struct exchange_piece *piece, int row);

/* Bytes that rank `to` receives in such an exchange, of the second kind too: what is counted. Pure. */
uint64_t cm_exchange_bytes(const struct rank_shares *shares, const struct exchange_piece *pieces, int n_pieces, int to);
int      cm_exchange_rows_at_once(const struct exchange_piece *piece, size_t capacity); /* of the second kind */

#endif
