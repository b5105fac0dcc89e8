/* runtime/forward/step_exchanges.h - what a step among several ranks exchanges, told beforehand: a pure function of the
 * model and the ranks' shares. What is counted while steps run is the same (tests/ranks). */
#ifndef RUNTIME_FORWARD_STEP_EXCHANGES_H
#define RUNTIME_FORWARD_STEP_EXCHANGES_H

#include "runtime/families/model_tensors.h"
#include "experts/placement.h"

struct step_exchanges {
    int      n;       /* in a row, each waited for by all, but for those of logits, which rank 0 alone waits for */
    uint64_t n_bytes; /* that a rank receives                                                                    */
    uint64_t n_dealt_bytes; /* of them, in exchanges of what whole experts gave: with all experts used evenly; else they
                               follow the routing (cm_exchange_deal_bytes())                                     */
};

/* Of a step of n_rows rows, n_logits of which want logits, for one of the ranks; every token takes all the experts that
 * it may, and no adapter. tensors: of the model, whose types say in which form rows travel; NULL = as floats. max_rows:
 * of any step of the engine. */
struct step_exchanges cm_step_exchanges(const struct model_spec *spec, const struct model_tensors *tensors,
                                        const struct rank_shares *shares, int max_rows, int n_rows, int n_logits,
                                        int rank);

/* Floats that ranks need room for in the largest exchange of such an engine. */
size_t cm_exchange_floats(const struct model_spec *spec, const struct rank_shares *shares, int max_rows);

#endif
