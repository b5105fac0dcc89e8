/* base/ranks.h - processes, on one machine or on several, that run a model together. The only MPI door.
 *
 * Ranks are numbered from 0. They hand each other finished values: what this file moves it never adds up. Every wait
 * ends: a rank that does not answer in time is lost, one that fails tells the others why, and from then on every call
 * answers IO with a sentence. One thread of a process may call at a time, whichever it is.
 *
 * Built without MPI, cm_ranks_open() answers UNSUPPORTED; nothing else is called then. */
#ifndef BASE_RANKS_H
#define BASE_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { CM_MAX_RANKS = 64, CM_RANK_TEXT = 240 };

struct ranks;

/* How many processes this one was started with, as the environment says; 1: it was started by itself. */
int cm_ranks_launched(void);

/* communicator: the address of the caller's MPI_Comm, which must stay until the ranks are closed; NULL = all processes
 * that were started together, and MPI is begun here, and ended when they are closed, where the program did not.
 * timeout_s: how long a rank may keep others waiting. UNSUPPORTED (built without MPI, more ranks than the maximum),
 * SYSTEM. */
calmoe_status cm_ranks_open(struct calmoe_context *ctx, const void *communicator, double timeout_s, struct ranks **out);
/* A rank on which something failed tells the others, who may still wait for it. NULL inside is fine. */
void          cm_ranks_close(struct ranks **ranks, const char *failure);

int           cm_ranks_n(const struct ranks *ranks);
int           cm_ranks_own(const struct ranks *ranks); /* this one's number */
bool          cm_ranks_are_lost(const struct ranks *ranks); /* one is lost or failed: all calls answer IO */

/* Rank r hands over sizes[r] bytes (n_ranks), this one those at `own`; they come to lie in `all`, one rank's behind the
 * other's, but for this rank's own, whose place is left as it is. Where to is not -1, only that rank receives. All
 * ranks call with the same sizes, in the same order of calls. IO. */
calmoe_status cm_ranks_gather(struct ranks *ranks, const void *own, const size_t *sizes, void *all, int to);
/* The same where this rank has something else for each: for rank r own_sizes[r] bytes, one rank's behind the other's at
 * `own`, nothing for itself. sizes[r]: what rank r has for this one. IO. */
calmoe_status cm_ranks_deal(struct ranks *ranks, const void *own, const size_t *own_sizes, const size_t *sizes,
                            void *all);

/* While parts of a model are opened, which may take one rank minutes more than another: each rank says how it went, and
 * hands over a number and a text that must be the same everywhere. OK where all went well and all texts are the
 * same; numbers (n_ranks) are everybody's then. Else every rank gets a failure: its own, or a sentence that names the
 * rank. */
struct rank_word {
    calmoe_status status;
    double        number;
    char          text[CM_RANK_TEXT]; /* with a status that is not OK: its sentence */
};
calmoe_status cm_ranks_agree(struct ranks *ranks, const struct rank_word *own, double *numbers);

/* Bytes from one rank to another, while parts of a model are opened. Either side waits as long as all ranks together
 * may keep it waiting. n_bytes: below 2^31. IO. */
calmoe_status cm_ranks_send(struct ranks *ranks, int to, const void *bytes, size_t n_bytes);
calmoe_status cm_ranks_receive(struct ranks *ranks, int from, void *bytes, size_t n_bytes);

/* What rank 0 tells all others, of any length; they hear it in that order. Between tells, from the first one on, rank 0
 * lets them know now and then that it is there, unless it holds the ranks: during a step, when its threads exchange.
 * cm_ranks_hold() waits until a sign of life is given, cm_ranks_let_go() allows the next. */
void          cm_ranks_hold(struct ranks *ranks);
void          cm_ranks_let_go(struct ranks *ranks);
calmoe_status cm_ranks_tell(struct ranks *ranks, const void *bytes, size_t n_bytes); /* held */
/* Nobody hears any more: no signs of life until something is told again. */
void          cm_ranks_rest(struct ranks *ranks);
/* *bytes is borrowed until the next call. IO: rank 0 is lost; NO_MEMORY. */
calmoe_status cm_ranks_hear(struct ranks *ranks, const void **bytes, size_t *n_bytes);

struct ranks_work { /* by this rank, in cm_ranks_gather() and cm_ranks_deal() */
    uint64_t n_exchanges, n_bytes_received, n_bytes_sent, ns;
};
struct ranks_work cm_ranks_work(const struct ranks *ranks);

#endif
