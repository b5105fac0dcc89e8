/* base/ranks.h - processes, on one machine or on several, that run a model together. Only this file uses MPI.
 *
 * Ranks are numbered from 0. They send each other finished values, which this file moves and never adds up. No wait is
 * endless: a rank that does not answer in time counts as lost, and a rank that fails tells the others why; from then on
 * every call returns IO with a sentence. Any thread of a process may call, but only one at a time.
 *
 * In a build without MPI, cm_ranks_open() returns UNSUPPORTED, and nothing else is ever called. */
#ifndef BASE_RANKS_H
#define BASE_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { CM_MAX_RANKS = 64, CM_RANK_TEXT = 240 };

struct ranks;

/* The number of processes that were started together, by the environment; 1 if this one was started by itself. */
int cm_ranks_launched(void);

/* communicator: the address of an MPI_Comm of the caller, which must stay valid until the ranks are closed; NULL = all
 * processes that were started together. In that case, MPI is initialised here and finalised when the ranks are closed,
 * unless the program has initialised it. timeout_s: how many seconds a rank may keep others waiting. UNSUPPORTED (built
 * without MPI, or too many ranks), SYSTEM. */
calmoe_status cm_ranks_open(struct calmoe_context *ctx, const void *communicator, double timeout_s, struct ranks **out);
/* failure: NULL, or why something failed on this rank; the other ranks, which may be waiting for it, are told. A NULL
 * pointer inside is fine. */
void          cm_ranks_close(struct ranks **ranks, const char *failure);

int           cm_ranks_n(const struct ranks *ranks);
int           cm_ranks_own(const struct ranks *ranks); /* this one's number */
bool          cm_ranks_are_lost(const struct ranks *ranks); /* a rank is lost or has failed */

/* All-gather: rank r contributes sizes[r] bytes (n_ranks), this rank those at `own`. The contributions are written one
 * after the other, by rank, into `all`, except this rank's own, whose place stays as it is. If `to` is not -1, only
 * that rank receives. All ranks call this with the same sizes and in the same order of calls. IO. */
calmoe_status cm_ranks_gather(struct ranks *ranks, const void *own, const size_t *sizes, void *all, int to);
/* The same where this rank has something else for each: for rank r own_sizes[r] bytes, one rank's behind the other's at
 * `own`, nothing for itself. sizes[r]: what rank r has for this one. IO. */
calmoe_status cm_ranks_deal(struct ranks *ranks, const void *own, const size_t *own_sizes, const size_t *sizes,
                            void *all);

/* Agreement while parts of a model are opened, which may take one rank minutes longer than another. Each rank reports
 * how it went, and gives a number and a text. The result is OK if everything went well and all texts are equal; then
 * numbers (n_ranks) has every rank's number. Else every rank gets a failure: its own, or a sentence that names the rank
 * at fault. */
struct rank_word {
    calmoe_status status;
    double        number;
    char          text[CM_RANK_TEXT]; /* must be the same on all ranks; if status is not OK, the sentence about the
                                         failure                                    */
};
calmoe_status cm_ranks_agree(struct ranks *ranks, const struct rank_word *own, double *numbers);

/* Sends bytes from one rank to another, while parts of a model are opened. Either side waits as long as all ranks
 * together may keep it waiting. n_bytes is below 2^31. IO. */
calmoe_status cm_ranks_send(struct ranks *ranks, int to, const void *bytes, size_t n_bytes);
calmoe_status cm_ranks_receive(struct ranks *ranks, int from, void *bytes, size_t n_bytes);

/* Messages of any length from rank 0 to all others, which receive them in order with cm_ranks_hear(). Between messages,
 * from the first one on, rank 0 also sends signs of life from time to time, unless it holds the ranks, as it does
 * during a step, while its threads exchange values. cm_ranks_hold() waits until a sign of life that is being sent is
 * complete; cm_ranks_let_go() allows the next. */
void          cm_ranks_hold(struct ranks *ranks);
void          cm_ranks_let_go(struct ranks *ranks);
calmoe_status cm_ranks_tell(struct ranks *ranks, const void *bytes, size_t n_bytes); /* while held */
/* The others no longer listen: no signs of life are sent until the next message. */
void          cm_ranks_rest(struct ranks *ranks);
/* Receives a message. *bytes is borrowed until the next call. IO: rank 0 is lost; NO_MEMORY. */
calmoe_status cm_ranks_hear(struct ranks *ranks, const void **bytes, size_t *n_bytes);

struct ranks_work { /* what this rank did in cm_ranks_gather() and cm_ranks_deal() */
    uint64_t n_exchanges, n_bytes_received, n_bytes_sent, ns;
};
struct ranks_work cm_ranks_work(const struct ranks *ranks);

#endif
