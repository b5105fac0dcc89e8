/* experts/place_room.c - what all placement policies begin with: how much of a model each node may and should hold, and
 * a plan whose dense parts are cut by that. */
#include <float.h>
#include <math.h>

#include "experts/place_policy.h"

static const double usable_memory = 0.9; /* of a node; the rest is for caches, scratch and the system */

/* True for the node that its cores read fastest, of equals the one nearest to them (their own). */
static bool is_primary(const struct topology *topology, int node)
{
    const struct topology_node *me = &topology->nodes[node];
    for (int other = 0; other < topology->n_nodes; other++) {
        const struct topology_node *it = &topology->nodes[other];
        if (other == node || it->served_by != me->served_by) continue;
        if (topology->is_memory_known && it->memory_bytes == 0) continue;
        if (it->bandwidth > me->bandwidth) return false;
        if (it->bandwidth >= me->bandwidth && (it->n_cores > 0 || (me->n_cores == 0 && other < node))) return false;
    }
    return !topology->is_memory_known || me->memory_bytes > 0;
}

void cm_place_fill(const struct topology *topology, const double *capacity, double bytes, double *shares)
{
    bool   is_active[CM_MAX_NODES], is_full[CM_MAX_NODES] = {false};
    double left = bytes;
    for (int node = 0; node < topology->n_nodes; node++) {
        is_active[node] = is_primary(topology, node);
        shares[node] = 0;
    }
    for (bool is_done = false, is_last = false; !is_done;) {
        double sum = 0;
        is_done = true;
        for (int node = 0; node < topology->n_nodes; node++)
            if (is_active[node] && !is_full[node]) sum += topology->nodes[node].bandwidth;
        const double per_bandwidth = sum > 0 ? left / sum : 0;
        for (int node = 0; node < topology->n_nodes; node++) {
            if (!is_active[node] || is_full[node]) continue;
            shares[node] = topology->nodes[node].bandwidth * per_bandwidth;
            is_full[node] = shares[node] > capacity[node];
            if (is_full[node]) is_done = false;
        }
        for (int node = 0; node < topology->n_nodes && !is_done; node++)
            if (is_full[node] && shares[node] > capacity[node]) {
                shares[node] = capacity[node];
                left -= capacity[node];
            }
        if (is_done && sum <= 0 && left > 0 && !is_last) { /* all are full: the rest of the nodes too */
            for (int node = 0; node < topology->n_nodes; node++) is_active[node] = true;
            is_done = false;
            is_last = true;
        }
    }
    for (int node = 0; node < topology->n_nodes; node++) shares[node] /= bytes;
}

calmoe_status cm_place_room(struct calmoe_context *ctx, const struct place_problem *problem, struct place_room *out)
{
    const struct topology *topology = problem->topology;
    const double           bytes = (double)cm_place_model_bytes(problem->model);
    double                 all = 0, unlimited[CM_MAX_NODES], scale = usable_memory;
    for (int node = 0; node < topology->n_nodes; node++) {
        unlimited[node] = DBL_MAX;
        all += (double)topology->nodes[node].memory_bytes;
    }
    if (topology->memory_limit > 0 && (double)topology->memory_limit < all)
        scale *= (double)topology->memory_limit / all;
    for (int node = 0; node < topology->n_nodes; node++)
        out->capacity[node] = topology->is_memory_known ? scale * (double)topology->nodes[node].memory_bytes : DBL_MAX;
    if (topology->is_memory_known && scale * all < bytes)
        return cm_fail(ctx, CALMOE_NO_MEMORY,
                       "the model's weights are %.2f GB; the machine's nodes hold %.2f GB in all, of which %.2f GB"
                       " are planned with",
                       bytes * 1e-9, all * 1e-9, scale * all * 1e-9);
    cm_place_fill(topology, unlimited, bytes, out->ideal);
    cm_place_fill(topology, out->capacity, bytes, out->shares);
    return CALMOE_OK;
}

/* ---- what policies share ---- */

calmoe_status cm_place_open(struct calmoe_context *ctx, const struct place_problem *problem, const double *shares,
                            struct plan *out)
{
    const int         n_nodes = problem->topology->n_nodes;
    const struct plan shape = cm_place_shape(problem->model, n_nodes);
    double            least = DBL_MAX;
    CM_TRY(cm_plan_open(ctx, &shape, out));
    for (int node = 0; node < n_nodes; node++)
        if (shares[node] > 0) least = fmin(least, shares[node]);
    for (int node = 0; node < n_nodes; node++) /* small whole numbers where they are: 1, 1, 2 */
        out->shares[node] = (int32_t)lround(fmin(shares[node] / least, 1e4) * 1000);
    bool is_whole = true;
    for (int node = 0; node < n_nodes; node++) is_whole = is_whole && out->shares[node] % 1000 == 0;
    for (int node = 0; node < n_nodes && is_whole; node++) out->shares[node] /= 1000;
    cm_cut(shape.n_kv_heads, 1, shares, n_nodes, NULL, out->kv_heads);
    return CALMOE_OK;
}

calmoe_status cm_place_slice_layer(struct calmoe_context *ctx, struct plan *plan, int layer, const double *shares)
{
    double credit[CM_MAX_NODES] = {0}, down_credit[CM_MAX_NODES] = {0};
    int    n_nodes_used = 0, only = 0;
    for (int node = 0; node < plan->n_nodes; node++)
        if (shares[node] > 0) {
            n_nodes_used++;
            only = node;
        }
    for (int i = 0; i < plan->n_nodes; i++) { /* layers begin at different nodes, so that odd quanta even out */
        const int node = (i + layer) % plan->n_nodes;
        credit[node] = down_credit[node] = -1e-6 * i;
    }
    for (int expert = 0; expert < plan->n_experts; expert++) {
        struct place *place = cm_place_of(plan, layer, expert);
        struct slice  slice = {{0}, {0}};
        *place = (struct place){.kind = PLACE_PINNED, .node = only};
        if (n_nodes_used == 1) continue;
        cm_cut(plan->width, plan->quantum, shares, plan->n_nodes, credit, slice.rows);
        cm_cut(plan->dim, plan->quantum, shares, plan->n_nodes, down_credit, slice.down_rows);
        place->kind = PLACE_SLICED;
        place->node = 0;
        CM_TRY(cm_plan_add_slice(ctx, plan, &slice, &place->slice));
    }
    return CALMOE_OK;
}

struct place_routings cm_place_proof(const struct place_routings *routings)
{
    struct place_routings proof = *routings;
    const int             n_skipped = routings->n_tokens < 8 ? 0 : routings->n_tokens / 2;
    proof.n_tokens -= n_skipped;
    proof.experts += (size_t)n_skipped * (size_t)routings->n_layers * (size_t)routings->n_slots;
    return proof;
}
