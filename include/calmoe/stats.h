/* calmoe/stats.h - what an engine did. Each thread counts for itself, without locks; the sums are made when they are
 * asked for. */
#ifndef CALMOE_STATS_H
#define CALMOE_STATS_H

#include "calmoe/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The phases into which the time of a step is divided; time spent waiting for other threads belongs to none of them.
 * Later versions may have more phases. Calls that give a figure for each phase write arrays of n elements, element p
 * for phase p, and 0 for phases that this version does not know. n is the CALMOE_N_PHASES that the caller was compiled
 * with; such an array may be NULL. */
enum {
    CALMOE_PHASE_PROJECT, /* the matrices around attention: q, k, v and output                         */
    CALMOE_PHASE_ATTEND,  /* attention over the cached keys and values; grows with the context         */
    CALMOE_PHASE_ROUTE,   /* gate logits, top-k, grouping of tokens by expert                          */
    CALMOE_PHASE_EXPERTS, /* the feed-forward matrices, routed and shared                              */
    CALMOE_PHASE_HEAD,    /* the last norm and the vocabulary                                          */
    CALMOE_PHASE_CHECKS,  /* early exits: norm and vocabulary for the tokens that are checked, and the decision */
    CALMOE_PHASE_FILL,    /* keys and values of skipped layers                                         */
    CALMOE_PHASE_OTHER,   /* norms, rotation, quantization, additions: work on single rows             */
    CALMOE_N_PHASES
};
/* The name of a phase as it stands in labels and files: "project", "attend", …; "" for what is no phase. Static
 * storage. */
CALMOE_API const char *calmoe_phase_name(int phase);
enum { CALMOE_MAX_NODES = 64 };

typedef struct calmoe_stats {
    size_t      size;             /* set by the caller to sizeof(calmoe_stats)                        */
    uint64_t    n_steps;
    uint64_t    n_rows;           /* tokens that went through layers                                  */
    uint64_t    n_layers_run;     /* layers that ran, summed over tokens                              */
    uint64_t    n_experts_run;    /* routed experts that ran, summed over tokens and layers           */
    double      step_seconds;     /* time spent in steps                                              */
    double      wait_share;       /* share of that time that a thread waited at barriers, mean over threads */
    uint64_t    n_packed_bytes;   /* size of the weights as they are packed in memory                 */
    int         n_threads;
    int         n_nodes;
    const char *isa;              /* "avx512vnni"                                                     */
    double      imbalance;        /* in the experts' phases, summed over steps: time of the busiest thread / mean
                                     time                                                                            */
    uint64_t    n_weight_bytes;   /* packed weights that steps read. A matrix counts once in a step, however many
                                     tokens it serves; an expert counts only if a token takes it       */
    uint64_t    n_experts_touched;   /* routed experts that any token took, summed over steps and layers    */
    uint64_t    node_bytes[CALMOE_MAX_NODES]; /* packed weights that lie on each memory node          */
    uint64_t    n_remote_bytes;   /* packed weights that threads of another node read: 0, unless weights lie on a
                                     node without threads                                                      */
    uint64_t    n_exits;          /* tokens that left before the last layer                           */
    double      mean_threads;     /* threads that took part in a step, mean over time; fewer than n_threads if the
                                     machine was busy and the engine therefore used fewer              */
    uint64_t    n_thread_changes; /* how often the engine changed that number since it was opened      */
} calmoe_stats;

CALMOE_API calmoe_status calmoe_engine_get_stats(const calmoe_engine *engine, calmoe_stats *stats);
CALMOE_API void          calmoe_engine_reset_stats(calmoe_engine *engine);

/* Seconds by phase (n), mean over the threads that took part. */
CALMOE_API calmoe_status calmoe_engine_get_phases(const calmoe_engine *engine, double *seconds, int n);

/* The same for one memory node; its threads are those whose cores are nearest to it. */
typedef struct calmoe_node_stats {
    size_t   size;            /* set by the caller to sizeof(calmoe_node_stats)                       */
    double   waited_seconds;  /* time spent waiting at barriers, mean over the node's threads         */
    uint64_t n_remote_bytes;  /* packed weights that the node's threads read from other nodes         */
} calmoe_node_stats;

/* The i-th node of the machine; CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_engine_get_node_stats(const calmoe_engine *engine, int i, calmoe_node_stats *stats);
/* Of node i: seconds by phase (n), mean over the node's threads, 0 if it has none; and bytes by phase (n): packed
 * weights that steps read from the node's memory. The router's weights count once for each thread, since each thread
 * reads all of them. CALMOE_END past the last node. */
CALMOE_API calmoe_status calmoe_engine_get_node_phases(const calmoe_engine *engine, int i, double *seconds,
                                                       uint64_t *n_bytes, int n);

/* What an engine did with experts on disk since it was opened or its statistics were reset. Experts are on disk if
 * there is a memory limit, or a plan that streams experts (calmoe_engine_options); if all experts are in memory, all
 * figures are 0. */
typedef struct calmoe_disk_stats {
    size_t   size;           /* set by the caller to sizeof(calmoe_disk_stats)                         */
    int      n_experts;      /* routed experts of all layers                                           */
    int      n_slots;        /* experts that can be in memory at the same time, besides n_kept; they come and go as
                                routers name them                                                      */
    uint64_t n_slot_bytes;   /* memory that the slots take                                             */
    int      is_direct;      /* 1: reads bypass the system's page cache                                */
    uint64_t n_wanted;       /* experts that steps needed; each counts once in a step and layer        */
    uint64_t n_there;        /* of these, experts that were in memory already                          */
    uint64_t n_ahead;        /* of n_wanted, experts that were in memory or being read because looking ahead had
                                named them. All others were read only when they were needed            */
    uint64_t n_asked;        /* of n_wanted, experts in layers whose router was asked ahead of time    */
    uint64_t n_named;        /* of n_asked, experts that this named: n_named / n_asked is the recall   */
    uint64_t n_reads;        /* experts that were read, including those that no token needed in the end */
    uint64_t n_bytes;        /* bytes of files that these reads took                                   */
    double   waited_seconds; /* time spent waiting for experts to be read, mean over threads           */
    int      n_kept;         /* experts that always stay in memory, as the plan says                   */
    int      uses_io_uring;  /* 1: each reading thread has several reads in flight; 0: one at a time, by pread */
} calmoe_disk_stats;
CALMOE_API calmoe_status calmoe_engine_get_disk_stats(const calmoe_engine *engine, calmoe_disk_stats *stats);

/* 0: from now on the engine does not measure times and waiting, counts nothing by node, and, if it was opened with
 * profile, does not count the use of experts. 1: it does so again. Steps, tokens and bytes are always counted. Meant
 * for measuring what counting costs. */
CALMOE_API void calmoe_engine_set_counting(calmoe_engine *engine, int is_on);

/* counts[i] = tokens that left after i layers, since the start or the last reset; 0 for i = 0. n is at least the number
 * of layers. */
CALMOE_API calmoe_status calmoe_engine_get_exit_counts(const calmoe_engine *engine, uint64_t *counts, int n);

/* counts[e] = tokens that expert e of the layer got, since the start or the last reset. n is at least the number of
 * experts. */
CALMOE_API calmoe_status calmoe_engine_get_expert_counts(const calmoe_engine *engine, int layer,
                                                         uint64_t *counts, int n);

/* Writes the statistics, and the counts of all experts, in Prometheus' text exposition format (version 0.0.4); all
 * names begin with calmoe_stats_. *n_text gets the length without the NUL; at most `capacity` bytes are written, the
 * last of them a NUL. FULL when the text did not fit: call again with more room. */
CALMOE_API calmoe_status calmoe_engine_get_stats_text(const calmoe_engine *engine, char *text, size_t capacity,
                                                      size_t *n_text);

#ifdef __cplusplus
}
#endif
#endif
