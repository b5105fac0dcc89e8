/* base/team.h - a team of pinned worker threads. The only OpenMP door.
 *
 * A step of the engine is one cm_team_run(): every worker executes the same function and meets the
 * others at barriers. Nothing else synchronises. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/topology.h"

struct team;

enum team_pin {
    PIN_NO,  /* threads run where the system puts them                                      */
    PIN_YES, /* each on its own core                                                        */
    PIN_AUTO /* the same, unless threads of other programs are bound to these cores already */
};

struct worker {
    struct team *team;
    int          index;        /* 0 … n_workers - 1; 0 runs on the caller's thread        */
    int          n_workers;    /* that take part                                          */
    int          seat;         /* its number among all of the team: for what is kept of it */
    int          node;         /* where its core is                                       */
    int          rank_on_node; /* 0 … n_on_node - 1                                       */
    int          n_on_node;
};

/* n_workers 0 = one for each core, but for those that other processes of calmoe work on; under a quota of processor
 * time there are more than it is worth (seats.h), of which so many are called up, since it may grow. Workers are spread
 * over the nodes in proportion to their cores, and sit on cores that no other process of calmoe works on, where there
 * are so many. More workers than cores are allowed (then none is pinned). PIN_NO leaves placement to the system; so
 * does a quota that is smaller than the machine, within the nodes. A system that refuses pins is told in one sentence
 * (log) and runs on unpinned. SYSTEM, NO_MEMORY: the system does not give that many threads. topology must outlive the
 * team. */
calmoe_status cm_team_open(struct calmoe_context *ctx, const struct topology *topology, int n_workers,
                           enum team_pin pin, struct team **out);
void          cm_team_close(struct team **team);
int           cm_team_n_workers(const struct team *team);
const struct worker *cm_team_worker(const struct team *team, int index);

/* How many of the workers are of use: all, or as many as the quota of processor time is worth, at which this looks
 * again once a second. */
int cm_team_n_most(struct team *team, uint64_t now_ns);
/* The same as it was last found, where nobody said how many there should be; else the number that was asked for. */
int cm_team_n_wanted(const struct team *team);

/* Between runs: only n of the workers take part in those that follow, at least one on each node that has any; they are
 * numbered anew from 0 and keep their seats. At first all do. */
void cm_team_call_up(struct team *team, int n);
/* How its threads are bound, for people: "bound to cores", "bound to nodes", "not bound"; and the thread of another
 * program because of which PIN_AUTO does not: "" = there is none. */
const char *cm_team_binding(const struct team *team);
const char *cm_team_crowd(const struct team *team);

/* The core that worker `index` of those that are called up is meant to sit on, into topology.cores. */
int      cm_team_core(const struct team *team, int index);
/* How often all have met at a barrier since the team was opened, modulo 2^32. */
uint32_t cm_team_n_meetings(const struct team *team);

/* How many take part; how many of them on a node. */
int  cm_team_n_called(const struct team *team);
int  cm_team_n_called_on(const struct team *team, int node);

/* The node whose workers do the work of a node's memory: itself where it has workers; else (memory only, or fewer
 * workers than nodes) the one whose cores are nearest, else of those with workers the one with the nearest number. */
int cm_team_server(const struct team *team, int node);

/* Runs phase(arg, worker) on all workers that are called up; returns when all have returned. The calling thread is
 * worker 0 and gets its own CPU affinity back afterwards. Phases run in the default floating-point
 * environment (nearest rounding, denormals kept), whatever the caller's is. Not reentrant. */
void cm_team_run(struct team *team, void (*phase)(void *arg, const struct worker *me), void *arg);

/* Inside a phase: waits until all workers have come. What each wrote before is seen by all after.
 * Looks for a while, then sleeps, so that whoever is waited for gets the core where the machine is crowded. */
void cm_barrier(const struct worker *me);
/* The same; answers the time at which this worker went on, where it was read anyway: 0 = it was not. */
uint64_t cm_barrier_now(const struct worker *me);
/* The same; the worker that comes last runs serial(arg) before the others go on. */
void cm_barrier_with(const struct worker *me, void (*serial)(void *arg), void *arg);

/* The part of n items, in multiples of `grain`, that is worker `index` of `n_workers`:
 * *begin … *end. The parts are in order, disjoint, and cover 0 … n. */
void cm_share(int n, int grain, int index, int n_workers, int *begin, int *end);

/* Between runs: whether waiting is timed; it is at first. */
void cm_team_time_waits(struct team *team, bool is_timed);
/* Nanoseconds that the worker of a seat has waited in barriers since the team was opened. */
uint64_t cm_team_waited_ns(const struct team *team, int seat);
uint64_t cm_team_waited_in_all_ns(const struct team *team); /* all of them together */

#endif
