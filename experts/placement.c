/* experts/placement.c - see placement.h. */
#include "experts/placement.h"

#include "base/memory.h"

int cm_home_node(const struct topology *topology)
{
    for (int node = 0; node < topology->n_nodes; node++)
        if (topology->nodes[node].n_cores > 0 && topology->nodes[node].memory_bytes > 0) return node;
    return 0;
}

calmoe_status cm_placement_one_node(struct calmoe_context *ctx, const struct topology *topology,
                                    int n_layers, int n_experts, struct placement *out)
{
    *out = (struct placement){.n_nodes = topology->n_nodes, .n_layers = n_layers, .n_experts = n_experts};
    const size_t n = (size_t)n_layers * (size_t)n_experts;
    out->node_of = cm_alloc(ctx, n, sizeof *out->node_of, "the placement plan");
    if (!out->node_of) return CALMOE_NO_MEMORY;
    const int home = cm_home_node(topology);
    for (size_t i = 0; i < n; i++) out->node_of[i] = (int16_t)home;
    return CALMOE_OK;
}

calmoe_status cm_placement_check(struct calmoe_context *ctx, const struct placement *placement,
                                 const struct topology *topology, int n_layers, int n_experts)
{
    if (placement->n_nodes != topology->n_nodes)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "the plan is for a machine with %d memory nodes; this one has %d",
                       placement->n_nodes, topology->n_nodes);
    if (placement->n_layers != n_layers || placement->n_experts != n_experts)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "the plan is for %d layers of %d experts; the model has %d layers of %d",
                       placement->n_layers, placement->n_experts, n_layers, n_experts);
    return CALMOE_OK;
}

void cm_placement_close(struct placement *placement)
{
    cm_free(placement->node_of);
    *placement = (struct placement){0};
}
