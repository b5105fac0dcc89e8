/* experts/placement.h - the plan: on which memory nodes each expert lives. Pure data; expert_store.c acts.
 *
 * `struct plan` is: for each expert of each layer one of
 *     pinned      all of it on one node
 *     sliced      its rows cut over nodes: rows of gate and up, and rows of down (no sum crosses a node)
 *     replicated  all of it on each of several nodes; which one serves is decided in each step (place_load.h)
 *     streamed    on disk, read when it is needed (expert_stream.h) into a slot that is cut over the nodes as dense
 *                 matrices are; whoever predicts times takes it for pinned
 * and how the dense parts and the KV caches are cut. Policies that make plans: place_policy.h.
 *
 * Where several ranks run a model, each has a plan of its own part: rows of every matrix are cut over ranks first, in
 * the same way and by the same function, and a rank's over its nodes then (struct rank_shares).
 *
 * Nothing else of the runtime knows where an expert is, and no plan changes a bit of the output. */
#ifndef EXPERTS_PLACEMENT_H
#define EXPERTS_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ranks.h"
#include "base/topology.h"

/* ---- plans ---- */

enum { CM_SLICE_QUANTUM = 16 }; /* rows that every kernel packs together or one by one */

enum place_kind { PLACE_PINNED, PLACE_SLICED, PLACE_REPLICATED };

struct place { /* of one expert */
    enum place_kind kind;
    int             node;     /* PINNED                                                       */
    int             slice;    /* SLICED: into plan.slices                                     */
    uint64_t        replicas; /* REPLICATED: a bit for each node that holds it, two at least  */
    bool            is_streamed; /* and PINNED */
};

/* How an expert's rows are cut: node n has rows[n] rows of gate and up and down_rows[n] of down, in the order
 * of the nodes; all are whole quanta of the plan, but for the last piece where the matrix is none. */
struct slice {
    int32_t rows[CM_MAX_NODES];      /* sum: plan.width */
    int32_t down_rows[CM_MAX_NODES]; /* sum: plan.dim   */
};

struct rank_shares {        /* the same on all ranks, but for `own`                        */
    int    n_ranks, own;    /* 0 or 1 ranks: this process runs all of the model            */
    double of[CM_MAX_RANKS]; /* rows and heads are cut in these proportions                */
    bool   has_whole_experts; /* routed experts are not: each is whole on one rank, and their number is cut so */
};

struct plan {
    int           n_nodes;    /* that it was made for                                    */
    int           n_layers;
    int           n_experts;  /* routed experts of a layer                               */
    int           width, dim; /* of an expert: gate and up are (width, dim), down (dim, width); of several ranks: rows
                                 of gate and up, and of down, that this one has          */
    int           quantum;    /* rows of slices come in multiples of this                */
    struct place *places;     /* (n_layers, n_experts); of dense layers not looked at    */
    int           n_slices, slices_capacity;
    struct slice *slices;     /* (n_slices), each different                              */
    int32_t       shares[CM_MAX_NODES]; /* rows of dense matrices are cut in these proportions
                                           (cm_cut()); a single one that is not 0 = all on that node */
    int           n_kv_heads;
    int32_t       kv_heads[CM_MAX_NODES]; /* heads of keys and values that each node keeps; sum: n_kv_heads */
    struct rank_shares ranks;
    int           first_row, first_down_row; /* of experts: this rank's; 0 of one rank, and of whole experts */
};

/* A plan of one node for everything: node 0, pinned. NO_MEMORY. */
calmoe_status cm_plan_open(struct calmoe_context *ctx, const struct plan *shape, struct plan *out);
void          cm_plan_close(struct plan *plan); /* zeroes it; a zeroed one is fine */

static inline struct place *cm_place_of(const struct plan *plan, int layer, int expert)
{
    return &plan->places[(size_t)layer * (size_t)plan->n_experts + (size_t)expert];
}

/* The index of a slice like this one, which is added where the plan has none. A slice with rows on one node only
 * is for the caller to avoid: pin. */
calmoe_status cm_plan_add_slice(struct calmoe_context *ctx, struct plan *plan, const struct slice *slice, int *out);

/* The expert is streamed from now on; where it counts as pinned, it takes turns with the layer's others. */
void          cm_plan_stream(struct plan *plan, int layer, int expert);
/* How many experts of a layer, or with layer -1 of all of them, are. */
int           cm_plan_n_streamed(const struct plan *plan, int layer);
/* Which experts stay in memory, as 16 hex digits: what depends on that set, and on no other part of a plan, is told by
 * them. "" where nothing is streamed. */
void          cm_plan_kept(const struct plan *plan, char kept[17]);

/* Takes out slices that no expert has; the others keep their order. */
void cm_plan_drop_unused(struct plan *plan);

/* Cuts n_rows rows over n_nodes nodes in proportion to shares: whole quanta (the last piece takes what is
 * over), by largest remainder. credit (n_nodes), NULL = zeros: rows that earlier cuts owe each node (negative:
 * gave too much); who is owed most gets the odd quantum, and the credits are brought up to date, so that odd
 * quanta take turns. The sum of shares is > 0. */
void cm_cut(int n_rows, int quantum, const double *shares, int n_nodes, double *credit, int32_t *rows);

/* INVALID_ARGUMENT where the plan is for another machine or model, or not a plan (out of range, a slice
 * that does not add up, …), with the place and what is wrong. shape: n_nodes of the machine and the model's numbers;
 * its quantum 0 = any. */
calmoe_status cm_plan_check(struct calmoe_context *ctx, const struct plan *plan, const struct plan *shape);

/* ---- a plan carried out ---- */

/* What a plan of the first schema leaves open (n_kv_heads 0): its experts are whole, all else is on the home node. */
void cm_plan_complete(struct plan *plan, const struct plan *shape, int home);

/* A complete plan of the whole model becomes one of a rank's part, which has so many rows and heads as `part`: whatever
 * is cut over nodes keeps its proportions. */
void cm_plan_take_part(struct plan *plan, const struct plan *part);

/* What of one expert lies on a node: rows of gate and up, and rows of down. */
struct expert_rows {
    int node;
    int row, n_rows;
    int down_row, n_down_rows;
};

/* The parts of an expert: pinned one; sliced one on each node that has any rows, in the order of nodes; replicated a
 * whole one on each node that holds it; one without rows where another rank has it whole, which is told by where the
 * place stands in the plan. parts: (n_nodes). Returns how many. */
int cm_parts_of_place(const struct plan *plan, const struct place *place, struct expert_rows *parts);
/* Do several ranks have the routed experts whole, and this one not that one? */
bool cm_is_elsewhere(const struct plan *plan, int expert);
/* Those of an expert that every token takes: width and dim, of its own size, cut by plan.shares. */
int cm_parts_of_shared(const struct plan *plan, int width, int dim, struct expert_rows *parts);
/* Rows of a dense matrix on each node, by plan.shares; in multiples of 16, the kernels' tile. Of several ranks: of
 * those rows that this rank has. Answers the first of them. */
int cm_dense_rows(const struct plan *plan, int n_rows, int32_t *rows);
/* The same of heads of a layer that has n_heads of them, one by one, by plan.kv_heads. */
int cm_own_heads(const struct plan *plan, int n_heads, int32_t *heads);

/* n rows or heads over the ranks, in multiples of quantum: rank r has borders[r] … borders[r + 1] (n_ranks + 1). */
void cm_rank_borders(const struct rank_shares *ranks, int n, int quantum, int32_t *borders);
/* This rank's of them: how many, and *first. */
int  cm_own_part(const struct plan *plan, int n, int quantum, int *first);

/* How n_heads heads of keys and values lie on the nodes where the plan tells it for the layers with most of them
 * (kv_heads, (n_nodes)): as it says where these are as many, else in the same proportions. */
void cm_cut_heads(const int32_t *kv_heads, int n_nodes, int n_heads, int32_t *out);

/* The first node that has memory and cores: for everything that is not cut. */
int cm_home_node(const struct topology *topology);

#endif
