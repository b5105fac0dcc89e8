/* runtime/stats/counters.h - what the steps of an engine did. Written between phases by one worker at a time,
 * so no locks; read between steps. */
#ifndef RUNTIME_STATS_COUNTERS_H
#define RUNTIME_STATS_COUNTERS_H

#include "router/routing.h"
#include "base/status.h"

struct counters {
    uint64_t  n_steps, n_rows, n_layers_run, n_experts_run;
    uint64_t  step_ns;
    int       n_layers, n_experts;
    uint64_t *expert_tokens; /* (n_layers, n_experts) */
};

calmoe_status cm_counters_open(struct calmoe_context *ctx, int n_layers, int n_experts, struct counters *out);
void          cm_counters_close(struct counters *counters);
void          cm_counters_reset(struct counters *counters);
/* One layer's routing of one step. */
void          cm_count_routing(struct counters *counters, int layer, const struct routing *routing);

#endif
