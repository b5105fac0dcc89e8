/* runtime/stats/counters.c - see counters.h. */
#include "runtime/stats/counters.h"

#include <string.h>

#include "base/memory.h"

calmoe_status cm_counters_open(struct calmoe_context *ctx, int n_layers, int n_experts, struct counters *out)
{
    *out = (struct counters){.n_layers = n_layers, .n_experts = n_experts};
    out->expert_tokens =
        cm_alloc(ctx, (size_t)n_layers * (size_t)n_experts, sizeof *out->expert_tokens, "statistics");
    return out->expert_tokens ? CALMOE_OK : CALMOE_NO_MEMORY;
}

void cm_counters_close(struct counters *counters)
{
    cm_free(counters->expert_tokens);
    *counters = (struct counters){0};
}

void cm_counters_reset(struct counters *counters)
{
    const size_t n = (size_t)counters->n_layers * (size_t)counters->n_experts;
    memset(counters->expert_tokens, 0, n * sizeof *counters->expert_tokens);
    *counters = (struct counters){.n_layers = counters->n_layers, .n_experts = counters->n_experts,
                                  .expert_tokens = counters->expert_tokens};
}

void cm_count_routing(struct counters *counters, int layer, const struct routing *routing)
{
    uint64_t *tokens = counters->expert_tokens + (size_t)layer * (size_t)counters->n_experts;
    const int n = routing->n_tokens * routing->n_slots;
    for (int i = 0; i < n; i++) tokens[routing->experts[i]]++;
    counters->n_layers_run += (uint64_t)routing->n_tokens;
    counters->n_experts_run += (uint64_t)n;
}
