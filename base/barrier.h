/* base/barrier.h - the meeting point inside a team. Phases call cm_barrier() of team.h, not this. */
#ifndef BASE_BARRIER_H
#define BASE_BARRIER_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/memory.h"

struct barrier { /* all zero at first; each on a cache line of its own */
    _Alignas(CM_ALIGNMENT) atomic_int n_arrived;
    _Alignas(CM_ALIGNMENT) atomic_uint n_passed; /* how often all have met */
};

/* Waits until n_workers threads have come; the last runs serial(arg), which may be NULL, before the
 * others go on. Looks n_spins times at full speed, then yields between looks. For a thread that had to
 * wait, and where waited_ns is not NULL: *waited_ns += the nanoseconds, and the answer is the time at which it
 * went on; else 0. */
uint64_t cm_meet(struct barrier *barrier, int n_workers, int n_spins, uint64_t *waited_ns, void (*serial)(void *arg),
                 void *arg);

#endif
