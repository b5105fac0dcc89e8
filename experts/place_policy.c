/* experts/place_policy.c - the table of policies, and those that need no profile. */
#include "experts/place_policy.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/names.h"

/* The bytes that the dense parts of a plan put on each node, out of its capacity. */
static void take_dense(const struct plan *plan, const struct place_model *model, double *capacity)
{
    double      bytes[CM_MAX_NODES];
    struct plan dense = *plan;
    dense.n_experts = 0;
    cm_plan_bytes(&dense, model, bytes);
    for (int node = 0; node < plan->n_nodes; node++) capacity[node] -= bytes[node];
}

/* Pins an expert to the wanted node, or to the next one that has room; where none has (what is left is in
 * pieces that are too small), to the one with most. */
static void pin(const struct place_model *model, struct plan *plan, int layer, int expert, int wanted, double *capacity)
{
    const double bytes = (double)(model->layers[layer].gate_up_bytes + model->layers[layer].down_bytes);
    int          node = wanted, most = wanted;
    for (int i = 0; i < plan->n_nodes; i++) {
        node = (wanted + i) % plan->n_nodes;
        if (capacity[node] >= bytes) break;
        if (capacity[node] > capacity[most]) most = node;
    }
    if (capacity[node] < bytes) node = most;
    capacity[node] -= bytes;
    *cm_place_of(plan, layer, expert) = (struct place){.kind = PLACE_PINNED, .node = node};
}

static calmoe_status slice_all(struct calmoe_context *ctx, const struct place_model *model, struct plan *plan,
                               const double *shares)
{
    for (int layer = 0; layer < plan->n_layers; layer++)
        if (cm_n_to_place(model, layer) > 0) CM_TRY(cm_place_slice_layer(ctx, plan, layer, shares));
    return CALMOE_OK;
}

/* ---- the policies ---- */

static calmoe_status make_one_node(struct calmoe_context *ctx, const struct place_problem *problem,
                                   struct place_result *out)
{
    struct place_room room;
    double            shares[CM_MAX_NODES] = {0};
    const int         home = cm_home_node(problem->topology);
    CM_TRY(cm_place_room(ctx, problem, &room));
    shares[home] = 1;
    CM_TRY(cm_place_open(ctx, problem, shares, &out->plan));
    take_dense(&out->plan, problem->model, room.capacity);
    if (room.capacity[home] < 0) { /* not even the dense parts fit */
        cm_plan_close(&out->plan);
        CM_TRY(cm_place_room(ctx, problem, &room));
        CM_TRY(cm_place_open(ctx, problem, room.shares, &out->plan));
        take_dense(&out->plan, problem->model, room.capacity);
    }
    for (int layer = 0; layer < out->plan.n_layers; layer++)
        for (int expert = 0; expert < cm_n_to_place(problem->model, layer); expert++)
            pin(problem->model, &out->plan, layer, expert, home, room.capacity);
    snprintf(out->why, sizeof out->why, "Everything is on node %d, as asked: the other nodes' cores and memory rest.",
             home);
    return CALMOE_OK;
}

static calmoe_status make_sliced(struct calmoe_context *ctx, const struct place_problem *problem,
                                 struct place_result *out)
{
    struct place_room room;
    CM_TRY(cm_place_room(ctx, problem, &room));
    CM_TRY(cm_place_open(ctx, problem, room.shares, &out->plan));
    CM_TRY(slice_all(ctx, problem->model, &out->plan, room.shares));
    snprintf(out->why, sizeof out->why,
             "Every expert is cut over the nodes in proportion to what they read per second, so whichever experts a"
             " token takes, all nodes are done at the same time.");
    return CALMOE_OK;
}

static calmoe_status make_interleave(struct calmoe_context *ctx, const struct place_problem *problem,
                                     struct place_result *out)
{
    struct place_room room;
    struct topology   equal = *problem->topology;
    double            shares[CM_MAX_NODES];
    CM_TRY(cm_place_room(ctx, problem, &room));
    for (int node = 0; node < equal.n_nodes; node++) { /* every node is as good as any other */
        equal.nodes[node].bandwidth = !equal.is_memory_known || equal.nodes[node].memory_bytes > 0;
        equal.nodes[node].served_by = node;
    }
    cm_place_fill(&equal, room.capacity, (double)cm_place_model_bytes(problem->model), shares);
    CM_TRY(cm_place_open(ctx, problem, room.shares, &out->plan));
    CM_TRY(slice_all(ctx, problem->model, &out->plan, shares));
    snprintf(out->why, sizeof out->why,
             "Every expert is cut into equal parts over all nodes that have memory, as asked, whatever they read per"
             " second.");
    return CALMOE_OK;
}

static calmoe_status make_round_robin(struct calmoe_context *ctx, const struct place_problem *problem,
                                      struct place_result *out)
{
    struct place_room room;
    int               nodes[CM_MAX_NODES], n_nodes = 0, next = 0;
    CM_TRY(cm_place_room(ctx, problem, &room));
    CM_TRY(cm_place_open(ctx, problem, room.shares, &out->plan));
    take_dense(&out->plan, problem->model, room.capacity);
    for (int node = 0; node < problem->topology->n_nodes; node++)
        if (room.shares[node] > 0) nodes[n_nodes++] = node;
    for (int layer = 0; layer < out->plan.n_layers; layer++)
        for (int expert = 0; expert < cm_n_to_place(problem->model, layer); expert++)
            pin(problem->model, &out->plan, layer, expert, nodes[next++ % n_nodes], room.capacity);
    snprintf(out->why, sizeof out->why,
             "Whole experts are dealt to the nodes in turn, as asked; a token's few experts fall unevenly on them.");
    return CALMOE_OK;
}

/* Holds the plan against those of the other policies; the first of the best stays. names the one that it is. */
static calmoe_status keep_the_best(struct calmoe_context *ctx, const struct place_problem *problem,
                                   struct place_result *out, const char **name, double *seconds, double *sliced,
                                   double *pinned)
{
    const struct place_routings proof = cm_place_proof(problem->routings);
    *name = NULL;
    CM_TRY(cm_place_cost(ctx, problem, &proof, &out->plan, seconds));
    for (int i = 0; cm_place_policy_at(i); i++) {
        const struct place_policy *policy = cm_place_policy_at(i);
        struct place_result        other;
        double                     other_seconds = 0;
        if (policy->needs_routings) continue;
        CM_TRY(cm_place(ctx, policy, problem, &other));
        const calmoe_status status = cm_place_cost(ctx, problem, &proof, &other.plan, &other_seconds);
        if (strcmp(policy->name, "sliced") == 0) *sliced = other_seconds;
        if (strcmp(policy->name, "round_robin") == 0) *pinned = other_seconds;
        if (status == CALMOE_OK && other_seconds < *seconds * (1 - 1e-9)) {
            const struct plan better = other.plan;
            other.plan = out->plan;
            out->plan = better;
            *seconds = other_seconds;
            *name = policy->name;
        }
        cm_place_result_close(&other);
        CM_TRY(status);
    }
    return CALMOE_OK;
}

static calmoe_status make_by_usage(struct calmoe_context *ctx, const struct place_problem *problem,
                                   struct place_result *out)
{
    const char *name;
    double      seconds, sliced = 0, pinned = 0;
    CM_TRY(cm_place_by_usage(ctx, problem, &out->plan));
    CM_TRY(keep_the_best(ctx, problem, out, &name, &seconds, &sliced, &pinned));
    bool is_all_sliced = name == NULL;
    for (int layer = 0; layer < out->plan.n_layers; layer++)
        for (int expert = 0; expert < cm_n_to_place(problem->model, layer); expert++)
            is_all_sliced = is_all_sliced && cm_place_of(&out->plan, layer, expert)->kind == PLACE_SLICED;
    if (name || is_all_sliced)
        snprintf(out->why, sizeof out->why,
                 "Over the profile's steps no mixture of whole, cut and copied experts is worth more than the policy"
                 " %s, so this is its plan.",
                 name ? name : "sliced");
    else
        snprintf(out->why, sizeof out->why,
                 "Over the profile's steps the slowest node is expected to take %.1f us for a token's experts: %.1f %%"
                 " less than with all of them sliced, %.1f %% less than with all of them dealt out whole.",
                 seconds * 1e6, 100 * (1 - seconds / sliced), 100 * (1 - seconds / pinned));
    return CALMOE_OK;
}

static const struct place_policy policies[] = {
    {"one_node", "everything on one node", false, make_one_node},
    {"interleave", "each expert in equal parts over all nodes", false, make_interleave},
    {"round_robin", "whole experts, dealt to the nodes in turn", false, make_round_robin},
    {"sliced", "each expert cut in proportion to the nodes' bandwidths", false, make_sliced},
    {"by_usage", "pinned, sliced or replicated, as a profile says", true, make_by_usage},
};
enum { N_POLICIES = sizeof policies / sizeof policies[0] };

const struct place_policy *cm_place_policy_at(int i) { return i >= 0 && i < N_POLICIES ? &policies[i] : NULL; }

calmoe_status cm_place_policy_named(struct calmoe_context *ctx, const char *name, const struct place_policy **out)
{
    int row;
    *out = NULL;
    CM_TRY(cm_name_choose(ctx, "placement policy", CM_NAMES(policies, name), name, &row));
    *out = &policies[row];
    return CALMOE_OK;
}

/* ---- what is told of a plan ---- */

void cm_place_describe(const struct place_model *model, struct place_result *out)
{
    out->n_pinned = out->n_sliced = out->n_replicated = out->n_streamed = 0;
    for (int layer = 0; layer < model->n_layers; layer++)
        for (int expert = 0; expert < cm_n_to_place(model, layer); expert++) {
            const enum place_kind kind = cm_place_of(&out->plan, layer, expert)->kind;
            out->n_streamed += cm_place_of(&out->plan, layer, expert)->is_streamed;
            if (cm_place_of(&out->plan, layer, expert)->is_streamed) continue;
            out->n_pinned += kind == PLACE_PINNED;
            out->n_sliced += kind == PLACE_SLICED;
            out->n_replicated += kind == PLACE_REPLICATED;
        }
    cm_plan_bytes(&out->plan, model, out->bytes);
    double sum = 0;
    for (int node = 0; node < out->plan.n_nodes; node++) sum += out->bytes[node];
    out->memory_factor = sum / (double)cm_place_model_bytes(model);
}

/* Says which nodes are too small for what they would best hold. */
static void note_spills(const struct place_problem *problem, const struct place_room *room, struct place_result *out)
{
    const struct topology *topology = problem->topology;
    const double           bytes = (double)cm_place_model_bytes(problem->model);
    size_t                 n = 0;
    for (int node = 0; node < topology->n_nodes && n < sizeof out->notes - 1; node++) {
        const double wanted = room->ideal[node] * bytes;
        if (wanted <= room->capacity[node]) continue;
        n += (size_t)snprintf(out->notes + n, sizeof out->notes - n,
                              "%sNode %d is too small: of the %.2f GB that its bandwidth would call for it holds"
                              " %.2f GB, the rest spilled to other nodes.",
                              n > 0 ? " " : "", node, wanted * 1e-9, out->bytes[node] * 1e-9);
    }
}

/* One node was asked for, and others hold something. */
static void note_overflow(const struct place_problem *problem, struct place_result *out)
{
    const int home = cm_home_node(problem->topology);
    double    elsewhere = 0;
    for (int node = 0; node < out->plan.n_nodes; node++) elsewhere += node == home ? 0 : out->bytes[node];
    if (elsewhere > 0)
        snprintf(out->notes, sizeof out->notes, "Node %d is too small: %.2f GB spilled to other nodes.", home,
                 elsewhere * 1e-9);
}

calmoe_status cm_place_cost(struct calmoe_context *ctx, const struct place_problem *problem,
                            const struct place_routings *routings, const struct plan *plan, double *seconds)
{
    struct place_prediction prediction;
    CM_TRY(cm_place_predict(ctx, problem->topology, problem->model, plan, routings, 1, &prediction));
    *seconds = prediction.expert_seconds;
    return CALMOE_OK;
}

calmoe_status cm_place(struct calmoe_context *ctx, const struct place_policy *policy,
                       const struct place_problem *problem, struct place_result *out)
{
    struct place_room room;
    *out = (struct place_result){0};
    if (policy->needs_routings && !problem->routings)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "placement policy '%s' needs a profile", policy->name);
    calmoe_status status = cm_place_room(ctx, problem, &room);
    if (status == CALMOE_OK) status = policy->make(ctx, problem, out);
    if (status != CALMOE_OK) {
        cm_place_result_close(out);
        return status;
    }
    cm_place_describe(problem->model, out);
    int n_used = 0;
    for (int node = 0; node < out->plan.n_nodes; node++) n_used += out->bytes[node] > 0;
    if (n_used == 1 && policy->make != make_one_node)
        snprintf(out->why, sizeof out->why, "Only one node of the machine is of use, so everything is there.");
    if (policy->make == make_one_node) note_overflow(problem, out);
    else note_spills(problem, &room, out);
    return CALMOE_OK;
}

void cm_place_result_close(struct place_result *result)
{
    cm_plan_close(&result->plan);
    *result = (struct place_result){0};
}
