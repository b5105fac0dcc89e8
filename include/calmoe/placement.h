/* calmoe/placement.h - plans that say where a model's experts live on a machine with several memory nodes. This header
 * makes plans, explains them, and predicts what they would do, also on a machine that is only described.
 *
 *     calmoe_placement_options options;
 *     calmoe_placement_options_init(&options);
 *     options.topology = "numa:4(memory=64GiB) core:16 pu:1";
 *     options.bandwidth = "120";
 *     options.profile = "profile.json";
 *     if (calmoe_placement_open(model, &options, &placement) == CALMOE_OK)
 *         calmoe_placement_write(placement, "plan.json");
 *
 * A plan gives each expert of each layer one of four places. Pinned: the whole expert is on one node. Sliced: its rows
 * are divided among nodes. Replicated: the whole expert is on several nodes, and each step uses the replica on the node
 * that will be done first. Streamed: it is read from disk when it is needed (docs/DISK.md). No plan changes a bit of a
 * model's output.
 *
 * All times, balances and tokens/s here are predicted from bytes and bandwidths, as if all experts were in memory;
 * nothing is measured. */
#ifndef CALMOE_PLACEMENT_H
#define CALMOE_PLACEMENT_H

#include "calmoe/profile.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_placement calmoe_placement;

typedef struct calmoe_placement_options {
    size_t      size;         /* set by calmoe_placement_options_init()                                        */
    const char *policy;       /* name of the policy that makes the plan, see calmoe_placement_policy(); NULL =
                                 "by_usage" if there is a profile, else "sliced" (default)                     */
    const char *plan;         /* path of an existing plan to examine; NULL = make a new one (default)          */
    const char *profile;      /* path of a profile that says how experts are used; NULL = none (default)       */
    const char *domain;       /* the domain of the profile to plan for; NULL = all of them together (default)  */
    const char *topology;     /* the machine: an hwloc description such as "numa:4 core:8 pu:1", or the path of an
                                 .xml that hwloc exported; NULL = this machine (default)                       */
    const char *bandwidth;    /* GB/s that each node's cores read from its memory, "0:40,1:20" or "40" for all; NULL
                                 = what hwloc knows, else relative to each other, one unit for each core (default) */
    float       memory_limit; /* limit for the weights with their replicas, as a multiple of the model's weights; 1
                                 to 64 (default 1.25)                                                          */
    double      near_latency; /* seconds that a cache line takes from a core to another one that shares its
                                 last-level cache                                                                */
    double      far_latency;  /* the same between other cores (calmoe_machine.line_near and line_far measure both). 0
                                 = predictions leave out the cost of barriers (default)                        */
    const calmoe_profile *usage; /* a profile in memory, in place of a file; it is only read during the open call.
                                    NULL = none (default)                                                            */
    uint64_t    stream_limit; /* bytes, as calmoe_engine_options.memory_limit: the plan keeps the experts in memory
                                 that the profile uses most, and streams the others from disk; the memory of single
                                 nodes is then not considered. 0 = all experts are in memory (default)         */
} calmoe_placement_options;

CALMOE_API void calmoe_placement_options_init(calmoe_placement_options *options);

/* The i-th policy: its name and a line that explains it, both static; CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_placement_policy(int i, const char **name, const char **summary);

/* Makes or reads a plan for a model on a machine. options may be NULL. The model must outlive the placement.
 * INVALID_ARGUMENT (also for a plan or profile of another model or machine), IO, BAD_FILE, UNSUPPORTED, NO_MEMORY (also
 * if the machine's nodes cannot hold the model). */
CALMOE_API calmoe_status calmoe_placement_open(calmoe_model *model, const calmoe_placement_options *options,
                                               calmoe_placement **out);
CALMOE_API void calmoe_placement_close(calmoe_placement **placement); /* sets it to NULL; NULL is fine */

/* Writes the plan to a file for calmoe_engine_options.plan. IO. */
CALMOE_API calmoe_status calmoe_placement_write(const calmoe_placement *placement, const char *path);

typedef struct calmoe_placement_info {
    size_t      size;           /* set by the caller to sizeof(calmoe_placement_info)                        */
    const char *policy;         /* the policy that made the plan; "" for a plan that was read from a file    */
    const char *why;            /* a sentence or two on why it looks as it does; "" for a plan that was read from a
                                   file                                                                      */
    const char *notes;          /* what did not fit where it should be; "" = everything did                  */
    const char *use;            /* the use of experts on which predictions rest: "profile", or "even" if all are used
                                   alike                                                                     */
    int         n_nodes;
    int         n_layers;
    int         n_experts;      /* of a layer that has any                                                   */
    int         n_pinned, n_sliced, n_replicated; /* number of such experts, in all layers together          */
    uint64_t    n_weight_bytes; /* the model's weights, as in its file                                       */
    uint64_t    n_placed_bytes; /* the same with replicas                                                    */
    int         is_memory_known;    /* 0: the topology does not say how much memory its nodes have           */
    int         is_bandwidth_known; /* 0: bandwidths are only relative, so tokens/s cannot be predicted      */
    int         n_streamed;     /* experts that stay on disk; the counts and bytes above leave them out      */
} calmoe_placement_info;

/* Texts are borrowed until the placement is closed. */
CALMOE_API calmoe_status calmoe_placement_get_info(const calmoe_placement *placement, calmoe_placement_info *info);

typedef struct calmoe_placement_node {
    size_t   size;          /* set by the caller to sizeof(calmoe_placement_node)                     */
    int      n_cores;
    int      served_by;     /* the node whose cores read this node's memory                           */
    uint64_t memory_bytes;  /* 0 if not known                                                         */
    uint64_t cache_bytes;   /* last-level caches of its cores; 0 if not known                         */
    double   bandwidth;     /* bytes/s, or relative                                                   */
    uint64_t weight_bytes;  /* weights that the plan puts on this node                                */
    int      n_pinned, n_sliced, n_replicas; /* experts on this node, whole or in part, in all layers  */
    int      kv_heads;      /* key-value heads whose cache is on this node                            */
} calmoe_placement_node;

/* The i-th node; CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_placement_get_node(const calmoe_placement *placement, int i,
                                                   calmoe_placement_node *node);

enum { CALMOE_PLACE_PINNED, CALMOE_PLACE_SLICED, CALMOE_PLACE_REPLICATED, CALMOE_PLACE_STREAMED };

/* *kind is CALMOE_PLACE_*. parts[node] is the share of the expert that lies on the node, from 0 to 1; n is at least the
 * number of nodes. In a dense layer, which has no experts to place, and for a streamed expert all parts are 0.
 * INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_placement_get_expert(const calmoe_placement *placement, int layer, int expert,
                                                     int *kind, double *parts, int n);

/* What a plan is predicted to do, over many steps. */
typedef struct calmoe_prediction {
    size_t   size;           /* set by the caller to sizeof(calmoe_prediction)                               */
    int      batch;          /* tokens in a step                                                             */
    uint64_t n_steps, n_tokens;
    double   imbalance;      /* of the experts' work: time of the slowest node / mean over the nodes that have cores */
    double   expert_seconds; /* the experts' part of a step; in relative units if bandwidths are relative    */
    double   step_seconds;   /* the whole step: experts, attention's matrices, the output head and barriers, but
                                without reading keys and values                                              */
    double   tokens_per_s;   /* 0 if bandwidths are relative                                                 */
    uint64_t n_uses;         /* experts that steps used, summed over steps and layers                        */
    uint64_t n_sliced_uses, n_replica_uses; /* of these, sliced and replicated ones                          */
    double   node_share[CALMOE_MAX_NODES];              /* share of the experts' work that the node's cores do */
    uint64_t node_bytes[CALMOE_MAX_NODES];              /* weights of experts that are read from the node's memory */
    uint64_t node_remote_weights[CALMOE_MAX_NODES];     /* of these, bytes that cores of another node read   */
    uint64_t node_remote_activations[CALMOE_MAX_NODES]; /* bytes of inputs, hidden states and outputs that its cores
                                                           fetched from other nodes                          */
    uint64_t node_replica_uses[CALMOE_MAX_NODES];       /* how often a replica on this node was used         */
    int      n_barriers;      /* barriers of all threads in a step                                           */
    double   barrier_seconds; /* time that these take in a step, with one thread on each core; 0 if no latency was
                                 given                                                                       */
} calmoe_prediction;

/* Predicts steps of `batch` tokens. Their experts are drawn with a fixed seed by the profile's counts, or evenly if
 * there is no profile. Counts do not say which experts are used together, so neither does this prediction. */
CALMOE_API calmoe_status calmoe_placement_predict(const calmoe_placement *placement, int batch, calmoe_prediction *out);

/* Predicts the same for recorded routings: experts (n_tokens, n_layers, n_slots), with -1 where a token took fewer.
 * INVALID_ARGUMENT: the model does not have such an expert, or a token takes one twice. */
CALMOE_API calmoe_status calmoe_placement_simulate(const calmoe_placement *placement, const int32_t *experts,
                                                   int n_tokens, int n_slots, int batch, calmoe_prediction *out);

/* What a memory limit (calmoe_engine_options) is predicted to do with recorded routings. Looking ahead is left out. */
typedef struct calmoe_disk_prediction {
    size_t   size;      /* set by the caller to sizeof(calmoe_disk_prediction)                     */
    int      batch;     /* tokens of a step                                                        */
    int      n_experts; /* routed experts of all layers                                            */
    int      n_slots;   /* about how many of them are in memory at a time; if all are, nothing is read */
    uint64_t n_tokens;
    uint64_t n_wanted;  /* experts that steps need; each counts once in a step and layer           */
    uint64_t n_there;   /* of these, experts that are in memory already                            */
    uint64_t n_bytes;   /* bytes that are read from the model's file for the others                */
} calmoe_disk_prediction;

/* Predicts with the rules by which an engine keeps experts: those that the plan keeps stay; the placement's profile, if
 * it has one, serves as memory_profile. INVALID_ARGUMENT as in calmoe_placement_simulate(), and for a limit that is too
 * small: the sentence names one that is not. UNSUPPORTED: the model has no routed experts. */
CALMOE_API calmoe_status calmoe_placement_simulate_disk(const calmoe_placement *placement, const int32_t *experts,
                                                        int n_tokens, int n_slots, int batch, uint64_t memory_limit,
                                                        calmoe_disk_prediction *out);

/* How ranks share routed experts (`whole_experts` of calmoe_engine_options). QUICKER: as is predicted to be faster. */
enum { CALMOE_RANK_EXPERTS_QUICKER, CALMOE_RANK_EXPERTS_CUT, CALMOE_RANK_EXPERTS_WHOLE };

/* Several machines like this one that run the model together, each with an equal part (ranks.h). */
typedef struct calmoe_network {
    int    n_ranks;   /* number of machines, at least 2                     */
    int    experts;   /* CALMOE_RANK_EXPERTS_*                              */
    double latency;   /* seconds that a short message takes in one direction */
    double bandwidth; /* bytes/s that a machine can receive                 */
} calmoe_network;

typedef struct calmoe_ranks_prediction {
    size_t   size;             /* set by the caller to sizeof(calmoe_ranks_prediction)                    */
    int      batch;            /* tokens in a step, each with its logits                                  */
    int      n_exchanges;      /* exchanges in a step, one after the other, as calmoe_ranks_stats counts them */
    uint64_t n_bytes_received; /* bytes that rank 0, which receives most, gets in a step                  */
    double   exchange_seconds; /* time of these exchanges in a step, and of the message by which rank 0 begins it */
    double   step_seconds;     /* the whole step; every rank has a full copy of some weights: routers, and in latent
                                  attention the matrices that make latents                                */
    double   tokens_per_s;     /* 0 if the bandwidths of nodes are relative                               */
    int      experts;          /* CALMOE_RANK_EXPERTS_CUT or _WHOLE: what this prediction is about. For whole experts
                                  the bytes are those of even use of all experts; counted ones follow the routing */
    char     why[128];         /* how the other way compares                                              */
} calmoe_ranks_prediction;

/* Predicts a step on several machines, each of which is like the placement's machine. The plan is only used for the
 * time that one machine would take. */
CALMOE_API calmoe_status calmoe_placement_predict_ranks(const calmoe_placement *placement,
                                                        const calmoe_network *network, int batch,
                                                        calmoe_ranks_prediction *out);

#ifdef __cplusplus
}
#endif
#endif
