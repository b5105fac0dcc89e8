/* runtime/forward/adapter_weights.h - an adapter as an engine runs it: for each packed matrix that is made of a tensor
 * which the adapter changes, its part of A and B, on the matrix's memory node. */
#ifndef RUNTIME_FORWARD_ADAPTER_WEIGHTS_H
#define RUNTIME_FORWARD_ADAPTER_WEIGHTS_H

#include "experts/low_rank.h"
#include "runtime/adapters/adapter.h"
#include "runtime/forward/weights.h"

struct adapter_weights {
    struct low_rank_set   set;
    struct low_rank      *parts;  /* (n_parts) */
    int                   n_parts;
    struct packed_weights packed;
    float                *embedding; /* what the set's embedding consists of; NULL = nothing */
};

/* weights and machine must outlive it; the adapter is read no more. found (pairs of the adapter): how many rows of each
 * were found among this rank's matrices. INVALID_ARGUMENT: a tensor that the adapter changes is none that products of
 * this model are made of; NO_MEMORY. On failure there is nothing to close. */
calmoe_status cm_adapter_weights_open(const struct machine *machine, const struct weights *weights,
                                      const struct adapter *adapter, uint64_t *found, struct adapter_weights *out);
/* Are all rows there that pairs change? It is looked at there where there is one rank; of several it is asked with what
 * all found together. */
calmoe_status cm_adapter_weights_check(struct calmoe_context *ctx, const struct adapter *adapter,
                                       const uint64_t *found);
void          cm_adapter_weights_close(struct adapter_weights *weights); /* zeroed is fine */

#endif
