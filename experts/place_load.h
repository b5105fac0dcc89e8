/* experts/place_load.h - what a plan costs: which replica serves in a step, and the time that follows from bytes
 * and bandwidths. Pure functions; everything that they say of time is a prediction.
 *
 * The model of time. In a layer's step each node reads its pieces of the experts that any token takes. A node's
 * time in a phase (gate and up; down) is
 *
 *     sum over its pieces of  bytes * max(1, tokens / 16) / bandwidth + task_seconds
 *
 * (more than about 16 tokens for an expert cost arithmetic, not reading), and a phase takes as long as its slowest
 * node, because a barrier ends it. A memory-only node is read by the cores that serve it, after what they read
 * of their own. Dense parts cost the slowest node's share of them. Keys and values, which grow with the context,
 * are left out. */
#ifndef EXPERTS_PLACE_LOAD_H
#define EXPERTS_PLACE_LOAD_H

#include "experts/placement.h"

struct place_layer {        /* bytes, as in the file                            */
    uint64_t gate_up_bytes; /* gate and up of one routed expert                 */
    uint64_t down_bytes;    /* its down                                         */
    uint64_t heads_bytes;   /* q, k and v: cut where the KV heads are           */
    uint64_t dense_bytes;   /* o, router, shared experts: cut by plan.shares    */
};

/* A dense layer has no routed experts: its feed-forward part is among the dense bytes, and no plan moves it. */
static inline bool cm_layer_has_experts(const struct place_layer *layer)
{
    return layer->gate_up_bytes + layer->down_bytes > 0;
}

struct place_model {
    int                       n_layers;
    int                       n_experts;  /* routed experts of a layer that has any; 1 in a dense model */
    int                       n_used;     /* of a token                                       */
    int                       width, dim; /* of an expert                                     */
    int                       quantum;    /* rows of slices are multiples of it               */
    int                       n_kv_heads;
    uint64_t                  head_bytes; /* the output matrix, cut by plan.shares            */
    const struct place_layer *layers;     /* (n_layers)                                       */
};

/* Experts of a layer that a plan places. */
static inline int cm_n_to_place(const struct place_model *model, int layer)
{
    return cm_layer_has_experts(&model->layers[layer]) ? model->n_experts : 0;
}

uint64_t    cm_place_model_bytes(const struct place_model *model);
struct plan cm_place_shape(const struct place_model *model, int n_nodes); /* for cm_plan_open, cm_plan_check */

/* Who went where: tokens in order. */
struct place_routings {
    int            n_tokens, n_layers, n_slots;
    const int32_t *experts; /* (n_tokens, n_layers, n_slots); -1 = the token took fewer */
};

/* ---- one step of one layer ---- */

struct place_use { /* an expert that a step takes */
    int expert;
    int n_tokens;
};

struct place_costs { /* of one layer on one machine */
    int    n_nodes;
    int    server[CM_MAX_NODES];           /* whose cores read the node */
    double seconds_per_byte[CM_MAX_NODES];
    double gate_up_bytes, down_bytes;
    double task_seconds;                   /* for each piece of an expert on a node, in each phase */
};
/* task_seconds: an assumption, not a measurement. */
#define CM_PLACE_TASK_SECONDS 0.3e-6
struct place_costs cm_place_costs(const struct topology *topology, const struct place_layer *layer);

struct place_load { /* (n_nodes) seconds in each phase, of the cores of each node */
    double gate_up[CM_MAX_NODES], down[CM_MAX_NODES];
};

/* Chooses the replica that serves each replicated expert of a step: the one on the node that is done first, of
 * equals the first node; experts with fewer replicas choose before those with more, else in the order of uses.
 * The experts of uses are different. serving (n_uses): the node that runs all of the expert; -1 = sliced, its
 * slice says. load: gets the times that follow. */
void cm_place_serve(const struct plan *plan, int layer, const struct place_costs *costs,
                    const struct place_use *uses, int n_uses, int16_t *serving, struct place_load *load);
/* Of a load: slowest(gate_up) + slowest(down), and the same of the means over the nodes that have cores. */
void cm_place_times(const struct place_costs *costs, const struct place_load *load, double *slowest, double *mean);

/* ---- a plan over many steps: the simulator ---- */

struct place_prediction_node {
    double   share;             /* of the experts' time, the cores of this node's part           */
    uint64_t expert_bytes;      /* weights of experts read from this node's memory               */
    uint64_t remote_weights;    /* of them, by cores of another node                             */
    uint64_t remote_activations; /* inputs, hidden states and outputs that its cores took from others */
    uint64_t n_replica_uses;    /* times that a replica here served                              */
};

struct place_prediction {
    int      batch;          /* tokens of a step                                                 */
    uint64_t n_steps, n_tokens;
    double   imbalance;      /* experts: sum over steps and layers of the slowest node's time / of the mean */
    double   expert_seconds; /* of a step, all layers; task_seconds included                     */
    double   step_seconds;   /* with the dense parts; meaningless where bandwidths are relative  */
    double   tokens_per_s;   /* 0 where bandwidths are relative                                  */
    uint64_t n_uses, n_sliced_uses, n_replica_uses; /* (expert, step) pairs                      */
    struct place_prediction_node nodes[CM_MAX_NODES];
};

/* Replays the routings in steps of `batch` tokens (the last may be shorter). The plan fits machine and model, and
 * the routings the model. NO_MEMORY. */
calmoe_status cm_place_predict(struct calmoe_context *ctx, const struct topology *topology,
                               const struct place_model *model, const struct plan *plan,
                               const struct place_routings *routings, int batch, struct place_prediction *out);

/* Bytes of weights that a plan puts on each node (n_nodes). */
void cm_plan_bytes(const struct plan *plan, const struct place_model *model, double *bytes);

/* ---- steps from counts ---- */

/* n_tokens routings drawn so that expert e of layer l is taken by a share n_used * counts[l][e] / sum(counts[l])
 * of the tokens (at most all), with a fixed seed: systematic sampling over a random order (Madow 1949), layers
 * independent. Which experts are taken together is not known from counts, so it is not in the result.
 * *out: (n_tokens, n_layers, n_used), the caller's, cm_free(). */
calmoe_status cm_place_sample(struct calmoe_context *ctx, const struct place_model *model, const uint64_t *counts,
                              int n_tokens, uint64_t seed, int32_t **out);

#endif
