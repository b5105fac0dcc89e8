/* experts/slot_predict.h - what a bounded number of slots does for recorded routings: the same book as an engine keeps
 * of experts on disk (slot_cache.h), without reading any. Looking ahead is not in it, since it depends on states that a
 * recording has not; it changes when experts come, and a little which of them go. */
#ifndef EXPERTS_SLOT_PREDICT_H
#define EXPERTS_SLOT_PREDICT_H

#include "experts/place_policy.h"
#include "experts/slot_cache.h"

struct slot_prediction {
    uint64_t n_wanted; /* experts that steps need, each once in a step and layer */
    uint64_t n_there;  /* of them, in a slot                                     */
    uint64_t n_bytes;  /* that are read for the others                           */
};

/* Steps of `batch` tokens in the recorded order. The cache is as an engine begins, with slots for what a layer of
 * such a step needs; it is changed. expert_bytes (n_layers): of an expert in the file. is_streamed (n_layers,
 * n_experts): the others are always there; NULL: all are. NO_MEMORY. */
calmoe_status cm_slot_predict(struct calmoe_context *ctx, struct slot_cache *cache,
                              const struct place_routings *routings, int n_experts, int batch,
                              const uint64_t *expert_bytes, const bool *is_streamed, struct slot_prediction *out);

#endif
