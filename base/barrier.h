/* base/barrier.h - the meeting point inside a team. Phases call cm_barrier() of team.h, not this.
 *
 * A tree of two levels, a combining barrier (Yew, Tzeng, Lawrie 1987): workers that share a cache form groups of at
 * most CM_MOST_IN_GROUP, each with cache lines of its own. The last to arrive of a group arrives for it at the top, and
 * the last of all lets every group go on. So a line is written by few workers, and those that wait look at a line in
 * their own cache. A team of one group has no top. */
#ifndef BASE_BARRIER_H
#define BASE_BARRIER_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/memory.h"

enum { CM_MOST_IN_GROUP = 8 };

struct barrier_group { /* zero at first */
    _Alignas(CM_ALIGNMENT) atomic_int n_arrived;
    int n_members;
    _Alignas(CM_ALIGNMENT) atomic_uint n_passed; /* how often all groups have met */
    atomic_int n_asleep;
};

struct barrier {
    _Alignas(CM_ALIGNMENT) atomic_int n_arrived; /* groups that are complete           */
    _Alignas(CM_ALIGNMENT) struct barrier_group *groups; /* (n_groups), the owner's    */
    int                   n_groups;
    uint64_t              spin_ns;               /* a wait looks so long, then sleeps  */
};

/* Waits until all members of all groups have come; this worker is of that group. The last runs serial(arg), which may
 * be NULL, before the others go on. For a worker that had to wait, and where waited_ns is not NULL: *waited_ns += the
 * nanoseconds, and the answer is the time at which it went on; else 0. */
uint64_t cm_meet(struct barrier *barrier, int group, uint64_t *waited_ns, void (*serial)(void *arg), void *arg);

#endif
