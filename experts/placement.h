/* experts/placement.h - the plan: on which memory node each expert lives. Pure data; expert_store.c acts.
 *
 * A plan has one row for each layer and one column for each expert. Nothing else of the runtime knows
 * where an expert is, and no plan changes a bit of the output. */
#ifndef EXPERTS_PLACEMENT_H
#define EXPERTS_PLACEMENT_H

#include <stdint.h>

#include "base/topology.h"

struct placement {
    int      n_nodes;   /* that the plan was made for            */
    int      n_layers;
    int      n_experts; /* routed experts of a layer             */
    int16_t *node_of;   /* (n_layers, n_experts)                 */
};

/* The default: every expert on the first node that has memory and cores. */
calmoe_status cm_placement_one_node(struct calmoe_context *ctx, const struct topology *topology,
                                    int n_layers, int n_experts, struct placement *out);
/* INVALID_ARGUMENT where the plan is for another machine or model, with what differs. */
calmoe_status cm_placement_check(struct calmoe_context *ctx, const struct placement *placement,
                                 const struct topology *topology, int n_layers, int n_experts);
void          cm_placement_close(struct placement *placement); /* zeroed is fine */

static inline int cm_node_of(const struct placement *placement, int layer, int expert)
{
    return placement->node_of[(size_t)layer * (size_t)placement->n_experts + (size_t)expert];
}

/* The node for everything that is not a routed expert. */
int cm_home_node(const struct topology *topology);

#endif
