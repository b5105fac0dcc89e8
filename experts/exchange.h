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
    bool                      is_stopped;     /* by any                                              */
    calmoe_status             failure;        /* of an exchange: then the context has the sentence   */
};

/* Columns 0 … n_units * unit of rows, in units that ranks share in multiples of quantum: kv heads, or single columns
 * in the multiples in which matrices are cut. */
struct exchange_piece {
    float *values; /* (n_rows, n_units * unit) */
    int    n_rows, n_units, unit, quantum;
};

/* A matrix's output: n columns. */
static inline struct exchange_piece cm_columns_piece(float *values, int n_rows, int n)
{
    return (struct exchange_piece){values, n_rows, n, 1, CM_SLICE_QUANTUM};
}

/* What heads give, n_heads times `size` columns. */
static inline struct exchange_piece cm_heads_piece(float *values, int n_rows, int n_heads, int size)
{
    return (struct exchange_piece){values, n_rows, n_heads, size, 1};
}

/* most_floats: of all ranks together, in any exchange. */
calmoe_status cm_exchange_open(struct calmoe_context *ctx, struct ranks *ranks, const struct rank_shares *shares,
                               size_t most_floats, struct exchange **out);
void          cm_exchange_close(struct exchange **exchange); /* NULL inside is fine */

/* By all workers, as a barrier: the worker that comes last fills in what other ranks have of all pieces. */
void cm_exchange_meet(struct exchange *exchange, const struct exchange_piece *pieces, int n_pieces,
                      const struct worker *me);
/* The same of one piece, for rank 0 alone, in as many messages as it takes. */
void cm_exchange_meet_at_first(struct exchange *exchange, const struct exchange_piece *piece, const struct worker *me);

/* Bytes that rank `to` receives in such an exchange, and in the second kind rank 0: what is counted. Pure. */
uint64_t cm_exchange_bytes(const struct rank_shares *shares, const struct exchange_piece *pieces, int n_pieces, int to);
int      cm_exchange_rows_at_first(const struct exchange_piece *piece, size_t capacity); /* of one message */

#endif
