/* experts/exchange.h - what ranks compute of a step comes together: rows of float32, of which each rank has some
 * columns. Only finished values travel, never a sum, so each has the bits that one process alone gives it. */
#ifndef EXPERTS_EXCHANGE_H
#define EXPERTS_EXCHANGE_H

#include "base/team.h"
#include "experts/placement.h"

struct exchange {                /* of an engine; all ranks' have seen the same exchanges           */
    struct calmoe_context    *ctx;
    struct ranks             *ranks;
    const struct rank_shares *shares;
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
};

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
                               size_t most_floats, struct exchange **out);
void          cm_exchange_close(struct exchange **exchange); /* NULL inside is fine */

/* By all workers, as a barrier: the worker that comes last fills in what other ranks have of all pieces. */
void cm_exchange_meet(struct exchange *exchange, const struct exchange_piece *pieces, int n_pieces,
                      const struct worker *me);
/* The same of pieces that may be larger than an exchange, in as many of these as it takes, one row at least in each;
 * where `to` is not -1, for that rank alone. Where there is nothing it is a barrier. */
void cm_exchange_meet_in_parts(struct exchange *exchange, const struct exchange_piece *pieces, int n_pieces, int to,
                               const struct worker *me);

/* Bytes that rank `to` receives in such an exchange, of the second kind too: what is counted. Pure. */
uint64_t cm_exchange_bytes(const struct rank_shares *shares, const struct exchange_piece *pieces, int n_pieces, int to);
int      cm_exchange_rows_at_once(const struct exchange_piece *piece, size_t capacity); /* of the second kind */

#endif
