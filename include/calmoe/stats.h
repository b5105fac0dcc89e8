/* calmoe/stats.h - what an engine did: counted per worker without locks, summed when asked. */
#ifndef CALMOE_STATS_H
#define CALMOE_STATS_H

#include "calmoe/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

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
} calmoe_stats;

CALMOE_API calmoe_status calmoe_engine_get_stats(const calmoe_engine *engine, calmoe_stats *stats);
CALMOE_API void          calmoe_engine_reset_stats(calmoe_engine *engine);

/* counts[e] = tokens that expert e of the layer got since the start (or reset); n >= the number of
 * experts. */
CALMOE_API calmoe_status calmoe_engine_get_expert_counts(const calmoe_engine *engine, int layer,
                                                         uint64_t *counts, int n);

#ifdef __cplusplus
}
#endif
#endif
