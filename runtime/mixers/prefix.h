/* runtime/mixers/prefix.h - keys and values that were trained beside a model (prefix tuning) stand in a sequence's
 * cache before its first position. */
#ifndef RUNTIME_MIXERS_PREFIX_H
#define RUNTIME_MIXERS_PREFIX_H

#include "kernels/vector_ops.h"
#include "runtime/adapters/adapter_prefix.h"
#include "runtime/mixers/sequence_state.h"

/* Before a step that reads the sequence's first tokens: the prefix, as many positions as the state has room for before
 * position 0, is written where that step's rows attend it; of several ranks, each writes the heads that it keeps. Those
 * spans are the sequence's own (cm_sequence_state_own()). */
void cm_prefix_write(const struct vector_ops *ops, const struct adapter_prefix *prefix, struct sequence_state *state);

#endif
