/* calmoe/stats.h - what an engine did: counted per worker without locks, summed when asked. */
#ifndef CALMOE_STATS_H
#define CALMOE_STATS_H

#include "calmoe/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The parts of a step, as time is counted; waiting for other threads is in none of them. Later versions may count more
 * of them. Calls that answer by phase write arrays of n, element p for phase p, and 0 for what this version does not
 * count; n is the CALMOE_N_PHASES that the caller was compiled with, and an array may be NULL. */
enum {
    CALMOE_PHASE_PROJECT, /* the matrices round attention: q, k, v and its output                      */
    CALMOE_PHASE_ATTEND,  /* scores and sums over keys and values, which grow with the context         */
    CALMOE_PHASE_ROUTE,   /* gate logits, top-k, grouping of tokens by expert                          */
    CALMOE_PHASE_EXPERTS, /* the feed-forward matrices, routed and shared                              */
    CALMOE_PHASE_HEAD,    /* the last norm and the vocabulary                                          */
    CALMOE_PHASE_CHECKS,  /* exits: norm and vocabulary for those that are asked, who leaves           */
    CALMOE_PHASE_FILL,    /* keys and values of layers that were skipped                               */
    CALMOE_PHASE_OTHER,   /* norms, rotation, quantization, additions: what belongs to one row         */
    CALMOE_N_PHASES
};
/* "project", "attend", …, as in labels and files; "" for what is no phase. Static. */
CALMOE_API const char *calmoe_phase_name(int phase);
enum { CALMOE_MAX_NODES = 64 };

typedef struct calmoe_stats {
    size_t      size;             /* set by the caller to sizeof(calmoe_stats)                        */
    uint64_t    n_steps;
    uint64_t    n_rows;           /* tokens that went through the layers                              */
    uint64_t    n_layers_run;     /* sum over tokens of the layers that they used                     */
    uint64_t    n_experts_run;    /* sum over tokens and layers of the routed experts that they used  */
    double      step_seconds;     /* time inside steps                                                */
    double      wait_share;       /* of it, the mean share that a thread waited at barriers           */
    uint64_t    n_packed_bytes;   /* weights as packed in memory                                      */
    int         n_threads;
    int         n_nodes;
    const char *isa;              /* "avx512vnni"                                                     */
    double      imbalance;        /* in the experts' phases: the busiest thread's time / the mean, summed over steps */
    uint64_t    n_weight_bytes;   /* packed weights that steps read: a matrix counts once a step, whatever
                                     number of tokens it serves, an expert only where a token takes it */
    uint64_t    n_experts_touched;   /* sum over steps and layers of the routed experts that any token took */
    uint64_t    node_bytes[CALMOE_MAX_NODES]; /* packed weights that live on each node                */
    uint64_t    n_remote_bytes;   /* packed weights that threads of another node read: 0, but where weights lie on a
                                     node without threads                                                      */
    uint64_t    n_exits;          /* tokens that left before the last layer                           */
    double      mean_threads;     /* that took part in a step, mean over time: fewer than n_threads where the machine
                                     was busy and the engine left some out                             */
    uint64_t    n_thread_changes; /* how often the engine changed their number, since it was opened    */
} calmoe_stats;

CALMOE_API calmoe_status calmoe_engine_get_stats(const calmoe_engine *engine, calmoe_stats *stats);
CALMOE_API void          calmoe_engine_reset_stats(calmoe_engine *engine);

/* Seconds by phase (n), mean over the threads that took part. */
CALMOE_API calmoe_status calmoe_engine_get_phases(const calmoe_engine *engine, double *seconds, int n);

/* The same by memory node: its threads are those whose cores are next to it. */
typedef struct calmoe_node_stats {
    size_t   size;            /* set by the caller to sizeof(calmoe_node_stats)                       */
    double   waited_seconds;  /* at barriers, mean over the node's threads                            */
    uint64_t n_remote_bytes;  /* packed weights of any kind that its threads read from other nodes    */
} calmoe_node_stats;

/* Node i of the machine; CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_engine_get_node_stats(const calmoe_engine *engine, int i, calmoe_node_stats *stats);
/* Seconds by phase (n), mean over the node's threads, 0 where it has none; bytes by phase (n): packed weights that
 * steps read from the node's memory, where the router counts for each thread, since each reads all of it. CALMOE_END
 * as above. */
CALMOE_API calmoe_status calmoe_engine_get_node_phases(const calmoe_engine *engine, int i, double *seconds,
                                                       uint64_t *n_bytes, int n);

/* What an engine with a memory limit, or a plan that streams (calmoe_engine_options), did with experts on disk since
 * the start (or reset). Where all experts are in memory, all is 0. */
typedef struct calmoe_disk_stats {
    size_t   size;           /* set by the caller to sizeof(calmoe_disk_stats)                         */
    int      n_experts;      /* routed experts of all layers                                           */
    int      n_slots;        /* of them, so many are in memory at a time: as a router names them       */
    uint64_t n_slot_bytes;   /* that those take                                                        */
    int      is_direct;      /* 1: files are read past the system's cache                              */
    uint64_t n_wanted;       /* experts that steps needed, each once in a step and layer               */
    uint64_t n_there;        /* of them, in memory already                                             */
    uint64_t n_ahead;        /* of them, in memory or on the way, since they had been named by looking ahead; all
                                others were read when they were needed                                 */
    uint64_t n_asked;        /* of those wanted, in layers for which a router was asked ahead          */
    uint64_t n_named;        /* of those, named by it: n_named / n_asked is its recall                 */
    uint64_t n_reads;        /* experts that were read, those that nobody needed then too              */
    uint64_t n_bytes;        /* of files, that this took                                               */
    double   waited_seconds; /* for experts on their way, mean over threads                            */
    int      n_kept;         /* experts that the plan keeps in memory, beside n_slots                  */
    int      uses_io_uring;  /* 1: each thread that reads has several reads in flight; 0: one, by pread */
} calmoe_disk_stats;
CALMOE_API calmoe_status calmoe_engine_get_disk_stats(const calmoe_engine *engine, calmoe_disk_stats *stats);

/* 0: from now on the engine counts no times, no waiting, nothing by node, and where it was opened with profile no use
 * of experts; 1: it does again. Steps, tokens and all bytes are always counted. For measuring what counting costs. */
CALMOE_API void calmoe_engine_set_counting(calmoe_engine *engine, int is_on);

/* counts[i] = tokens that left after i layers since the start (or reset), 0 for i = 0; n >= the number of layers. */
CALMOE_API calmoe_status calmoe_engine_get_exit_counts(const calmoe_engine *engine, uint64_t *counts, int n);

/* counts[e] = tokens that expert e of the layer got since the start (or reset); n >= the number of
 * experts. */
CALMOE_API calmoe_status calmoe_engine_get_expert_counts(const calmoe_engine *engine, int layer,
                                                         uint64_t *counts, int n);

/* The statistics and the counts of all experts as text, in Prometheus' exposition format (version 0.0.4): names begin
 * with calmoe_stats_. *n_text gets its bytes without the NUL; at most capacity of them are written, the last a NUL.
 * FULL when they did not fit (call again with more room). */
CALMOE_API calmoe_status calmoe_engine_get_stats_text(const calmoe_engine *engine, char *text, size_t capacity,
                                                      size_t *n_text);

#ifdef __cplusplus
}
#endif
#endif
