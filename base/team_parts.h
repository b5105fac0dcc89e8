/* base/team_parts.h - the struct of a team, for the two files that implement it: team_seats.c decides on which cores
 * the workers sit and which of them take part; team.c starts the threads and runs phases on them. */
#ifndef BASE_TEAM_PARTS_H
#define BASE_TEAM_PARTS_H

#include <stdatomic.h>

#include "base/barrier.h"
#include "base/bound_others.h"
#include "base/memory.h"
#include "base/team.h"

enum binding {
    BIND_NOTHING, /* threads run wherever the system puts them */
    BIND_NODE,    /* each thread on any core of its node    */
    BIND_CORE     /* each thread on its own core            */
};

struct seat { /* aligned, so that no two workers write to the same cache line */
    _Alignas(CM_ALIGNMENT) struct worker worker;
    int              core;       /* index into topology.cores                         */
    int              group;      /* its group of the barrier, among the workers that are called up */
    bool             is_claimed; /* this process has claimed the core (core_claims.h) */
    bool             is_shared;  /* another process had claimed it before             */
    _Atomic uint64_t waited_ns;  /* time in barriers; only this worker writes it      */
};

struct team {
    const struct topology *topology;
    struct seat           *seats; /* (n_workers) */
    int                    n_workers;
    int                    n_most;               /* workers that are useful under the quota of processor time */
    bool                   is_default;           /* the caller gave no number of workers                   */
    uint64_t               looked_ns;            /* when the quota was last read                           */
    int                    n_called;              /* workers that take part                               */
    struct worker         *called;                /* (n_workers) the first n_called are the workers that take part,
                                                     as phases see them                                      */
    int                    n_on_node[CM_MAX_NODES], n_called_on[CM_MAX_NODES];
    struct barrier_group  *groups;               /* (n_workers) the groups of the barrier                  */
    bool                   is_untimed;           /* waiting is not measured */
    int                    server[CM_MAX_NODES]; /* cm_team_server()        */
    enum binding           binding;
    char                   crowd[CM_OTHER_NAME]; /* another program's thread that is bound to one of the cores; "" =
                                                    none is known                                                 */
    struct thread_mask     nodes[CM_MAX_NODES];  /* for BIND_NODE: the cores of each node                  */
    unsigned long          number;   /* identifies the team; no other team of this program ever has the same */
    struct thread_mask     home;     /* where the caller's thread may run; a run narrows that and restores it
                                        afterwards                                        */
    bool                   has_home; /* home was saved                                    */
    void (*phase)(void *arg, const struct worker *me);
    void *arg;
    uint64_t speaker;                          /* the thread to which sentences of the run belong:
                                                  cm_message_thread()                                        */

    _Alignas(CM_ALIGNMENT) atomic_uint n_runs; /* raised, with release order, once phase and arg are set */
    atomic_int  n_delivered;                   /* threads that OpenMP provided for this run */
    atomic_bool was_refused;                   /* the system did not let a thread be bound */
    atomic_size_t small_stack;                 /* bytes of a stack that is too small; 0 = all are large enough */
    _Alignas(CM_ALIGNMENT) atomic_int n_finished;
    struct barrier barrier;
};

/* Chooses the number of workers, if it is 0, and a seat for each of them; claims their cores, logs what the user may
 * not expect, and calls all workers up. n_processors: how many the system lets this process use. NO_MEMORY. */
calmoe_status cm_team_open_seats(struct calmoe_context *ctx, struct team *team, enum team_pin pin, int n_processors);
void          cm_team_close_seats(struct team *team);

#endif
