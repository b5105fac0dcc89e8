/* calmoe/ranks.h - runs one model with several processes, on one machine or on several, which communicate through MPI.
 * As in MPI, each process is a rank with a number.
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
 * Each process opens the same model, from its own copy of the file (or through rank 0: calmoe_model_options.ranks), and
 * reads the rows of every matrix that belong to it. In a step each rank computes its rows and sends the finished values
 * to the others. It never sends partial sums, so logits are the same bits on any number of ranks. Rank 0 has the
 * sessions and samples tokens; the others follow it. The ranks have one engine at a time. */
#ifndef CALMOE_RANKS_H
#define CALMOE_RANKS_H

#include "calmoe/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The number of processes that mpirun started together with this one, counting it; 1 if it was started by itself. Does
 * not initialise MPI. */
CALMOE_API int calmoe_ranks_launched(void);

typedef struct calmoe_ranks_options {
    size_t      size;         /* set by calmoe_ranks_options_init()                                          */
    const void *communicator; /* address of an MPI_Comm of the caller; NULL = all processes that were started
                                 together (default). The library initialises and finalises MPI only if the program
                                 has not initialised it                                                       */
    double      timeout;      /* seconds after which a rank that does not answer counts as lost; 0 = 10 (default) */
    double      bandwidth;    /* GB/s that this rank's machine can read; rows are divided among ranks in proportion
                                 to it. 0 = one unit for each thread (default). Either all ranks give it or none */
} calmoe_ranks_options;

CALMOE_API void calmoe_ranks_options_init(calmoe_ranks_options *options);

/* options may be NULL. UNSUPPORTED: the library was built without MPI, or there are too many ranks; SYSTEM;
 * INVALID_ARGUMENT; NO_MEMORY. */
CALMOE_API calmoe_status calmoe_ranks_open(calmoe_context *context, const calmoe_ranks_options *options,
                                           calmoe_ranks **out);
/* First close the engine. failure: NULL, or a sentence on why this rank cannot go on, which is sent to the others since
 * they may be waiting. Sets *ranks to NULL; NULL is fine. */
CALMOE_API void calmoe_ranks_close(calmoe_ranks **ranks, const char *failure);
/* The number of ranks, and this process's own rank. NULL counts as a single rank 0. */
CALMOE_API int calmoe_ranks_count(const calmoe_ranks *ranks);
CALMOE_API int calmoe_ranks_own(const calmoe_ranks *ranks);
/* 1 once a rank is lost or has failed: from then on every step returns IO, and the program can only end. */
CALMOE_API int calmoe_ranks_are_lost(const calmoe_ranks *ranks);

/* For all ranks except 0, with an engine that was opened with the ranks: takes part in everything that rank 0's engine
 * does, and returns when that one is closed. IO: a rank is lost or has failed; NO_MEMORY. */
CALMOE_API calmoe_status calmoe_engine_follow(calmoe_engine *engine);

typedef struct calmoe_ranks_stats { /* of this rank, since the engine was opened or its statistics reset */
    size_t   size;             /* set by the caller to sizeof(calmoe_ranks_stats)       */
    int      n_ranks, own;
    uint64_t n_exchanges;      /* times that ranks exchanged values and waited for each other */
    uint64_t n_bytes_received, n_bytes_sent;
    double   seconds;          /* spent in exchanges, including the wait for slower ranks */
} calmoe_ranks_stats;

/* INVALID_ARGUMENT if the engine has no other ranks. */
CALMOE_API calmoe_status calmoe_engine_get_ranks_stats(const calmoe_engine *engine, calmoe_ranks_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
