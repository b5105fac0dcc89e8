/* base/barrier.h - the barrier inside a team. Phases do not use it directly; they call cm_barrier() of team.h.
 *
 * It is a combining barrier (Yew, Tzeng, Lawrie 1987), a tree of two levels. Workers that share a cache form groups of
 * at most CM_MOST_IN_GROUP, and each group has cache lines of its own. The worker that arrives last in its group
 * arrives for the group at the top level, and the one that arrives last there releases every group. So each cache line
 * is written by few workers, and waiting workers poll a line in their own cache. With one group there is no top level.
 * */
#ifndef BASE_BARRIER_H
#define BASE_BARRIER_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/memory.h"

enum { CM_MOST_IN_GROUP = 8 };

struct barrier_group { /* zeroed at the beginning */
    _Alignas(CM_ALIGNMENT) atomic_int n_arrived;
    int n_members;
    _Alignas(CM_ALIGNMENT) atomic_uint n_passed; /* how often the barrier was passed by all groups */
    atomic_int n_asleep;                         /* members that sleep until n_passed changes      */
};

struct barrier {
    _Alignas(CM_ALIGNMENT) atomic_int n_arrived; /* groups whose members have all arrived */
    _Alignas(CM_ALIGNMENT) struct barrier_group *groups; /* (n_groups) owned by whoever made the barrier */
    int                   n_groups;
    uint64_t              spin_ns;               /* a waiting worker polls for so long before it sleeps */
};

/* Waits until all members of all groups have called it; the calling worker belongs to the given group. The worker that
 * arrives last runs serial(arg), unless serial is NULL, before the others continue. If waited_ns is not NULL and the
 * worker had to wait, *waited_ns grows by the nanoseconds of waiting, and the result is the time at which the worker
 * continued; in all other cases the result is 0. */
uint64_t cm_meet(struct barrier *barrier, int group, uint64_t *waited_ns, void (*serial)(void *arg), void *arg);

#endif
