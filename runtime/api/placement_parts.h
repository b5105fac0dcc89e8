/* runtime/api/placement_parts.h - a calmoe_placement inside: for the files named placement*.c here. */
#ifndef RUNTIME_API_PLACEMENT_PARTS_H
#define RUNTIME_API_PLACEMENT_PARTS_H

#include <calmoe/placement.h>

#include "experts/place_policy.h"
#include "runtime/engine/handles.h"

struct calmoe_placement {
    calmoe_context      *ctx;
    const calmoe_model  *model;
    struct topology      topology;
    struct place_layer  *layers; /* (n_layers) */
    struct place_model   shape;
    struct place_result  result;
    const char          *policy;
    double               barrier_seconds; /* one; 0 = left out */
    bool                 has_profile;
    uint64_t            *counts;  /* (n_layers, n_experts) */
    int32_t             *sampled; /* (SAMPLED_TOKENS, n_layers, n_used) */
};

/* Do the caller's routings name experts of the model, each once? */
calmoe_status          cm_placement_check_experts(const calmoe_placement *placement, const int32_t *experts,
                                                  int n_tokens, int n_slots, const char *call);
struct place_routings  cm_placement_routings(const calmoe_placement *placement, const int32_t *experts, int n_tokens,
                                             int n_slots);
/* Routings that stand for the profile's counts, or for even use. */
struct place_routings  cm_placement_sampled(const calmoe_placement *placement);
/* The plan streams experts so that the model runs under a limit of memory: those that are used least, by the profile;
 * without one, the same share of each layer. INVALID_ARGUMENT: the limit is too small; NO_MEMORY. */
calmoe_status          cm_placement_stream(calmoe_placement *placement, uint64_t limit);

#endif
