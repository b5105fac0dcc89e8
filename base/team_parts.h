/* base/team_parts.h - what a team is made of, for the two files that make it: team_seats.c decides who sits where and
 * who takes part, team.c starts the threads and runs them. */
#ifndef BASE_TEAM_PARTS_H
#define BASE_TEAM_PARTS_H

#include <stdatomic.h>

#include "base/barrier.h"
#include "base/bound_others.h"
#include "base/memory.h"
#include "base/team.h"

enum binding {
    BIND_NOTHING, /* threads run where the system puts them */
    BIND_NODE,    /* on any core of their node              */
    BIND_CORE     /* each on its own core                   */
};

struct seat { /* what one worker writes shares no cache line with another's */
    _Alignas(CM_ALIGNMENT) struct worker worker;
    int              core;       /* into topology.cores                               */
    int              group;      /* of the barrier, among those that are called up    */
    bool             is_claimed; /* other processes are told that it is worked on     */
    bool             is_shared;  /* another process told so before                    */
    _Atomic uint64_t waited_ns;  /* in barriers; only this worker writes it           */
};

struct team {
    const struct topology *topology;
    struct seat           *seats; /* (n_workers) */
    int                    n_workers;
    int                    n_most;               /* that are of use under the quota of processor time      */
    bool                   is_default;           /* nobody said how many                                   */
    uint64_t               looked_ns;            /* when the quota was looked at                           */
    int                    n_called;              /* that take part                                       */
    struct worker         *called;                /* (n_workers): the first n_called, as they see themselves */
    int                    n_on_node[CM_MAX_NODES], n_called_on[CM_MAX_NODES];
    struct barrier_group  *groups;               /* (n_workers): of the barrier                            */
    bool                   is_untimed;           /* waiting is not measured */
    int                    server[CM_MAX_NODES]; /* cm_team_server()        */
    enum binding           binding;
    char                   crowd[CM_OTHER_NAME]; /* who is bound to one of the cores; "": nobody, as far as known */
    struct thread_mask     nodes[CM_MAX_NODES];  /* of BIND_NODE: the cores of each                        */
    unsigned long          number;   /* no other team of this program has or had it       */
    struct thread_mask     home;     /* where the caller may run, which a run narrows     */
    bool                   has_home; /* home was saved                                    */
    void (*phase)(void *arg, const struct worker *me);
    void *arg;
    uint64_t speaker;                          /* sentences of the run are the caller's: cm_message_thread() */

    _Alignas(CM_ALIGNMENT) atomic_uint n_runs; /* released when phase and arg are set */
    atomic_int  n_delivered;                   /* threads that OpenMP gave this run   */
    atomic_bool was_refused;                   /* a thread could not be bound         */
    atomic_size_t small_stack;                 /* bytes of one that is too small; 0 = all are large enough */
    _Alignas(CM_ALIGNMENT) atomic_int n_finished;
    struct barrier barrier;
};

/* Chooses the number of workers, where it is 0, and a seat for each; claims their cores, says what is not as the user
 * may expect, and calls all up. n_processors: that the system gives this process. NO_MEMORY. */
calmoe_status cm_team_open_seats(struct calmoe_context *ctx, struct team *team, enum team_pin pin, int n_processors);
void          cm_team_close_seats(struct team *team);

#endif
