/* calmoe/placement.h - where a model's experts are to live on a machine of several memory nodes: plans made,
 * explained, and tried on a machine that need not be there.
 *
 *     calmoe_placement_options options;
 *     calmoe_placement_options_init(&options);
 *     options.topology = "numa:4(memory=64GiB) core:16 pu:1";
 *     options.bandwidth = "120";
 *     options.profile = "profile.json";
 *     if (calmoe_placement_open(model, &options, &placement) == CALMOE_OK)
 *         calmoe_placement_write(placement, "plan.json");
 *
 * A plan gives each expert of each layer one of four places: pinned (all of it on one node), sliced (its rows cut
 * over nodes), replicated (all of it on several nodes; each step picks the replica on the node that is done
 * first), streamed (read from disk when it is needed, docs/DISK.md). No plan changes a bit of a model's output.
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
    const char *policy;       /* calmoe_placement_policy() lists them; NULL = "by_usage" where there is a
                                 profile, else "sliced" (default)                                              */
    const char *plan;         /* path of a plan to look at, instead of making one; NULL = make one (default)   */
    const char *profile;      /* path of a profile of how experts are used; NULL = none (default)              */
    const char *domain;       /* of the profile; NULL = all of them together (default)                         */
    const char *topology;     /* an hwloc description such as "numa:4 core:8 pu:1", or the path of an exported
                                 .xml; NULL = this machine (default)                                           */
    const char *bandwidth;    /* what nodes read in GB/s, "0:40,1:20" or "40" for all; NULL = what hwloc knows,
                                 else relative, one unit for each core (default)                               */
    float       memory_limit; /* weights with replicas / the model's weights; 1 to 64 (default 1.25)           */
    double      near_latency; /* seconds that a cache line takes between cores of one cache, and                 */
    double      far_latency;  /* between others (calmoe_machine.line_near, line_far); 0 = predictions leave out
                                 that threads wait for each other (default)                                    */
    const calmoe_profile *usage; /* a profile in memory instead of a file, read while opening; NULL = none (default) */
    uint64_t    stream_limit; /* bytes, as calmoe_engine_options.memory_limit: the plan says which experts stay in
                                 memory, as the profile uses them most, and streams the others from disk; what nodes
                                 hold is not looked at then. 0 = all are in memory (default)                   */
} calmoe_placement_options;

CALMOE_API void calmoe_placement_options_init(calmoe_placement_options *options);

/* Policy i: its name and one line about it, static; CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_placement_policy(int i, const char **name, const char **summary);

/* Makes (or reads) a plan for a model on a machine. options may be NULL. The model must outlive the placement.
 * INVALID_ARGUMENT (a plan or profile of another model or machine too), IO, BAD_FILE, UNSUPPORTED, NO_MEMORY (the
 * machine's nodes cannot hold the model too). */
CALMOE_API calmoe_status calmoe_placement_open(calmoe_model *model, const calmoe_placement_options *options,
                                               calmoe_placement **out);
CALMOE_API void calmoe_placement_close(calmoe_placement **placement); /* sets it to NULL; NULL is fine */

/* Writes the plan as a file that calmoe_engine_options.plan takes. IO. */
CALMOE_API calmoe_status calmoe_placement_write(const calmoe_placement *placement, const char *path);

typedef struct calmoe_placement_info {
    size_t      size;           /* set by the caller to sizeof(calmoe_placement_info)                        */
    const char *policy;         /* that made it; "" for a plan that was read                                 */
    const char *why;            /* a sentence or two; "" for a plan that was read                            */
    const char *notes;          /* what did not fit where it belongs; "" = all did                           */
    const char *use;            /* what predictions take for the experts' use: "profile" or "even"           */
    int         n_nodes;
    int         n_layers;
    int         n_experts;      /* of a layer that has any                                                   */
    int         n_pinned, n_sliced, n_replicated; /* experts of all layers                                   */
    uint64_t    n_weight_bytes; /* of the model, as in the file                                              */
    uint64_t    n_placed_bytes; /* with replicas                                                             */
    int         is_memory_known;    /* 0: the topology does not say how much memory nodes have               */
    int         is_bandwidth_known; /* 0: bandwidths are relative, so no tokens/s can be predicted           */
    int         n_streamed;     /* experts that stay on disk; none of the counts and bytes above has them    */
} calmoe_placement_info;

/* Texts are borrowed until the placement is closed. */
CALMOE_API calmoe_status calmoe_placement_get_info(const calmoe_placement *placement, calmoe_placement_info *info);

typedef struct calmoe_placement_node {
    size_t   size;          /* set by the caller to sizeof(calmoe_placement_node)                     */
    int      n_cores;
    int      served_by;     /* the node whose cores read it                                           */
    uint64_t memory_bytes;  /* 0 where not known                                                      */
    uint64_t cache_bytes;   /* last-level caches round its cores; 0 where not known                   */
    double   bandwidth;     /* bytes/s, or relative                                                   */
    uint64_t weight_bytes;  /* that the plan puts there                                               */
    int      n_pinned, n_sliced, n_replicas; /* experts of all layers that are there, whole or in part */
    int      kv_heads;      /* heads of keys and values that it keeps                                 */
} calmoe_placement_node;

/* Node i; CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_placement_get_node(const calmoe_placement *placement, int i,
                                                   calmoe_placement_node *node);

enum { CALMOE_PLACE_PINNED, CALMOE_PLACE_SLICED, CALMOE_PLACE_REPLICATED, CALMOE_PLACE_STREAMED };

/* *kind: CALMOE_PLACE_*; parts[node]: the part of the expert that is there, 0 to 1 (n >= the number of nodes). In a
 * dense layer, which has no experts to place, and of a streamed expert all parts are 0.
 * INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_placement_get_expert(const calmoe_placement *placement, int layer, int expert,
                                                     int *kind, double *parts, int n);

/* What a plan is predicted to do over many steps. */
typedef struct calmoe_prediction {
    size_t   size;           /* set by the caller to sizeof(calmoe_prediction)                               */
    int      batch;          /* tokens of a step                                                             */
    uint64_t n_steps, n_tokens;
    double   imbalance;      /* experts: time of the slowest node / mean over the nodes that have cores      */
    double   expert_seconds; /* of a step; relative where bandwidths are                                     */
    double   step_seconds;   /* with attention's matrices, the head and barriers, without keys and values    */
    double   tokens_per_s;   /* 0 where bandwidths are relative                                              */
    uint64_t n_uses;         /* experts that steps took, summed over steps and layers                        */
    uint64_t n_sliced_uses, n_replica_uses; /* of them                                                       */
    double   node_share[CALMOE_MAX_NODES];              /* of the experts' work, done by the node's cores    */
    uint64_t node_bytes[CALMOE_MAX_NODES];              /* experts' weights read from the node's memory      */
    uint64_t node_remote_weights[CALMOE_MAX_NODES];     /* of them, by cores of another node                 */
    uint64_t node_remote_activations[CALMOE_MAX_NODES]; /* bytes of inputs, hidden states and outputs that its
                                                           cores took from other nodes                       */
    uint64_t node_replica_uses[CALMOE_MAX_NODES];       /* times that a replica there served                 */
    int      n_barriers;      /* at which all threads meet in a step                                         */
    double   barrier_seconds; /* of a step, with a thread on each core; 0 where no latency was stated        */
} calmoe_prediction;

/* Over steps of `batch` tokens drawn from the profile's counts with a fixed seed, or from even use where there is no
 * profile. Which experts go together is not in counts, so it is not in the result. */
CALMOE_API calmoe_status calmoe_placement_predict(const calmoe_placement *placement, int batch, calmoe_prediction *out);

/* Over routings that the caller has: experts (n_tokens, n_layers, n_slots), -1 where a token took fewer.
 * INVALID_ARGUMENT: an expert that the model has not, or that a token takes twice. */
CALMOE_API calmoe_status calmoe_placement_simulate(const calmoe_placement *placement, const int32_t *experts,
                                                   int n_tokens, int n_slots, int batch, calmoe_prediction *out);

/* What a memory limit (calmoe_engine_options) would do for such routings; looking ahead is not in it. */
typedef struct calmoe_disk_prediction {
    size_t   size;      /* set by the caller to sizeof(calmoe_disk_prediction)                     */
    int      batch;     /* tokens of a step                                                        */
    int      n_experts; /* routed experts of all layers                                            */
    int      n_slots;   /* of them in memory at a time, about; all: nothing is read                */
    uint64_t n_tokens;
    uint64_t n_wanted;  /* experts that steps need, each once in a step and layer                  */
    uint64_t n_there;   /* of them, in memory already                                              */
    uint64_t n_bytes;   /* of the model's file that are read for the others                        */
} calmoe_disk_prediction;

/* By the same rules by which an engine keeps experts, those of the plan among them; a profile, where the placement has
 * one, as its memory_profile.
 * INVALID_ARGUMENT as calmoe_placement_simulate(), and for a limit that is too small: the sentence says which is
 * not. UNSUPPORTED: the model has no routed experts. */
CALMOE_API calmoe_status calmoe_placement_simulate_disk(const calmoe_placement *placement, const int32_t *experts,
                                                        int n_tokens, int n_slots, int batch, uint64_t memory_limit,
                                                        calmoe_disk_prediction *out);

/* How ranks share routed experts: `whole_experts` of calmoe_engine_options. */
enum { CALMOE_RANK_EXPERTS_QUICKER, CALMOE_RANK_EXPERTS_CUT, CALMOE_RANK_EXPERTS_WHOLE };

/* The same model by several such machines, each with an equal part (ranks.h). */
typedef struct calmoe_network {
    int    n_ranks;   /* 2 at least                                         */
    int    experts;   /* CALMOE_RANK_EXPERTS_*; 0: whichever is predicted to be quicker */
    double latency;   /* seconds that a short message takes, one way        */
    double bandwidth; /* bytes/s that a machine receives                    */
} calmoe_network;

typedef struct calmoe_ranks_prediction {
    size_t   size;             /* set by the caller to sizeof(calmoe_ranks_prediction)                    */
    int      batch;            /* tokens of a step, each with logits                                      */
    int      n_exchanges;      /* of a step, one after the other; what calmoe_ranks_stats counts          */
    uint64_t n_bytes_received; /* of a step, by rank 0, which receives most                               */
    double   exchange_seconds; /* of a step: these, and the message by which rank 0 begins it             */
    double   step_seconds;     /* with the weights, of which some are whole on every rank: routers, and of
                                  latent attention what makes latents                                     */
    double   tokens_per_s;     /* 0 where bandwidths of nodes are relative                                */
    int      experts;          /* CUT or WHOLE: which this is about. Of whole ones, bytes are those of even use of all
                                  experts; what is counted follows the routing                            */
    char     why[128];         /* how the other compares                                                  */
} calmoe_ranks_prediction;

/* The placement's machine stands for each rank's; its plan is looked at for the time of one machine only. */
CALMOE_API calmoe_status calmoe_placement_predict_ranks(const calmoe_placement *placement,
                                                        const calmoe_network *network, int batch,
                                                        calmoe_ranks_prediction *out);

#ifdef __cplusplus
}
#endif
#endif
