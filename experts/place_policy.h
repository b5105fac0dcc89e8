/* experts/place_policy.h - makes plans: one row for each policy. Pure functions: the same problem gives the same
 * plan, ties go to the lower index.
 *
 *     one_node     everything on the home node
 *     interleave   each expert sliced in equal parts over all nodes, whatever they can do
 *     round_robin  whole experts, dealt to the nodes in turn
 *     sliced       each expert sliced in proportion to the nodes' bandwidths
 *     by_usage     for each expert the best of pinned, sliced and replicated for how it is used (place_by_usage.c); at
 *                  last the whole plan is held against those of the others, and is never expected to be slower
 *
 * Dense parts are sliced and KV heads dealt out in proportion to bandwidths, but by one_node. What does not fit
 * on its node spills to others, and the plan's notes say so. Memory-only nodes are used where they read faster
 * than the node of the cores that serve them (high-bandwidth memory), else only for what spills. */
#ifndef EXPERTS_PLACE_POLICY_H
#define EXPERTS_PLACE_POLICY_H

#include "experts/place_load.h"

struct place_problem {
    const struct topology       *topology;
    const struct place_model    *model;
    const struct place_routings *routings;     /* how experts are used: steps of one token; NULL = not known */
    double                       memory_limit; /* weights with replicas / the model's weights, >= 1          */
};

enum { PLACE_NOTE_BYTES = 512 };

struct place_result {
    struct plan plan;
    char        why[PLACE_NOTE_BYTES];   /* a sentence or two: why it looks as it does      */
    char        notes[PLACE_NOTE_BYTES]; /* "", or what did not fit where it belongs         */
    int         n_pinned, n_sliced, n_replicated, n_streamed; /* experts, all layers         */
    double      bytes[CM_MAX_NODES];     /* weights on each node                            */
    double      memory_factor;           /* their sum / the model's                         */
};

struct place_policy {
    const char *name;
    const char *summary;
    bool        needs_routings;
    calmoe_status (*make)(struct calmoe_context *ctx, const struct place_problem *problem, struct place_result *out);
};

const struct place_policy *cm_place_policy_at(int i); /* NULL past the last */
/* INVALID_ARGUMENT with the names that there are. */
calmoe_status cm_place_policy_named(struct calmoe_context *ctx, const char *name, const struct place_policy **out);

/* Makes the plan and all that is told of it. On success *out is the caller's until cm_place_result_close().
 * NO_MEMORY: the nodes together cannot hold the model; INVALID_ARGUMENT: routings are needed. */
calmoe_status cm_place(struct calmoe_context *ctx, const struct place_policy *policy,
                       const struct place_problem *problem, struct place_result *out);
/* Sets the counts, bytes and memory factor of a result whose plan is there. */
void          cm_place_describe(const struct place_model *model, struct place_result *out);
void          cm_place_result_close(struct place_result *result); /* zeroes it; a zeroed one is fine */
/* Expected seconds of the experts' part of a step of one token. NO_MEMORY. */
calmoe_status cm_place_cost(struct calmoe_context *ctx, const struct place_problem *problem,
                            const struct place_routings *routings, const struct plan *plan, double *seconds);

/* ---- for the policies: place_room.c ---- */

/* What a plan may put where. */
struct place_room {
    double capacity[CM_MAX_NODES]; /* bytes of weights; DBL_MAX where memory is not known */
    double shares[CM_MAX_NODES];   /* of all weights, in proportion to bandwidth as far as there is room; sum 1 */
    double ideal[CM_MAX_NODES];    /* the same without regard to room */
};
/* Shares of all bytes: by bandwidth over the nodes that their cores read fastest; what exceeds a node's capacity goes
 * to the others of them, and when these are full, to the rest. */
void          cm_place_fill(const struct topology *topology, const double *capacity, double bytes, double *shares);
/* NO_MEMORY: all nodes together do not hold the model. */
calmoe_status cm_place_room(struct calmoe_context *ctx, const struct place_problem *problem, struct place_room *out);
/* Opens a plan whose dense parts and KV heads are cut by shares. */
calmoe_status cm_place_open(struct calmoe_context *ctx, const struct place_problem *problem, const double *shares,
                            struct plan *out);
/* Cuts all experts of a layer by shares; odd quanta take turns. One node only: pins. */
calmoe_status cm_place_slice_layer(struct calmoe_context *ctx, struct plan *plan, int layer, const double *shares);
/* The second half of the steps (of fewer than 8 all), by which by_usage judges. Borrowed. */
struct place_routings cm_place_proof(const struct place_routings *routings);

/* place_by_usage.c: the best plan that its search finds. */
calmoe_status cm_place_by_usage(struct calmoe_context *ctx, const struct place_problem *problem, struct plan *out);

#endif
