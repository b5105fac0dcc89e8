/* calmoe/ranks.h - one model run by several processes, on one machine or on several, that exchange through MPI.
 *
 *     calmoe_ranks *ranks = NULL;
 *     calmoe_engine_options options;
 *     calmoe_engine_options_init(&options);
 *     if (calmoe_ranks_launched() > 1 && calmoe_ranks_open(context, NULL, &ranks)) die();
 *     options.ranks = ranks;
 *     if (calmoe_engine_open(model, &options, &engine)) die();
 *     if (calmoe_ranks_own(ranks) > 0) calmoe_engine_follow(engine);
 *     else ...                                  sessions, steps, as ever: the other ranks take part in them
 *     calmoe_engine_close(&engine);
 *     calmoe_ranks_close(&ranks);
 *
 * Each process opens the same model, from a file of its own, and reads the rows of every matrix that are its own. In a
 * step each computes its rows, and hands the others what came of them: never a sum, so logits are the same bits on any
 * number of ranks. Rank 0 has the sessions and samples; the others follow it. Ranks have one engine at a time. */
#ifndef CALMOE_RANKS_H
#define CALMOE_RANKS_H

#include "calmoe/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How many processes this one was started with, as mpirun tells it; 1: it was started by itself. MPI is not begun. */
CALMOE_API int calmoe_ranks_launched(void);

typedef struct calmoe_ranks_options {
    size_t      size;         /* set by calmoe_ranks_options_init()                                          */
    const void *communicator; /* address of an MPI_Comm of the caller's; NULL = all processes that were started
                                 together (default). MPI is begun, and ended, only where it was not           */
    double      timeout;      /* seconds after which a rank that does not answer is lost; 0 = 10 (default)    */
    double      bandwidth;    /* GB/s that this rank's machine reads: rows are cut in proportion. 0 = relative, one
                                 unit for each thread (default). All ranks state it, or none                  */
} calmoe_ranks_options;

CALMOE_API void calmoe_ranks_options_init(calmoe_ranks_options *options);

/* options may be NULL. UNSUPPORTED: built without MPI, or too many ranks; SYSTEM; INVALID_ARGUMENT; NO_MEMORY. */
CALMOE_API calmoe_status calmoe_ranks_open(calmoe_context *context, const calmoe_ranks_options *options,
                                           calmoe_ranks **out);
/* Engines first. failure: NULL, or why this rank cannot go on: it is told to the others, who may wait. Sets *ranks to
 * NULL; NULL is fine. */
CALMOE_API void calmoe_ranks_close(calmoe_ranks **ranks, const char *failure);
/* NULL: 1 rank, which is 0. */
CALMOE_API int calmoe_ranks_count(const calmoe_ranks *ranks);
CALMOE_API int calmoe_ranks_own(const calmoe_ranks *ranks);
/* 1 once a rank was lost, or failed: from then on every step answers IO, and there is nothing to do but to end. */
CALMOE_API int calmoe_ranks_are_lost(const calmoe_ranks *ranks);

/* On ranks but 0, with an engine that was opened with them: takes part in all that rank 0's engine does, and returns
 * when that is closed. IO: a rank is lost, or failed; NO_MEMORY. */
CALMOE_API calmoe_status calmoe_engine_follow(calmoe_engine *engine);

typedef struct calmoe_ranks_stats { /* since the engine was opened, or its statistics reset; by this rank */
    size_t   size;             /* set by the caller to sizeof(calmoe_ranks_stats)       */
    int      n_ranks, own;
    uint64_t n_exchanges;      /* in which ranks wait for each other                     */
    uint64_t n_bytes_received, n_bytes_sent;
    double   seconds;          /* in exchanges, waiting for slower ranks included        */
} calmoe_ranks_stats;

/* INVALID_ARGUMENT where the engine has no other ranks. */
CALMOE_API calmoe_status calmoe_engine_get_ranks_stats(const calmoe_engine *engine, calmoe_ranks_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
